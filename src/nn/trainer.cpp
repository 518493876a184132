#include "nn/trainer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <utility>

#include "base/check.h"
#include "nn/random.h"

namespace anomalyd::nn {
namespace {

bool all_finite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

// So that epochs times an epoch's steps stay far below 2^64.
constexpr std::uint64_t kMost = 0xffffffffU;

/// Without the sign that a NaN may have.
std::string text_of(double value) { return std::isnan(value) ? "nan" : std::to_string(value); }

Error out_of_range(const char* what, const std::string& value, const char* expected) {
  return Error{ErrorCode::kInvalidArgument,
               std::string("training: ") + what + " is " + value + ", expected " + expected};
}

}  // namespace

std::string_view name_of(TrainingEnd end) {
  switch (end) {
    case TrainingEnd::kEarly:
      return "early";
    case TrainingEnd::kBudget:
      return "budget";
    case TrainingEnd::kCancelled:
      return "cancelled";
    case TrainingEnd::kDiverged:
      return "diverged";
    case TrainingEnd::kSteps:
      break;
  }
  return "steps";
}

Status TrainingOptions::check() const {
  if (batch_rows < 1) return out_of_range("batch_rows", "0", "at least 1");
  if (epochs > kMost) return out_of_range("epochs", std::to_string(epochs), "below 2^32");
  if (budget < std::chrono::nanoseconds::zero()) {
    return out_of_range("budget", std::to_string(budget.count()) + " ns", "0 or more");
  }
  if (epochs == 0 && steps == 0 && budget == std::chrono::nanoseconds::zero()) {
    return Error{ErrorCode::kInvalidArgument,
                 "training: none of epochs, steps and budget is above 0, so nothing ends it"};
  }
  if (!(min_improvement >= 0) || !std::isfinite(min_improvement)) {
    return out_of_range("min_improvement", text_of(min_improvement), "0 or more");
  }
  if (divergence_factor != 0 && !(divergence_factor > 1)) {
    return out_of_range("divergence_factor", text_of(divergence_factor), "0 or above 1");
  }
  if (!(retry_rate > 0 && retry_rate <= 1)) {
    return out_of_range("retry_rate", text_of(retry_rate), "above 0 and at most 1");
  }
  return schedule.check();
}

Result<Trainer> Trainer::make(Objective& objective, const TrainingOptions& options,
                              const Clock& clock) {
  if (Status status = options.check(); !status.ok()) return status.error();
  if (objective.rows() == 0 || objective.rows() > kMost) {
    return out_of_range("the number of rows", std::to_string(objective.rows()),
                        "at least 1 and below 2^32");
  }
  if (objective.state().empty()) return out_of_range("the state", "empty", "at least one array");
  return Trainer(objective, options, clock);
}

Trainer::Trainer(Objective& objective, const TrainingOptions& options, const Clock& clock)
    : objective_(&objective), options_(options), clock_(&clock), rows_(objective.rows()) {
  epoch_steps_ = (rows_ + options.batch_rows - 1) / options.batch_rows;
  check_steps_ = options.check_steps == 0 ? epoch_steps_ : options.check_steps;
  total_steps_ = options.epochs * epoch_steps_;
  if (options.steps != 0) {
    total_steps_ = total_steps_ == 0 ? options.steps : std::min(total_steps_, options.steps);
  }
  stopping_.patience = options.patience;
  stopping_.min_improvement = options.min_improvement;
}

Trainer::State Trainer::copy_state() const {
  State all;
  for (const NamedArray<float>& array : objective_->state()) {
    all.insert(all.end(), array.values.begin(), array.values.end());
  }
  return all;
}

void Trainer::put_state(const State& state) {
  auto at = state.begin();
  for (const NamedArray<float>& array : objective_->state()) {
    const auto count = static_cast<std::ptrdiff_t>(array.values.size());
    ANOMALYD_CHECK(state.end() - at >= count, "trainer: the objective's state has grown");
    std::copy(at, at + count, array.values.begin());
    at += count;
  }
  ANOMALYD_CHECK(at == state.end(), "trainer: the objective's state has shrunk");
}

/// Each epoch has an order of its own, drawn from its number: none needs to be remembered.
void Trainer::choose_order(std::uint64_t epoch) {
  if (order_epoch_ == epoch) return;
  order_.resize(rows_);
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  std::mt19937_64 bits(derive_seed(derive_seed(options_.seed, 0), epoch));
  shuffle(order_, bits);
  order_epoch_ = epoch;
}

/// Returns what is wrong with the step's losses, or nothing.
std::string Trainer::take_step() {
  choose_order(step_ / epoch_steps_);
  const std::uint64_t batch = step_ % epoch_steps_;
  const std::size_t first = static_cast<std::size_t>(batch * rows_ / epoch_steps_);
  const std::size_t end = static_cast<std::size_t>((batch + 1) * rows_ / epoch_steps_);
  last_factor_ = rate_scale_ * options_.schedule.factor(step_);
  const std::span<const NamedLoss> losses =
      objective_->step({order_.data() + first, end - first},
                       derive_seed(derive_seed(options_.seed, 1), step_), last_factor_);
  ANOMALYD_CHECK(!losses.empty(), "trainer: an objective must name a loss");
  last_losses_.assign(losses.begin(), losses.end());
  ++step_;
  period_sums_.resize(losses.size(), 0.0);
  for (std::size_t i = 0; i < losses.size(); ++i) {
    if (!std::isfinite(losses[i].value)) {
      return "step " + std::to_string(step_) + ": loss " + std::string(losses[i].name) + " is " +
             text_of(losses[i].value);
    }
    period_sums_[i] += losses[i].value;
  }
  ++period_steps_;
  return {};
}

/// Judges the steps since the last check. Returns what is wrong with them, or nothing: then the
/// state is a good one, and perhaps the best.
std::string Trainer::check() {
  const std::string where = "step " + std::to_string(step_) + ": ";
  State now = copy_state();
  if (!all_finite(now)) return where + "the state is not finite";
  std::vector<NamedLoss> means = last_losses_;
  for (std::size_t i = 0; i < means.size(); ++i) {
    means[i].value = period_sums_[i] / static_cast<double>(period_steps_);
  }
  const double watched = means[0].value;
  if (options_.divergence_factor > 0 && lowest_ > 0 &&
      watched > options_.divergence_factor * lowest_) {
    return where + "loss " + std::string(means[0].name) + " is " + std::to_string(watched) +
           ", its lowest was " + std::to_string(lowest_);
  }
  const std::optional<double> validation = objective_->validation_loss();
  if (validation && !std::isfinite(*validation)) {
    return where + "the validation loss is " + text_of(*validation);
  }
  means_ = std::move(means);
  validation_ = validation;
  lowest_ = std::min(lowest_, watched);
  if (stopping_.update(validation.value_or(watched)) && options_.keep_best) best_ = now;
  good_ = std::move(now);
  good_step_ = step_;
  period_steps_ = 0;
  period_sums_.clear();
  return {};
}

/// Back to the last good state: to try again at a lower rate, or, when that was tried too often, to
/// end there.
void Trainer::roll_back(const std::string& why) {
  causes_.push_back(why);
  put_state(good_);
  step_ = good_step_;
  period_steps_ = 0;
  period_sums_.clear();
  if (rollbacks_ == options_.retries) {
    diverged_ = true;
    return;
  }
  ++rollbacks_;
  rate_scale_ *= options_.retry_rate;
}

double Trainer::seconds() const {
  std::chrono::nanoseconds all = spent_;
  if (running_since_) all += clock_->elapsed() - *running_since_;
  return std::chrono::duration<double>(all).count();
}

TrainingProgress Trainer::progress() const {
  TrainingProgress now;
  now.step = step_;
  now.total_steps = total_steps_;
  now.epoch = step_ / epoch_steps_;
  now.losses = means_;
  now.validation = validation_;
  now.best = stopping_.best;
  now.rate_factor = last_factor_;
  now.seconds = seconds();
  double left = std::numeric_limits<double>::infinity();
  if (total_steps_ > 0) {
    left = now.seconds / static_cast<double>(step_) * static_cast<double>(total_steps_ - step_);
  }
  if (options_.budget.count() > 0) {
    const double budget = std::chrono::duration<double>(options_.budget).count();
    left = std::min(left, std::max(0.0, budget - now.seconds));
  }
  now.seconds_left = left;
  return now;
}

/// Puts the state to keep into the objective.
void Trainer::settle() {
  parked_ = copy_state();
  put_state(!best_.empty() && options_.keep_best ? best_ : parked_);
  objective_->finish();
}

TrainingReport Trainer::run(const OnProgress& on_progress) {
  if (!parked_.empty()) put_state(std::exchange(parked_, {}));
  if (good_.empty()) good_ = copy_state();
  running_since_ = clock_->elapsed();
  causes_.clear();
  TrainingReport report;
  const double budget = std::chrono::duration<double>(options_.budget).count();
  for (;;) {
    if (diverged_) {
      report.end = TrainingEnd::kDiverged;
      break;
    }
    if (total_steps_ > 0 && step_ >= total_steps_) {
      report.end = TrainingEnd::kSteps;
      break;
    }
    if (stopping_.is_over()) {
      report.end = TrainingEnd::kEarly;
      break;
    }
    if (budget > 0 && seconds() >= budget) {
      report.end = TrainingEnd::kBudget;
      break;
    }
    std::string wrong = take_step();
    const bool is_check = step_ % check_steps_ == 0 || step_ == total_steps_;
    if (wrong.empty() && is_check) wrong = check();
    if (!wrong.empty()) {
      roll_back(wrong);
      continue;
    }
    if (is_check && on_progress && !on_progress(progress())) {
      report.end = TrainingEnd::kCancelled;
      break;
    }
  }
  // Between two checks nobody has looked at the state yet.
  if (!diverged_ && !all_finite(copy_state())) {
    roll_back("step " + std::to_string(step_) + ": the state is not finite");
    if (diverged_) report.end = TrainingEnd::kDiverged;
  }
  settle();
  report.steps = step_;
  report.epochs = step_ / epoch_steps_;
  if (std::isfinite(stopping_.best)) report.best = stopping_.best;
  report.losses = means_;
  report.validation = validation_;
  report.seconds = seconds();
  report.rate_scale = rate_scale_;
  report.rollbacks = causes_;
  spent_ += clock_->elapsed() - *running_since_;
  running_since_.reset();
  return report;
}

}  // namespace anomalyd::nn

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <utility>

#include "base/check.h"
#include "nn/trainer.h"

// A checkpoint is a tensor file: the objective's arrays three times, under "now.", "good." and
// "best.", and the trainer's counters as text in the metadata, doubles in the shortest form that
// reads back to the same bits.

namespace anomalyd::nn {
namespace {

constexpr const char* kPrefix = "training.";
constexpr std::size_t kMaxLosses = 64;

Error corrupt(std::string what) {
  return Error{ErrorCode::kCorrupt, "checkpoint: " + std::move(what)};
}

template <class Number>
std::string text_of(Number value) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, value);
  return {text, end.ptr};
}

template <class Number>
bool read_number(std::string_view text, Number& value) {
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  return read.ec == std::errc() && read.ptr == end;
}

/// The trainer's counters, one by one, so that saving and loading cannot name different ones.
struct Counters {
  std::uint64_t step = 0;
  std::uint64_t good_step = 0;
  std::uint64_t rollbacks = 0;
  std::uint64_t period_steps = 0;
  std::uint64_t since_best = 0;
  std::uint64_t diverged = 0;
  std::int64_t spent_ns = 0;
  double lowest = 0;
  double rate_scale = 0;
  double best = 0;

  template <class Visit>
  void visit(const Visit& visit_one) {
    visit_one("step", step);
    visit_one("good_step", good_step);
    visit_one("rollbacks", rollbacks);
    visit_one("period_steps", period_steps);
    visit_one("since_best", since_best);
    visit_one("diverged", diverged);
    visit_one("spent_ns", spent_ns);
    visit_one("lowest", lowest);
    visit_one("rate_scale", rate_scale);
    visit_one("best", best);
  }
};

Status read_counters(const TensorFile& file, Counters& counters) {
  std::string wrong;
  counters.visit([&](const char* name, auto& value) {
    const auto found = file.metadata.find(kPrefix + std::string(name));
    if (!wrong.empty()) return;
    if (found == file.metadata.end()) {
      wrong = std::string("metadata training.") + name + " is missing";
    } else if (!read_number(found->second, value)) {
      wrong = std::string("metadata training.") + name + " is \"" + found->second.substr(0, 64) +
              "\", expected a number";
    }
  });
  if (!wrong.empty()) return corrupt(wrong);
  // Infinite until there was a check, but never NaN.
  if (std::isnan(counters.lowest) || std::isnan(counters.best) || counters.diverged > 1 ||
      counters.spent_ns < 0 || counters.good_step > counters.step ||
      counters.period_steps != counters.step - counters.good_step ||
      !(counters.rate_scale > 0 && counters.rate_scale <= 1)) {
    return corrupt("the counters under training.* do not fit each other");
  }
  return Done{};
}

}  // namespace

std::string Trainer::fingerprint() const {
  const Schedule& schedule = options_.schedule;
  const bool is_cosine = schedule.kind == Schedule::Kind::kCosine;
  return "seed " + text_of(options_.seed) + ", rows " + text_of(rows_) + ", batch_rows " +
         text_of(options_.batch_rows) + ", check_steps " + text_of(check_steps_) + ", warmup " +
         text_of(schedule.warmup) +
         (is_cosine ? ", cosine " + text_of(schedule.steps) + " to " + text_of(schedule.floor)
                    : ", constant") +
         ", retry_rate " + text_of(options_.retry_rate);
}

Result<TensorFile> Trainer::checkpoint() {
  TensorFile file;
  const State now = parked_.empty() ? copy_state() : parked_;
  const auto save = [&](const std::string& prefix, const State& state) {
    std::size_t at = 0;
    for (const NamedArray<float>& array : objective_->state()) {
      Tensor& tensor = file.tensors[prefix + array.name];
      ANOMALYD_CHECK(tensor.values.empty(), "trainer: two arrays of the objective have one name");
      tensor.shape = array.shape;
      tensor.values.assign(state.begin() + static_cast<std::ptrdiff_t>(at),
                           state.begin() + static_cast<std::ptrdiff_t>(at + array.values.size()));
      at += array.values.size();
    }
  };
  // Three times the state, and a header: refused before it is copied.
  if (3 * now.size() * sizeof(float) + kMaxTensorHeaderBytes > kMaxTensorFileBytes) {
    return Error{ErrorCode::kExhausted, "checkpoint: " + text_of(now.size()) +
                                            " numbers of state, three times, are more "
                                            "than the " +
                                            text_of(kMaxTensorFileBytes) +
                                            " bytes of a tensor file"};
  }
  save("now.", now);
  save("good.", good_.empty() ? now : good_);
  if (!best_.empty()) save("best.", best_);
  if (file.tensors.size() > kMaxTensors) {
    return Error{ErrorCode::kExhausted, "checkpoint: " + text_of(file.tensors.size()) +
                                            " tensors, at most " + text_of(kMaxTensors) +
                                            " fit in a file"};
  }
  Counters counters;
  counters.step = step_;
  counters.good_step = good_step_;
  counters.rollbacks = rollbacks_;
  counters.period_steps = period_steps_;
  counters.since_best = stopping_.since_best;
  counters.diverged = diverged_ ? 1 : 0;
  counters.spent_ns = spent_.count();
  if (running_since_) counters.spent_ns += (clock_->elapsed() - *running_since_).count();
  counters.lowest = lowest_;
  counters.rate_scale = rate_scale_;
  counters.best = stopping_.best;
  counters.visit([&file](const char* name, const auto& value) {
    file.metadata[kPrefix + std::string(name)] = text_of(value);
  });
  std::string sums;
  for (const double sum : period_sums_) sums += (sums.empty() ? "" : " ") + text_of(sum);
  file.metadata["training.period_sums"] = sums;
  file.metadata["training.of"] = fingerprint();
  return file;
}

Status Trainer::resume(const TensorFile& file) {
  ANOMALYD_CHECK(step_ == 0 && good_.empty(), "trainer: resume() after a run()");
  const auto of = file.metadata.find("training.of");
  if (of == file.metadata.end()) return corrupt("metadata training.of is missing");
  if (of->second != fingerprint()) {
    return Error{ErrorCode::kInvalidArgument, "checkpoint: it is of a training with " +
                                                  of->second.substr(0, 256) + "; expected " +
                                                  fingerprint()};
  }
  Counters counters;
  if (Status status = read_counters(file, counters); !status.ok()) return status.error();
  std::vector<double> sums;
  const auto sums_text = file.metadata.find("training.period_sums");
  if (sums_text == file.metadata.end()) return corrupt("metadata training.period_sums is missing");
  std::string_view rest = sums_text->second;
  while (!rest.empty()) {
    const std::string_view one = rest.substr(0, rest.find(' '));
    double sum = 0;
    if (!read_number(one, sum) || !std::isfinite(sum) || sums.size() == kMaxLosses) {
      return corrupt("metadata training.period_sums: expected at most " + text_of(kMaxLosses) +
                     " finite numbers");
    }
    sums.push_back(sum);
    rest.remove_prefix(std::min(rest.size(), one.size() + 1));
  }
  if (sums.empty() != (counters.period_steps == 0)) {
    return corrupt("metadata training.period_sums and training.period_steps do not fit");
  }

  const std::vector<NamedArray<float>> arrays = objective_->state();
  const auto load = [&](const std::string& prefix, State& state) -> Status {
    for (const NamedArray<float>& array : arrays) {
      const auto found = file.tensors.find(prefix + array.name);
      if (found == file.tensors.end()) {
        return corrupt("tensor \"" + prefix + array.name + "\" is missing");
      }
      if (found->second.shape != array.shape) {
        return corrupt("tensor \"" + prefix + array.name +
                       "\" has another shape than the training");
      }
      for (const float value : found->second.values) {
        if (!std::isfinite(value)) {
          return corrupt("tensor \"" + prefix + array.name +
                         "\" holds a number that is not finite");
        }
      }
      state.insert(state.end(), found->second.values.begin(), found->second.values.end());
    }
    return Done{};
  };
  State now;
  State good;
  State best;
  if (Status status = load("now.", now); !status.ok()) return status.error();
  if (Status status = load("good.", good); !status.ok()) return status.error();
  const bool has_best =
      std::any_of(file.tensors.begin(), file.tensors.end(),
                  [](const auto& tensor) { return tensor.first.rfind("best.", 0) == 0; });
  if (has_best) {
    if (Status status = load("best.", best); !status.ok()) return status.error();
  }

  step_ = counters.step;
  good_step_ = counters.good_step;
  rollbacks_ = counters.rollbacks;
  period_steps_ = counters.period_steps;
  period_sums_ = std::move(sums);
  lowest_ = counters.lowest;
  rate_scale_ = counters.rate_scale;
  stopping_.best = counters.best;
  stopping_.since_best = counters.since_best;
  spent_ = std::chrono::nanoseconds(counters.spent_ns);
  diverged_ = counters.diverged == 1;
  good_ = std::move(good);
  best_ = std::move(best);
  put_state(now);
  return Done{};
}

}  // namespace anomalyd::nn

#include "nn/trainer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "nn/optimiser.h"
#include "nn/random.h"
#include "support/catch.h"

namespace anomalyd::nn {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

class FakeClock final : public Clock {
 public:
  TimeNs now() const override { return 0; }
  nanoseconds elapsed() const override { return time; }
  nanoseconds time{};
};

/// Fits w to the rows' mean by the steps of an optimiser: row i is the number i. What it was asked
/// is kept, and tests put faults in.
class MeanObjective final : public Objective {
 public:
  MeanObjective(std::size_t rows, OptimiserOptions options, FakeClock& clock)
      : rows_(rows),
        clock_(clock),
        pool_(1),
        rate_(options.rate),
        optimiser_(Optimiser<float>::make(options, 1, pool_).value()) {}

  std::size_t rows() const override { return rows_; }

  std::span<const NamedLoss> step(std::span<const std::size_t> rows, std::uint64_t seed,
                                  double rate_factor) override {
    clock_.time += milliseconds(10);
    batches.emplace_back(rows.begin(), rows.end());
    seeds.push_back(seed);
    factors.push_back(rate_factor);
    double error = 0;
    double gradient = 0;
    for (const std::size_t row : rows) {
      const double gap = static_cast<double>(weight[0]) - static_cast<double>(row);
      error += gap * gap;
      gradient += 2 * gap;
    }
    const auto count = static_cast<double>(rows.size());
    optimiser_.set_rate(rate_ * rate_factor);
    optimiser_.step(weight, std::array{static_cast<float>(gradient / count)});
    losses_[0].value = error / count;
    losses_[1].value = 7;
    if (after_step) after_step(*this);
    return losses_;
  }

  std::optional<double> validation_loss() override {
    if (validations.empty()) return std::nullopt;
    const double now = validations[std::min(checks, validations.size() - 1)];
    ++checks;
    return now;
  }

  std::vector<NamedArray<float>> state() override {
    auto all = optimiser_.state();
    all.push_back({"weight", {1}, weight});
    return all;
  }

  void finish() override { ++finished; }

  std::array<float, 1> weight{0};
  std::vector<std::vector<std::size_t>> batches;
  std::vector<std::uint64_t> seeds;
  std::vector<double> factors;
  std::vector<double> validations;
  std::size_t checks = 0;
  int finished = 0;
  std::function<void(MeanObjective&)> after_step;
  std::array<NamedLoss, 2> losses_{NamedLoss{"error", 0}, NamedLoss{"other", 0}};

 private:
  std::size_t rows_;
  FakeClock& clock_;
  WorkerPool pool_;
  double rate_;
  Optimiser<float> optimiser_;
};

OptimiserOptions sgd(double rate) {
  OptimiserOptions options;
  options.kind = OptimiserOptions::Kind::kSgd;
  options.rate = rate;
  return options;
}

TrainingOptions steps_of(std::uint64_t steps, std::uint64_t check_steps = 0) {
  TrainingOptions options;
  options.steps = steps;
  options.check_steps = check_steps;
  options.batch_rows = 4;
  return options;
}

struct Bench {
  explicit Bench(std::size_t rows, OptimiserOptions options = sgd(0.05))
      : objective(rows, options, clock) {}
  TrainingReport run(const TrainingOptions& options, const Trainer::OnProgress& on = {}) {
    auto trainer = Trainer::make(objective, options, clock);
    if (!trainer.ok()) FAIL(trainer.error().message);
    return trainer.value().run(on);
  }
  FakeClock clock;
  MeanObjective objective;
};

TEST_CASE("An epoch has every row once, in even batches and an order of its own", "[nn][trainer]") {
  Bench bench(10);
  TrainingOptions options = steps_of(0);
  options.epochs = 2;
  const TrainingReport report = bench.run(options);
  CHECK(report.end == TrainingEnd::kSteps);
  CHECK(report.steps == 6);
  CHECK(report.epochs == 2);
  REQUIRE(bench.objective.batches.size() == 6);
  std::vector<std::size_t> orders[2];
  for (std::size_t step = 0; step < 6; ++step) {
    const auto& batch = bench.objective.batches[step];
    CHECK((batch.size() == 3 || batch.size() == 4));  // not 4, 4, 2
    orders[step / 3].insert(orders[step / 3].end(), batch.begin(), batch.end());
  }
  CHECK(orders[0] != orders[1]);
  for (const auto& order : orders) {
    CHECK(std::set<std::size_t>(order.begin(), order.end()).size() == 10);
    CHECK(order.size() == 10);
  }
  const std::set<std::uint64_t> seeds(bench.objective.seeds.begin(), bench.objective.seeds.end());
  CHECK(seeds.size() == 6);

  Bench other(10);
  options.seed = 2;
  other.run(options);
  CHECK(other.objective.batches != bench.objective.batches);
  CHECK(other.objective.seeds != bench.objective.seeds);
}

TEST_CASE("Training finds the minimum and tells how it went", "[nn][trainer]") {
  Bench bench(8);
  TrainingOptions options = steps_of(400, 20);
  options.schedule = Schedule::make("cosine", 10, 400).value();
  std::vector<std::uint64_t> told;
  const TrainingReport report = bench.run(options, [&](const TrainingProgress& progress) {
    told.push_back(progress.step);
    CHECK(progress.total_steps == 400);
    REQUIRE(progress.losses.size() == 2);
    CHECK(progress.losses[0].name == "error");
    CHECK(progress.losses[1].value == 7);
    CHECK(progress.epoch == progress.step / 2);
    CHECK(progress.seconds == Approx(0.01 * static_cast<double>(progress.step)));
    CHECK(progress.seconds_left == Approx(0.01 * static_cast<double>(400 - progress.step)));
    CHECK_FALSE(progress.validation.has_value());
    return true;
  });
  CHECK(told.size() == 20);
  CHECK(told[0] == 20);
  CHECK(bench.objective.weight[0] == Approx(3.5).margin(0.3));
  CHECK(bench.objective.factors[0] == Approx(0.1));
  CHECK(bench.objective.factors[9] == Approx(1));
  CHECK(bench.objective.factors[205] == Approx(0.5));
  CHECK(bench.objective.factors[399] < 1e-3);
  CHECK(report.seconds == Approx(4));
  CHECK(report.rate_scale == 1);
  CHECK(report.rollbacks.empty());
  CHECK(bench.objective.finished == 1);
}

TEST_CASE("Early stopping leaves the best weights", "[nn][trainer]") {
  Bench bench(8);
  bench.objective.validations = {5, 3, 4, 3.5, 3.2, 1};
  TrainingOptions options = steps_of(100, 2);
  options.patience = 3;
  std::vector<float> weights;
  const TrainingReport report = bench.run(options, [&](const TrainingProgress& progress) {
    weights.push_back(bench.objective.weight[0]);
    CHECK(progress.validation.has_value());
    return true;
  });
  CHECK(report.end == TrainingEnd::kEarly);
  CHECK(report.steps == 10);  // the best at check 2, three more without a better
  CHECK(report.best == 3);
  CHECK(report.validation == 3.2);
  REQUIRE(weights.size() == 5);
  CHECK(bench.objective.weight[0] == weights[1]);
  CHECK(weights[1] != weights[4]);

  Bench last(8);
  last.objective.validations = {5, 3, 4, 3.5, 3.2, 1};
  options.keep_best = false;
  last.run(options);
  CHECK(last.objective.weight[0] == weights[4]);
}

TEST_CASE("A budget and a cancel end training, and it goes on from there", "[nn][trainer]") {
  Bench straight(8);
  straight.run(steps_of(40, 6));
  const float expected = straight.objective.weight[0];

  Bench bench(8);
  TrainingOptions options = steps_of(40, 6);
  options.budget = milliseconds(155);
  auto trainer = Trainer::make(bench.objective, options, bench.clock).value();
  const TrainingReport first = trainer.run([](const TrainingProgress& progress) {
    CHECK(progress.seconds_left <= 0.155 - progress.seconds + 1e-9);
    return true;
  });
  CHECK(first.end == TrainingEnd::kBudget);
  CHECK(first.steps == 16);  // the step during which it ran out is whole
  CHECK(trainer.run().end == TrainingEnd::kBudget);

  Bench cancelled(8);
  auto again = Trainer::make(cancelled.objective, steps_of(40, 6), cancelled.clock).value();
  const TrainingReport stopped =
      again.run([](const TrainingProgress& progress) { return progress.step < 12; });
  CHECK(stopped.end == TrainingEnd::kCancelled);
  CHECK(stopped.steps == 12);
  // In between the objective holds the best state; going on puts the last one back.
  cancelled.objective.weight[0] = 1000;
  const TrainingReport rest = again.run();
  CHECK(rest.end == TrainingEnd::kSteps);
  CHECK(rest.steps == 40);
  CHECK(cancelled.objective.weight[0] == expected);
  CHECK(cancelled.objective.batches == straight.objective.batches);
  CHECK(cancelled.objective.finished == 2);
}

TEST_CASE("A loss that is not finite takes training back, at a lower rate", "[nn][trainer]") {
  Bench bench(8);
  bool failed = false;
  bench.objective.after_step = [&](MeanObjective& objective) {
    if (objective.batches.size() == 8 && !failed) {
      failed = true;
      objective.losses_[0].value = kNan;
      objective.weight[0] = std::numeric_limits<float>::infinity();
    }
  };
  const TrainingReport report = bench.run(steps_of(20, 5));
  CHECK(report.end == TrainingEnd::kSteps);
  CHECK(report.steps == 20);
  CHECK(report.rate_scale == 0.5);
  REQUIRE(report.rollbacks.size() == 1);
  CHECK(report.rollbacks[0] == "step 8: loss error is nan");
  CHECK(bench.objective.batches.size() == 23);  // steps 6 to 8 twice
  CHECK(bench.objective.batches[5] == bench.objective.batches[8]);
  CHECK(bench.objective.seeds[5] == bench.objective.seeds[8]);
  CHECK(bench.objective.factors[5] == 1);
  CHECK(bench.objective.factors[8] == 0.5);
  CHECK(std::isfinite(bench.objective.weight[0]));
}

TEST_CASE("A state or a validation loss that is not finite takes training back", "[nn][trainer]") {
  Bench bench(8);
  bool failed = false;
  bench.objective.after_step = [&](MeanObjective& objective) {
    // The last step before a check: no loss sees it any more.
    if (objective.batches.size() == 10 && !failed) {
      failed = true;
      objective.weight[0] = std::numeric_limits<float>::quiet_NaN();
    }
  };
  bench.objective.validations = {4, 3, kNan, 2, 1};
  const TrainingReport report = bench.run(steps_of(20, 5));
  CHECK(report.end == TrainingEnd::kSteps);
  REQUIRE(report.rollbacks.size() == 2);
  CHECK(report.rollbacks[0] == "step 10: the state is not finite");
  CHECK(report.rollbacks[1] == "step 15: the validation loss is nan");
  CHECK(report.rate_scale == 0.25);
}

TEST_CASE("Training that diverges every time ends in the last good state", "[nn][trainer]") {
  Bench bench(8);
  float good = 0;
  bench.objective.after_step = [&](MeanObjective& objective) {
    if (objective.batches.size() == 5) good = objective.weight[0];
    if (objective.batches.size() > 7) objective.losses_[1].value = HUGE_VAL;
  };
  TrainingOptions options = steps_of(100, 5);
  options.retries = 2;
  auto trainer = Trainer::make(bench.objective, options, bench.clock).value();
  const TrainingReport report = trainer.run();
  CHECK(report.end == TrainingEnd::kDiverged);
  CHECK(report.steps == 5);
  REQUIRE(report.rollbacks.size() == 3);
  CHECK(report.rollbacks[2] == "step 6: loss other is inf");
  CHECK(report.rate_scale == 0.25);
  CHECK(bench.objective.weight[0] == good);
  CHECK(trainer.run().end == TrainingEnd::kDiverged);

  // From the first step on: what it began with.
  Bench hopeless(8);
  hopeless.objective.after_step = [](MeanObjective& objective) {
    objective.losses_[0].value = kNan;
  };
  const TrainingReport nothing = hopeless.run(steps_of(100, 5));
  CHECK(nothing.end == TrainingEnd::kDiverged);
  CHECK(nothing.steps == 0);
  CHECK_FALSE(nothing.best.has_value());
  CHECK(hopeless.objective.weight[0] == 0);
}

TEST_CASE("A state that goes bad between two checks is not what a budget leaves", "[nn][trainer]") {
  Bench bench(8);
  float good = 0;
  bench.objective.after_step = [&](MeanObjective& objective) {
    if (objective.batches.size() == 5) good = objective.weight[0];
    if (objective.batches.size() == 7) objective.weight[0] = HUGE_VALF;  // no loss has seen it
  };
  TrainingOptions options = steps_of(20, 5);
  options.budget = milliseconds(70);
  options.keep_best = false;
  const TrainingReport report = bench.run(options);
  CHECK(report.end == TrainingEnd::kBudget);
  CHECK(report.steps == 5);
  CHECK(bench.objective.weight[0] == good);
  REQUIRE(report.rollbacks.size() == 1);
  CHECK(report.rollbacks[0] == "step 7: the state is not finite");
}

TEST_CASE("A run that was stopped on a bad state goes on as one that was not", "[nn][trainer]") {
  const auto spoil = [](MeanObjective& objective) {
    if (objective.batches.size() == 7) objective.weight[0] = HUGE_VALF;
  };
  Bench whole(8);
  whole.objective.after_step = spoil;
  const TrainingReport expected = whole.run(steps_of(20, 5));
  REQUIRE(expected.rollbacks.size() == 1);

  Bench stopped(8);
  stopped.objective.after_step = spoil;
  TrainingOptions options = steps_of(20, 5);
  options.budget = milliseconds(70);
  auto first = Trainer::make(stopped.objective, options, stopped.clock).value();
  first.run();
  const auto saved = first.checkpoint();
  REQUIRE(saved.ok());
  Bench resumed(8);
  auto second = Trainer::make(resumed.objective, steps_of(20, 5), resumed.clock).value();
  if (Status status = second.resume(saved.value()); !status.ok()) FAIL(status.error().message);
  const TrainingReport report = second.run();
  CHECK(report.rate_scale == expected.rate_scale);
  CHECK(report.steps == expected.steps);
  CHECK(resumed.objective.weight == whole.objective.weight);
}

TEST_CASE("A rate that is too high is lowered until the loss falls", "[nn][trainer]") {
  Bench bench(8, sgd(1.3));  // w runs away: |1 - 2 * 1.3| > 1
  TrainingOptions options = steps_of(200, 4);
  options.divergence_factor = 5;
  const TrainingReport report = bench.run(options);
  CHECK(report.end == TrainingEnd::kSteps);
  CHECK_FALSE(report.rollbacks.empty());
  CHECK(report.rollbacks[0].find("loss error is") != std::string::npos);
  CHECK(report.rollbacks[0].find("its lowest was") != std::string::npos);
  CHECK(report.best.value() < 30);
  CHECK(std::abs(static_cast<double>(bench.objective.weight[0])) < 8);

  Bench free(8, sgd(1.3));
  options.divergence_factor = 0;
  options.keep_best = false;
  free.run(options);
  CHECK_FALSE(std::abs(static_cast<double>(free.objective.weight[0])) < 1e6);
}

TEST_CASE("Resuming from a checkpoint is as if never stopped", "[nn][trainer][determinism]") {
  OptimiserOptions adam;
  adam.rate = 0.1;
  TrainingOptions options = steps_of(60, 7);
  options.schedule = Schedule::make("cosine", 5, 60, 0.1).value();
  options.patience = 100;
  const auto fault = [](MeanObjective& objective) {
    // A divergence both before and after the stop, by the state alone.
    if (objective.factors.back() > 0.45 && objective.weight[0] > 2) {
      objective.losses_[0].value = kNan;
    }
  };
  Bench straight(9, adam);
  straight.objective.after_step = fault;
  const TrainingReport expected = straight.run(options);
  REQUIRE_FALSE(expected.rollbacks.empty());

  // Stopped by the budget at every step, between two checks or not.
  for (int stop = 1; stop < 60; stop += 4) {
    INFO(stop);
    Bench before(9, adam);
    before.objective.after_step = fault;
    TrainingOptions bounded = options;
    bounded.budget = milliseconds(10 * stop);
    auto first = Trainer::make(before.objective, bounded, before.clock).value();
    first.run();
    const auto saved = first.checkpoint();
    REQUIRE(saved.ok());
    const auto loaded = parse_tensor_file(format_tensor_file(saved.value()));
    REQUIRE(loaded.ok());

    Bench after(9, adam);
    after.objective.after_step = fault;
    after.objective.weight[0] = -50;  // what the checkpoint holds is what counts
    auto second = Trainer::make(after.objective, options, after.clock).value();
    if (Status status = second.resume(loaded.value()); !status.ok()) FAIL(status.error().message);
    const TrainingReport report = second.run();
    CHECK(report.end == expected.end);
    CHECK(report.steps == expected.steps);
    CHECK(report.best == expected.best);
    CHECK(report.rate_scale == expected.rate_scale);
    CHECK(report.seconds == Approx(expected.seconds));
    REQUIRE(report.losses.size() == expected.losses.size());
    CHECK(report.losses[0].value == expected.losses[0].value);
    CHECK(after.objective.weight == straight.objective.weight);
    CHECK(before.objective.batches.size() + after.objective.batches.size() ==
          straight.objective.batches.size());
  }
}

TEST_CASE("A checkpoint remembers patience and retries that are used up", "[nn][trainer]") {
  TrainingOptions options = steps_of(100, 5);
  options.patience = 3;
  options.retries = 1;
  Bench before(8);
  before.objective.validations = {1, 2, 2};
  before.objective.after_step = [](MeanObjective& objective) {
    if (objective.batches.size() == 7) objective.losses_[0].value = kNan;
  };
  auto first = Trainer::make(before.objective, options, before.clock).value();
  const TrainingReport half =
      first.run([](const TrainingProgress& progress) { return progress.step < 15; });
  CHECK(half.rollbacks.size() == 1);
  const TensorFile saved = first.checkpoint().value();

  Bench patient(8);
  patient.objective.validations = {2};
  auto second = Trainer::make(patient.objective, options, patient.clock).value();
  REQUIRE(second.resume(saved).ok());
  const TrainingReport early = second.run();
  CHECK(early.end == TrainingEnd::kEarly);
  CHECK(early.steps == 20);  // one more check after the two before the stop

  Bench failing(8);
  failing.objective.after_step = [](MeanObjective& objective) {
    objective.losses_[0].value = kNan;
  };
  auto third = Trainer::make(failing.objective, options, failing.clock).value();
  REQUIRE(third.resume(saved).ok());
  const TrainingReport diverged = third.run();
  CHECK(diverged.end == TrainingEnd::kDiverged);
  CHECK(diverged.rollbacks.size() == 1);  // its one retry was used before the stop
}

TEST_CASE("A checkpoint from the progress callback is one of that moment", "[nn][trainer]") {
  Bench straight(9);
  straight.run(steps_of(30, 6));
  Bench before(9);
  auto first = Trainer::make(before.objective, steps_of(30, 6), before.clock).value();
  TensorFile saved;
  first.run([&](const TrainingProgress& progress) {
    if (progress.step == 12) saved = first.checkpoint().value();
    return progress.step < 18;
  });
  CHECK(saved.metadata.at("training.step") == "12");
  Bench after(9);
  auto second = Trainer::make(after.objective, steps_of(30, 6), after.clock).value();
  REQUIRE(second.resume(saved).ok());
  second.run();
  CHECK(after.objective.weight == straight.objective.weight);
  CHECK(after.objective.batches.size() == 18);
}

TEST_CASE("A checkpoint that is torn or another's is refused, and nothing changes",
          "[nn][trainer][errors]") {
  Bench bench(9);
  auto trainer = Trainer::make(bench.objective, steps_of(30, 6), bench.clock).value();
  trainer.run([](const TrainingProgress&) { return false; });
  const TensorFile good = trainer.checkpoint().value();

  const auto refusal = [&](const TensorFile& file, const TrainingOptions& options) {
    Bench other(9);
    auto made = Trainer::make(other.objective, options, other.clock).value();
    const Status status = made.resume(file);
    REQUIRE_FALSE(status.ok());
    CHECK(other.objective.weight[0] == 0);
    return status.error();
  };
  const TrainingOptions same = steps_of(30, 6);
  TrainingOptions different = same;
  different.seed = 9;
  CHECK(refusal(good, different).code == ErrorCode::kInvalidArgument);
  CHECK(refusal(good, different).message.find("expected seed 9") != std::string::npos);
  different = same;
  different.batch_rows = 5;
  CHECK(refusal(good, different).code == ErrorCode::kInvalidArgument);

  TensorFile bad = good;
  bad.tensors.erase("now.weight");
  CHECK(refusal(bad, same).message == "checkpoint: tensor \"now.weight\" is missing");
  bad = good;
  bad.tensors["good.weight"] = {{2}, {1, 2}};
  CHECK(refusal(bad, same).message.find("another shape") != std::string::npos);
  bad = good;
  bad.tensors["best.weight"].values[0] = std::numeric_limits<float>::quiet_NaN();
  CHECK(refusal(bad, same).message.find("not finite") != std::string::npos);
  for (const char* name : {"step", "good_step", "best", "rate_scale", "lowest", "spent_ns"}) {
    bad = good;
    bad.metadata.erase("training." + std::string(name));
    CHECK(refusal(bad, same).code == ErrorCode::kCorrupt);
    for (const char* text : {"", "x", "1x", "nan", "-7"}) {
      if (std::string(text) == "-7" && (std::string(name) == "best" || name[0] == 'l')) continue;
      bad.metadata["training." + std::string(name)] = text;
      CHECK(refusal(bad, same).code == ErrorCode::kCorrupt);
    }
  }
  bad = good;
  bad.metadata["training.period_sums"] = "1 2 z";
  CHECK(refusal(bad, same).code == ErrorCode::kCorrupt);
  bad.metadata["training.period_sums"] = "1 2";  // of no steps
  CHECK(refusal(bad, same).code == ErrorCode::kCorrupt);
  bad = good;
  bad.metadata.erase("training.of");
  CHECK(refusal(bad, same).message == "checkpoint: metadata training.of is missing");
}

TEST_CASE("Training options out of range are refused by name", "[nn][trainer][errors]") {
  Bench bench(4);
  const auto refusal = [&](const auto& change) {
    TrainingOptions options = steps_of(10);
    change(options);
    const auto made = Trainer::make(bench.objective, options, bench.clock);
    REQUIRE_FALSE(made.ok());
    CHECK(made.error().code == ErrorCode::kInvalidArgument);
    return made.error().message;
  };
  CHECK(refusal([](auto& o) { o.batch_rows = 0; }) ==
        "training: batch_rows is 0, expected at least 1");
  CHECK(refusal([](auto& o) { o.steps = 0; }).find("nothing ends it") != std::string::npos);
  refusal([](auto& o) { o.epochs = std::uint64_t{1} << 32U; });
  refusal([](auto& o) { o.budget = milliseconds(-1); });
  refusal([](auto& o) { o.min_improvement = kNan; });
  refusal([](auto& o) { o.divergence_factor = 1; });
  refusal([](auto& o) { o.divergence_factor = kNan; });
  refusal([](auto& o) { o.retry_rate = 0; });
  refusal([](auto& o) { o.schedule.floor = 2; });
  Bench none(0);
  CHECK_FALSE(Trainer::make(none.objective, steps_of(10), none.clock).ok());
  for (const TrainingEnd end : {TrainingEnd::kSteps, TrainingEnd::kEarly, TrainingEnd::kBudget,
                                TrainingEnd::kCancelled, TrainingEnd::kDiverged}) {
    CHECK_FALSE(name_of(end).empty());
  }
}

}  // namespace
}  // namespace anomalyd::nn

#include "nn/optimiser.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "loss_check.h"
#include "nn/early_stopping.h"
#include "nn/moving_average.h"
#include "nn/random.h"
#include "nn/schedule.h"
#include "support/catch.h"

namespace anomalyd::nn {
namespace {

using testing::golden;
using testing::golden_matrix;
using testing::read_golden;
using testing::worst_difference;
using Kind = OptimiserOptions::Kind;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

OptimiserOptions options_of(Kind kind, double rate) {
  OptimiserOptions options;
  options.kind = kind;
  options.rate = rate;
  return options;
}

TEST_CASE("Adam takes the steps of the paper's algorithm", "[nn][optimiser]") {
  WorkerPool pool(1);
  auto adam = Optimiser<double>::make(options_of(Kind::kAdam, 0.1), 1, pool).value();
  std::vector<double> weight{1.0};
  adam.step(weight, std::vector<double>{0.5});
  // First step: m / (1 - b1) = g and v / (1 - b2) = g^2, so it is the rate whatever g.
  CHECK(weight[0] == Approx(1.0 - 0.1).margin(1e-8));
  adam.step(weight, std::vector<double>{-1.0});
  const double m = (0.9 * 0.05 - 0.1) / (1 - 0.81);             // m1 = 0.1 * 0.5
  const double v = (0.999 * 0.00025 + 0.001) / (1 - 0.998001);  // v1 = 0.001 * 0.25
  CHECK(weight[0] == Approx(0.9 - 0.1 * m / (std::sqrt(v) + 1e-8)).margin(1e-8));
}

TEST_CASE("Momentum and decay by hand", "[nn][optimiser]") {
  WorkerPool pool(1);
  OptimiserOptions options = options_of(Kind::kSgd, 0.1);
  options.momentum = 0.5;
  options.weight_decay = 0.25;
  auto sgd = Optimiser<double>::make(options, 1, pool).value();
  std::vector<double> weight{2.0};
  sgd.step(weight, std::vector<double>{1.0});
  CHECK(weight[0] == Approx(2 - 0.1 * 1.5));  // g = 1 + 0.25 * 2
  sgd.set_rate(1);
  sgd.step(weight, std::vector<double>{0.0});
  CHECK(weight[0] == Approx(1.85 - (0.5 * 1.5 + 0.25 * 1.85)));

  OptimiserOptions decayed = options_of(Kind::kAdamW, 0.1);
  decayed.weight_decay = 0.5;
  auto adamw = Optimiser<double>::make(decayed, 1, pool).value();
  weight = {2.0};
  adamw.step(weight, std::vector<double>{0.0});
  CHECK(weight[0] == Approx(2 * (1 - 0.05)));  // no gradient: only the decay
}

TEST_CASE("Optimisers follow PyTorch's for ten steps", "[nn][optimiser][golden]") {
  const TensorFile file = read_golden("torch_losses.safetensors");
  const auto gradients = golden_matrix<float>(file, "optimiser.gradients");
  const std::vector<float>& factors = golden(file, "optimiser.factors").values;
  const auto run = [&](const char* name, const OptimiserOptions& options) {
    INFO(name);
    WorkerPool pool(2);
    std::vector<float> weights = golden(file, "optimiser.start").values;
    auto optimiser = Optimiser<float>::make(options, weights.size(), pool);
    REQUIRE(optimiser.ok());
    const auto trace = golden_matrix<float>(file, std::string("optimiser.") + name);
    for (Eigen::Index step = 0; step < gradients.rows(); ++step) {
      optimiser.value().set_rate(options.rate *
                                 static_cast<double>(factors[static_cast<std::size_t>(step)]));
      optimiser.value().step(weights, {gradients.row(step).data(), weights.size()});
      CHECK(worst_difference(Matrix<float>(trace.row(step)), weights) < 1e-6);
    }
  };
  OptimiserOptions options = options_of(Kind::kSgd, 0.1);
  run("sgd", options);
  options.weight_decay = 0.05;
  run("sgd_decay", options);
  options = options_of(Kind::kSgd, 0.1);
  options.momentum = 0.9;
  run("momentum", options);
  options.momentum = 0.8;
  options.nesterov = true;
  options.weight_decay = 0.01;
  run("nesterov", options);
  run("adam", options_of(Kind::kAdam, 0.01));
  options = options_of(Kind::kAdam, 0.01);
  options.beta1 = 0.5;
  options.beta2 = 0.9;
  options.weight_decay = 0.1;
  run("adam_decay", options);
  options = options_of(Kind::kAdamW, 0.01);
  options.beta1 = 0.8;
  options.beta2 = 0.99;
  options.epsilon = 1e-6;
  options.weight_decay = 0.1;
  run("adamw", options);
}

std::vector<float> noise(std::size_t count, std::uint64_t seed) {
  std::vector<float> made(count);
  for (std::size_t i = 0; i < count; ++i) made[i] = static_cast<float>(normal_at(seed, i));
  return made;
}

TEST_CASE("An optimiser's bits do not depend on threads, and its state is all there is",
          "[nn][optimiser][determinism]") {
  constexpr std::size_t kCount = 50001;  // several ranges, the last one odd
  for (const Kind kind : {Kind::kSgd, Kind::kAdam, Kind::kAdamW}) {
    OptimiserOptions options = options_of(kind, 0.01);
    options.momentum = 0.9;
    WorkerPool one(1);
    WorkerPool three(3);
    auto first = Optimiser<float>::make(options, kCount, one).value();
    auto second = Optimiser<float>::make(options, kCount, three).value();
    auto resumed = Optimiser<float>::make(options, kCount, three).value();
    auto alone = Optimiser<float>::make(options, 1, one).value();
    std::vector<float> a = noise(kCount, 1);
    std::vector<float> b = a;
    std::vector<float> last{a.back()};
    for (std::uint64_t step = 2; step < 6; ++step) {
      const std::vector<float> gradient = noise(kCount, step);
      first.step(a, gradient);
      second.step(b, gradient);
      alone.step(last, std::vector<float>{gradient.back()});
    }
    CHECK(a == b);
    CHECK(a.back() == last[0]);  // as if it were the only one
    // Another that is handed the state goes on in the same way.
    const auto from = second.state();
    const auto to = resumed.state();
    REQUIRE(from.size() == to.size());
    for (std::size_t i = 0; i < from.size(); ++i) {
      CHECK(from[i].name == to[i].name);
      std::copy(from[i].values.begin(), from[i].values.end(), to[i].values.begin());
    }
    const std::vector<float> gradient = noise(kCount, 7);
    first.step(a, gradient);
    resumed.step(b, gradient);
    CHECK(a == b);
  }
}

TEST_CASE("An optimiser counts steps beyond what a float holds", "[nn][optimiser]") {
  WorkerPool pool(1);
  auto adam = Optimiser<float>::make(options_of(Kind::kAdam, 0.1), 1, pool).value();
  const auto state = adam.state();
  REQUIRE(state[0].name == "steps");
  state[0].values[0] = 1048575;  // 2^20 - 1 of the lower digit
  state[0].values[1] = 31;
  std::vector<float> weight{1};
  adam.step(weight, std::vector<float>{1});
  CHECK(state[0].values[0] == 0);
  CHECK(state[0].values[1] == 32);
  adam.step(weight, std::vector<float>{1});
  CHECK(state[0].values[0] == 1);
}

TEST_CASE("Optimisers find the bottom of a bowl", "[nn][optimiser]") {
  WorkerPool pool(1);
  for (const Kind kind : {Kind::kSgd, Kind::kAdam, Kind::kAdamW}) {
    auto optimiser = Optimiser<double>::make(options_of(kind, 0.05), 2, pool).value();
    std::vector<double> weights{3.0, -2.0};
    for (int i = 0; i < 2000; ++i) {
      optimiser.step(weights, std::vector<double>{2 * (weights[0] - 1), 20 * weights[1]});
    }
    CHECK(weights[0] == Approx(1.0).margin(1e-3));
    CHECK(weights[1] == Approx(0.0).margin(1e-3));
  }
}

TEST_CASE("An optimiser refuses numbers out of their range and lets NaN through",
          "[nn][optimiser][errors]") {
  WorkerPool pool(1);
  const auto refusal = [&](const auto& change) {
    OptimiserOptions options;
    change(options);
    const auto made = Optimiser<float>::make(options, 1, pool);
    REQUIRE_FALSE(made.ok());
    CHECK(made.error().code == ErrorCode::kInvalidArgument);
    return made.error().message;
  };
  CHECK(refusal([](auto& o) { o.rate = -1; }) ==
        "optimiser: rate is -1.000000, expected a finite number of 0 or more");
  refusal([](auto& o) { o.rate = kNan; });
  refusal([](auto& o) { o.beta1 = 1; });
  refusal([](auto& o) { o.beta2 = -0.1; });
  refusal([](auto& o) { o.epsilon = 0; });
  refusal([](auto& o) { o.weight_decay = HUGE_VAL; });
  refusal([](auto& o) { o.momentum = 1; });
  refusal([](auto& o) { o.nesterov = true; });
  CHECK(OptimiserOptions::kind_of("adamw").value() == Kind::kAdamW);
  CHECK(OptimiserOptions::kind_of("rmsprop").error().message ==
        "optimiser: unknown kind \"rmsprop\", expected sgd, adam or adamw");

  auto adam = Optimiser<double>::make(options_of(Kind::kAdam, 0.1), 2, pool).value();
  std::vector<double> weights{1, 1};
  adam.step(weights, std::vector<double>{kNan, 0});
  CHECK(std::isnan(weights[0]));
  CHECK(weights[1] == 1);
}

TEST_CASE("A gradient is clipped by its norm", "[nn][optimiser][golden]") {
  std::vector<double> gradient{3, 4};
  CHECK(clip_by_norm<double>(gradient, 10) == 5);
  CHECK(gradient == std::vector<double>{3, 4});
  CHECK(clip_by_norm<double>(gradient, 1) == 5);
  CHECK(gradient[0] == Approx(0.6));
  CHECK(gradient[1] == Approx(0.8));

  const TensorFile file = read_golden("torch_losses.safetensors");
  std::vector<float> from(golden(file, "optimiser.gradients").values.begin(),
                          golden(file, "optimiser.gradients").values.begin() + 11);
  CHECK(clip_by_norm<float>(from, 1.5) ==
        Approx(static_cast<double>(golden(file, "clip.norm").values[0])).epsilon(1e-6));
  CHECK(worst_difference(from, golden(file, "clip.clipped").values) < 1e-6);

  std::vector<float> bad{std::numeric_limits<float>::quiet_NaN(), 4};
  CHECK(std::isnan(clip_by_norm<float>(bad, 1)));
  CHECK(bad[1] == 4);
  bad[0] = std::numeric_limits<float>::infinity();
  CHECK(std::isinf(clip_by_norm<float>(bad, 1)));
  CHECK(bad[1] == 4);
  std::vector<float> large(100, 3e38F);  // its norm is no float
  CHECK(clip_by_norm<float>(large, 1) == Approx(3e39));
  CHECK(large[99] == Approx(0.1F));
}

TEST_CASE("Averaged weights are PyTorch's", "[nn][moving_average][golden]") {
  const TensorFile file = read_golden("torch_losses.safetensors");
  const std::vector<float>& start = golden(file, "optimiser.start").values;
  auto average = MovingAverage<float>::make(0.9, start).value();
  const auto gradients = golden_matrix<float>(file, "optimiser.gradients");
  const auto trace = golden_matrix<float>(file, "average.trace");
  for (Eigen::Index step = 0; step < gradients.rows(); ++step) {
    average.update({gradients.row(step).data(), start.size()});
    CHECK(worst_difference(Matrix<float>(trace.row(step)), average.values()) < 1e-6);
  }
  // By hand: from 1 towards 3 with decay 1/2, and equal weights stay to the last bit.
  auto halves = MovingAverage<double>::make(0.5, std::vector<double>{1, 0.1}).value();
  halves.update(std::vector<double>{3, 0.1});
  CHECK(halves.values()[0] == 2);
  CHECK(halves.values()[1] == 0.1);
  for (const double decay : {1.0, -0.1, kNan}) {
    const auto refused = MovingAverage<double>::make(decay, std::vector<double>{1});
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().message.find("expected 0 or more and below 1") != std::string::npos);
  }
}

TEST_CASE("A schedule warms up, falls as a cosine and stays", "[nn][schedule][golden]") {
  const TensorFile file = read_golden("torch_losses.safetensors");
  const std::vector<float>& rates = golden(file, "schedule.cosine").values;
  const Schedule cosine = Schedule::make("cosine", 0, 20, 0.1).value();
  for (std::size_t step = 0; step < rates.size(); ++step) {
    CHECK(cosine.factor(step) == Approx(static_cast<double>(rates[step])).epsilon(1e-6));
  }
  CHECK(cosine.factor(1000) == 0.1);

  const Schedule warm = Schedule::make("cosine", 4, 8).value();
  CHECK(warm.factor(0) == 0.25);
  CHECK(warm.factor(3) == 1);
  CHECK(warm.factor(4) == 1);
  CHECK(warm.factor(6) == Approx(0.5));
  CHECK(warm.factor(8) == 0);
  const Schedule constant = Schedule::make("constant", 2, 0).value();
  CHECK(constant.factor(0) == 0.5);
  CHECK(constant.factor(1 << 30) == 1);

  CHECK(Schedule::make("linear", 0, 1).error().code == ErrorCode::kUnsupported);
  CHECK(Schedule::make("cosine", 5, 5).error().message ==
        "schedule: steps is 5, expected more than the warm-up's 5");
  CHECK_FALSE(Schedule::make("cosine", 0, 5, 1.5).ok());
  CHECK_FALSE(Schedule::make("cosine", 0, 5, kNan).ok());
}

TEST_CASE("Early stopping counts checks since the best", "[nn][early_stopping]") {
  EarlyStopping stopping{2, 0.1};
  CHECK(stopping.update(5));  // the first is the best, whatever it is
  CHECK(stopping.update(4.8));
  CHECK_FALSE(stopping.update(4.75));  // better, but not by 0.1
  CHECK_FALSE(stopping.is_over());
  CHECK_FALSE(stopping.update(kNan));
  CHECK(stopping.is_over());
  CHECK(stopping.best == 4.8);
  EarlyStopping never{0, 0};
  for (int i = 0; i < 100; ++i) never.update(1);
  CHECK_FALSE(never.is_over());
}

}  // namespace
}  // namespace anomalyd::nn

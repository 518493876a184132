#include "nn/elementwise.h"

#include <cmath>
#include <limits>
#include <vector>

#include "nn/random.h"
#include "support/catch.h"

namespace anomalyd::nn {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

/// Largest error of f against `exact` on an even grid, each as a share of max(|exact|, floor).
template <class Function, class Exact>
double worst(float low, float high, double floor, const Function& f, const Exact& exact) {
  constexpr int kPoints = 20000;
  double most = 0;
  for (int i = 0; i <= kPoints; ++i) {
    const float x = low + (high - low) * static_cast<float>(i) / kPoints;
    const double expected = exact(static_cast<double>(x));
    const double off =
        std::abs(static_cast<double>(f(x)) - expected) / std::max(std::abs(expected), floor);
    most = off <= most ? most : off;  // so that NaN shows
  }
  return most;
}

TEST_CASE("exp_of is the exponential", "[nn][elementwise]") {
  const auto f = [](float x) { return exp_of(x); };
  const auto exact = [](double x) { return std::exp(x); };
  CHECK(worst(-87.2F, 88.2F, 0, f, exact) < 1.2e-7);
  CHECK(worst(-1, 1, 0, f, exact) < 1.2e-7);
  CHECK(exp_of(0.0F) == 1);
  CHECK(exp_of(-100.0F) == 0);
  CHECK(exp_of(-kInf) == 0);
  CHECK(exp_of(100.0F) == kInf);
  CHECK(exp_of(kInf) == kInf);
  CHECK(std::isnan(exp_of(kNan)));
}

TEST_CASE("tanh_of is the hyperbolic tangent", "[nn][elementwise]") {
  const auto f = [](float x) { return tanh_of(x); };
  const auto exact = [](double x) { return std::tanh(x); };
  CHECK(worst(-12, 12, 1e-30, f, exact) < 2e-7);
  CHECK(worst(-0.7F, 0.7F, 1e-30, f, exact) < 2e-7);
  CHECK(tanh_of(kInf) == 1);
  CHECK(tanh_of(-kInf) == -1);
  CHECK(std::isnan(tanh_of(kNan)));
}

TEST_CASE("sigmoid_of is the logistic function", "[nn][elementwise]") {
  const auto exact = [](double x) { return 1 / (1 + std::exp(-x)); };
  CHECK(worst(
            -80, 80, 0, [](float x) { return sigmoid_of(x); }, exact) < 3e-7);
  CHECK(sigmoid_of(-kInf) == 0);
  CHECK(sigmoid_of(kInf) == 1);
  CHECK(std::isnan(sigmoid_of(kNan)));
}

TEST_CASE("normal_cdf is the normal distribution", "[nn][elementwise]") {
  const auto exact = [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); };
  const auto f = [](float x) {
    float bell = 0;
    return normal_cdf(x, bell);
  };
  CHECK(worst(-12, 12, 1, f, exact) < 3e-7);
  float bell = 0;
  normal_cdf(1.5F, bell);
  CHECK(std::abs(bell - 0.32465247F) < 1e-7F);  // e^-1.125
  CHECK(std::isnan(normal_cdf(kNan, bell)));
}

TEST_CASE("functions give a value the bits in a vector that it has alone",
          "[nn][elementwise][determinism]") {
  std::vector<float> x(103);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(6 * normal_at(3, i));
  }
  std::vector<float> together(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) together[i] = tanh_of(x[i]) * exp_of(x[i]);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const volatile float alone = x[i];  // so that no compiler sees a loop here
    const float value = alone;
    CHECK(together[i] == tanh_of(value) * exp_of(value));
  }
}

TEST_CASE("sum_over adds everything once, in one order", "[nn][elementwise]") {
  for (const Eigen::Index count : {0, 1, 7, 8, 9, 16, 23}) {
    const double sum =
        sum_over<double>(count, [](Eigen::Index i) { return static_cast<double>(i + 1); });
    CHECK(sum == static_cast<double>(count * (count + 1)) / 2);
  }
  // Eight partial sums: 1e8 and -1e8 meet only at the end of those that hold them.
  const std::vector<float> values{1e8F, 1, 1, 1, -1e8F, 1, 1, 1};
  CHECK(sum_over<float>(8, [&](Eigen::Index i) { return values[static_cast<std::size_t>(i)]; }) ==
        6);
}

}  // namespace
}  // namespace anomalyd::nn

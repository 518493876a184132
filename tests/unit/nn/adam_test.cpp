#include "nn/adam.h"

#include <cmath>
#include <vector>

#include "nn/loss.h"
#include "support/catch.h"

namespace anomalyd::nn {
namespace {

TEST_CASE("Adam takes the steps of the paper's algorithm", "[nn][adam]") {
  std::vector<double> weight{1.0};
  std::vector<double> gradient{0.5};
  const std::vector<Parameter<double>> parameters{{"w", {1}, weight, gradient}};
  Adam<double> adam({0.1, 0.9, 0.999, 1e-8});
  adam.step(parameters);
  // First step: m / (1 - b1) = g and v / (1 - b2) = g^2, so it is the rate whatever g.
  CHECK(weight[0] == Approx(1.0 - 0.1).margin(1e-8));
  gradient[0] = -1.0;
  adam.step(parameters);
  const double m = (0.9 * 0.05 - 0.1) / (1 - 0.81);             // m1 = 0.1 * 0.5
  const double v = (0.999 * 0.00025 + 0.001) / (1 - 0.998001);  // v1 = 0.001 * 0.25
  CHECK(weight[0] == Approx(0.9 - 0.1 * m / (std::sqrt(v) + 1e-8)).margin(1e-8));
}

TEST_CASE("Adam finds the bottom of a bowl", "[nn][adam]") {
  std::vector<double> weights{3.0, -2.0};
  std::vector<double> gradients(2);
  Adam<double> adam({0.05, 0.9, 0.999, 1e-8});
  for (int i = 0; i < 2000; ++i) {
    gradients = {2 * (weights[0] - 1), 20 * weights[1]};
    adam.step({{"w", {2}, weights, gradients}});
  }
  CHECK(weights[0] == Approx(1.0).margin(1e-3));
  CHECK(weights[1] == Approx(0.0).margin(1e-3));
}

TEST_CASE("The mean squared error and its gradient, by hand", "[nn][loss]") {
  Matrix<double> y(1, 2);
  y << 3, 1;
  Matrix<double> t(1, 2);
  t << 1, 2;
  Matrix<double> dy;
  CHECK(mean_squared_error<double>(y, t, dy) == 2.5);  // (4 + 1) / 2
  CHECK(dy(0) == 2);                                   // 2 * 2 / 2
  CHECK(dy(1) == -1);
  y(0) = std::nan("");
  CHECK(std::isnan(mean_squared_error<double>(y, t, dy)));
}

}  // namespace
}  // namespace anomalyd::nn

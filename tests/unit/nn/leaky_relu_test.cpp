#include "nn/leaky_relu.h"

#include <cmath>
#include <limits>
#include <string>

#include "layer_check.h"

namespace anomalyd::nn {
namespace {

TEST_CASE("LeakyRelu keeps what is above zero and shrinks the rest", "[nn][leaky_relu]") {
  auto layer = LeakyRelu<double>::make(0.25).value();
  Matrix<double> x(1, 4);
  x << -2, 0, 3, std::numeric_limits<double>::quiet_NaN();
  Matrix<double> y;
  layer.forward(x, y);
  CHECK(y(0) == -0.5);
  CHECK(y(1) == 0);
  CHECK(y(2) == 3);
  CHECK(std::isnan(y(3)));
}

TEST_CASE("LeakyRelu backward agrees with central differences", "[nn][leaky_relu][gradient]") {
  auto layer = LeakyRelu<double>::make(0.1).value();
  check_gradients(layer, random_matrix<double>(3, 5, 6));
}

TEST_CASE("LeakyRelu refuses a slope that is not below one", "[nn][leaky_relu][errors]") {
  for (const double slope : {-0.1, 1.0, std::nan("")}) {
    const auto refused = LeakyRelu<float>::make(slope);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().message.find("expected 0 <= slope < 1") != std::string::npos);
  }
}

}  // namespace
}  // namespace anomalyd::nn

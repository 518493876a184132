#include "nn/dense.h"

#include <cmath>
#include <limits>
#include <string>

#include "layer_check.h"

namespace anomalyd::nn {
namespace {

Dense<double> make_dense(Eigen::Index in, Eigen::Index out) {
  return Dense<double>::make(in, out, /*seed=*/7).value();
}

TEST_CASE("Dense computes x W + b on a hand-worked example", "[nn][dense]") {
  auto layer = make_dense(2, 1);
  layer.weights() << 3, -1;
  layer.bias() << 0.5;
  Matrix<double> x(2, 2);
  x << 1, 2,  //
      0, 4;
  Matrix<double> y;
  layer.forward(x, y);
  REQUIRE(y.rows() == 2);
  CHECK(y(0, 0) == 1.5);   // 3*1 - 1*2 + 0.5
  CHECK(y(1, 0) == -3.5);  // 3*0 - 1*4 + 0.5
}

TEST_CASE("Dense backward agrees with central differences", "[nn][dense][gradient]") {
  auto layer = make_dense(3, 10);
  layer.bias().setConstant(0.25);
  check_gradients(layer, random_matrix<double>(5, 3, 1));
}

TEST_CASE("Dense adds its gradients up until they are cleared", "[nn][dense][gradient]") {
  auto layer = make_dense(1, 1);
  Matrix<double> x(1, 1);
  x << 3;
  Matrix<double> dy(1, 1);
  dy << 2;
  Matrix<double> dx;
  layer.backward(x, dy, dx);
  layer.backward(x, dy, dx);
  CHECK(layer.weight_gradient()(0, 0) == 12);
  CHECK(layer.bias_gradient()(0) == 4);
}

TEST_CASE("Dense weights depend on the seed and nothing else", "[nn][dense][determinism]") {
  auto first = Dense<float>::make(4, 4, 11).value();
  auto again = Dense<float>::make(4, 4, 11).value();
  auto other = Dense<float>::make(4, 4, 12).value();
  CHECK(first.weights() == again.weights());
  CHECK(first.weights() != other.weights());
}

TEST_CASE("Dense gives a row the same bits in any batch", "[nn][dense][determinism]") {
  const auto layer = Dense<float>::make(9, 11, 3).value();
  check_batch_independence(layer, random_matrix<float>(7, 9, 2));
}

TEST_CASE("Dense refuses an empty shape and says which", "[nn][dense][errors]") {
  const auto refused = Dense<float>::make(0, 3, 1);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == ErrorCode::kInvalidArgument);
  CHECK(refused.error().message.find("in=0") != std::string::npos);
}

TEST_CASE("Dense lets NaN through, so that the caller's screen is what counts",
          "[nn][dense][non-finite]") {
  auto layer = make_dense(1, 1);
  Matrix<double> x(1, 1);
  x << std::numeric_limits<double>::quiet_NaN();
  Matrix<double> y;
  layer.forward(x, y);
  CHECK(std::isnan(y(0, 0)));
}

}  // namespace
}  // namespace anomalyd::nn

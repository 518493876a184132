#pragma once

#include <cstdint>
#include <random>

#include "nn/layer.h"
#include "nn/random.h"
#include "support/catch.h"
#include "support/gradient.h"

namespace anomalyd::nn {

/// Numbers in +-1, the same for the same seed.
template <class Scalar>
Matrix<Scalar> random_matrix(Eigen::Index rows, Eigen::Index cols, std::uint64_t seed) {
  std::mt19937_64 bits(seed);
  Matrix<Scalar> made(rows, cols);
  for (Eigen::Index i = 0; i < made.size(); ++i) {
    made.data()[i] = static_cast<Scalar>(2 * unit_uniform(bits) - 1);
  }
  return made;
}

/// Every parameter's and input's gradient of L = |y|^2 / 2 against central differences.
inline void check_gradients(Layer<double>& layer, Matrix<double> x, double tolerance = 1e-8) {
  Matrix<double> y;
  const auto loss = [&] {
    layer.forward(x, y);
    return 0.5 * y.squaredNorm();  // so dL/dy = y
  };
  loss();
  const Matrix<double> dy = y;
  Matrix<double> dx;
  layer.backward(x, dy, dx);
  REQUIRE(dx.rows() == x.rows());
  REQUIRE(dx.cols() == x.cols());
  for (const Parameter<double>& parameter : layer.parameters()) {
    for (std::size_t i = 0; i < parameter.value.size(); ++i) {
      INFO(parameter.name << "[" << i << "]");
      CHECK(testing::relative_error(testing::numeric_gradient(parameter.value[i], loss),
                                    parameter.gradient[i]) < tolerance);
    }
  }
  for (Eigen::Index i = 0; i < x.size(); ++i) {
    INFO("x[" << i << "]");
    CHECK(testing::relative_error(testing::numeric_gradient(x.data()[i], loss), dx.data()[i]) <
          tolerance);
  }
}

/// Row by row gives the bits that all rows at once give.
inline void check_batch_independence(const Layer<float>& layer, const Matrix<float>& x) {
  Matrix<float> together;
  layer.forward(x, together);
  for (Eigen::Index row = 0; row < x.rows(); ++row) {
    Matrix<float> alone;
    layer.forward(x.row(row), alone);
    CHECK(alone == together.row(row));
  }
}

}  // namespace anomalyd::nn

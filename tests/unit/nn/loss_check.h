#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "nn/tensor_file.h"
#include "nn/types.h"
#include "support/catch.h"
#include "support/gradient.h"

namespace anomalyd::testing {

/// The numbers that tests/golden/<name> holds.
inline nn::TensorFile read_golden(const std::string& name) {
  auto file = nn::read_tensor_file(ANOMALYD_SOURCE_DIR "/tests/golden/" + name);
  if (!file.ok()) FAIL(file.error().message);
  return std::move(file).value();
}

inline const nn::Tensor& golden(const nn::TensorFile& file, const std::string& name) {
  const auto found = file.tensors.find(name);
  if (found == file.tensors.end()) FAIL("no tensor " << name);
  return found->second;
}

/// A tensor of one or two dimensions; one of one dimension is a column or a row.
template <class Scalar>
nn::Matrix<Scalar> golden_matrix(const nn::TensorFile& file, const std::string& name) {
  const nn::Tensor& tensor = golden(file, name);
  const auto rows = tensor.shape.size() < 2 ? 1 : static_cast<Eigen::Index>(tensor.shape[0]);
  nn::Matrix<Scalar> made(rows, static_cast<Eigen::Index>(tensor.values.size()) / rows);
  std::transform(tensor.values.begin(), tensor.values.end(), made.data(),
                 [](float value) { return static_cast<Scalar>(value); });
  return made;
}

/// The largest difference as a part of the largest number: what a vector is wrong by.
template <class A, class B>
double worst_difference(const A& a, const B& b) {
  const auto size = static_cast<std::size_t>(a.size());
  REQUIRE(size == static_cast<std::size_t>(b.size()));
  double worst = 0;
  double largest = 1e-300;
  for (std::size_t i = 0; i < size; ++i) {
    const auto x = static_cast<double>(a.data()[i]);
    const auto y = static_cast<double>(b.data()[i]);
    if (!std::isfinite(x) || !std::isfinite(y)) return HUGE_VAL;
    worst = std::max(worst, std::abs(x - y));
    largest = std::max({largest, std::abs(x), std::abs(y)});
  }
  return worst / largest;
}

/// How far the gradient `dx` of the scalar loss() is from central differences at `x`.
template <class Loss>
double gradient_error(nn::Matrix<double>& x, const nn::Matrix<double>& dx, const Loss& loss) {
  const nn::Matrix<double> claimed = dx;  // loss() may write dx again
  nn::Matrix<double> measured(x.rows(), x.cols());
  for (Eigen::Index i = 0; i < x.size(); ++i) {
    measured.data()[i] = numeric_gradient(x.data()[i], loss);
  }
  return worst_difference(measured, claimed);
}

}  // namespace anomalyd::testing

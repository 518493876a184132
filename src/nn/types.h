#pragma once

#include <Eigen/Core>
#include <cstddef>

namespace anomalyd::nn {

/// A batch: one row per sample, one column per feature, row-major so that a row is contiguous.
template <class Scalar>
using Matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// One value per feature.
template <class Scalar>
using RowVector = Eigen::Matrix<Scalar, 1, Eigen::Dynamic>;

/// What one row of a batch holds: time steps x channels, time-major.
struct Shape {
  Eigen::Index samples = 0;
  Eigen::Index channels = 0;
  Eigen::Index size() const { return samples * channels; }
  bool operator==(const Shape&) const = default;
};

/// Some consecutive rows of a batch, seen in place. `Scalar` is const for what is only read.
template <class Scalar>
struct Rows {
  Scalar* data = nullptr;
  Eigen::Index rows = 0;
  Eigen::Index cols = 0;
  Scalar* row(Eigen::Index i) const { return data + i * cols; }
  Eigen::Index size() const { return rows * cols; }
  /// As Eigen sees it.
  Eigen::Map<std::conditional_t<std::is_const_v<Scalar>, const Matrix<std::remove_const_t<Scalar>>,
                                Matrix<Scalar>>>
  matrix() const {
    return {data, rows, cols};
  }
  operator Rows<const Scalar>() const { return {data, rows, cols}; }  // NOLINT
};

}  // namespace anomalyd::nn

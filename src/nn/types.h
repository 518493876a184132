#pragma once

#include <Eigen/Core>

namespace anomalyd::nn {

/// A batch: one row per sample, one column per feature, row-major so that a row is contiguous.
template <class Scalar>
using Matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// One value per feature.
template <class Scalar>
using RowVector = Eigen::Matrix<Scalar, 1, Eigen::Dynamic>;

}  // namespace anomalyd::nn

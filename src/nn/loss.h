#pragma once

#include "nn/types.h"

namespace anomalyd::nn {

/// Mean squared error, L = sum (y - t)^2 / (n * features), and its gradient dL/dy.
///
/// Shapes    y, t and dy (n, features). `dy` is resized.
/// Errors    shapes that differ are a bug: ANOMALYD_CHECK.
/// Numerics  summed in double in the order of the elements; NaN and Inf propagate.
template <class Scalar>
double mean_squared_error(const Matrix<Scalar>& y, const Matrix<Scalar>& t, Matrix<Scalar>& dy);

extern template double mean_squared_error<float>(const Matrix<float>&, const Matrix<float>&,
                                                 Matrix<float>&);
extern template double mean_squared_error<double>(const Matrix<double>&, const Matrix<double>&,
                                                  Matrix<double>&);

}  // namespace anomalyd::nn

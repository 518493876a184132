#pragma once

#include "nn/types.h"

namespace anomalyd::nn {

/// Kullback and Leibler's divergence of N(m, exp(v)) from N(0, 1), summed over the latent numbers
/// and averaged over the rows:
/// L = sum (m^2 + exp(v) - v - 1) / 2 / n;  dL/dm = m / n,  dL/dv = (exp(v) - 1) / 2 / n.
///
/// Shapes    y and dy (n, steps * 2 * channels): of each time step first `channels` means m, then
///           `channels` logarithms of variances v, as the reparameterise layer reads them.
/// Errors    columns that are no multiple of 2 * channels, or no rows, are a bug: ANOMALYD_CHECK.
/// Numerics  exp(v) - 1 by expm1, so it is right near v = 0. exp(v) that overflows gives Inf; NaN
///           propagates.
/// Source    Kingma and Welling 2014, appendix B.
template <class Scalar>
double kl_to_unit_gaussian(const Matrix<Scalar>& y, Eigen::Index channels, Matrix<Scalar>& dy);

extern template double kl_to_unit_gaussian<float>(const Matrix<float>&, Eigen::Index,
                                                  Matrix<float>&);
extern template double kl_to_unit_gaussian<double>(const Matrix<double>&, Eigen::Index,
                                                   Matrix<double>&);

}  // namespace anomalyd::nn

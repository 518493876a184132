#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// Binary cross-entropy of logits,
/// L = sum (max(z, 0) - z t + log(1 + exp(-|z|))) / N, N = n * features; dL/dz = (s(z) - t) / N
/// with s the logistic function.
///
/// Shapes    z, t and dz (n, features); t in [0, 1], soft targets allowed.
/// Errors    shapes that differ, or none at all, are a bug: ANOMALYD_CHECK.
/// Numerics  no overflow for any finite z. A t outside [0, 1] is computed with as it is. A z that
/// is
///           NaN or Inf gives an L that is not finite.
/// Source    torch.nn.BCEWithLogitsLoss.
template <class Scalar>
double binary_cross_entropy(const Matrix<Scalar>& z, const Matrix<Scalar>& t, Matrix<Scalar>& dz);

/// The same against one target for all elements.
template <class Scalar>
double binary_cross_entropy(const Matrix<Scalar>& z, double t, Matrix<Scalar>& dz);

/// What hard targets 1 and 0 become: t -> zero + t (one - zero).
///
/// Source    one-sided (one = 0.9, zero = 0): Salimans et al. 2016, section 3.4; two-sided with
///           smoothing e: one = 1 - e / 2, zero = e / 2.
struct LabelSmoothing {
  double one = 1;
  double zero = 0;

  /// Errors   kInvalidArgument unless 0 <= zero < one <= 1.
  static Result<LabelSmoothing> make(double one, double zero);
  double operator()(double t) const { return zero + t * (one - zero); }
};

/// Softmax cross-entropy with soft targets, L = -sum over rows, over classes k, of
/// t_k log softmax(z)_k, divided by n; dL/dz = (softmax(z) sum_k t_k - t) / n.
///
/// Shapes    z, t and dz (n, classes).
/// Errors    shapes that differ, or none at all, are a bug: ANOMALYD_CHECK.
/// Numerics  a row's largest logit is taken off first, so no finite z overflows; in double. Targets
///           need not sum to 1. NaN propagates to L and to its row of dz.
/// Source    torch.nn.CrossEntropyLoss with class probabilities.
template <class Scalar>
double softmax_cross_entropy(const Matrix<Scalar>& z, const Matrix<Scalar>& t, Matrix<Scalar>& dz);

/// Writes row i of `targets` as (1 - smoothing) at class labels[i] plus smoothing / classes
/// everywhere.
///
/// Shapes    targets (labels.size(), classes), resized.
/// Errors    kInvalidArgument for a label of no class, no classes, or a smoothing outside [0, 1).
/// Source    Szegedy et al. 2016, section 7.
template <class Scalar>
Status one_hot(std::span<const std::uint32_t> labels, Eigen::Index classes, double smoothing,
               Matrix<Scalar>& targets);

extern template double binary_cross_entropy<float>(const Matrix<float>&, const Matrix<float>&,
                                                   Matrix<float>&);
extern template double binary_cross_entropy<double>(const Matrix<double>&, const Matrix<double>&,
                                                    Matrix<double>&);
extern template double binary_cross_entropy<float>(const Matrix<float>&, double, Matrix<float>&);
extern template double binary_cross_entropy<double>(const Matrix<double>&, double, Matrix<double>&);
extern template double softmax_cross_entropy<float>(const Matrix<float>&, const Matrix<float>&,
                                                    Matrix<float>&);
extern template double softmax_cross_entropy<double>(const Matrix<double>&, const Matrix<double>&,
                                                     Matrix<double>&);
extern template Status one_hot<float>(std::span<const std::uint32_t>, Eigen::Index, double,
                                      Matrix<float>&);
extern template Status one_hot<double>(std::span<const std::uint32_t>, Eigen::Index, double,
                                       Matrix<double>&);

}  // namespace anomalyd::nn

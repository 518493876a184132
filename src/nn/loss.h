#pragma once

#include <string_view>

#include "base/result.h"
#include "nn/types.h"

namespace anomalyd::nn {

// The losses of this module are functions L(y, ...) that return L and write dL/dy into matrices
// that they resize. Their values are summed in double in the order of the elements, whatever the
// Scalar, so that they do not depend on a batch's pieces. None keeps anything between calls.

/// Mean squared error, L = sum (y - t)^2 / N, N = n * features.
///
/// Shapes    y, t and dy (n, features).
/// Errors    shapes that differ, or none at all, are a bug: ANOMALYD_CHECK.
/// Numerics  NaN and Inf propagate to L and to their own element of dy.
template <class Scalar>
double mean_squared_error(const Matrix<Scalar>& y, const Matrix<Scalar>& t, Matrix<Scalar>& dy);

/// Mean absolute error, L = sum |y - t| / N. Its gradient at y = t is taken as 0.
///
/// Shapes, Errors, Numerics   as mean_squared_error(), but that dy of an infinite y is finite.
template <class Scalar>
double mean_absolute_error(const Matrix<Scalar>& y, const Matrix<Scalar>& t, Matrix<Scalar>& dy);

/// Huber's loss, L = sum h(y - t) / N, h(e) = e^2 / 2 for |e| <= delta, else
/// delta (|e| - delta / 2).
///
/// Shapes, Errors, Numerics   as mean_absolute_error(); delta must be above 0.
/// Source    Huber 1964; torch.nn.HuberLoss.
template <class Scalar>
double huber(const Matrix<Scalar>& y, const Matrix<Scalar>& t, double delta, Matrix<Scalar>& dy);

/// One of the three above, as a config or a file names it.
struct PointwiseLoss {
  enum class Kind { kSquared, kAbsolute, kHuber };
  Kind kind = Kind::kSquared;
  double delta = 1;  ///< of kHuber

  /// "squared", "absolute" or "huber".
  /// Errors   kUnsupported for another name, listing the known; kInvalidArgument for a delta that
  ///          is not a finite number above 0.
  static Result<PointwiseLoss> make(std::string_view name, double delta = 1);
  std::string_view name() const;

  template <class Scalar>
  double operator()(const Matrix<Scalar>& y, const Matrix<Scalar>& t, Matrix<Scalar>& dy) const;
};

extern template double mean_squared_error<float>(const Matrix<float>&, const Matrix<float>&,
                                                 Matrix<float>&);
extern template double mean_squared_error<double>(const Matrix<double>&, const Matrix<double>&,
                                                  Matrix<double>&);
extern template double mean_absolute_error<float>(const Matrix<float>&, const Matrix<float>&,
                                                  Matrix<float>&);
extern template double mean_absolute_error<double>(const Matrix<double>&, const Matrix<double>&,
                                                   Matrix<double>&);
extern template double huber<float>(const Matrix<float>&, const Matrix<float>&, double,
                                    Matrix<float>&);
extern template double huber<double>(const Matrix<double>&, const Matrix<double>&, double,
                                     Matrix<double>&);
extern template double PointwiseLoss::operator()<float>(const Matrix<float>&, const Matrix<float>&,
                                                        Matrix<float>&) const;
extern template double PointwiseLoss::operator()<double>(const Matrix<double>&,
                                                         const Matrix<double>&,
                                                         Matrix<double>&) const;

}  // namespace anomalyd::nn

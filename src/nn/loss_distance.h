#pragma once

#include <vector>

#include "base/result.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// A mean of Gaussian kernels, k(x, y) = sum over widths w of exp(-|x - y|^2 / (2 w^2)) / Q.
class RbfBank {
 public:
  static constexpr std::size_t kMaxWidths = 16;

  /// Errors   kInvalidArgument unless there are 1 to kMaxWidths widths, all finite and above 0.
  static Result<RbfBank> make(std::vector<double> widths);
  /// `count` widths around the rows' own spread: 2 w_q^2 = m 2^(q - floor(count / 2)), m the mean
  /// squared distance of two different rows of a and b together.
  /// Errors   kInvalidArgument when the rows are all alike, not finite, fewer than 2 or of other
  ///          columns, or count is outside [1, kMaxWidths].
  /// Source   Long et al. 2015 (DAN), as in its published code.
  template <class Scalar>
  static Result<RbfBank> around(const Matrix<Scalar>& a, const Matrix<Scalar>& b,
                                std::size_t count = 5);

  const std::vector<double>& widths() const { return widths_; }

 private:
  explicit RbfBank(std::vector<double> widths) : widths_(std::move(widths)) {}
  std::vector<double> widths_;
};

/// Squared maximum mean discrepancy of two batches, the biased estimate (a V-statistic: pairs of a
/// row with itself are counted), so it is never below 0 and 0 for two equal batches:
/// L = mean k(a_i, a_j) + mean k(b_i, b_j) - 2 mean k(a_i, b_j).
///
/// Shapes    a and da (n, features), b and db (m, features).
/// Errors    an empty batch or other columns are a bug: ANOMALYD_CHECK.
/// Numerics  in double throughout, pairs in the order of the rows; the bank's widths are held fixed
///           in the gradient. NaN propagates to L.
/// Cost      (n + m)^2 (features + widths) / 2.
/// Source    Gretton et al. 2012, eq. 5.
template <class Scalar>
double maximum_mean_discrepancy(const Matrix<Scalar>& a, const Matrix<Scalar>& b,
                                const RbfBank& bank, Matrix<Scalar>& da, Matrix<Scalar>& db);

/// Distance of the covariances of two batches, L = |C(a) - C(b)|^2 / (4 d^2), with the Frobenius
/// norm, d features and C(x) = sum (x_i - mean)^T (x_i - mean) / (n - 1).
///
/// Shapes    a and da (n, d), b and db (m, d).
/// Errors    batches of fewer than 2 rows or of other columns are a bug: ANOMALYD_CHECK.
/// Numerics  in double throughout. NaN propagates.
/// Cost      2 (n + m) d^2 multiply-adds and d^2 numbers.
/// Source    Sun and Saenko 2016 (Deep CORAL), eq. 1-4.
template <class Scalar>
double coral(const Matrix<Scalar>& a, const Matrix<Scalar>& b, Matrix<Scalar>& da,
             Matrix<Scalar>& db);

/// Distance of the mean features of a real and a made batch, L = |mean real - mean fake|^2 / d;
/// `real` is held fixed. (BeatGAN's form, row against row, is mean_squared_error().)
///
/// Shapes    real (n, d), fake and dfake (m, d).
/// Errors    an empty batch or other columns are a bug: ANOMALYD_CHECK.
/// Numerics  in double, rows in order. NaN propagates.
/// Source    Salimans et al. 2016, section 3.1, divided by d.
template <class Scalar>
double feature_matching(const Matrix<Scalar>& real, const Matrix<Scalar>& fake,
                        Matrix<Scalar>& dfake);

extern template Result<RbfBank> RbfBank::around<float>(const Matrix<float>&, const Matrix<float>&,
                                                       std::size_t);
extern template Result<RbfBank> RbfBank::around<double>(const Matrix<double>&,
                                                        const Matrix<double>&, std::size_t);
extern template double maximum_mean_discrepancy<float>(const Matrix<float>&, const Matrix<float>&,
                                                       const RbfBank&, Matrix<float>&,
                                                       Matrix<float>&);
extern template double maximum_mean_discrepancy<double>(const Matrix<double>&,
                                                        const Matrix<double>&, const RbfBank&,
                                                        Matrix<double>&, Matrix<double>&);
extern template double coral<float>(const Matrix<float>&, const Matrix<float>&, Matrix<float>&,
                                    Matrix<float>&);
extern template double coral<double>(const Matrix<double>&, const Matrix<double>&, Matrix<double>&,
                                     Matrix<double>&);
extern template double feature_matching<float>(const Matrix<float>&, const Matrix<float>&,
                                               Matrix<float>&);
extern template double feature_matching<double>(const Matrix<double>&, const Matrix<double>&,
                                                Matrix<double>&);

}  // namespace anomalyd::nn

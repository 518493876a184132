#pragma once

#include <string_view>

#include "base/result.h"
#include "nn/loss_logits.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// What a critic D and the generator it judges minimise, from the critic's outputs r = D(real) and
/// f = D(fake); every mean is over all elements.
///
/// non_saturating  critic: bce(r, one) + bce(f, zero);      generator: bce(f, 1)
/// hinge           critic: mean max(0, 1 - r) + mean max(0, 1 + f);   generator: -mean f
/// wasserstein     critic: mean f - mean r;                 generator: -mean f
///
/// Source    Goodfellow et al. 2014, section 3, with label smoothing; Miyato et al. 2018, eq.
/// 16-17;
///           Arjovsky et al. 2017, eq. 2: its critic needs a bound on its slope, by spectral norm
///           or GradientPenalty.
struct CriticLoss {
  enum class Kind { kNonSaturating, kHinge, kWasserstein };
  Kind kind = Kind::kNonSaturating;
  LabelSmoothing smoothing;  ///< of kNonSaturating

  /// Errors   kUnsupported for an unknown name, listing the known; kInvalidArgument for smoothing
  ///          that is not 0 <= zero < one <= 1, or that this kind does not have.
  static Result<CriticLoss> make(std::string_view name, LabelSmoothing smoothing = {});
  std::string_view name() const;
};

/// The critic's loss, and its gradients at both outputs.
///
/// Shapes    real (n, features), fake (m, features) with n and m free; gradients as their value.
/// Errors    an empty matrix is a bug: ANOMALYD_CHECK.
/// Numerics  summed in double; NaN and Inf propagate. The hinge's gradient at its corner is 0.
template <class Scalar>
double critic_loss(const CriticLoss& loss, const Matrix<Scalar>& real, const Matrix<Scalar>& fake,
                   Matrix<Scalar>& dreal, Matrix<Scalar>& dfake);

/// The generator's loss, and its gradient at the critic's output for what it made.
template <class Scalar>
double generator_loss(const CriticLoss& loss, const Matrix<Scalar>& fake, Matrix<Scalar>& dfake);

extern template double critic_loss<float>(const CriticLoss&, const Matrix<float>&,
                                          const Matrix<float>&, Matrix<float>&, Matrix<float>&);
extern template double critic_loss<double>(const CriticLoss&, const Matrix<double>&,
                                           const Matrix<double>&, Matrix<double>&, Matrix<double>&);
extern template double generator_loss<float>(const CriticLoss&, const Matrix<float>&,
                                             Matrix<float>&);
extern template double generator_loss<double>(const CriticLoss&, const Matrix<double>&,
                                              Matrix<double>&);

}  // namespace anomalyd::nn

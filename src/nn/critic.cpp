#include "nn/critic.h"

#include <string>

#include "base/check.h"

namespace anomalyd::nn {
namespace {

/// mean of sign * v, with its gradient.
template <class Scalar>
double signed_mean(const Matrix<Scalar>& v, double sign, Matrix<Scalar>& dv) {
  ANOMALYD_CHECK(v.size() > 0, "critic: no outputs");
  const auto size = static_cast<double>(v.size());
  double sum = 0;
  for (Eigen::Index i = 0; i < v.size(); ++i) sum += static_cast<double>(v.data()[i]);
  dv.setConstant(v.rows(), v.cols(), static_cast<Scalar>(sign / size));
  return sign * sum / size;
}

/// mean of max(0, 1 + sign * v), with its gradient.
template <class Scalar>
double hinge_mean(const Matrix<Scalar>& v, double sign, Matrix<Scalar>& dv) {
  ANOMALYD_CHECK(v.size() > 0, "critic: no outputs");
  const auto size = static_cast<double>(v.size());
  dv.resize(v.rows(), v.cols());
  double sum = 0;
  for (Eigen::Index i = 0; i < v.size(); ++i) {
    const double margin = 1 + sign * static_cast<double>(v.data()[i]);
    const bool flat = margin <= 0;  // false for NaN, which then propagates
    sum += flat ? 0 : margin;
    dv.data()[i] = static_cast<Scalar>(flat ? 0 : sign / size);
  }
  return sum / size;
}

}  // namespace

Result<CriticLoss> CriticLoss::make(std::string_view name, LabelSmoothing smoothing) {
  const Result<LabelSmoothing> checked = LabelSmoothing::make(smoothing.one, smoothing.zero);
  if (!checked.ok()) return checked.error();
  if (name == "non_saturating") return CriticLoss{Kind::kNonSaturating, smoothing};
  if (name != "hinge" && name != "wasserstein") {
    return Error{ErrorCode::kUnsupported, "critic: unknown loss \"" + std::string(name) +
                                              "\", expected non_saturating, hinge or wasserstein"};
  }
  if (smoothing.one != 1 || smoothing.zero != 0) {
    return Error{ErrorCode::kInvalidArgument,
                 "critic: loss " + std::string(name) + " has no targets to smooth"};
  }
  return CriticLoss{name == "hinge" ? Kind::kHinge : Kind::kWasserstein, smoothing};
}

std::string_view CriticLoss::name() const {
  switch (kind) {
    case Kind::kHinge:
      return "hinge";
    case Kind::kWasserstein:
      return "wasserstein";
    case Kind::kNonSaturating:
      break;
  }
  return "non_saturating";
}

template <class Scalar>
double critic_loss(const CriticLoss& loss, const Matrix<Scalar>& real, const Matrix<Scalar>& fake,
                   Matrix<Scalar>& dreal, Matrix<Scalar>& dfake) {
  switch (loss.kind) {
    case CriticLoss::Kind::kHinge:
      return hinge_mean(real, -1, dreal) + hinge_mean(fake, 1, dfake);
    case CriticLoss::Kind::kWasserstein:
      return signed_mean(real, -1, dreal) + signed_mean(fake, 1, dfake);
    case CriticLoss::Kind::kNonSaturating:
      break;
  }
  return binary_cross_entropy(real, loss.smoothing(1), dreal) +
         binary_cross_entropy(fake, loss.smoothing(0), dfake);
}

template <class Scalar>
double generator_loss(const CriticLoss& loss, const Matrix<Scalar>& fake, Matrix<Scalar>& dfake) {
  if (loss.kind == CriticLoss::Kind::kNonSaturating) return binary_cross_entropy(fake, 1.0, dfake);
  return signed_mean(fake, -1, dfake);
}

template double critic_loss<float>(const CriticLoss&, const Matrix<float>&, const Matrix<float>&,
                                   Matrix<float>&, Matrix<float>&);
template double critic_loss<double>(const CriticLoss&, const Matrix<double>&, const Matrix<double>&,
                                    Matrix<double>&, Matrix<double>&);
template double generator_loss<float>(const CriticLoss&, const Matrix<float>&, Matrix<float>&);
template double generator_loss<double>(const CriticLoss&, const Matrix<double>&, Matrix<double>&);

}  // namespace anomalyd::nn

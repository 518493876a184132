#include "nn/loss_logits.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/check.h"

namespace anomalyd::nn {
namespace {

template <class Scalar, class Target>
double binary_over(const Matrix<Scalar>& z, const Target& target, Matrix<Scalar>& dz) {
  ANOMALYD_CHECK(z.size() > 0, "binary_cross_entropy: z is empty");
  dz.resize(z.rows(), z.cols());
  const auto size = static_cast<double>(z.size());
  double sum = 0;
  for (Eigen::Index i = 0; i < z.size(); ++i) {
    const auto logit = static_cast<double>(z.data()[i]);
    const double t = target(i);
    const double small = std::exp(-std::abs(logit));
    // Not std::max, which would make a 0 of a NaN.
    sum += (logit < 0 ? 0 : logit) - logit * t + std::log1p(small);
    const double probability = logit < 0 ? small / (1 + small) : 1 / (1 + small);
    dz.data()[i] = static_cast<Scalar>((probability - t) / size);
  }
  return sum / size;
}

}  // namespace

template <class Scalar>
double binary_cross_entropy(const Matrix<Scalar>& z, const Matrix<Scalar>& t, Matrix<Scalar>& dz) {
  ANOMALYD_CHECK(z.rows() == t.rows() && z.cols() == t.cols(),
                 "binary_cross_entropy: z and t must have one shape");
  return binary_over(
      z, [&t](Eigen::Index i) { return static_cast<double>(t.data()[i]); }, dz);
}

template <class Scalar>
double binary_cross_entropy(const Matrix<Scalar>& z, double t, Matrix<Scalar>& dz) {
  return binary_over(
      z, [t](Eigen::Index) { return t; }, dz);
}

Result<LabelSmoothing> LabelSmoothing::make(double one, double zero) {
  if (!(zero >= 0 && zero < one && one <= 1)) {
    return Error{ErrorCode::kInvalidArgument, "label smoothing: one is " + std::to_string(one) +
                                                  ", zero is " + std::to_string(zero) +
                                                  ", expected 0 <= zero < one <= 1"};
  }
  return LabelSmoothing{one, zero};
}

template <class Scalar>
double softmax_cross_entropy(const Matrix<Scalar>& z, const Matrix<Scalar>& t, Matrix<Scalar>& dz) {
  ANOMALYD_CHECK(z.rows() == t.rows() && z.cols() == t.cols() && z.size() > 0,
                 "softmax_cross_entropy: z and t must have one shape");
  dz.resize(z.rows(), z.cols());
  const auto rows = static_cast<double>(z.rows());
  double loss = 0;
  for (Eigen::Index row = 0; row < z.rows(); ++row) {
    double largest = static_cast<double>(z(row, 0));
    for (Eigen::Index k = 1; k < z.cols(); ++k) {
      largest = std::max(largest, static_cast<double>(z(row, k)));
    }
    double total = 0;
    double targets = 0;
    for (Eigen::Index k = 0; k < z.cols(); ++k) {
      total += std::exp(static_cast<double>(z(row, k)) - largest);
      targets += static_cast<double>(t(row, k));
    }
    const double log_total = std::log(total);
    for (Eigen::Index k = 0; k < z.cols(); ++k) {
      const double log_probability = static_cast<double>(z(row, k)) - largest - log_total;
      const auto target = static_cast<double>(t(row, k));
      // A class of no weight gives nothing, even when its logit is -Inf.
      if (target != 0) loss -= target * log_probability;
      dz(row, k) = static_cast<Scalar>((std::exp(log_probability) * targets - target) / rows);
    }
    if (std::isnan(total)) loss = total;
  }
  return loss / rows;
}

template <class Scalar>
Status one_hot(std::span<const std::uint32_t> labels, Eigen::Index classes, double smoothing,
               Matrix<Scalar>& targets) {
  if (classes < 1) {
    return Error{ErrorCode::kInvalidArgument,
                 "one_hot: classes is " + std::to_string(classes) + ", expected at least 1"};
  }
  if (!(smoothing >= 0 && smoothing < 1)) {
    return Error{ErrorCode::kInvalidArgument, "one_hot: smoothing is " + std::to_string(smoothing) +
                                                  ", expected 0 or more and below 1"};
  }
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (static_cast<Eigen::Index>(labels[i]) >= classes) {
      return Error{ErrorCode::kInvalidArgument, "one_hot: label " + std::to_string(i) + " is " +
                                                    std::to_string(labels[i]) +
                                                    ", expected below " + std::to_string(classes)};
    }
  }
  const double everywhere = smoothing / static_cast<double>(classes);
  targets.setConstant(static_cast<Eigen::Index>(labels.size()), classes,
                      static_cast<Scalar>(everywhere));
  for (std::size_t i = 0; i < labels.size(); ++i) {
    targets(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(labels[i])) =
        static_cast<Scalar>(1 - smoothing + everywhere);
  }
  return Done{};
}

template double binary_cross_entropy<float>(const Matrix<float>&, const Matrix<float>&,
                                            Matrix<float>&);
template double binary_cross_entropy<double>(const Matrix<double>&, const Matrix<double>&,
                                             Matrix<double>&);
template double binary_cross_entropy<float>(const Matrix<float>&, double, Matrix<float>&);
template double binary_cross_entropy<double>(const Matrix<double>&, double, Matrix<double>&);
template double softmax_cross_entropy<float>(const Matrix<float>&, const Matrix<float>&,
                                             Matrix<float>&);
template double softmax_cross_entropy<double>(const Matrix<double>&, const Matrix<double>&,
                                              Matrix<double>&);
template Status one_hot<float>(std::span<const std::uint32_t>, Eigen::Index, double,
                               Matrix<float>&);
template Status one_hot<double>(std::span<const std::uint32_t>, Eigen::Index, double,
                                Matrix<double>&);

}  // namespace anomalyd::nn

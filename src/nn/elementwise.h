#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>

#include "nn/types.h"

// Functions of one value that compilers turn into vector code: no branch, no table, no call.
// Internal to nn.
//
// Numerics  float: the same bits alone and in a vector, on every machine, because nothing but
//           IEEE operations is used and flags forbid contracting them. NaN gives NaN.
//           double: the standard library's.

namespace anomalyd::nn {

/// e^x, to 2 units in the last place; 0 below -87.3, Inf above 88.3.
/// Source   Cephes expf: e^x = 2^n e^r, n = x / log 2 rounded, log 2 in two parts.
inline float exp_of(float x) {
  constexpr float kLow = -87.3F;
  constexpr float kHigh = 88.3F;
  constexpr float kRounder = 12582912.0F;  // 1.5 * 2^23: adding it rounds to a whole number
  float in = x < kLow ? kLow : x;
  in = in > kHigh ? kHigh : in;
  const float shifted = in * 1.44269504088896341F + kRounder;
  const float n = shifted - kRounder;
  const float r = (in - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * (r * r) + r + 1.0F;
  // The lowest bits of `shifted` are n; all above them leave on the left.
  const std::uint32_t scale = (std::bit_cast<std::uint32_t>(shifted) << 23U) + (127U << 23U);
  const float made = p * std::bit_cast<float>(scale);
  const float bounded = x < kLow ? 0.0F : made;
  return x > kHigh ? std::numeric_limits<float>::infinity() : bounded;
}
inline double exp_of(double x) { return std::exp(x); }

/// 1 / (1 + e^-x).
template <class Scalar>
Scalar sigmoid_of(Scalar x) {
  return Scalar(1) / (Scalar(1) + exp_of(-x));
}

/// tanh x, to 2 units in the last place.
/// Source   Cephes tanhf: an odd polynomial below 0.625, else 1 - 2 / (e^2x + 1).
inline float tanh_of(float x) {
  const float size = x < 0 ? -x : x;
  const float square = x * x;
  float p = -5.70498872745e-3F;
  p = p * square + 2.06390887954e-2F;
  p = p * square - 5.37397155531e-2F;
  p = p * square + 1.33314422036e-1F;
  p = p * square - 3.33332819422e-1F;
  const float small = p * square * x + x;
  const float large = 1.0F - 2.0F / (exp_of(2.0F * size) + 1.0F);
  const float with_sign = x < 0 ? -large : large;
  return size < 0.625F ? small : with_sign;
}
inline double tanh_of(double x) { return std::tanh(x); }

/// The chance that a standard normal lies below x; `bell` = e^(-x^2 / 2) comes out beside it.
/// Numerics  float to 2e-7 absolute.
/// Source    Abramowitz and Stegun 1964, 7.1.26.
inline float normal_cdf(float x, float& bell) {
  const float z = (x < 0 ? -x : x) * 0.70710678118654752F;
  bell = exp_of(-z * z);
  const float t = 1.0F / (1.0F + 0.3275911F * z);
  float p = 1.061405429F;
  p = p * t - 1.453152027F;
  p = p * t + 1.421413741F;
  p = p * t - 0.284496736F;
  p = p * t + 0.254829592F;
  const float beyond = 0.5F * p * t * bell;
  return x < 0 ? beyond : 1.0F - beyond;
}
inline double normal_cdf(double x, double& bell) {
  bell = std::exp(-0.5 * x * x);
  return 0.5 * std::erfc(-x / std::numbers::sqrt2);
}

/// The sum of f(i) for i < count, in 8 interleaved partial sums that are added pairwise: one order,
/// whatever the vector's width.
template <class Scalar, class Function>
Scalar sum_over(Eigen::Index count, const Function& f) {
  constexpr Eigen::Index kParts = 8;
  Scalar parts[kParts] = {};
  Eigen::Index i = 0;
  for (; i + kParts <= count; i += kParts) {
    for (Eigen::Index k = 0; k < kParts; ++k) parts[k] += f(i + k);
  }
  for (Eigen::Index k = 0; i + k < count; ++k) parts[k] += f(i + k);
  return ((parts[0] + parts[4]) + (parts[2] + parts[6])) +
         ((parts[1] + parts[5]) + (parts[3] + parts[7]));
}

}  // namespace anomalyd::nn

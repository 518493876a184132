#pragma once

#include <array>
#include <cstddef>

#include "base/archive.h"

namespace anomalyd::detect {

/// Makes the p-values of one stream keep what they promise though its windows depend on each other
/// and drift: online quantile tracking, from the detector's calibration as the prior.
///
///   x = -log10 p of the calibration, levels l_k = 1, 1.5, ... 6, 7, ... 14 (p-values a_k =
///   10^-l_k); thresholds q_k = l_k at first, and with each window that is added q_k += e_k (1{x >
///   q_k} - a_k),   e_k = min(kMostStep, kStep sqrt(0.1 / a_k)); p' = 10^-l(x), l linear through
///   (0, 0), (q_0, l_0), ... (q_18, l_18) and of slope 1 beyond.
///
/// Whatever comes, a threshold is passed by a share of the added windows that differs from a_k by
/// at most (range + e_k) / (e_k T) after T of them, as far as the bounds below are not reached.
/// Four departures, each for the sake of alerts:
///  - a common level is never held above a rarer one: what is often a little odd does not hide what
///    is rare. Among the first kCoupled levels the rarer one gives way by half instead. The levels
///    go as far as any alert's p-value: a threshold that is not passed before an alert opens cannot
///    run away from a fault that comes on over some windows. A p-value is read off the lower
///    thresholds that this leaves, so that such a level is passed more often than it promises;
///  - thresholds stay above kLeast of their level: a quiet stream does not become touchy;
///  - and at most kMostRise above it: none becomes blind for good;
///  - the caller adds no window of an open alert but the one that opened it, once it has ended, so
///    that a fault does not make itself normal. A recurring one costs a step each time.
///
/// Units     p-values in and out, in [kMinPValue, 1]; NaN stays NaN and 1 stays 1.
/// Numerics  p' does not fall when p rises. A function of the added p-values in their order.
/// Cost      some 20 flops a level and three powers; 152 bytes.
/// Threads   a value.
/// Source    Gibbs and Candes 2021 (adaptive conformal inference); Angelopoulos, Candes and
///           Tibshirani 2023 (quantile tracking). The coupling and the bounds are ours.
class RateTracking {
 public:
  static constexpr std::size_t kLevels = 19;
  static constexpr double kStep = 0.174;    ///< 0.4 of the mean excess of an exponential tail
  static constexpr double kMostStep = 1.5;  ///< decades
  static constexpr std::size_t kCoupled = 8;
  static constexpr double kLeast = 0.3;
  static constexpr double kMostRise = 4;  ///< decades

  RateTracking();
  double p_value(double p) const;
  void add(double p);
  void archive(Archive& archive);

 private:
  // A step down at a rare level is less than a float can tell.
  std::array<double, kLevels> thresholds_{};
};

}  // namespace anomalyd::detect

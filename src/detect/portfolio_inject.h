#pragma once

#include <array>
#include <cstddef>
#include <random>
#include <string_view>

#include "detect/portfolio_learn.h"

namespace anomalyd::detect {

/// Kinds of synthetic anomalies.
enum class Anomaly {
  kSpike,      ///< one wild value
  kLevel,      ///< a shift, there and back
  kTrend,      ///< a ramp, then back
  kVariance,   ///< noise on top
  kFrequency,  ///< run through faster
  kAmplitude,  ///< louder or quieter around its mean
  kMissing,    ///< a stretch cut out: what follows comes early
  kReversed,   ///< run through backwards
  kFlat,       ///< held at its first value
  kSplice,     ///< another stretch of the same stream
  kDecoupled,  ///< one channel from another time; several channels only
};
inline constexpr std::array kAnomalies{Anomaly::kSpike,    Anomaly::kLevel,     Anomaly::kTrend,
                                       Anomaly::kVariance, Anomaly::kFrequency, Anomaly::kAmplitude,
                                       Anomaly::kMissing,  Anomaly::kReversed,  Anomaly::kFlat,
                                       Anomaly::kSplice,   Anomaly::kDecoupled};
/// "spike", "level", ...
std::string_view to_text(Anomaly kind);

/// Where and how strong.
struct Injection {
  Anomaly kind = Anomaly::kSpike;
  std::size_t begin = 0;
  std::size_t length = 1;
  std::size_t channel = 0;  ///< the one that it is put into; kMissing, kReversed, kFrequency and
                            ///< kSplice are put into all
  double strength = 1;      ///< in spreads of a channel, for those that have a size
};

/// Puts an anomaly into normalised samples begin .. begin + length - 1. What lies beyond the end
/// of the recording, if it is asked for, is its last sample.
///
/// Shapes   begin + length <= samples.
/// Numerics values stay within +-kMaxFollowed; the same `bits` give the same anomaly.
void inject(const Injection& injection, std::mt19937_64& bits, Recording& recording);

/// How many of the anomalies put into `clean` each member finds: its surprise reaches kFound
/// between the anomaly's begin and kLag samples after its end, and does not where nothing was put.
///
/// `members` have learned nothing of `clean`, whose samples they are to take for normal; copies of
/// them are used. The same anomalies whatever the members.
///
/// Cost     kAnomalies * kRepeats stretches of a few hundred samples.
/// Source   self-supervised selection: Goswami et al. 2023 (synthetic anomalies as the judge).
std::vector<double> injected_recall(const MemberSet& members, const Recording& clean);

}  // namespace anomalyd::detect

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/archive.h"

namespace anomalyd::detect {

/// How rare a score is among the scores that were added before it:
///
///   u(s) = -log10((1 + #{s_i >= s}) / (n + 1)),
///
/// where less than k of the scores are that high at least -log10((k + 1) / (n + 1)) +
/// a log10(s / q_k), a Pareto tail of index a = ln 4 / ln(q_k / q_4k) through the k-th and 4k-th
/// highest score, k = n / 50 in 10..100.
///
/// Units     scores at least 0, of one scorer; u has none, in [0, kMost].
/// Errors    none; scores that are not finite are passed over, and are no surprise.
/// Numerics  scores are counted in kBins bins, kPerOctave to a factor of two, so that s_i >= s is
///           known to 9 %, and equal scores count in full: what never changes is no surprise. When
///           a bin is full all counts are halved, and what is old fades. Never falls in s.
/// Cost      2 bytes a bin; a sum over the bins above s.
/// Threads   a value.
/// Source    conformal p-value (Vovk et al. 2005), one score after the other; the tail after
///           Weissman 1978 with the index from two quantiles.
class RunningTail {
 public:
  static constexpr float kMost = 6;
  static constexpr std::size_t kBins = 80;
  static constexpr std::size_t kPerOctave = 8;
  /// In place of a bin, for a score that has none.
  static constexpr std::uint8_t kNoBin = 0x7F;

  /// Before set_range() nothing is counted and nothing is a surprise.
  RunningTail() = default;
  /// Puts the bins around scores like these, and counts none of them.
  void set_range(std::span<const float> scores);

  std::uint8_t bin_of(float score) const;
  void add(std::uint8_t bin);
  float surprise(float score) const;
  double count() const { return static_cast<double>(count_); }
  void archive(Archive& archive);

 private:
  double position(float score) const;
  double position_of_rank(double rank) const;

  std::array<std::uint16_t, kBins> counts_{};
  std::uint32_t count_ = 0;
  float least_ = 0;  // the lowest score that is not in bin 0; 0: no range yet
};

}  // namespace anomalyd::detect

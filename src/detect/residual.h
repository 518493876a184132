#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "nn/types.h"

namespace anomalyd::detect {

/// Mean squared residual of each channel of one window.
/// Numerics  summed in double in the order of the samples.
std::vector<double> channel_energies(std::span<const float> window, std::span<const float> expected,
                                     std::size_t channels);

/// How large each channel's residual usually is, and scores against it: the mean over the
/// channels of energy / usual energy. 1 is a usual window; each channel counts alike, however
/// well it can be predicted.
///
/// Numerics  a usual energy below kFloor (1 % of a channel's spread) counts as kFloor, so that a
///           channel that is predicted perfectly does not turn rounding into alarms.
class ResidualScale {
 public:
  static constexpr double kFloor = 1e-4;

  explicit ResidualScale(std::vector<float> usual) : usual_(std::move(usual)) {}
  /// From the energies of held-out windows, one row of channels each.
  static ResidualScale of(const std::vector<std::vector<double>>& energies);

  float score(std::span<const double> energies) const;
  /// score() of channel_energies(), bit for bit, without a heap allocation.
  float score(std::span<const float> window, std::span<const float> expected) const;
  /// Each channel's part of the score.
  std::vector<double> shares(std::span<const double> energies) const;
  const std::vector<float>& usual() const { return usual_; }

 private:
  std::vector<float> usual_;
};

}  // namespace anomalyd::detect

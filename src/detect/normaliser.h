#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "nn/types.h"

namespace anomalyd::detect {

/// Normalised numbers are held in +-kMaxNormalised, so that whatever finite window comes, every
/// sum that a member makes of it stays finite: a huge window scores huge, not NaN.
inline constexpr float kMaxNormalised = 1e4F;

/// Running mean and spread of one channel.
/// Numerics  double; Welford's update, so that an offset of 1e6 spreads costs nothing.
struct ChannelMoments {
  double count = 0;
  double mean = 0;
  double squares = 0;  ///< sum of squared distances from the mean

  void add(double value);
  /// As if the other's values had been added here.
  void merge(const ChannelMoments& other);
  double spread() const;  ///< standard deviation, 0 of nothing
};

/// Moments of each channel of a time-major window.
std::vector<ChannelMoments> window_moments(std::span<const float> window, std::size_t channels);

/// x -> (x - mean) / spread of each channel, and back.
///
/// Units     in: sensor units; out: none.
/// Numerics  a flat channel (spread below 1e-6 of its mean's size, which is where float32 ends)
///           tells nothing of what is normal: it becomes 0 whatever it holds, instead of an
///           explosion. Out is held in +-kMaxNormalised. NaN and Inf become NaN.
struct ChannelScale {
  std::vector<float> mean;
  std::vector<float> spread;  ///< 0: a flat channel

  static ChannelScale of(std::span<const ChannelMoments> moments);

  std::size_t channels() const { return mean.size(); }
  void apply(std::span<const float> raw, std::span<float> normalised) const;
  void undo(std::span<const float> normalised, std::span<float> raw) const;
};

/// The same on borrowed numbers: `mean_then_spread` holds each channel's mean, then its spread.
void apply_scale(std::span<const float> mean_then_spread, std::span<const float> raw,
                 std::span<float> normalised);

}  // namespace anomalyd::detect

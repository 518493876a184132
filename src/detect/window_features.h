#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "nn/types.h"

namespace anomalyd::detect {

/// What a discriminator is shown of a window x, three numbers a value: x itself, the same with the
/// window's own mean and spread taken off, and its slope in the channel's usual ones,
///
///   f1 = x,  f2 = (x - mean) / max(spread, kLeastSpread),  f3 = (x_i - x_(i-1)) / usual,
///
/// each held in +-kMost.
///
/// Shapes    window (samples, channels), features (samples, 3 channels), time-major; the features
///           of a channel lie together.
/// Units     none: normalised values.
/// Numerics  finite for finite windows, whatever their size; means in double.
class WindowFeatures {
 public:
  static constexpr float kMost = 16.0F;
  static constexpr double kLeastSpread = 0.01;
  static constexpr float kLeastSlope = 1e-3F;
  static constexpr std::size_t kPerValue = 3;

  /// `slopes`: the usual one of each channel, at least kLeastSlope.
  explicit WindowFeatures(std::vector<float> slopes) : slopes_(std::move(slopes)) {}
  /// The slopes' root mean square in these windows (n, samples * channels).
  static WindowFeatures of(const nn::Matrix<float>& windows, std::size_t channels);

  std::size_t channels() const { return slopes_.size(); }
  const std::vector<float>& slopes() const { return slopes_; }
  void write(std::span<const float> window, std::span<float> features) const;

 private:
  std::vector<float> slopes_;
};

}  // namespace anomalyd::detect

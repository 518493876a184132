#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/archive.h"
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
///           explosion. That is for one window's own scale; a scale that is kept must not be blind
///           for ever, see ScaleLearner. Out is held in +-kMaxNormalised. NaN and Inf become NaN.
struct ChannelScale {
  std::vector<float> mean;
  std::vector<float> spread;  ///< 0: a flat channel

  static ChannelScale of(std::span<const ChannelMoments> moments);
  /// A flat channel gets 1e-3 of its mean's size, at least 1e-6, as its spread: while it stays
  /// where it is it is about 0, and any real change of it is far from normal.
  static ChannelScale with_floor(std::span<const ChannelMoments> moments);

  std::size_t channels() const { return mean.size(); }
  void apply(std::span<const float> raw, std::span<float> normalised) const;
  void undo(std::span<const float> normalised, std::span<float> raw) const;
};

/// Learns the scale of one stream from its first windows, and tells which of them teach.
///
/// A window teaches when every channel moved in it or since the window before it: what a silent
/// sensor sends before its machine runs says nothing of what is normal, and whoever learned it
/// would be blind. A window in which only some channels moved is passed over, but no more than
/// kPatienceSpans times the span of them: then a constant channel (a set-point) is taken for what
/// it is, and gets a floor for its spread. A window in which nothing moved never teaches.
class ScaleLearner {
 public:
  static constexpr std::size_t kPatienceSpans = 3;

  ScaleLearner(std::size_t channels, std::size_t span_windows);

  /// True when this window, which must be finite, counts towards the span.
  bool take(std::span<const float> window);
  /// Whether anything moved in the last window taken.
  bool any_moved() const { return any_moved_; }
  /// Of each channel, from all windows in which it moved.
  ChannelScale scale() const;
  std::size_t bytes() const;  ///< heap bytes held
  /// Of a learner of the same channels and span.
  void archive(Archive& archive);

 private:
  std::vector<ChannelMoments> moments_;  // of the windows in which the channel moved
  std::vector<ChannelMoments> still_;    // while it has not moved yet
  bool any_moved_ = false;
  std::vector<double> last_mean_;  // of the window before; empty before the first
  std::size_t patience_;           // windows that may still be passed over
};

/// ChannelScale::apply on borrowed numbers: `mean_then_spread` holds each channel's mean, then its
/// spread.
void apply_scale(std::span<const float> mean_then_spread, std::span<const float> raw,
                 std::span<float> normalised);

}  // namespace anomalyd::detect

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/archive.h"
#include "base/time.h"

namespace anomalyd::detect {

/// In place of a sample's time where nobody told it.
inline constexpr TimeNs kNoTime = -1;
/// Times of streams are before this (2116).
inline constexpr TimeNs kTimeEnd = TimeNs{1} << 62;

/// The last samples of one stream, each channel contiguous, and how many of them follow on each
/// other.
///
/// Shapes   a sample has one value a channel; at least `keep` samples back can be asked for.
/// Units    none: normalised values, finite and within +-kMaxFollowed.
/// Cost     push(): amortised two copies of a value; channels * keep * 5 bytes, see bytes().
/// Threads  one at a time.
class History {
 public:
  History(std::size_t channels, std::size_t keep);

  /// `time` of the sample, in steps of `step` from the one before.
  void push(std::span<const float> sample, TimeNs time = kNoTime, TimeNs step = 0);
  /// What comes next does not follow on what came: run() begins at 0.
  void interrupt() { run_ = 0; }

  std::size_t channels() const { return channels_; }
  std::size_t keep() const { return keep_; }
  /// Samples ever pushed: the newest has the number count() - 1.
  std::uint64_t count() const { return count_; }
  /// Samples since the last interruption, at most keep().
  std::size_t run() const { return run_; }
  /// When the sample `back` samples before the newest was taken, in a stretch without
  /// interruption; kNoTime where it is not known.
  TimeNs time(std::size_t back) const {
    return time_ == kNoTime ? kNoTime : time_ - static_cast<TimeNs>(back) * step_;
  }
  /// The value `back` samples before the newest.
  float at(std::size_t channel, std::size_t back) const {
    return values_[channel * stride_ + end_ - 1 - back];
  }
  /// The `n` values up to the one `back` samples before the newest, oldest first.
  const float* last(std::size_t channel, std::size_t n, std::size_t back = 0) const {
    return values_.data() + channel * stride_ + end_ - back - n;
  }
  std::size_t bytes() const { return values_.capacity() * sizeof(float); }
  /// Of a history of the same shape.
  void archive(Archive& archive);

 private:
  std::size_t channels_;
  std::size_t keep_;
  std::size_t stride_;
  std::size_t end_ = 0;  // one past the newest in each channel's row
  std::size_t run_ = 0;
  std::uint64_t count_ = 0;
  TimeNs time_ = kNoTime;  // of the newest
  TimeNs step_ = 0;
  std::vector<float> values_;  // (channels, stride)
};

}  // namespace anomalyd::detect

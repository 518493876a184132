#pragma once

#include <cstddef>
#include <vector>

#include "detect/members/stream_member.h"

namespace anomalyd::detect {

/// The last windows of a stream as short vectors: each channel's last points, a point being the
/// mean of `step` samples; channel after channel, oldest first.
///
/// Threads  one at a time.
class Blocks {
 public:
  /// Windows of about `length` samples and at most `most_values` values.
  Blocks(const StreamTraits& traits, std::size_t length, std::size_t most_values);

  /// Takes in the newest sample. True when it completes a point.
  bool follow(const History& history);
  void interrupt();

  std::size_t size() const { return channels_ * points_; }
  std::size_t points() const { return points_; }
  std::size_t channels() const { return channels_; }
  std::size_t samples() const { return points_ * step_; }
  std::size_t step() const { return step_; }
  /// True when the window has been filled since the last interruption.
  bool full() const { return recent_.run() >= points_; }
  /// The window `back` points before the newest.
  void window(std::size_t back, std::vector<float>& out) const;
  /// For a sample that is to be learned: how many points back it completed one, or -1.
  std::ptrdiff_t completed(const History& history, std::size_t back) const;
  std::size_t bytes() const;
  void archive(Archive& archive);

 private:
  std::size_t channels_;
  std::size_t points_;
  std::size_t step_;
  History recent_;
  std::vector<float> sum_;
  std::size_t summed_ = 0;
};

/// Mean and covariance of vectors, fading.
///
/// Numerics  double; a plain mean while young, then what is older than `memory` vectors has faded
///           to a third.
class FadingCovariance {
 public:
  FadingCovariance(std::size_t size, double memory);

  void add(const std::vector<float>& vector);
  double count() const { return count_; }
  std::size_t size() const { return lower_.size(); }  ///< of the lower triangle
  const std::vector<double>& mean() const { return mean_; }
  /// Of dimensions i >= j.
  double at(std::size_t i, std::size_t j) const { return lower_[i * (i + 1) / 2 + j]; }
  std::size_t bytes() const;
  void archive(Archive& archive);

 private:
  double memory_;
  double count_ = 0;
  std::vector<double> mean_;
  std::vector<double> lower_;
  std::vector<double> distance_;  // of add() alone
};

}  // namespace anomalyd::detect

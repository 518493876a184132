#include "detect/running_tail.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace anomalyd::detect {
namespace {

// Bin 0 begins this far below the middle of the scores.
constexpr float kBelowMedian = 16;
// Where no score was above 0: those of a scorer that is silent on what it knows are shares.
constexpr float kLeastOfSilent = 1e-3F;
constexpr double kTailShare = 0.02;
constexpr double kLeastTail = 10;
constexpr double kMostTail = 100;
constexpr double kTailSpread = 4;
constexpr double kLeastCount = 50;
// Two quantiles that are nearer than this say nothing of how the tail falls.
constexpr double kLeastGap = 0.05;

}  // namespace

void RunningTail::set_range(std::span<const float> scores) {
  std::vector<float> positive;
  for (const float score : scores) {
    if (std::isfinite(score) && score > 0) positive.push_back(score);
  }
  counts_.fill(0);
  count_ = 0;
  least_ = kLeastOfSilent;
  if (positive.empty()) return;
  const auto middle = positive.begin() + static_cast<std::ptrdiff_t>(positive.size() / 2);
  std::nth_element(positive.begin(), middle, positive.end());
  least_ = std::max(*middle / kBelowMedian, std::numeric_limits<float>::min());
}

double RunningTail::position(float score) const {
  const double octaves = std::log2(static_cast<double>(score) / static_cast<double>(least_));
  return 1 + static_cast<double>(kPerOctave) * octaves;
}

std::uint8_t RunningTail::bin_of(float score) const {
  if (!(least_ > 0) || !std::isfinite(score)) return kNoBin;
  if (!(score >= least_)) return 0;
  return static_cast<std::uint8_t>(std::clamp(position(score), 1.0, kBins - 1.0));
}

void RunningTail::add(std::uint8_t bin) {
  if (bin >= kBins) return;
  if (counts_[bin] == std::numeric_limits<std::uint16_t>::max()) {
    count_ = 0;
    for (std::uint16_t& each : counts_) {
      each = static_cast<std::uint16_t>((each + 1U) / 2U);
      count_ += each;
    }
  }
  ++counts_[bin];
  ++count_;
}

void RunningTail::archive(Archive& archive) {
  archive.sized(counts_, "bins");
  archive.within(least_, 0.0F, std::numeric_limits<float>::max(), "the lowest score of a tail");
  count_ = 0;
  for (const std::uint16_t each : counts_) count_ += each;
}

double RunningTail::position_of_rank(double rank) const {
  double above = 0;
  for (std::size_t bin = kBins; bin-- > 0;) {
    const auto here = static_cast<double>(counts_[bin]);
    if (above + here >= rank) return static_cast<double>(bin) + 1 - (rank - above) / here;
    above += here;
  }
  return 0;
}

float RunningTail::surprise(float score) const {
  const std::uint8_t bin = bin_of(score);
  if (bin == kNoBin) return 0;
  std::uint32_t higher = 0;
  for (std::size_t each = bin; each < kBins; ++each) higher += counts_[each];
  const double n = count();
  double u = -std::log10((1.0 + static_cast<double>(higher)) / (n + 1));
  const double k = std::clamp(kTailShare * n, kLeastTail, kMostTail);
  if (n >= kLeastCount && static_cast<double>(higher) < k && score >= least_) {
    const double nearer = position_of_rank(k);
    const double farther = position_of_rank(std::min(n, kTailSpread * k));
    constexpr double kLogStep = 0.6931471805599453 / static_cast<double>(kPerOctave);
    const double index = std::log(kTailSpread) / std::max(kLeastGap, (nearer - farther) * kLogStep);
    const double beyond = (position(score) - nearer) * kLogStep;
    u = std::max(u, -std::log10((k + 1) / (n + 1)) + index * beyond / std::log(10.0));
  }
  return static_cast<float>(std::clamp(u, 0.0, static_cast<double>(kMost)));
}

}  // namespace anomalyd::detect

#include <algorithm>
#include <cmath>
#include <limits>

#include "detect/members/stream_member.h"

namespace anomalyd::detect {
namespace {

// Of a faster cycle the phase is soon lost: a period is known to a few thousandths.
constexpr double kLeastPeriod = 48;
constexpr double kMemoryPeriods = 32;  // what is older has faded to a third
constexpr double kLeastPeriods = 2;
constexpr double kFloor = 0.02;  // of a channel's spread
// A bucket's own variance after few periods is mostly chance: it counts for n / (n + 4).
constexpr double kVariancePrior = 4;

/// Seasonal buckets: each channel's newest value against the mean and variance of the values at
/// the same phase of the period; the largest |z| over channels.
///
/// Numerics  phase counted in samples from the first, in double; a gap loses the phase, so the
///           season is learned anew after one.
/// Cost      20 operations a sample and channel; 8 bytes a bucket and channel.
class Seasonal final : public StreamMember {
 public:
  Seasonal(std::size_t channels, double period, std::size_t buckets)
      : period_(period),
        buckets_(buckets),
        channels_(channels),
        means_(buckets * channels, 0.0F),
        variances_(buckets * channels, 0.0F),
        counts_(buckets, 0.0F),
        overall_(channels, 0.0),
        energy_(channels, 0.0) {}

  float follow(const History& history) override {
    if (is_lost_) {
      std::fill(counts_.begin(), counts_.end(), 0.0F);
      is_lost_ = false;
    }
    const std::size_t bucket = bucket_of(history.count() - 1);
    const auto n = static_cast<double>(counts_[bucket]);
    double largest = 0;
    for (std::size_t c = 0; c < channels_; ++c) {
      const std::size_t at = bucket * channels_ + c;
      const double distance = static_cast<double>(history.at(c, 0) - means_[at]);
      const double variance =
          (n * static_cast<double>(variances_[at]) + kVariancePrior * overall_[c]) /
          (n + kVariancePrior);
      energy_[c] = distance * distance / (variance + kFloor * kFloor);
      largest = std::max(largest, energy_[c]);
    }
    return n >= kLeastPeriods ? static_cast<float>(std::sqrt(largest))
                              : std::numeric_limits<float>::quiet_NaN();
  }

  void learn(const History& history, std::size_t back, std::size_t /*clean*/) override {
    const std::size_t bucket = bucket_of(history.count() - 1 - back);
    const double per_bucket = std::max(1.0, period_ / static_cast<double>(buckets_));
    const double n =
        std::min(static_cast<double>(counts_[bucket]) + 1 / per_bucket, kMemoryPeriods);
    const double weight = 1 / std::max(1.0, n * per_bucket);
    counts_[bucket] = static_cast<float>(n);
    if (n >= kLeastPeriods) pooled_ = std::min(pooled_ + 1, kMemoryPeriods * period_);
    for (std::size_t c = 0; c < channels_; ++c) {
      const std::size_t at = bucket * channels_ + c;
      const double distance =
          static_cast<double>(history.at(c, back)) - static_cast<double>(means_[at]);
      means_[at] = static_cast<float>(static_cast<double>(means_[at]) + distance * weight);
      variances_[at] = static_cast<float>(
          (1 - weight) * (static_cast<double>(variances_[at]) + distance * distance * weight));
      if (n >= kLeastPeriods) {
        overall_[c] += (std::min(distance * distance, 9 * overall_[c] + 1) - overall_[c]) / pooled_;
      }
    }
  }

  void interrupt() override { is_lost_ = true; }

  void shares(const History& /*history*/, std::span<double> channels) const override {
    double sum = 0;
    for (const double energy : energy_) sum += energy;
    for (std::size_t c = 0; c < channels_; ++c) {
      channels[c] = sum > 0 ? energy_[c] / sum : 1.0 / static_cast<double>(channels_);
    }
  }

  std::size_t span() const override { return 1; }
  std::size_t context() const override { return 1; }
  std::size_t bytes() const override {
    return sizeof *this +
           (means_.capacity() + variances_.capacity() + counts_.capacity()) * sizeof(float) +
           (overall_.capacity() + energy_.capacity()) * sizeof(double);
  }
  double operations() const override { return 40.0 * static_cast<double>(channels_); }
  std::unique_ptr<StreamMember> clone() const override { return std::make_unique<Seasonal>(*this); }

  void archive(Archive& archive) override {
    archive.sized(means_, "means");
    archive.sized(variances_, "variances");
    archive.sized(counts_, "counts");
    archive.sized(overall_, "pooled variances");
    archive.sized(energy_, "energies");
    archive(pooled_, is_lost_);
  }

 private:
  std::size_t bucket_of(std::uint64_t time) const {
    const double turns = static_cast<double>(time) / period_;
    const double phase = turns - std::floor(turns);
    return std::min(buckets_ - 1, static_cast<std::size_t>(phase * static_cast<double>(buckets_)));
  }

  double period_;
  std::size_t buckets_;
  std::size_t channels_;
  std::vector<float> means_;      // (buckets, channels)
  std::vector<float> variances_;  // (buckets, channels)
  std::vector<float> counts_;     // periods that a bucket has seen
  std::vector<double> overall_;   // mean squared distance of each channel, all buckets
  std::vector<double> energy_;
  double pooled_ = 0;
  bool is_lost_ = false;
};

}  // namespace

MadeMember make_seasonal(const StreamTraits& traits, const MemberSize& size) {
  const double period = traits.slow_period > 0 ? traits.slow_period : traits.period;
  if (!(period >= kLeastPeriod)) return nullptr;
  const std::size_t most = std::max<std::size_t>(8, size.buckets / traits.channels);
  return std::make_unique<Seasonal>(traits.channels, period,
                                    std::min(most, static_cast<std::size_t>(period)));
}

}  // namespace anomalyd::detect

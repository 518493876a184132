#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "detect/members/stream_member.h"

namespace anomalyd::detect {
namespace {

constexpr double kMemorySamples = 8192;  // what is older has faded to a third
constexpr double kRangeMemory = 131072;
constexpr double kLeastLearned = 16;
// 1 % of a channel's spread; 2 % of loudness.
constexpr double kValueFloor = 0.01;
constexpr double kLogFloor = 0.02;
constexpr double kSmallSquare = 1e-6;
constexpr std::size_t kBendPoints = 12;
constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

/// Mean and variance that fade: a plain mean while young.
/// Source   West 1979.
struct FadingMoments {
  double count = 0;
  double mean = 0;
  double variance = 0;

  void add(double value, double memory) {
    count = std::min(count + 1, memory);
    const double distance = value - mean;
    mean += distance / count;
    variance = (1 - 1 / count) * (variance + distance * distance / count);
  }
};

/// What a feature has of one channel; fades over `memory` samples.
struct Running {
  double mean = 0;
  double square = 0;
};

/// The kinds of features: what a channel's last samples are summed up to.
enum class Feature {
  kLevel,      ///< mean
  kVariance,   ///< log of the variance around that mean
  kRoughness,  ///< log of the mean square of second differences
  kSpike,      ///< the newest value less that mean
  kBend,       ///< the newest value less a parabola through the kBendPoints before it
};

/// What each of kBendPoints values counts in the least-squares parabola's value one step on.
std::array<double, kBendPoints> forecast_weights() {
  // Normal equations of 1, t, t^2 at t = -n .. -1, the forecast at t = 0: the first row of the
  // inverse, by Cramer's rule.
  double s[5] = {0, 0, 0, 0, 0};
  for (std::size_t i = 0; i < kBendPoints; ++i) {
    const double t = static_cast<double>(i) - static_cast<double>(kBendPoints);
    double power = 1;
    for (double& sum : s) {
      sum += power;
      power *= t;
    }
  }
  const double a = s[2] * s[4] - s[3] * s[3];
  const double b = s[2] * s[3] - s[1] * s[4];
  const double c = s[1] * s[3] - s[2] * s[2];
  const double determinant = s[0] * a + s[1] * b + s[2] * c;
  std::array<double, kBendPoints> weights{};
  for (std::size_t i = 0; i < kBendPoints; ++i) {
    const double t = static_cast<double>(i) - static_cast<double>(kBendPoints);
    weights[i] = (a + b * t + c * t * t) / determinant;
  }
  return weights;
}

/// Score = the largest |z| over channels of a feature of the last samples, z against the feature's
/// own mean and variance among what was learned.
///
/// Numerics  sums in double that fade by 1 / length a sample; NaN for the first `length` samples
///           after an interruption and until kLeastLearned are learned.
/// Cost      about 30 operations a sample and channel; 40 bytes a channel, 5 for each sample of a
///           hop.
class FeatureMember final : public StreamMember {
 public:
  FeatureMember(Feature feature, std::size_t channels, std::size_t length, std::size_t hop)
      : feature_(feature),
        length_(static_cast<double>(length)),
        running_(channels),
        usual_(channels),
        pending_(channels, hop + 1),
        values_(channels, 0.0F),
        z_(channels, 0.0) {}

  float follow(const History& history) override {
    age_ = std::min(age_ + 1, length_);
    double largest = 0;
    for (std::size_t c = 0; c < running_.size(); ++c) {
      values_[c] = static_cast<float>(move(history, c));
      const FadingMoments& usual = usual_[c];
      const double floor = is_log() ? kLogFloor : kValueFloor;
      z_[c] = std::abs(static_cast<double>(values_[c]) - usual.mean) /
              std::sqrt(usual.variance + floor * floor);
      largest = std::max(largest, z_[c]);
    }
    pending_.push(values_);
    const bool is_ready = age_ >= length_ && usual_[0].count >= kLeastLearned;
    return is_ready ? static_cast<float>(largest) : kNone;
  }

  void learn(const History& /*history*/, std::size_t back, std::size_t clean) override {
    // What still holds samples from before an interruption or an alert is not learned.
    if (static_cast<double>(clean) < length_) return;
    for (std::size_t c = 0; c < usual_.size(); ++c) {
      usual_[c].add(static_cast<double>(pending_.at(c, back)), kMemorySamples);
    }
  }

  void interrupt() override { age_ = 0; }

  void shares(const History& /*history*/, std::span<double> channels) const override {
    double sum = 0;
    for (const double z : z_) sum += z * z;
    for (std::size_t c = 0; c < z_.size(); ++c) {
      channels[c] = sum > 0 ? z_[c] * z_[c] / sum : 1.0 / static_cast<double>(z_.size());
    }
  }

  std::size_t span() const override { return static_cast<std::size_t>(length_); }
  std::size_t context() const override { return kBendPoints + 1; }
  std::size_t bytes() const override {
    return sizeof *this + running_.capacity() * sizeof(Running) +
           usual_.capacity() * sizeof(FadingMoments) + pending_.bytes() +
           values_.capacity() * sizeof(float) + z_.capacity() * sizeof(double);
  }
  double operations() const override { return 40.0 * static_cast<double>(running_.size()); }
  std::unique_ptr<StreamMember> clone() const override {
    return std::make_unique<FeatureMember>(*this);
  }

  void archive(Archive& archive) override {
    archive.within(age_, 0, length_, "the age of a feature");
    archive.sized(running_, "running sums", [](Archive& a, Running& r) { a(r.mean, r.square); });
    archive.sized(usual_, "usual moments",
                  [](Archive& a, FadingMoments& m) { a(m.count, m.mean, m.variance); });
    pending_.archive(archive);
    archive.sized(z_, "distances");  // values_ are of follow() alone
  }

 private:
  bool is_log() const { return feature_ == Feature::kVariance || feature_ == Feature::kRoughness; }

  /// The feature of channel c with the newest sample in it.
  double move(const History& history, std::size_t c) {
    Running& running = running_[c];
    const auto x = static_cast<double>(history.at(c, 0));
    if (age_ == 1) running = {x, 0};
    const double fade = 1 / std::min(age_, length_);
    if (feature_ == Feature::kBend) {
      if (history.run() <= kBendPoints) return 0;
      static const std::array<double, kBendPoints> kWeights = forecast_weights();
      const float* values = history.last(c, kBendPoints, 1);
      double forecast = 0;
      for (std::size_t i = 0; i < kBendPoints; ++i) {
        forecast += kWeights[i] * static_cast<double>(values[i]);
      }
      return x - forecast;
    }
    if (feature_ == Feature::kRoughness) {
      if (history.run() >= 3) {
        const double bend =
            x - 2 * static_cast<double>(history.at(c, 1)) + static_cast<double>(history.at(c, 2));
        running.square += (bend * bend - running.square) * fade;
      }
      return 0.5 * std::log(running.square + kSmallSquare);
    }
    const double distance = x - running.mean;
    running.mean += distance * fade;
    if (feature_ == Feature::kLevel) return running.mean;
    if (feature_ == Feature::kSpike) return distance;
    running.square += (distance * distance - running.square) * fade;
    return 0.5 * std::log(running.square + kSmallSquare);
  }

  Feature feature_;
  double length_;
  double age_ = 0;  // samples since the last interruption, at most length_
  std::vector<Running> running_;
  std::vector<FadingMoments> usual_;
  History pending_;  // features that may still be learned
  std::vector<float> values_;
  std::vector<double> z_;
};

/// How far the newest value is outside of the range of what was learned, in shares of that range;
/// the largest over channels.
///
/// Numerics  the range shrinks by 1 / kRangeMemory of itself a sample, so that one wild value is
///           forgotten.
/// Cost      6 operations a sample and channel; 24 bytes a channel.
class Range final : public StreamMember {
 public:
  explicit Range(std::size_t channels) : channels_(channels) {}

  float follow(const History& history) override {
    double largest = 0;
    for (std::size_t c = 0; c < channels_.size(); ++c) {
      Channel& channel = channels_[c];
      const auto x = static_cast<double>(history.at(c, 0));
      const double outside = std::max({0.0, x - channel.high, channel.low - x});
      channel.energy = outside / (channel.high - channel.low + kValueFloor);
      largest = std::max(largest, channel.energy);
    }
    return learned_ >= kLeastLearned ? static_cast<float>(largest) : kNone;
  }

  void learn(const History& history, std::size_t back, std::size_t /*clean*/) override {
    for (std::size_t c = 0; c < channels_.size(); ++c) {
      Channel& channel = channels_[c];
      const auto x = static_cast<double>(history.at(c, back));
      if (learned_ == 0) channel.low = channel.high = x;
      const double shrink = (channel.high - channel.low) / (2 * kRangeMemory);
      channel.low = std::min(x, channel.low + shrink);
      channel.high = std::max(x, channel.high - shrink);
    }
    learned_ = std::min(learned_ + 1, kLeastLearned);
  }

  void shares(const History& /*history*/, std::span<double> channels) const override {
    double sum = 0;
    for (const Channel& channel : channels_) sum += channel.energy;
    for (std::size_t c = 0; c < channels_.size(); ++c) {
      channels[c] =
          sum > 0 ? channels_[c].energy / sum : 1.0 / static_cast<double>(channels_.size());
    }
  }

  std::size_t span() const override { return 1; }
  std::size_t context() const override { return 1; }
  std::size_t bytes() const override {
    return sizeof *this + channels_.capacity() * sizeof(Channel);
  }
  double operations() const override { return 12.0 * static_cast<double>(channels_.size()); }
  std::unique_ptr<StreamMember> clone() const override { return std::make_unique<Range>(*this); }

  void archive(Archive& archive) override {
    archive.sized(channels_, "ranges", [](Archive& a, Channel& c) { a(c.low, c.high, c.energy); });
    archive(learned_);
  }

 private:
  struct Channel {
    double low = 0;
    double high = 0;
    double energy = 0;
  };
  std::vector<Channel> channels_;
  double learned_ = 0;
};

/// A length for features: a period where there is one, so that its phase does not count.
std::size_t length_of(const StreamTraits& traits, double without) {
  const double length = traits.period >= 4 ? traits.period : without;
  const auto most = static_cast<double>(std::max<std::size_t>(4, traits.samples / 16));
  return static_cast<std::size_t>(std::clamp(length, 4.0, std::min(most, 1024.0)));
}

MadeMember make(Feature feature, const StreamTraits& traits, std::size_t length) {
  return std::make_unique<FeatureMember>(feature, traits.channels, length, traits.hop);
}

}  // namespace

MadeMember make_polynomial(const StreamTraits& traits, const MemberSize& /*size*/) {
  return make(Feature::kBend, traits, kBendPoints + 1);
}
MadeMember make_range(const StreamTraits& traits, const MemberSize& /*size*/) {
  return std::make_unique<Range>(traits.channels);
}
MadeMember make_level(const StreamTraits& traits, const MemberSize& /*size*/) {
  return make(Feature::kLevel, traits, length_of(traits, 32));
}
MadeMember make_level_short(const StreamTraits& traits, const MemberSize& /*size*/) {
  return make(Feature::kLevel, traits, 4);
}
MadeMember make_variance(const StreamTraits& traits, const MemberSize& /*size*/) {
  return make(Feature::kVariance, traits, length_of(traits, 32));
}
MadeMember make_roughness(const StreamTraits& traits, const MemberSize& /*size*/) {
  return make(Feature::kRoughness, traits, std::min<std::size_t>(24, length_of(traits, 24)));
}
MadeMember make_spike(const StreamTraits& traits, const MemberSize& /*size*/) {
  return make(Feature::kSpike, traits, std::min<std::size_t>(16, length_of(traits, 16)));
}

}  // namespace anomalyd::detect

#include <algorithm>
#include <array>
#include <cmath>

#include "detect/member.h"
#include "detect/normaliser.h"

namespace anomalyd::detect {
namespace {

constexpr std::size_t kFeatures = 2;           // of each channel: mean, log of the spread
constexpr double kTimeConstantWindows = 1000;  // what is older has faded to a third
constexpr double kSmallSpread = 1e-3;          // a silent window has a logarithm, too
// Below these a change is no anomaly however steady the stream was: 2 % of its spread for the
// mean, 2 % of loudness.
constexpr std::array<double, kFeatures> kFloors{0.02, 0.02};

/// Moving z-score: for each channel, the window's mean and log spread against their
/// exponentially weighted mean and variance in this stream; the score is the largest |z|.
///
/// Units     windows: normalised; memory: [windows seen, then mean and variance of each feature
///           of each channel].
/// Numerics  the weight of a window is 1 / n for the first kTimeConstantWindows, then
///           1 / kTimeConstantWindows: a plain mean while young. Features in double.
/// Cost      samples * channels * 2 operations a window; 4 floats a channel of memory.
/// Source    exponentially weighted moments: West 1979.
class Zscore final : public Member {
 public:
  void score(const nn::Matrix<float>& windows, std::span<const StreamState* const> states,
             std::span<float> scores) const override {
    for (Eigen::Index row = 0; row < windows.rows(); ++row) {
      const auto i = static_cast<std::size_t>(row);
      const std::span<const float> window(windows.data() + row * windows.cols(),
                                          static_cast<std::size_t>(windows.cols()));
      double largest = 0;
      for (const double z : distances(states[i]->member, window)) {
        largest = std::max(largest, std::abs(z));
      }
      scores[i] = static_cast<float>(largest);
    }
  }

  MemberExplanation explain(const StreamState& state,
                            std::span<const float> normalised) const override {
    const std::span<const float> memory(state.member);
    const std::size_t channels = channels_of(memory);
    const std::vector<double> z = distances(memory, normalised);
    const std::vector<ChannelMoments> moments = window_moments(normalised, channels);
    MemberExplanation why;
    why.expected.resize(normalised.size());
    for (std::size_t c = 0; c < channels; ++c) {
      double energy = 0;
      for (std::size_t f = 0; f < kFeatures; ++f) {
        energy += z[c * kFeatures + f] * z[c * kFeatures + f];
      }
      why.energies.push_back(energy);
      // The window's own form at the stream's usual mean and loudness.
      const double mean = static_cast<double>(memory[slot(c, 0)]);
      const double spread =
          std::max(0.0, std::exp(static_cast<double>(memory[slot(c, 1)])) - kSmallSpread);
      const double own = moments[c].spread();
      const double gain = own > kSmallSpread ? spread / own : 0.0;
      for (std::size_t i = c; i < normalised.size(); i += channels) {
        why.expected[i] = static_cast<float>(
            mean + gain * (static_cast<double>(normalised[i]) - moments[c].mean));
      }
    }
    return why;
  }

  bool is_online() const override { return true; }

  std::vector<float> new_memory(std::size_t channels) const override {
    return std::vector<float>(1 + channels * kFeatures * 2, 0.0F);
  }

  bool accepts(std::span<const float> memory) const override {
    // Windows are within +-kMaxNormalised, and so are their means; their spreads' logarithms are
    // small. A whole number of windows, no negative variance.
    constexpr auto kMost = static_cast<float>(kTimeConstantWindows);
    constexpr float kMostVariance = 2 * kMaxNormalised * kMaxNormalised;
    if (!(memory[0] >= 0 && memory[0] <= kMost)) return false;
    for (std::size_t i = 1; i < memory.size(); i += 2) {
      if (!(std::abs(memory[i]) <= kMaxNormalised)) return false;
      if (!(memory[i + 1] >= 0 && memory[i + 1] <= kMostVariance)) return false;
    }
    return true;
  }

  void update(std::span<float> memory, std::span<const float> normalised) const override {
    const std::size_t channels = channels_of(memory);
    const double n = std::min(static_cast<double>(memory[0]) + 1, kTimeConstantWindows);
    memory[0] = static_cast<float>(n);
    const std::vector<double> features = features_of(normalised, channels);
    for (std::size_t i = 0; i < features.size(); ++i) {
      float& mean = memory[1 + 2 * i];
      float& variance = memory[2 + 2 * i];
      const double distance = features[i] - static_cast<double>(mean);
      mean = static_cast<float>(static_cast<double>(mean) + distance / n);
      variance = static_cast<float>((1 - 1 / n) *
                                    (static_cast<double>(variance) + distance * distance / n));
    }
  }

 private:
  static std::size_t channels_of(std::span<const float> memory) {
    ANOMALYD_CHECK(memory.size() > 1, "zscore: a state that start() did not make");
    return (memory.size() - 1) / (2 * kFeatures);
  }
  static std::size_t slot(std::size_t channel, std::size_t feature) {
    return 1 + 2 * (channel * kFeatures + feature);
  }

  static std::vector<double> features_of(std::span<const float> window, std::size_t channels) {
    std::vector<double> features;
    features.reserve(channels * kFeatures);
    for (const ChannelMoments& moments : window_moments(window, channels)) {
      features.push_back(moments.mean);
      features.push_back(std::log(moments.spread() + kSmallSpread));
    }
    return features;
  }

  /// z of each feature.
  static std::vector<double> distances(std::span<const float> memory,
                                       std::span<const float> window) {
    std::vector<double> z = features_of(window, channels_of(memory));
    for (std::size_t i = 0; i < z.size(); ++i) {
      const double floor = kFloors[i % kFeatures];
      const double variance = static_cast<double>(memory[2 + 2 * i]) + floor * floor;
      z[i] = (z[i] - static_cast<double>(memory[1 + 2 * i])) / std::sqrt(variance);
    }
    return z;
  }
};

}  // namespace

Result<std::unique_ptr<Member>> make_online_zscore(const DetectorInfo& info) {
  if (info.normaliser == NormaliserKind::kWindow) {
    return Error{ErrorCode::kInvalidArgument,
                 "zscore: it compares the mean and spread of windows, which the normaliser "
                 "\"window\" makes all alike; expected the normaliser \"stream\""};
  }
  return std::unique_ptr<Member>(std::make_unique<Zscore>());
}

}  // namespace anomalyd::detect

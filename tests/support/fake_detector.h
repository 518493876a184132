#pragma once

#include <cmath>
#include <memory>
#include <numeric>

#include "detect/detector.h"

namespace anomalyd::testing {

/// A detector whose score is the window's mean and whose p-value is 10^-score: tests say by the
/// samples what happens. It learns for info.learn_windows windows.
class MeanDetector final : public detect::Detector {
 public:
  explicit MeanDetector(detect::DetectorInfo info, bool online = false)
      : info_(std::move(info)), online_(online) {
    info_.name = "mean";
    info_.kind = "mean";
    if (info_.version.empty()) info_.version = "1";
  }

  const detect::DetectorInfo& info() const override { return info_; }
  detect::StreamState start(std::size_t) const override {
    detect::StreamState state;
    state.member.assign(1, 0);
    return state;
  }
  double progress(const detect::StreamState& state) const override {
    return info_.learn_windows == 0 ? 1
                                    : static_cast<double>(state.learned_windows) /
                                          static_cast<double>(info_.learn_windows);
  }
  void learn(detect::StreamState& state, std::span<const float>) const override {
    ++state.learned_windows;
  }
  void normalise(const detect::StreamState&, std::span<const float> raw,
                 std::span<float> normalised) const override {
    std::copy(raw.begin(), raw.end(), normalised.begin());
  }
  void score(const nn::Matrix<float>& windows, std::span<const detect::StreamState* const> states,
             std::span<float> scores) const override {
    for (Eigen::Index i = 0; i < windows.rows(); ++i) {
      // The memory counts windows that were let in, which the tests of freezing read.
      const float memory = online_ ? states[static_cast<std::size_t>(i)]->member[0] * 1e-3F : 0;
      scores[static_cast<std::size_t>(i)] = windows.row(i).mean() + memory;
    }
  }
  double p_value(const detect::StreamState&, float score) const override {
    if (std::isnan(score)) return std::numeric_limits<double>::quiet_NaN();
    return std::pow(10.0, -std::max(0.0F, score));
  }
  void update(detect::StreamState& state, std::span<const float>) const override {
    if (online_) ++state.member[0];
  }
  bool is_online() const override { return online_; }
  void archive(detect::StreamState& state, std::size_t, Archive& archive) const override {
    archive(state.learned_windows);
    archive.sized(state.member, "numbers");
  }
  detect::Explanation explain(const detect::StreamState&,
                              std::span<const float> raw) const override {
    const std::size_t channels = raw.size() / info_.window_samples;
    return {std::vector<double>(channels, 1.0 / static_cast<double>(channels)),
            std::vector<float>(raw.size(), 0)};
  }
  Status save(const std::filesystem::path&) const override {
    return Error{ErrorCode::kUnsupported, "a test's detector has no file"};
  }

 private:
  detect::DetectorInfo info_;
  bool online_;
};

}  // namespace anomalyd::testing

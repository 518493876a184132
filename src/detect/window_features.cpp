#include "detect/window_features.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace anomalyd::detect {
namespace {

float held(double value) {
  constexpr auto kMost = static_cast<double>(WindowFeatures::kMost);
  return static_cast<float>(std::clamp(value, -kMost, kMost));
}

}  // namespace

WindowFeatures WindowFeatures::of(const nn::Matrix<float>& windows, std::size_t channels) {
  std::vector<double> sums(channels, 0.0);
  const auto columns = static_cast<std::size_t>(windows.cols());
  double count = 0;
  for (Eigen::Index row = 0; row < windows.rows(); ++row) {
    const float* x = windows.data() + row * windows.cols();
    for (std::size_t i = channels; i < columns; ++i) {
      const double slope = static_cast<double>(x[i]) - static_cast<double>(x[i - channels]);
      sums[i % channels] += slope * slope;
    }
    count += static_cast<double>(columns / channels) - 1;
  }
  std::vector<float> slopes;
  for (const double sum : sums) {
    const double usual = count > 0 ? std::sqrt(sum / count) : 1.0;
    slopes.push_back(static_cast<float>(std::clamp(usual, static_cast<double>(kLeastSlope), 1e30)));
  }
  return WindowFeatures(std::move(slopes));
}

void WindowFeatures::write(std::span<const float> window, std::span<float> features) const {
  const std::size_t channels = slopes_.size();
  ANOMALYD_CHECK(window.size() % channels == 0 && features.size() == kPerValue * window.size(),
                 "features: a window of whole samples and thrice the room were expected");
  const std::size_t samples = window.size() / channels;
  for (std::size_t c = 0; c < channels; ++c) {
    const auto at = [&](std::size_t i) { return static_cast<double>(window[i * channels + c]); };
    double sum = 0;
    for (std::size_t i = 0; i < samples; ++i) sum += at(i);
    const double mean = sum / static_cast<double>(samples);
    double squares = 0;
    for (std::size_t i = 0; i < samples; ++i) squares += (at(i) - mean) * (at(i) - mean);
    const double spread = std::max(std::sqrt(squares / static_cast<double>(samples)), kLeastSpread);
    const auto usual = static_cast<double>(slopes_[c]);
    for (std::size_t i = 0; i < samples; ++i) {
      float* out = features.data() + (i * channels + c) * kPerValue;
      out[0] = held(at(i));
      out[1] = held((at(i) - mean) / spread);
      out[2] = i > 0 ? held((at(i) - at(i - 1)) / usual) : 0.0F;
    }
  }
}

}  // namespace anomalyd::detect

#include "detect/normaliser.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace anomalyd::detect {
namespace {

constexpr double kFlatShare = 1e-6;
constexpr double kFlatSpread = 1e-30;  // below it, 1 / spread leaves float32
constexpr double kFloorShare = 1e-3;   // of a flat channel's mean: what its spread is taken for
constexpr double kFloorSpread = 1e-6;

/// How far a channel at `mean` may be off without having moved: where float32 ends.
double still_within(double mean) { return std::max(kFlatShare * std::abs(mean), kFlatSpread); }

bool is_flat(const ChannelMoments& moments) {
  return !(moments.spread() > still_within(moments.mean));
}

float normalised_value(float raw, double mean, double spread) {
  if (!std::isfinite(raw)) return std::numeric_limits<float>::quiet_NaN();
  if (!(spread > 0)) return 0.0F;
  const double value = (static_cast<double>(raw) - mean) / spread;
  constexpr double kMax = static_cast<double>(kMaxNormalised);
  return static_cast<float>(std::clamp(value, -kMax, kMax));
}

void apply_to(std::span<const float> mean, std::span<const float> spread,
              std::span<const float> raw, std::span<float> normalised) {
  const std::size_t channels = mean.size();
  ANOMALYD_CHECK(channels > 0 && raw.size() % channels == 0 && raw.size() == normalised.size(),
                 "normaliser: a window of whole samples was expected");
  for (std::size_t i = 0; i < raw.size(); i += channels) {
    for (std::size_t c = 0; c < channels; ++c) {
      normalised[i + c] = normalised_value(raw[i + c], static_cast<double>(mean[c]),
                                           static_cast<double>(spread[c]));
    }
  }
}

}  // namespace

void ChannelMoments::add(double value) {
  count += 1;
  const double distance = value - mean;
  mean += distance / count;
  squares += distance * (value - mean);
}

void ChannelMoments::merge(const ChannelMoments& other) {
  if (other.count == 0) return;
  const double total = count + other.count;
  const double distance = other.mean - mean;
  mean += distance * (other.count / total);
  squares += other.squares + distance * distance * (count * other.count / total);
  count = total;
}

double ChannelMoments::spread() const { return count > 0 ? std::sqrt(squares / count) : 0; }

std::vector<ChannelMoments> window_moments(std::span<const float> window, std::size_t channels) {
  ANOMALYD_CHECK(channels > 0 && window.size() % channels == 0,
                 "normaliser: a window of whole samples was expected");
  std::vector<ChannelMoments> moments(channels);
  const std::size_t samples = window.size() / channels;
  // Two passes: exact enough, and faster than a division a sample.
  for (std::size_t i = 0; i < window.size(); i += channels) {
    for (std::size_t c = 0; c < channels; ++c)
      moments[c].mean += static_cast<double>(window[i + c]);
  }
  for (ChannelMoments& moment : moments) {
    moment.count = static_cast<double>(samples);
    moment.mean /= moment.count;
  }
  for (std::size_t i = 0; i < window.size(); i += channels) {
    for (std::size_t c = 0; c < channels; ++c) {
      const double distance = static_cast<double>(window[i + c]) - moments[c].mean;
      moments[c].squares += distance * distance;
    }
  }
  return moments;
}

ChannelScale ChannelScale::of(std::span<const ChannelMoments> moments) {
  ChannelScale scale;
  for (const ChannelMoments& moment : moments) {
    scale.mean.push_back(static_cast<float>(moment.mean));
    scale.spread.push_back(is_flat(moment) ? 0.0F : static_cast<float>(moment.spread()));
  }
  return scale;
}

ChannelScale ChannelScale::with_floor(std::span<const ChannelMoments> moments) {
  ChannelScale scale = of(moments);
  for (std::size_t c = 0; c < moments.size(); ++c) {
    if (scale.spread[c] > 0) continue;
    scale.spread[c] =
        static_cast<float>(std::max(kFloorShare * std::abs(moments[c].mean), kFloorSpread));
  }
  return scale;
}

void ChannelScale::apply(std::span<const float> raw, std::span<float> normalised) const {
  apply_to(mean, spread, raw, normalised);
}

void ChannelScale::undo(std::span<const float> normalised, std::span<float> raw) const {
  const std::size_t channels = mean.size();
  ANOMALYD_CHECK(channels > 0 && raw.size() % channels == 0 && raw.size() == normalised.size(),
                 "normaliser: a window of whole samples was expected");
  for (std::size_t i = 0; i < raw.size(); ++i) {
    const std::size_t c = i % channels;
    raw[i] = static_cast<float>(static_cast<double>(mean[c]) + static_cast<double>(normalised[i]) *
                                                                   static_cast<double>(spread[c]));
  }
}

ScaleLearner::ScaleLearner(std::size_t channels, std::size_t span_windows)
    : moments_(channels), still_(channels), patience_(kPatienceSpans * span_windows) {}

bool ScaleLearner::take(std::span<const float> window) {
  const std::vector<ChannelMoments> moments = window_moments(window, moments_.size());
  std::size_t moved = 0;
  for (std::size_t c = 0; c < moments.size(); ++c) {
    const double mean = moments[c].mean;
    const bool is_off = !last_mean_.empty() && std::abs(mean - last_mean_[c]) > still_within(mean);
    if (is_flat(moments[c]) && !is_off) continue;
    ++moved;
    moments_[c].merge(moments[c]);
  }
  last_mean_.resize(moments.size());
  for (std::size_t c = 0; c < moments.size(); ++c) {
    last_mean_[c] = moments[c].mean;
    // What never moved still has a mean.
    if (moments_[c].count == 0 && moved > 0) still_[c].merge(moments[c]);
  }
  any_moved_ = moved > 0;
  if (!any_moved_) return false;
  if (moved < moments.size() && patience_ > 0) {
    --patience_;
    return false;
  }
  return true;
}

ChannelScale ScaleLearner::scale() const {
  std::vector<ChannelMoments> moments = moments_;
  for (std::size_t c = 0; c < moments.size(); ++c) {
    if (moments[c].count == 0) moments[c] = still_[c];
  }
  return ChannelScale::with_floor(moments);
}

void ScaleLearner::archive(Archive& archive) {
  // What floats can add up to: beyond it a scale would not be finite.
  constexpr double kMostCount = 1e15;
  constexpr double kMostMean = static_cast<double>(std::numeric_limits<float>::max());
  constexpr double kMostSquares = 4 * kMostMean * kMostMean * kMostCount;
  const auto each = [](Archive& a, ChannelMoments& moments) {
    a.within(moments.count, 0, kMostCount, "the count of a moment");
    a.within(moments.mean, -kMostMean, kMostMean, "a mean");
    a.within(moments.squares, 0, kMostSquares, "a sum of squares");
  };
  archive.sized(moments_, "moments", each);
  archive.sized(still_, "moments of what is still", each);
  bool has_last = !last_mean_.empty();
  archive(any_moved_, has_last);
  if (archive.reads()) last_mean_.assign(has_last ? moments_.size() : 0, 0.0);
  archive.sized(last_mean_, "means of the window before",
                [](Archive& a, double& mean) { a.within(mean, -kMostMean, kMostMean, "a mean"); });
  archive.within(patience_, 0, patience_, "the windows that may be passed over");
}

std::size_t ScaleLearner::bytes() const {
  return (moments_.capacity() + still_.capacity()) * sizeof(ChannelMoments) +
         last_mean_.capacity() * sizeof(double);
}

void apply_scale(std::span<const float> mean_then_spread, std::span<const float> raw,
                 std::span<float> normalised) {
  const std::size_t channels = mean_then_spread.size() / 2;
  apply_to(mean_then_spread.first(channels), mean_then_spread.subspan(channels), raw, normalised);
}

}  // namespace anomalyd::detect

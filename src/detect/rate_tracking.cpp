#include "detect/rate_tracking.h"

#include <algorithm>
#include <cmath>

#include "detect/calibration.h"

namespace anomalyd::detect {
namespace {

// Half decades to 6, then whole ones to 14.
constexpr std::size_t kHalves = 10;
constexpr double level_of(std::size_t k) {
  const double decades = 1 + 0.5 * static_cast<double>(std::min(k, kHalves));
  return decades + (k > kHalves ? static_cast<double>(k - kHalves) : 0);
}
constexpr double most_of(std::size_t k) { return level_of(k) + RateTracking::kMostRise; }

struct Level {
  double promised = 0;  // a_k
  double step = 0;      // e_k
};

const std::array<Level, RateTracking::kLevels>& levels() {
  static const auto made = [] {
    std::array<Level, RateTracking::kLevels> all;
    for (std::size_t k = 0; k < all.size(); ++k) {
      all[k].promised = std::pow(10.0, -level_of(k));
      all[k].step =
          std::min(RateTracking::kMostStep, RateTracking::kStep * std::sqrt(0.1 / all[k].promised));
    }
    return all;
  }();
  return made;
}

}  // namespace

RateTracking::RateTracking() {
  for (std::size_t k = 0; k < kLevels; ++k) thresholds_[k] = level_of(k);
}

double RateTracking::p_value(double p) const {
  if (!(p < 1)) return p;
  std::array<double, kLevels> thresholds{};
  for (std::size_t k = kLevels; k-- > 0;) {
    thresholds[k] = thresholds_[k];
    if (k + 1 < kLevels) thresholds[k] = std::min(thresholds[k], thresholds[k + 1]);
  }
  const double x = -std::log10(p);
  double from = 0;
  double level = 0;
  for (std::size_t k = 0; k < kLevels; ++k) {
    if (x < thresholds[k]) {
      const double part = (x - from) / (thresholds[k] - from);
      return std::pow(10.0, -(level + (level_of(k) - level) * part));
    }
    from = thresholds[k];
    level = level_of(k);
  }
  return std::max(kMinPValue, std::pow(10.0, -(level + x - from)));
}

void RateTracking::add(double p) {
  if (std::isnan(p)) return;
  const double x = -std::log10(p);
  for (std::size_t k = 0; k < kLevels; ++k) {
    const double passed = x > thresholds_[k] ? 1 : 0;
    const double moved = thresholds_[k] + levels()[k].step * (passed - levels()[k].promised);
    thresholds_[k] = std::clamp(moved, kLeast * level_of(k), most_of(k));
  }
  for (std::size_t k = 0; k + 1 < kCoupled; ++k) {
    const double above = thresholds_[k] - thresholds_[k + 1];
    if (above > 0) thresholds_[k + 1] += above / 2;
  }
}

void RateTracking::archive(Archive& archive) {
  for (std::size_t k = 0; k < kLevels; ++k) {
    archive.within(thresholds_[k], kLeast * level_of(k), most_of(k), "a threshold");
  }
}

}  // namespace anomalyd::detect

#include "stream/domain.h"

#include <algorithm>

namespace anomalyd::stream {

alert::Rules Domain::alert_rules(double rate_hz) const {
  alert::Rules rules;
  const double hop_seconds = static_cast<double>(windows.hop_samples) / rate_hz;
  rules.fire_p = detect::fire_p_value(budget, hop_seconds);
  rules.clear_p = std::min(0.5, rules.fire_p * clear_factor);
  rules.confirm_windows = confirm_windows;
  rules.hold_ns = hold_ns;
  return rules;
}

bool Domain::continues(const Domain& other) const {
  const auto same_channels = [](const ChannelNames& a, const ChannelNames& b) {
    return a == b || (a != nullptr && b != nullptr && *a == *b);
  };
  return name == other.name && detector->info().version == other.detector->info().version &&
         detector->info().kind == other.detector->info().kind &&
         detector->info().learn_windows == other.detector->info().learn_windows &&
         same_channels(windows.channels, other.windows.channels) &&
         windows.rate_hz == other.windows.rate_hz &&
         windows.window_samples == other.windows.window_samples &&
         windows.hop_samples == other.windows.hop_samples;
}

}  // namespace anomalyd::stream

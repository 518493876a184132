#include "stream/domain.h"

#include <algorithm>
#include <cstdio>

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

std::string Domain::identity() const {
  const detect::DetectorInfo& info = detector->info();
  std::string text = "name " + name + "\nkind " + info.kind + "\nversion " + info.version +
                     "\nlearn_windows " + std::to_string(info.learn_windows) + "\nwindow_samples " +
                     std::to_string(windows.window_samples) + "\nhop_samples " +
                     std::to_string(windows.hop_samples);
  char rate[64];
  std::snprintf(rate, sizeof rate, "\nrate_hz %a", windows.rate_hz);  // exact
  text += rate;
  if (windows.channels == nullptr) return text;
  for (const std::string& channel : *windows.channels) text += "\nchannel " + channel;
  return text;
}

bool Domain::continues(const Domain& other) const { return identity() == other.identity(); }

}  // namespace anomalyd::stream

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "alert/machine.h"
#include "base/stream_key.h"
#include "detect/calibration.h"
#include "detect/detector.h"
#include "stream/windower.h"

namespace anomalyd::stream {

/// A domain as the shards see it: its detector and its rules. Immutable; a reload makes a new one.
struct Domain {
  std::string name;
  std::shared_ptr<const detect::Detector> detector;
  WindowRules windows;
  detect::Budget budget;
  double clear_factor = 100;
  std::uint32_t confirm_windows = 2;
  std::int64_t hold_ns = 5 * kNsPerSecond;

  /// The alert rules for a stream on a grid of this rate.
  alert::Rules alert_rules(double rate_hz) const;
  /// What a stream's learned state belongs to, as text: name, detector, version, windows.
  std::string identity() const;
  /// True when a stream may go on with what it learned under `other`: their identities are one.
  bool continues(const Domain& other) const;
};

/// All domains, and which one a stream belongs to (null: none).
struct DomainSet {
  std::vector<std::shared_ptr<const Domain>> domains;
  std::function<std::shared_ptr<const Domain>(const StreamKey&)> find;
};

}  // namespace anomalyd::stream

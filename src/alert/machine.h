#pragma once

#include <cstdint>

#include "base/time.h"

namespace anomalyd::alert {

/// When an alert starts and ends. From the domain's config.
struct Rules {
  double fire_p = 1e-6;   ///< a window at or below is anomalous
  double clear_p = 1e-4;  ///< a window above is clear; between the two an alert stays as it is
  std::uint32_t confirm_windows = 2;  ///< anomalous windows (without a clear one between) to fire
  std::int64_t hold_ns = 5 * kNsPerSecond;  ///< event time without a window at or below clear_p
                                            ///< before a firing alert resolves
};

enum class Phase : std::uint8_t { kQuiet, kPending, kFiring };

/// What a step did.
enum class Change : std::uint8_t {
  kNone,
  kPending,    ///< quiet -> pending
  kFired,      ///< -> firing (from pending, or from quiet when confirm_windows is 1)
  kCancelled,  ///< pending -> quiet: it did not confirm
  kResolved,   ///< firing -> quiet
};

/// The alert state machine of one stream: quiet -> pending -> firing -> quiet. Event time only,
/// so that a replay takes the same steps.
///
/// Numerics  a NaN p-value changes nothing: it neither raises an alert nor clears one.
/// Threads   one at a time. A plain value, 40 bytes.
class Machine {
 public:
  /// One scored window: its span in event time and its p-value.
  Change step(const Rules& rules, TimeNs window_start, TimeNs window_end, double p);
  /// Ends whatever is open: a gap in the data, a shutdown.
  Change close();

  Phase phase() const { return phase_; }
  /// True when the last step was the worst window of the open alert.
  bool is_peak() const { return is_peak_; }
  TimeNs start() const { return start_; }        ///< of the open alert
  TimeNs last_bad_end() const { return last_bad_end_; }  ///< end of its last anomalous window

 private:
  TimeNs start_ = 0;
  TimeNs last_bad_end_ = 0;
  double peak_p_ = 1;
  std::uint32_t anomalous_ = 0;
  Phase phase_ = Phase::kQuiet;
  bool is_peak_ = false;
};

}  // namespace anomalyd::alert

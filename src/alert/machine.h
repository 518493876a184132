#pragma once

#include <cstdint>

#include "base/archive.h"
#include "base/time.h"

namespace anomalyd::alert {

/// When an alert starts and ends. From the domain's config.
struct Rules {
  double fire_p = 1e-6;               ///< a window at or below is anomalous
  double clear_p = 1e-4;              ///< a window above is clear; between the two an alert stays
  std::uint32_t confirm_windows = 2;  ///< anomalous windows (without a clear one between) to fire;
                                      ///< 0 is taken as 1
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
///   phase     p <= fire_p               fire_p < p <= clear_p   p > clear_p
///   quiet     pending, or firing when   -                       -
///             confirm_windows is 1
///   pending   firing once there are     stays; cancelled when   quiet (cancelled)
///             confirm_windows of them   it ends hold_ns or more
///                                       after the last anomalous
///                                       one
///   firing    stays, hold begins anew   stays, hold begins anew quiet (resolved) when it ends
///                                                               hold_ns or more after the end of
///                                                               the last window that held
///
/// Numerics  a NaN p-value changes nothing: it neither raises an alert nor clears one, nor does it
///           begin the hold anew. A clear_p below fire_p counts as fire_p. Windows come in order
///           of time; one that does not cannot make an end move back or an alert resolve early.
/// Threads   one at a time. A plain value, 56 bytes.
class Machine {
 public:
  /// One scored window: its span in event time, its p-value, and its score, which tells the worse
  /// of two windows with the same p-value (a calibration has a smallest one).
  Change step(const Rules& rules, TimeNs window_start, TimeNs window_end, double p, double score);
  /// Ends whatever is open (a gap in the data, a shutdown): kCancelled or kResolved, kNone when
  /// nothing was.
  Change close();

  Phase phase() const { return phase_; }
  /// True when the last step was the worst window of the open alert so far.
  bool is_peak() const { return is_peak_; }

  /// Of the open alert; once it ended, of the one that ended last.
  TimeNs start() const { return start_; }                ///< of its first anomalous window
  TimeNs last_bad_end() const { return last_bad_end_; }  ///< of its last anomalous window
  double peak_p() const { return peak_p_; }
  double peak_score() const { return peak_score_; }
  void archive(Archive& archive);

 private:
  bool take_peak(double p, double score);

  TimeNs start_ = 0;
  TimeNs last_bad_end_ = 0;
  TimeNs held_until_ = 0;  // end of the last window at or below clear_p
  double peak_p_ = 1;
  double peak_score_ = 0;
  std::uint32_t anomalous_ = 0;
  Phase phase_ = Phase::kQuiet;
  bool is_peak_ = false;
};

}  // namespace anomalyd::alert

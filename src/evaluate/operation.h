#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "evaluate/spans.h"

namespace anomalyd::evaluate {

/// What one stream gave: scores of its samples, their truth, and how long a sample lasts.
struct ScoredStream {
  std::vector<double> scores;
  std::vector<std::uint8_t> truth;
  double sample_seconds = 0;
  std::vector<std::size_t> known_at{};  ///< see SampleScores; empty: each at once
};

/// An alarm that stays on is raised again after this long, as a pager does it: otherwise a detector
/// that always alarms would have raised only one.
inline constexpr double kRepeatSeconds = 3600;

/// What an operator would see at one threshold. An alarm is a run of alarmed samples. One that
/// touches no event is a false one, and once more for each full kRepeatSeconds that it is on. One
/// that touches an event may begin early and end late, but counts as a false one for each stretch
/// of normal time of which it covers at least half, or for each full kRepeatSeconds that it is on
/// outside events if that is more: else an alarm that is always on would cost nothing where series
/// are short.
struct Operation {
  std::size_t events = 0;
  std::size_t found = 0;  ///< events with an alarmed sample
  std::size_t false_alarms = 0;
  double normal_days = 0;
  double false_alarms_per_day = 0;  ///< NaN without normal time
  double recall = 0;                ///< found / events; NaN without events
  double mean_delay_seconds = 0;    ///< from an event's first sample to when its first alarmed one
                                    ///< is known, of those found; NaN when none was, or not in time
  double threshold = 0;
};

/// Shapes    any number of streams, their samples in order of time.
/// Errors    NaN scores, sizes that differ, a sample_seconds of 0 or less are bugs.
/// Cost      linear in the samples.
/// Threads   pure.
Operation operation_at(const std::vector<ScoredStream>& streams, double threshold);

/// The operation at the lowest threshold down to which no threshold raises more than
/// `false_alarms_per_day`, over all streams: what recall the budget buys. An oracle in so far as
/// the false alarms of the judged data set the threshold; nothing is chosen by the events.
///
/// Shapes, Errors and Threads as operation_at().
/// Numerics  while the threshold falls runs appear, grow and merge; the count is kept by joining
///           them and is exact.
/// Cost      one sort of all samples.
Operation operation_at_budget(const std::vector<ScoredStream>& streams,
                              double false_alarms_per_day = 1);

/// Promised against observed: how often normal windows had p-values at or below each level.
struct CalibrationPanel {
  static constexpr std::array<double, 3> kLevels{1e-2, 1e-3, 1e-4};
  static constexpr double kWithin = 1e-3;  ///< the level of within_twice
  struct Ratio {
    double pooled = 0;       ///< observed / nominal over all windows; NaN without any
    double worst_tenth = 0;  ///< mean of the tenth of streams (at least one) with the highest ratio
    double observed = 0;     ///< windows at or below the level
  };
  std::array<Ratio, 3> ratios;  ///< one a level
  double within_twice = 0;      ///< share of streams with at most twice the promise at 1e-3
  std::uint64_t windows = 0;
};

/// Shapes    p-values of normal windows, one vector a stream; streams without windows are left out.
/// Units     1 is a promise kept; 2 means twice the promised alarms.
/// Errors    none: a NaN p-value is no window.
/// Numerics  below about ten expected windows (nominal times windows) a ratio says little.
/// Threads   pure.
CalibrationPanel calibration_panel(const std::vector<std::vector<double>>& normal_p_values);

}  // namespace anomalyd::evaluate

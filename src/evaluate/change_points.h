#pragma once

#include <array>
#include <vector>

#include "base/time.h"
#include "evaluate/spans.h"

namespace anomalyd::evaluate {

/// One file of SKAB: when the regime changed, and when the detector says that it did.
struct ChangeFile {
  std::vector<TimeNs> truth;  ///< ascending
  std::vector<TimeNs> found;  ///< ascending
};

/// SKAB's change-point score of the three NAB profiles.
struct ChangeScore {
  double standard = 0, low_fp = 0, low_fn = 0;  ///< 0 never says anything, 100 is perfect
  std::size_t missed = 0;                       ///< change points without a detection
  std::size_t false_alarms = 0;
};

inline constexpr TimeNs kChangeWindowNs = 60 * kNsPerSecond;

/// The first detection within `window` after a change point is worth 1 at once and, along a tanh,
/// what a false alarm costs at the window's end; windows that overlap are cut at the left.
///
/// Shapes    any number of files.
/// Units     percent; NaN without change points.
/// Errors    times that do not ascend are a bug.
/// Numerics  the curve is a table of 1000 steps, as in SKAB.
/// Threads   pure.
/// Source    waico/SKAB core/metrics.py, chp_score(metric='nab', window_width='60s',
///           anomaly_window_destination='righter'), unrounded.
ChangeScore change_point_score(const std::vector<ChangeFile>& files,
                               TimeNs window = kChangeWindowNs);

/// Where a mark differs from the one before: how SKAB makes change points of alarms. Before the
/// first there is no alarm, so that one which is on from the start is a detection there.
/// Source    waico/SKAB notebooks, prediction_cp = abs(prediction.diff()), prediction_cp[0] =
///           prediction[0].
std::vector<std::size_t> edges_of(Marks marks);

}  // namespace anomalyd::evaluate

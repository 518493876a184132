#pragma once

#include <array>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "evaluate/figures.h"
#include "evaluate/protocol.h"
#include "evaluate/scoring.h"

namespace anomalyd::evaluate {

struct RunOptions {
  ScoringOptions scoring;
  double alarm_p = 1e-3;    ///< the fixed threshold: a sample with this p-value or less is alarmed
  std::size_t threads = 1;  ///< the table does not depend on them
  std::size_t plots = 0;    ///< series of each detector to keep for plots, evenly picked
  /// Told after each series, on any thread, one call at a time; may be empty.
  std::function<void(std::size_t done, std::size_t all, std::string_view detector)> on_progress;
};

/// One detector's row of the table.
struct DetectorResult {
  std::string detector;
  bool is_control = false;
  std::vector<Figure> figures;
  double seconds = 0;  ///< of learning and scoring, wall clock
  /// "series: why" of those on which it could not be learned or that it could not score, which
  /// count as never alarmed; in order of the series.
  std::vector<std::string> failures;
  std::size_t unscored = 0;  ///< judged samples without a score of their own, see SampleScores
  std::size_t judged = 0;    ///< samples, of all series
  std::vector<JudgedSeries> plots;  ///< `options.plots` of them
};

/// Names for `--detectors all`: every kind of detector.
std::vector<std::string> all_detectors();
/// Errors   kInvalidArgument for an unknown name, listing the known; a detector file's own.
Status check_detectors(const std::vector<std::string>& names);
inline constexpr std::array<std::string_view, 3> kControls{"random", "constant", "clock"};

/// Learns, scores and judges each of `detectors` (kinds, or files that end in .safetensors) and
/// then the controls, which are in every table.
///
/// Errors   kInvalidArgument for an unknown name, listing the known, and for Mode::kOffline where
///          no series is learned from: of recordings, or with a file; a detector file's own. That a
///          detector cannot be learned on a series is a result, not an error.
/// Numerics the same seed gives the same figures, whatever the number of threads.
Result<std::vector<DetectorResult>> run(const Protocol& protocol, const Dataset& dataset,
                                        const std::vector<std::string>& detectors,
                                        const RunOptions& options);

}  // namespace anomalyd::evaluate

#pragma once

#include <array>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "detect/portfolio_inject.h"
#include "evaluate/scoring.h"
#include "evaluate/series.h"

namespace anomalyd::evaluate {

/// What is put into a clean recording: each kind at each length and, if it has a size, each
/// strength, kSyntheticRepeats times at other places.
inline constexpr std::array<std::size_t, 3> kSyntheticLengths{12, 48, 192};
inline constexpr std::array<double, 4> kSyntheticStrengths{0.5, 1, 2, 4};
inline constexpr std::size_t kSyntheticRepeats = 4;
/// Samples that are nothing but the recording, before an anomaly: what was before it is over.
inline constexpr std::size_t kSyntheticLead = 320;
/// No two anomalies begin nearer to each other, where the recording is long enough: a detector that
/// learns from the stream is not to learn that it is full of them.
inline constexpr std::size_t kSyntheticSpacing = 1024;

/// True for kinds that come in strengths (a level's shift), false for those that do not (a reversed
/// stretch). A spike is one sample and has no length.
bool has_strength(detect::Anomaly kind);
bool has_length(detect::Anomaly kind);

struct SyntheticOptions {
  ScoringOptions scoring;
  double alarm_p = 1e-3;
  std::size_t threads = 1;  ///< the result does not depend on them
  /// Told after each pass over the recording, one call at a time; may be empty.
  std::function<void(std::size_t done, std::size_t all, std::string_view detector)> on_progress;
};

/// One kind, strength and length, and what became of those that were put in.
struct SyntheticCell {
  detect::Anomaly kind = detect::Anomaly::kSpike;
  double strength = 0;     ///< in spreads of a channel; 0: has none
  std::size_t length = 0;  ///< samples
  std::size_t put = 0;
  std::size_t caught = 0;
  /// From its first sample to the one at which the alarm is known: the median of those caught; NaN
  /// when none was.
  double delay_samples = 0;

  double share() const { return static_cast<double>(caught) / static_cast<double>(put); }
};

/// One detector's part of the table.
struct SyntheticResult {
  std::string detector;
  bool is_control = false;
  std::vector<SyntheticCell> cells;  ///< by kind, strength, length; empty when `failure` is set
  std::size_t put = 0;
  std::size_t caught = 0;
  double delay_samples = 0;       ///< median of all caught
  std::size_t clean_samples = 0;  ///< the rest as it was recorded, and its alarmed samples in runs
  std::size_t clean_alarms = 0;
  std::size_t clean_alarmed = 0;  ///< alarmed samples
  double seconds = 0;             ///< wall clock
  std::string failure;            ///< why it could not be learned or could not score
};

/// What of synthetic anomalies each of `detectors` (as for run()) would catch in this recording,
/// and what the control `random` gets. The detector is learned from the series' train part; then
/// the rest is sent through it again and again (score_series(), so the daemon's own path), each
/// time with anomalies at other places, the same for every detector. One is caught when a sample
/// is alarmed (p-value at most alarm_p) from its begin to a window after its end, if no alarm was
/// on before its begin, and none is there in the recording as it is: an alarm that is always on
/// catches nothing.
///
/// Shapes    rows whose truth is not 0, and missing values, are kept out of the anomalies' way.
/// Errors    kInvalidArgument for an unknown detector, Mode::kOffline, a rest that is too short,
///           a train part with labelled rows or without a channel that moves; a file's own.
/// Numerics  a function of series and options.
/// Cost      as long as scoring takes for each pass: about 270 anomalies, one every 1024 samples.
/// Source    the anomalies are those of the portfolio's chooser, detect/portfolio_inject.h.
Result<std::vector<SyntheticResult>> run_synthetic(const Series& series,
                                                   const std::vector<std::string>& detectors,
                                                   const SyntheticOptions& options);

}  // namespace anomalyd::evaluate

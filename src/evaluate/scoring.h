#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "detect/detector.h"
#include "evaluate/series.h"

namespace anomalyd::evaluate {

/// What a score may know. Never mixed in one table.
enum class Mode {
  kCausal,   ///< the past alone: a sample has the score of the last window that ended at or before
             ///< it
  kLag,      ///< at most one window late: the mean of the windows that contain the sample
  kOffline,  ///< the whole series is learned from, without labels; windows as kLag
};
/// "causal", "lag", "offline".
std::string_view to_text(Mode mode);
/// Errors   kInvalidArgument, listing the known.
Result<Mode> parse_mode(std::string_view text);

/// How series are cut into windows and detectors are learned; one set for all series.
struct ScoringOptions {
  Mode mode = Mode::kCausal;
  std::size_t window_samples = 0;  ///< 0: from the train part, see window_for()
  std::size_t hop_samples = 0;     ///< 0: likewise
  int epochs = 60;                 ///< most, of trained kinds
  std::uint64_t seed = 1;
  double alerts_per_day = 1;  ///< the budget of the daemon's alert rules
};

/// A window's length and hop for a train part, for a kind of detector (any other name: as most
/// kinds have it): short enough that a fit can hold a validation and a calibration part apart, a
/// multiple of 8, at most what is usual for the kind.
struct WindowSize {
  std::size_t window = 0;
  std::size_t hop = 0;
};
WindowSize window_for(std::string_view kind, std::size_t train_samples, std::size_t channels,
                      const ScoringOptions& options);

/// The channels that move in the first half of the first rows[m] of each material[m]: later parts
/// of it are held out by a fit.
std::vector<std::string> moving_channels(const std::vector<const Series*>& material,
                                         const std::vector<std::size_t>& rows);

/// One scored window, with rows of the series.
struct WindowScore {
  std::size_t begin = 0;
  std::size_t end = 0;  ///< one past its last row
  double score = 0;     ///< NaN when it could not be scored
  double p_value = 0;
  bool is_held = false;  ///< an alert was open already
};

/// What the daemon's code made of a series.
struct StreamScores {
  std::vector<WindowScore> windows;  ///< in order
  std::vector<Span> alerts;          ///< rows of alerts that fired
};

/// A detector that is learned already, or one that each stream learns for itself.
struct LearnedDetector {
  std::shared_ptr<const detect::Detector> detector;
  std::vector<std::string> channels;  ///< that it is fed
  WindowSize size;
  /// A stream must see these rows (all of the series' channels) before the series itself.
  std::vector<float> lead_in;
};

/// Between a kind without a file and the name of one of its members: "standard-without-ridge" is
/// the preset less that member, for ablations. No config has such a kind; detect says whether there
/// is one.
inline constexpr std::string_view kWithout = "-without-";

/// Learns a detector of this kind, or reads the file when `kind` ends in .safetensors. `material`
/// is what is learned from: train parts, or whole series for Mode::kOffline. Channels that do not
/// move there are left out: a fit refuses them, since they say nothing of what is normal.
/// `own_train` says that the one series scored begins with the material; then an online kind needs
/// no lead-in.
///
/// Errors   of the fit, of the file; kInvalidArgument for an unknown kind.
/// Cost     of the fit, on `threads` threads; the result does not depend on them.
Result<LearnedDetector> learn(const std::string& kind, const std::vector<const Series*>& material,
                              bool own_train, const ScoringOptions& options, std::size_t threads);

/// Sends the series through stream::ShardStreams, as the daemon and `anomalyctl score` do: rows on
/// an even grid, windows, normaliser, member, calibration, alert rules.
///
/// Errors   kInvalidArgument when a channel of the detector is missing.
/// Threads  safe to call from several threads with the same detector.
Result<StreamScores> score_series(const LearnedDetector& learned, const Series& series,
                                  const ScoringOptions& options);

/// Scores of samples from scores of windows, as the mode says.
struct SampleScores {
  std::vector<double> score;     ///< of the detector; the lowest there is where nothing was scored
  std::vector<double> surprise;  ///< -log10 of the p-value; 0 where nothing was scored
  /// 0 where no window gave the sample its score: before the first one; in Mode::kCausal also where
  /// the newest window could not be scored or is missing, and an older one's score is kept.
  std::vector<std::uint8_t> scored;
  /// The sample at which each score is known, not falling: itself, in Mode::kLag the last one of
  /// the windows that contain it, in Mode::kOffline kNever.
  std::vector<std::size_t> known_at;
};
SampleScores sample_scores(const std::vector<WindowScore>& windows, std::size_t samples, Mode mode);

}  // namespace anomalyd::evaluate

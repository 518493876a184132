#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "evaluate/spans.h"

namespace anomalyd::evaluate {

/// What NAB's users weigh: a missed window against a false alarm.
struct NabProfile {
  std::string_view name;
  double true_positive;
  double false_positive;
  double false_negative;
};
/// standard, reward_low_FP_rate and reward_low_FN_rate of NAB v1.1's config/profiles.json.
inline constexpr std::array<NabProfile, 3> kNabProfiles{
    {{"standard", 1, 0.11, 1}, {"low_fp", 1, 0.22, 1}, {"low_fn", 1, 0.11, 2}}};

inline constexpr std::size_t kNabQuietRows = 200;

/// One data file of NAB's corpus with a detector's scores.
struct NabFile {
  std::vector<double> scores;
  std::vector<Span> windows;  ///< the labelled ones, in order, within the file
};

/// The rows at a file's start that are not scored: 15 % of it, at most 750.
std::size_t nab_probation(std::size_t rows);

/// Scores of rows as NAB's detectors give them, who speak once for each thing that they see: a row
/// keeps its score where it is above those of the `quiet` rows before it, and is 0 elsewhere. What
/// stays high, as the score of a window does, would otherwise be a false alarm at each row.
std::vector<double> records_of(Scores scores, std::size_t quiet = kNabQuietRows);

/// What one threshold gives.
struct NabScore {
  double score = 0;      ///< 100 (raw - null) / (perfect - null); NaN without windows
  double raw = 0;        ///< sum over the files
  double threshold = 0;  ///< alarm at this score or more; +Inf: no alarm at all
  std::uint64_t tp = 0, fp = 0, tn = 0, fn = 0;  ///< rows
};

/// The corpus at one threshold.
///
/// Shapes    any number of files.
/// Units     `score`: 0 a detector that never alarms, 100 one that alarms at the first row of each
///           window and never else.
/// Errors    NaN scores, and windows that are empty, overlap or leave the file, are bugs.
/// Numerics  reproduces NAB's own figures to 1e-10: hits at 2 / (1 + e^(5 x)) - 1 with x from -1 at
///           a window's first row, scaled so that it is worth 1; false alarms after a window at the
///           same curve, so that one just behind it costs little.
/// Cost      linear in the rows.
/// Threads   pure.
/// Source    Lavin and Ahmad 2015; numenta/NAB nab/sweeper.py (v1.1).
NabScore nab_at(const std::vector<NabFile>& corpus, const NabProfile& profile, double threshold);

/// The corpus at the threshold that is best for it, one for all files, highest of equal ones: an
/// oracle, as all of NAB's board is.
///
/// Shapes, Units, Errors, Numerics, Threads and Source as nab_at().
/// Cost      one sort of all rows.
NabScore nab_best(const std::vector<NabFile>& corpus, const NabProfile& profile);

}  // namespace anomalyd::evaluate

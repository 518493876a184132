#pragma once

#include <cstdint>

#include "evaluate/spans.h"

namespace anomalyd::evaluate {

/// Samples counted by truth and alarm; several series are pooled by adding.
///
/// Units     none: shares in [0, 1]. A share of nothing is 0, as scikit-learn has it.
struct Confusion {
  std::uint64_t tp = 0, fp = 0, tn = 0, fn = 0;

  Confusion& operator+=(const Confusion& other);
  double precision() const;
  double recall() const;
  double f1() const;
  double false_alarm_rate() const;   ///< fp / (fp + tn): SKAB's FAR
  double missed_alarm_rate() const;  ///< fn / (fn + tp): SKAB's MAR
};

/// Errors    sizes that differ are a bug.
Confusion confuse(Marks truth, Marks alarms);

/// The chance that an anomalous sample scores above a normal one, ties counting half.
///
/// Shapes    n scores, n marks.
/// Units     none, in [0, 1]; NaN when the truth has only one class.
/// Errors    sizes that differ and scores that are NaN are bugs.
/// Numerics  exact in its counts: the order of the scores is all that matters.
/// Cost      one sort.
/// Threads   pure.
/// Source    Mann and Whitney's U; scikit-learn's roc_auc_score.
double auc_roc(Scores scores, Marks truth);

/// Sum over falling thresholds of (R_k - R_{k-1}) P_k: the average precision.
///
/// Shapes, Errors, Cost and Threads as auc_roc(). NaN when nothing is anomalous.
/// Source    scikit-learn's average_precision_score, which TSB-AD calls AUC-PR.
double auc_pr(Scores scores, Marks truth);

/// A figure and the threshold (alarm at this score or more) that gives it.
struct AtThreshold {
  double value = 0;
  double threshold = 0;
};

/// The largest F1 that any threshold gives: an oracle, since it is chosen by the truth.
///
/// Shapes, Errors, Cost and Threads as auc_roc(). 0 when nothing is anomalous.
AtThreshold best_f1(Scores scores, Marks truth);

}  // namespace anomalyd::evaluate

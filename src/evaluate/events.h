#pragma once

#include <cstddef>

#include "evaluate/points.h"
#include "evaluate/spans.h"

namespace anomalyd::evaluate {

struct PrecisionRecall {
  double precision = 0;
  double recall = 0;
  double f1() const;  ///< harmonic mean; 0 when both are 0, NaN when the precision is
};

/// Range-based precision and recall: an event's worth is alpha for being found at all and
/// 1 - alpha for the share of it that is found, divided by the number of alarms it took.
///
/// Shapes    n truth marks, n alarm marks.
/// Units     none, in [0, 1]; 0 without events (recall) or alarms (precision).
/// Errors    sizes that differ are a bug.
/// Cost      linear in n.
/// Threads   pure.
/// Source    Tatbul et al. 2018 (NeurIPS), flat bias, reciprocal overlap cardinality, alpha in the
///           recall alone; TSB-AD's metric_RF1 with alpha 0.2, prts with the same settings.
PrecisionRecall range_based(Marks truth, Marks alarms, double alpha = 0.2);

/// Recall: share of events with at least one alarmed sample. Precision: share of alarms, as runs,
/// that touch an event.
///
/// Shapes, Units, Errors, Cost and Threads as range_based().
/// Source    Hundman et al. 2018 (KDD), section 4.2, as counts of runs.
PrecisionRecall event_wise(Marks truth, Marks alarms);

/// Precision over samples, recall over events.
///
/// Shapes, Units, Errors, Cost and Threads as range_based().
/// Source    Garg et al. 2022 (IEEE TNNLS), composite F-score Fc1.
PrecisionRecall composite(Marks truth, Marks alarms);

/// The largest Fc1 that any threshold gives: an oracle, as Garg's best-F threshold is.
///
/// Shapes    n scores, n marks.
/// Units     none; 0 when nothing is anomalous.
/// Errors    sizes that differ and scores that are NaN are bugs.
/// Cost      one sort.
/// Threads   pure.
/// Source    Garg et al. 2022; every distinct score is tried.
AtThreshold best_composite(Scores scores, Marks truth);

/// Point-adjusted F1, the largest over `thresholds` levels: an event of which one sample is found
/// counts as found whole. Random scores get high marks, so it is shown only beside theirs.
///
/// Shapes, Units and Errors as best_composite(). Cost `thresholds` passes.
/// Threads   pure.
/// Source    Xu et al. 2018 (WWW); TSB-AD's metric_PointF1PA: alarm above (not at) each of
///           linspace(min, max, 100). There the adjustment leaves out sample 0 of an event that
///           begins the series before its first alarm, here it does not.
AtThreshold best_point_adjusted_f1(Scores scores, Marks truth, std::size_t thresholds = 100);

/// True when the highest score, the first of equal ones, lies within `slack` samples of the
/// labelled range.
///
/// Shapes    n scores; `range` inside them.
/// Errors    no scores, a NaN among them, an empty range are bugs.
/// Source    UCR Anomaly Archive (Wu and Keogh 2021), with slack 100.
bool ucr_hit(Scores scores, const Span& range, std::size_t slack = 100);

}  // namespace anomalyd::evaluate

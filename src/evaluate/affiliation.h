#pragma once

#include "evaluate/events.h"
#include "evaluate/spans.h"

namespace anomalyd::evaluate {

/// Affiliation precision and recall: how much closer alarms lie to the events (precision), and
/// the events to the alarms (recall), than a random sample of the same zone would.
///
/// Shapes    n truth marks, n alarm marks; sample i is the interval [i, i + 1).
/// Units     none, in [0, 1]. A zone is what lies nearer to one event than to another; the
///           precision is the mean over zones with an alarm, NaN when there is none; the recall is
///           the mean over all zones, 0 in those without an alarm. Both NaN without events.
/// Errors    sizes that differ are a bug.
/// Numerics  the survival functions are piecewise linear and are integrated exactly.
/// Cost      linear in n plus zones times the alarms in each.
/// Threads   pure.
/// Source    Huet, Navarro and Rossi 2022 (KDD); their affiliation-metrics code. All of TSB-AD-U's
///           detectors lie within 0.77 to 0.89: shown, not ranked by.
PrecisionRecall affiliation(Marks truth, Marks alarms);

}  // namespace anomalyd::evaluate

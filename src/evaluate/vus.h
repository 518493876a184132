#pragma once

#include <cstddef>

#include "evaluate/spans.h"

namespace anomalyd::evaluate {

/// Volumes under the range-AUC surfaces, averaged over buffer lengths 0..max_window.
struct Vus {
  double roc = 0;
  double pr = 0;
};

inline constexpr std::size_t kVusWindow = 100;
inline constexpr std::size_t kVusThresholds = 250;

/// VUS-ROC and VUS-PR: at each buffer length w the truth gets ramps sqrt(1 - d / w) over w / 2
/// samples on each side of an event, recall counts both overlap and existence, and the areas
/// under the curves of `thresholds` thresholds are averaged over w.
///
/// Shapes    n scores, n marks.
/// Units     none, in [0, 1]; NaN when nothing is anomalous.
/// Errors    sizes that differ, NaN scores, fewer than 2 thresholds are bugs.
/// Numerics  agrees with the authors' code to 1e-9; its thresholds are scores at ranks
///           floor(linspace(0, n - 1, thresholds)).
/// Cost      one sort and, for each w, the events' samples and ramps once and `thresholds` steps:
///           the normal samples far from events are only counted.
/// Threads   pure.
/// Source    Paparrizos et al. 2022 (VLDB 15, 11); TSB-AD's RangeAUC_volume_opt with L = 100 and
///           250 thresholds. Without labels it divides by zero there.
Vus vus(Scores scores, Marks truth, std::size_t max_window = kVusWindow,
        std::size_t thresholds = kVusThresholds);

}  // namespace anomalyd::evaluate

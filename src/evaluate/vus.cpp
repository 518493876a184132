#include "evaluate/vus.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "base/check.h"

namespace anomalyd::evaluate {
namespace {

/// For each sample the first threshold, counted from the highest, at which it is an alarm.
struct Ranks {
  std::vector<std::size_t> first_alarm;
  std::vector<double> alarms;  // how many samples are, at each threshold
};

Ranks rank(Scores scores, std::size_t thresholds) {
  std::vector<double> sorted(scores.begin(), scores.end());
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  const std::size_t last = scores.size() - 1;
  // The same products as numpy.linspace, which are then cut to whole numbers.
  const double step = static_cast<double>(last) / static_cast<double>(thresholds - 1);
  std::vector<double> levels(thresholds);
  for (std::size_t k = 0; k < thresholds; ++k) {
    const std::size_t at =
        k + 1 == thresholds ? last : static_cast<std::size_t>(static_cast<double>(k) * step);
    levels[k] = sorted[at];
  }
  Ranks ranks;
  ranks.alarms.assign(thresholds, 0);
  ranks.first_alarm.resize(scores.size());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const auto found = std::partition_point(levels.begin(), levels.end(),
                                            [&](double level) { return level > scores[i]; });
    // The last level is the lowest score, so there is always one.
    ranks.first_alarm[i] = static_cast<std::size_t>(found - levels.begin());
    ++ranks.alarms[ranks.first_alarm[i]];
  }
  for (std::size_t k = 1; k < thresholds; ++k) ranks.alarms[k] += ranks.alarms[k - 1];
  return ranks;
}

/// The events with `half` samples added on each side, merged where they touch or overlap.
std::vector<Span> widen(const std::vector<Span>& events, std::size_t half, std::size_t n) {
  std::vector<Span> wide;
  for (const Span& event : events) {
    const std::size_t begin = event.begin > half ? event.begin - half : 0;
    const std::size_t end = std::min(event.end + half, n);
    // The authors keep two events apart only when their last and first samples leave a gap.
    if (!wide.empty() && wide.back().end > begin) {
      wide.back().end = end;
    } else {
      wide.push_back({begin, end});
    }
  }
  return wide;
}

/// Adds each event's ramps into `ramp` (n), which is 0 elsewhere.
void add_ramps(const std::vector<Span>& events, std::size_t window, std::vector<double>& ramp) {
  const std::size_t half = window / 2;
  for (const Span& event : events) {
    const std::size_t last = event.end - 1;
    for (std::size_t x = event.end; x < std::min(last + half + 1, ramp.size()); ++x) {
      ramp[x] += std::sqrt(1 - static_cast<double>(x - last) / static_cast<double>(window));
    }
    for (std::size_t x = event.begin > half ? event.begin - half : 0; x < event.begin; ++x) {
      ramp[x] += std::sqrt(1 - static_cast<double>(event.begin - x) / static_cast<double>(window));
    }
  }
}

/// What is counted of a buffer length, for each threshold.
struct Counts {
  std::vector<double> on_ramps;  // weight of alarms on the ramps
  std::vector<double> existing;  // widened events with an alarm
};

void sum_up(std::vector<double>& counts) {
  for (std::size_t k = 1; k < counts.size(); ++k) counts[k] += counts[k - 1];
}

/// `ramp` is set to 0 again where it was read.
Counts count(const std::vector<Span>& wide, Marks truth, const Ranks& ranks,
             std::vector<double>& ramp) {
  const std::size_t thresholds = ranks.alarms.size();
  Counts counts{std::vector<double>(thresholds, 0), std::vector<double>(thresholds, 0)};
  for (const Span& span : wide) {
    std::size_t first = thresholds - 1;
    for (std::size_t i = span.begin; i < span.end; ++i) {
      first = std::min(first, ranks.first_alarm[i]);
      if (truth[i] == 0) counts.on_ramps[ranks.first_alarm[i]] += std::min(1.0, ramp[i]);
      ramp[i] = 0;
    }
    ++counts.existing[first];
  }
  sum_up(counts.on_ramps);
  sum_up(counts.existing);
  return counts;
}

/// What of a series does not depend on the buffer length.
struct Fixed {
  std::vector<double> inside;  // alarms inside events, for each threshold
  double positives = 0;        // samples of events
  double samples = 0;
};

/// The areas under the curves of one buffer length with so many widened events.
Vus areas(const Fixed& fixed, const Counts& counts, const std::vector<double>& alarms,
          std::size_t wide) {
  Vus sum;
  double tpr_before = 0;
  double fpr_before = 0;
  for (std::size_t k = 0; k < alarms.size(); ++k) {
    const double tp = fixed.inside[k] + counts.on_ramps[k];
    const double fp = alarms[k] - tp;
    const double expected = fixed.positives + counts.on_ramps[k] / 2;
    const double recall = std::min(tp / expected, 1.0);
    const double tpr = recall * counts.existing[k] / static_cast<double>(wide);
    const double fpr = fp / (fixed.samples - expected);
    sum.roc += (fpr - fpr_before) * (tpr + tpr_before) / 2;
    sum.pr += (tpr - tpr_before) * tp / alarms[k];
    tpr_before = tpr;
    fpr_before = fpr;
  }
  sum.roc += (1 - fpr_before) * (1 + tpr_before) / 2;
  return sum;
}

}  // namespace

Vus vus(Scores scores, Marks truth, std::size_t max_window, std::size_t thresholds) {
  ANOMALYD_CHECK(scores.size() == truth.size(), "a score for each sample");
  ANOMALYD_CHECK(thresholds >= 2, "an area needs two thresholds");
  ANOMALYD_CHECK(std::none_of(scores.begin(), scores.end(), [](double s) { return std::isnan(s); }),
                 "a NaN has no place in an order");
  const std::vector<Span> events = spans_of(truth);
  if (events.empty()) {
    const double none = std::numeric_limits<double>::quiet_NaN();
    return {none, none};
  }
  const Ranks ranks = rank(scores, thresholds);
  Fixed fixed{std::vector<double>(thresholds, 0), 0, static_cast<double>(scores.size())};
  for (const Span& event : events) {
    fixed.positives += static_cast<double>(event.size());
    for (std::size_t i = event.begin; i < event.end; ++i) ++fixed.inside[ranks.first_alarm[i]];
  }
  sum_up(fixed.inside);

  Vus sum;
  std::vector<double> ramp(scores.size(), 0);
  for (std::size_t window = 0; window <= max_window; ++window) {
    const std::vector<Span> wide = widen(events, window / 2, scores.size());
    add_ramps(events, window, ramp);
    const Vus under = areas(fixed, count(wide, truth, ranks, ramp), ranks.alarms, wide.size());
    sum.roc += under.roc;
    sum.pr += under.pr;
  }
  const auto windows = static_cast<double>(max_window + 1);
  return {sum.roc / windows, sum.pr / windows};
}

}  // namespace anomalyd::evaluate

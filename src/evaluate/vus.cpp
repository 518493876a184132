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

struct Areas {
  double roc = 0;
  double pr = 0;
};

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
  const std::size_t n = scores.size();
  const Ranks ranks = rank(scores, thresholds);
  double positives = 0;
  for (const Span& event : events) positives += static_cast<double>(event.size());

  std::vector<double> inside(thresholds, 0);  // alarms inside events, then summed up
  for (const Span& event : events) {
    for (std::size_t i = event.begin; i < event.end; ++i) ++inside[ranks.first_alarm[i]];
  }
  for (std::size_t k = 1; k < thresholds; ++k) inside[k] += inside[k - 1];

  Vus sum;
  std::vector<double> ramp(n, 0);
  std::vector<double> on_ramps(thresholds);
  std::vector<double> existing(thresholds);
  for (std::size_t window = 0; window <= max_window; ++window) {
    const std::vector<Span> wide = widen(events, window / 2, n);
    std::fill(on_ramps.begin(), on_ramps.end(), 0);
    std::fill(existing.begin(), existing.end(), 0);
    add_ramps(events, window, ramp);
    for (const Span& span : wide) {
      std::size_t first = thresholds - 1;
      for (std::size_t i = span.begin; i < span.end; ++i) {
        first = std::min(first, ranks.first_alarm[i]);
        if (truth[i] == 0) on_ramps[ranks.first_alarm[i]] += std::min(1.0, ramp[i]);
        ramp[i] = 0;  // clean for the next window
      }
      ++existing[first];
    }
    Areas areas;
    double tpr_before = 0;
    double fpr_before = 0;
    for (std::size_t k = 0; k < thresholds; ++k) {
      if (k > 0) {
        on_ramps[k] += on_ramps[k - 1];
        existing[k] += existing[k - 1];
      }
      const double tp = inside[k] + on_ramps[k];
      const double fp = ranks.alarms[k] - tp;
      const double expected = positives + on_ramps[k] / 2;
      const double recall = std::min(tp / expected, 1.0);
      const double tpr = recall * existing[k] / static_cast<double>(wide.size());
      const double fpr = fp / (static_cast<double>(n) - expected);
      areas.roc += (fpr - fpr_before) * (tpr + tpr_before) / 2;
      areas.pr += (tpr - tpr_before) * tp / ranks.alarms[k];
      tpr_before = tpr;
      fpr_before = fpr;
    }
    areas.roc += (1 - fpr_before) * (1 + tpr_before) / 2;
    sum.roc += areas.roc;
    sum.pr += areas.pr;
  }
  const auto windows = static_cast<double>(max_window + 1);
  return {sum.roc / windows, sum.pr / windows};
}

}  // namespace anomalyd::evaluate

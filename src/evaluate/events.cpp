#include "evaluate/events.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"

namespace anomalyd::evaluate {
namespace {

double harmonic(double a, double b) { return a + b == 0 ? 0 : 2 * a * b / (a + b); }

bool overlap(const Span& a, const Span& b) { return a.begin < b.end && b.begin < a.end; }

/// The runs of `others` that overlap each of `spans`, as ranges of their sorted list.
template <class Each>
void for_each_overlap(const std::vector<Span>& spans, const std::vector<Span>& others,
                      const Each& each) {
  std::size_t first = 0;
  for (const Span& span : spans) {
    while (first < others.size() && others[first].end <= span.begin) ++first;
    std::size_t last = first;
    while (last < others.size() && overlap(others[last], span)) ++last;
    each(span, std::span(others).subspan(first, last - first));
  }
}

/// Mean worth of `spans` as found by `others`.
double range_recall(const std::vector<Span>& spans, const std::vector<Span>& others, double alpha) {
  if (spans.empty()) return 0;
  double sum = 0;
  for_each_overlap(spans, others, [&](const Span& span, std::span<const Span> hits) {
    if (hits.empty()) return;
    std::size_t covered = 0;
    for (const Span& hit : hits) {
      covered += std::min(hit.end, span.end) - std::max(hit.begin, span.begin);
    }
    const double share = static_cast<double>(covered) / static_cast<double>(span.size());
    sum += alpha + (1 - alpha) * share / static_cast<double>(hits.size());
  });
  return sum / static_cast<double>(spans.size());
}

double found_share(const std::vector<Span>& spans, const std::vector<Span>& others) {
  if (spans.empty()) return 0;
  std::size_t found = 0;
  for_each_overlap(spans, others,
                   [&](const Span&, std::span<const Span> hits) { found += hits.empty() ? 0 : 1; });
  return static_cast<double>(found) / static_cast<double>(spans.size());
}

/// Scores of normal samples, ascending.
std::vector<double> sorted_normal(Scores scores, Marks truth) {
  std::vector<double> normal;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (truth[i] == 0) normal.push_back(scores[i]);
  }
  std::sort(normal.begin(), normal.end());
  return normal;
}

void check_scores(Scores scores, Marks truth) {
  ANOMALYD_CHECK(scores.size() == truth.size(), "a score for each sample");
  ANOMALYD_CHECK(std::none_of(scores.begin(), scores.end(), [](double s) { return std::isnan(s); }),
                 "a NaN has no place in an order");
}

}  // namespace

double PrecisionRecall::f1() const { return harmonic(precision, recall); }

PrecisionRecall range_based(Marks truth, Marks alarms, double alpha) {
  ANOMALYD_CHECK(truth.size() == alarms.size(), "an alarm mark for each sample");
  const std::vector<Span> events = spans_of(truth);
  const std::vector<Span> found = spans_of(alarms);
  return {range_recall(found, events, 0), range_recall(events, found, alpha)};
}

PrecisionRecall event_wise(Marks truth, Marks alarms) {
  ANOMALYD_CHECK(truth.size() == alarms.size(), "an alarm mark for each sample");
  const std::vector<Span> events = spans_of(truth);
  const std::vector<Span> found = spans_of(alarms);
  return {found_share(found, events), found_share(events, found)};
}

PrecisionRecall composite(Marks truth, Marks alarms) {
  return {confuse(truth, alarms).precision(), found_share(spans_of(truth), spans_of(alarms))};
}

AtThreshold best_composite(Scores scores, Marks truth) {
  check_scores(scores, truth);
  const std::vector<Span> events = spans_of(truth);
  std::vector<std::size_t> event_of(scores.size(), events.size());
  for (std::size_t e = 0; e < events.size(); ++e) {
    for (std::size_t i = events[e].begin; i < events[e].end; ++i) event_of[i] = e;
  }
  AtThreshold best{0, std::numeric_limits<double>::infinity()};
  if (events.empty()) return best;
  std::vector<bool> hit(events.size(), false);
  std::size_t hits = 0;
  std::size_t tp = 0;
  const std::vector<std::size_t> order = by_falling_score(scores);
  for (std::size_t i = 0; i < order.size();) {
    const double score = scores[order[i]];
    for (; i < order.size() && scores[order[i]] == score; ++i) {
      const std::size_t event = event_of[order[i]];
      if (event == events.size()) continue;
      ++tp;
      if (!hit[event]) ++hits;
      hit[event] = true;
    }
    const double f = harmonic(static_cast<double>(tp) / static_cast<double>(i),
                              static_cast<double>(hits) / static_cast<double>(events.size()));
    if (f > best.value) best = {f, score};
  }
  return best;
}

AtThreshold best_point_adjusted_f1(Scores scores, Marks truth, std::size_t thresholds) {
  check_scores(scores, truth);
  ANOMALYD_CHECK(thresholds >= 2, "levels from the lowest to the highest score");
  AtThreshold best{0, std::numeric_limits<double>::infinity()};
  const std::vector<Span> events = spans_of(truth);
  if (events.empty()) return best;
  const auto [low, high] = std::minmax_element(scores.begin(), scores.end());
  // False alarms at a level are a count of these.
  const std::vector<double> normal = sorted_normal(scores, truth);
  std::vector<double> peaks;
  peaks.reserve(events.size());
  for (const Span& event : events) {
    peaks.push_back(*std::max_element(scores.begin() + static_cast<std::ptrdiff_t>(event.begin),
                                      scores.begin() + static_cast<std::ptrdiff_t>(event.end)));
  }
  const double step = (*high - *low) / static_cast<double>(thresholds - 1);
  for (std::size_t k = 0; k < thresholds; ++k) {
    const double level = k + 1 == thresholds ? *high : *low + static_cast<double>(k) * step;
    Confusion counts;
    for (std::size_t e = 0; e < events.size(); ++e) {
      (peaks[e] > level ? counts.tp : counts.fn) += events[e].size();
    }
    counts.fp = static_cast<std::uint64_t>(normal.end() -
                                           std::upper_bound(normal.begin(), normal.end(), level));
    if (counts.f1() > best.value) best = {counts.f1(), level};
  }
  return best;
}

bool ucr_hit(Scores scores, const Span& range, std::size_t slack) {
  ANOMALYD_CHECK(!scores.empty() && range.begin < range.end, "scores and a labelled range");
  ANOMALYD_CHECK(std::none_of(scores.begin(), scores.end(), [](double s) { return std::isnan(s); }),
                 "a NaN has no place in an order");
  const auto top =
      static_cast<std::size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
  return top + slack >= range.begin && top <= range.end - 1 + slack;
}

}  // namespace anomalyd::evaluate

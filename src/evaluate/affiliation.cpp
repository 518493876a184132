#include "evaluate/affiliation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace anomalyd::evaluate {
namespace {

struct Interval {
  double begin = 0;
  double end = 0;
  double length() const { return end - begin; }
};

Interval common(const Interval& a, const Interval& b) {
  return {std::max(a.begin, b.begin), std::min(a.end, b.end)};
}

/// What lies nearer to each of `intervals` than to another, within `whole`.
std::vector<Interval> zones_of(const std::vector<Interval>& intervals, const Interval& whole) {
  std::vector<Interval> zones(intervals.size(), whole);
  for (std::size_t i = 0; i + 1 < intervals.size(); ++i) {
    const double middle = (intervals[i].end + intervals[i + 1].begin) / 2;
    zones[i].end = middle;
    zones[i + 1].begin = middle;
  }
  return zones;
}

double distance(double t, const Interval& from) {
  return std::max({from.begin - t, t - from.end, 0.0});
}

/// Integral over `over` of a function that is linear between the kinks.
template <class Function, std::size_t N>
double integrate(const Interval& over, std::array<double, N> kinks, const Function& f) {
  std::sort(kinks.begin(), kinks.end());
  double sum = 0;
  double at = over.begin;
  const auto add_to = [&](double next) {
    if (next <= at) return;
    // Exact for a linear piece, and not disturbed by a jump at a kink.
    sum += (next - at) * f((at + next) / 2);
    at = next;
  };
  for (const double kink : kinks) add_to(std::min(std::max(kink, over.begin), over.end));
  add_to(over.end);
  return sum;
}

/// Integral over the alarm of the chance that a random point of the zone lies farther from the
/// event.
double precision_of(const Interval& alarm, const Interval& event, const Interval& zone) {
  const double near_side = std::min(event.begin - zone.begin, zone.end - event.end);
  const auto survival = [&](double t) {
    const double d = distance(t, event);
    if (d == 0) return 1.0;
    return 1 - (std::min(d, near_side) + d + event.length()) / zone.length();
  };
  return integrate(
      alarm, std::array{event.begin, event.end, event.begin - near_side, event.end + near_side},
      survival);
}

/// Integral over a part of the event of the chance that a random point of the zone lies farther
/// from there than the alarm does.
double recall_of(const Interval& part, const Interval& alarm, const Interval& zone) {
  const auto survival = [&](double t) {
    const double d = distance(t, alarm);
    const double margin = std::min(t - zone.begin, zone.end - t);
    return 1 - (std::min(d, margin) + d) / zone.length();
  };
  // Where the margin's side changes, and where it equals the distance on either side of the alarm.
  return integrate(part,
                   std::array{alarm.begin, alarm.end, (zone.begin + zone.end) / 2,
                              (zone.begin + alarm.begin) / 2, (zone.end + alarm.begin) / 2,
                              (zone.begin + alarm.end) / 2, (zone.end + alarm.end) / 2},
                   survival);
}

std::vector<Interval> intervals_of(Marks marks) {
  std::vector<Interval> intervals;
  for (const Span& span : spans_of(marks)) {
    intervals.push_back({static_cast<double>(span.begin), static_cast<double>(span.end)});
  }
  return intervals;
}

}  // namespace

PrecisionRecall affiliation(Marks truth, Marks alarms) {
  ANOMALYD_CHECK(truth.size() == alarms.size(), "an alarm mark for each sample");
  const double none = std::numeric_limits<double>::quiet_NaN();
  const std::vector<Interval> events = intervals_of(truth);
  const std::vector<Interval> found = intervals_of(alarms);
  if (events.empty()) return {none, none};
  const std::vector<Interval> zones = zones_of(events, {0, static_cast<double>(truth.size())});
  double precision = 0;
  double recall = 0;
  std::size_t zones_with_alarms = 0;
  std::size_t first = 0;
  for (std::size_t z = 0; z < zones.size(); ++z) {
    const Interval& zone = zones[z];
    while (first < found.size() && found[first].end <= zone.begin) ++first;
    std::vector<Interval> inside;
    for (std::size_t i = first; i < found.size() && found[i].begin < zone.end; ++i) {
      inside.push_back(common(found[i], zone));
    }
    if (inside.empty()) continue;
    ++zones_with_alarms;
    double near = 0;
    double length = 0;
    for (const Interval& alarm : inside) {
      near += precision_of(alarm, events[z], zone);
      length += alarm.length();
    }
    precision += near / length;
    const std::vector<Interval> nearest = zones_of(inside, zone);
    double reached = 0;
    for (std::size_t i = 0; i < inside.size(); ++i) {
      const Interval part = common(events[z], nearest[i]);
      if (part.length() > 0) reached += recall_of(part, inside[i], zone);
    }
    recall += reached / events[z].length();
  }
  return {zones_with_alarms == 0 ? none : precision / static_cast<double>(zones_with_alarms),
          recall / static_cast<double>(zones.size())};
}

}  // namespace anomalyd::evaluate

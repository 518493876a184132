#include "evaluate/change_points.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"

namespace anomalyd::evaluate {
namespace {

constexpr std::size_t kSteps = 1000;

struct Weights {
  double hit, false_alarm, miss;
};
constexpr std::array<Weights, 3> kWeights{{{1, -0.11, -1}, {1, -0.22, -1}, {1, -0.11, -2}}};

struct Window {
  TimeNs begin = 0;
  TimeNs end = 0;  // included
};

std::vector<Window> windows_of(const std::vector<TimeNs>& truth, TimeNs width) {
  std::vector<Window> windows;
  for (const TimeNs time : truth) {
    Window window{time, time + width};
    if (!windows.empty()) window.begin = std::max(window.begin, windows.back().end);
    windows.push_back(window);
  }
  return windows;
}

bool ascend(const std::vector<TimeNs>& times) { return std::is_sorted(times.begin(), times.end()); }

/// A window with the first detection in it.
struct Hit {
  Window window;
  TimeNs found = 0;
};

/// A border that two windows share belongs to both of them, as in SKAB.
std::vector<Hit> hits_of(const std::vector<TimeNs>& found, const std::vector<Window>& windows) {
  std::vector<Hit> hits;
  for (const Window& window : windows) {
    const auto first = std::lower_bound(found.begin(), found.end(), window.begin);
    if (first != found.end() && *first <= window.end) hits.push_back({window, *first});
  }
  return hits;
}

/// Detections that lie in no window.
std::size_t outside(const std::vector<TimeNs>& found, const std::vector<Window>& windows) {
  std::size_t count = 0;
  for (const TimeNs time : found) {
    const auto after = std::partition_point(windows.begin(), windows.end(),
                                            [&](const Window& w) { return w.end < time; });
    if (after == windows.end() || time < after->begin) ++count;
  }
  return count;
}

/// What a detection is worth this far into its window.
double worth(const Hit& hit, const Weights& weights) {
  const double share = static_cast<double>(hit.found - hit.window.begin) /
                       static_cast<double>(hit.window.end - hit.window.begin);
  const auto step = std::min(static_cast<std::size_t>(share * kSteps), kSteps - 1);
  const double pi = std::numbers::pi;
  const double x = -pi / 2 + static_cast<double>(step) * pi / (kSteps - 1);
  const double half = (weights.hit - weights.false_alarm) / 2;
  return -half * std::tanh(x) / std::tanh(pi / 2) + half + weights.false_alarm;
}

}  // namespace

ChangeScore change_point_score(const std::vector<ChangeFile>& files, TimeNs window) {
  std::array<double, kWeights.size()> raw{};
  double changes = 0;
  ChangeScore score;
  for (const ChangeFile& file : files) {
    ANOMALYD_CHECK(ascend(file.truth) && ascend(file.found), "times ascend");
    const std::vector<Window> windows = windows_of(file.truth, window);
    changes += static_cast<double>(windows.size());
    const std::size_t false_alarms = outside(file.found, windows);
    const std::vector<Hit> hits = hits_of(file.found, windows);
    score.false_alarms += false_alarms;
    score.missed += windows.size() - hits.size();
    for (std::size_t p = 0; p < kWeights.size(); ++p) {
      const Weights& weights = kWeights[p];
      raw[p] += weights.false_alarm * static_cast<double>(false_alarms);
      raw[p] += weights.miss * static_cast<double>(windows.size() - hits.size());
      for (const Hit& hit : hits) raw[p] += worth(hit, weights);
    }
  }
  std::array<double, kWeights.size()> scaled{};
  for (std::size_t p = 0; p < kWeights.size(); ++p) {
    const double null = kWeights[p].miss * changes;
    const double perfect = kWeights[p].hit * changes;
    scaled[p] = 100 * (raw[p] - null) / (perfect - null);
  }
  score.standard = scaled[0];
  score.low_fp = scaled[1];
  score.low_fn = scaled[2];
  return score;
}

std::vector<std::size_t> edges_of(Marks marks) {
  std::vector<std::size_t> edges;
  for (std::size_t i = 0; i < marks.size(); ++i) {
    const bool before = i > 0 && marks[i - 1] != 0;
    if ((marks[i] != 0) != before) edges.push_back(i);
  }
  return edges;
}

}  // namespace anomalyd::evaluate

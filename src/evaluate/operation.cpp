#include "evaluate/operation.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "base/check.h"

namespace anomalyd::evaluate {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr double kSecondsPerDay = 86400;

void check_input(const std::vector<ScoredStream>& streams) {
  for (const ScoredStream& stream : streams) {
    ANOMALYD_CHECK(stream.scores.size() == stream.truth.size(), "a score for each sample");
    ANOMALYD_CHECK(stream.sample_seconds > 0, "a sample lasts");
    for (const double score : stream.scores) {
      ANOMALYD_CHECK(!std::isnan(score), "a NaN has no place in an order");
    }
  }
}

double normal_days(const std::vector<ScoredStream>& streams) {
  double seconds = 0;
  for (const ScoredStream& stream : streams) {
    const auto normal = std::count(stream.truth.begin(), stream.truth.end(), 0);
    seconds += static_cast<double>(normal) * stream.sample_seconds;
  }
  return seconds / kSecondsPerDay;
}

/// How often a run is raised falsely.
std::size_t false_alarms_of(bool touches_event, std::size_t normal_samples, double sample_seconds) {
  const double on = static_cast<double>(normal_samples) * sample_seconds;
  return (touches_event ? 0U : 1U) + static_cast<std::size_t>(on / kRepeatSeconds);
}

/// Runs of alarmed samples, joined while samples are added in any order.
class Runs {
 public:
  explicit Runs(std::size_t samples) : runs_(samples) {}

  /// Adds sample i; `joins_before` and `joins_after` tell whether its neighbours are of the same
  /// stream, whose samples last `sample_seconds`.
  void add(std::size_t i, bool in_event, double sample_seconds, bool joins_before,
           bool joins_after) {
    runs_[i] = {i, in_event ? 0U : 1U, in_event};
    false_alarms_ += of(i, sample_seconds);
    if (joins_before && runs_[i - 1].parent != kAbsent) join(i, i - 1, sample_seconds);
    if (joins_after && runs_[i + 1].parent != kAbsent) join(i, i + 1, sample_seconds);
  }
  std::size_t false_alarms() const { return false_alarms_; }

 private:
  static constexpr std::size_t kAbsent = static_cast<std::size_t>(-1);

  struct Run {
    std::size_t parent = kAbsent;
    std::size_t normal_samples = 0;  // of a root
    bool touches_event = false;      // of a root
  };

  std::size_t of(std::size_t root, double sample_seconds) const {
    return false_alarms_of(runs_[root].touches_event, runs_[root].normal_samples, sample_seconds);
  }
  std::size_t root(std::size_t i) {
    while (runs_[i].parent != i) {
      runs_[i].parent = runs_[runs_[i].parent].parent;
      i = runs_[i].parent;
    }
    return i;
  }
  void join(std::size_t a, std::size_t b, double sample_seconds) {
    a = root(a);
    b = root(b);
    false_alarms_ -= of(a, sample_seconds) + of(b, sample_seconds);
    runs_[a].parent = b;
    runs_[b].normal_samples += runs_[a].normal_samples;
    runs_[b].touches_event = runs_[a].touches_event || runs_[b].touches_event;
    false_alarms_ += of(b, sample_seconds);
  }

  std::vector<Run> runs_;
  std::size_t false_alarms_ = 0;
};

}  // namespace

Operation operation_at(const std::vector<ScoredStream>& streams, double threshold) {
  check_input(streams);
  Operation operation;
  operation.threshold = threshold;
  operation.normal_days = normal_days(streams);
  double delays = 0;
  for (const ScoredStream& stream : streams) {
    const std::vector<std::uint8_t> alarms = alarms_at(stream.scores, threshold);
    for (const Span& event : spans_of(stream.truth)) {
      ++operation.events;
      for (std::size_t i = event.begin; i < event.end; ++i) {
        if (alarms[i] == 0) continue;
        ++operation.found;
        delays += static_cast<double>(i - event.begin) * stream.sample_seconds;
        break;
      }
    }
    for (const Span& run : spans_of(alarms)) {
      std::size_t normal = 0;
      for (std::size_t i = run.begin; i < run.end; ++i) normal += stream.truth[i] == 0 ? 1U : 0U;
      operation.false_alarms += false_alarms_of(normal < run.size(), normal, stream.sample_seconds);
    }
  }
  operation.false_alarms_per_day =
      operation.normal_days > 0
          ? static_cast<double>(operation.false_alarms) / operation.normal_days
          : kNone;
  operation.recall = operation.events > 0 ? static_cast<double>(operation.found) /
                                                static_cast<double>(operation.events)
                                          : kNone;
  operation.mean_delay_seconds =
      operation.found > 0 ? delays / static_cast<double>(operation.found) : kNone;
  return operation;
}

Operation operation_at_budget(const std::vector<ScoredStream>& streams,
                              double false_alarms_per_day) {
  check_input(streams);
  std::vector<double> scores;
  std::vector<std::uint8_t> truth;
  std::vector<double> seconds;
  std::vector<std::size_t> starts;  // of streams; their samples are put one behind the other
  for (const ScoredStream& stream : streams) {
    starts.push_back(scores.size());
    seconds.insert(seconds.end(), stream.scores.size(), stream.sample_seconds);
    scores.insert(scores.end(), stream.scores.begin(), stream.scores.end());
    truth.insert(truth.end(), stream.truth.begin(), stream.truth.end());
  }
  std::vector<bool> is_start(scores.size() + 1, false);
  for (const std::size_t start : starts) is_start[start] = true;
  is_start[scores.size()] = true;

  const double allowed = false_alarms_per_day * normal_days(streams);
  Runs runs(scores.size());
  double threshold = std::numeric_limits<double>::infinity();
  const std::vector<std::size_t> order = by_falling_score(scores);
  for (std::size_t i = 0; i < order.size();) {
    const double score = scores[order[i]];
    for (; i < order.size() && scores[order[i]] == score; ++i) {
      const std::size_t at = order[i];
      runs.add(at, truth[at] != 0, seconds[at], !is_start[at], !is_start[at + 1]);
    }
    if (static_cast<double>(runs.false_alarms()) > allowed) break;
    threshold = score;
  }
  return operation_at(streams, threshold);
}

CalibrationPanel calibration_panel(const std::vector<std::vector<double>>& normal_p_values) {
  CalibrationPanel panel;
  std::array<std::vector<double>, CalibrationPanel::kLevels.size()> by_stream;
  for (const std::vector<double>& p_values : normal_p_values) {
    std::uint64_t windows = 0;
    std::array<double, CalibrationPanel::kLevels.size()> below{};
    for (const double p : p_values) {
      if (std::isnan(p)) continue;
      ++windows;
      for (std::size_t l = 0; l < below.size(); ++l) {
        if (p <= CalibrationPanel::kLevels[l]) ++below[l];
      }
    }
    if (windows == 0) continue;
    panel.windows += windows;
    for (std::size_t l = 0; l < below.size(); ++l) {
      panel.ratios[l].observed += below[l];
      by_stream[l].push_back(below[l] / static_cast<double>(windows) /
                             CalibrationPanel::kLevels[l]);
    }
  }
  for (std::size_t l = 0; l < by_stream.size(); ++l) {
    CalibrationPanel::Ratio& ratio = panel.ratios[l];
    std::vector<double>& streams = by_stream[l];
    if (streams.empty()) {
      ratio.pooled = ratio.worst_tenth = kNone;
      continue;
    }
    ratio.pooled =
        ratio.observed / static_cast<double>(panel.windows) / CalibrationPanel::kLevels[l];
    std::sort(streams.begin(), streams.end(), std::greater<>());
    const std::size_t worst = (streams.size() + 9) / 10;
    ratio.worst_tenth = std::accumulate(streams.begin(),
                                        streams.begin() + static_cast<std::ptrdiff_t>(worst), 0.0) /
                        static_cast<double>(worst);
  }
  return panel;
}

}  // namespace anomalyd::evaluate

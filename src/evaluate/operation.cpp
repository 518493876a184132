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
    ANOMALYD_CHECK(stream.known_at.empty() || stream.known_at.size() == stream.scores.size(),
                   "a sample at which each score is known");
    for (const double score : stream.scores) {
      ANOMALYD_CHECK(!std::isnan(score), "a NaN has no place in an order");
    }
  }
}

/// From the event's first sample to when the alarm of sample i is known; NaN when that is never.
double delay_of(const ScoredStream& stream, std::size_t i, const Span& event) {
  const std::size_t known = stream.known_at.empty() ? i : stream.known_at[i];
  if (known == kNever) return kNone;
  return static_cast<double>(known - event.begin) * stream.sample_seconds;
}

double normal_days(const std::vector<ScoredStream>& streams) {
  double seconds = 0;
  for (const ScoredStream& stream : streams) {
    const auto normal = std::count(stream.truth.begin(), stream.truth.end(), 0);
    seconds += static_cast<double>(normal) * stream.sample_seconds;
  }
  return seconds / kSecondsPerDay;
}

/// The stretches of normal time between events, and how often a run is raised falsely in them.
class NormalTime {
 public:
  /// Appends a stream: its stretches never join those of the stream before.
  void add(Marks truth) {
    bool is_open = false;
    for (const std::uint8_t mark : truth) {
      const std::size_t at = ended_.size();
      if (mark == 0) {
        if (!is_open) stretches_.push_back({at, at});
        stretches_.back().end = at + 1;
      }
      is_open = mark == 0;
      begun_.push_back(stretches_.size());
      ended_.push_back(stretches_.size() - (is_open ? 1U : 0U));
      normal_before_.push_back(normal_before_.back() + (mark == 0 ? 1U : 0U));
    }
  }

  std::size_t false_alarms(const Span& run, double sample_seconds) const {
    const std::size_t normal = normal_before_[run.end] - normal_before_[run.begin];
    const double on = static_cast<double>(normal) * sample_seconds;
    const auto repeats = static_cast<std::size_t>(on / kRepeatSeconds);
    // One that finds an event may begin early and end late; it may not be on all the time.
    return normal == run.size() ? 1 + repeats : std::max(covered(run), repeats);
  }

 private:
  /// The stretches of which at least half lies in the run.
  std::size_t covered(const Span& run) const {
    // Those that end behind the run's first sample and begin before its end.
    const std::size_t first = ended_[run.begin];
    const std::size_t last = begun_[run.end - 1];
    if (last <= first) return 0;
    const auto counts = [&](std::size_t s) {
      const Span& stretch = stretches_[s];
      const std::size_t shared =
          std::min(run.end, stretch.end) - std::max(run.begin, stretch.begin);
      return 2 * shared >= stretch.size() ? 1U : 0U;
    };
    if (last - first == 1) return counts(first);
    return counts(first) + (last - first - 2) + counts(last - 1);
  }

  std::vector<Span> stretches_;
  std::vector<std::size_t> begun_;             // stretches that began at or before sample i
  std::vector<std::size_t> ended_;             // stretches that ended at or before sample i
  std::vector<std::size_t> normal_before_{0};  // normal samples among the first i
};

/// Runs of alarmed samples, joined while samples are added in any order.
class Runs {
 public:
  Runs(std::size_t samples, const NormalTime& normal) : normal_(normal), runs_(samples) {}

  /// Adds sample i; `joins_before` and `joins_after` tell whether its neighbours are of the same
  /// stream, whose samples last `sample_seconds`.
  void add(std::size_t i, double sample_seconds, bool joins_before, bool joins_after) {
    runs_[i] = {i, {i, i + 1}};
    false_alarms_ += of(i, sample_seconds);
    if (joins_before && runs_[i - 1].parent != kAbsent) join(i, i - 1, sample_seconds);
    if (joins_after && runs_[i + 1].parent != kAbsent) join(i, i + 1, sample_seconds);
  }
  std::size_t false_alarms() const { return false_alarms_; }

 private:
  static constexpr std::size_t kAbsent = static_cast<std::size_t>(-1);

  struct Run {
    std::size_t parent = kAbsent;
    Span samples;  // of a root
  };

  std::size_t of(std::size_t root, double sample_seconds) const {
    return normal_.false_alarms(runs_[root].samples, sample_seconds);
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
    runs_[b].samples = {std::min(runs_[a].samples.begin, runs_[b].samples.begin),
                        std::max(runs_[a].samples.end, runs_[b].samples.end)};
    false_alarms_ += of(b, sample_seconds);
  }

  const NormalTime& normal_;
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
        delays += delay_of(stream, i, event);
        break;
      }
    }
    NormalTime normal;
    normal.add(stream.truth);
    for (const Span& run : spans_of(alarms)) {
      operation.false_alarms += normal.false_alarms(run, stream.sample_seconds);
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
  std::vector<double> seconds;
  NormalTime normal;
  std::vector<std::size_t> starts;  // of streams; their samples are put one behind the other
  for (const ScoredStream& stream : streams) {
    starts.push_back(scores.size());
    seconds.insert(seconds.end(), stream.scores.size(), stream.sample_seconds);
    scores.insert(scores.end(), stream.scores.begin(), stream.scores.end());
    normal.add(stream.truth);
  }
  std::vector<bool> is_start(scores.size() + 1, false);
  for (const std::size_t start : starts) is_start[start] = true;
  is_start[scores.size()] = true;

  const double allowed = false_alarms_per_day * normal_days(streams);
  Runs runs(scores.size(), normal);
  double threshold = std::numeric_limits<double>::infinity();
  const std::vector<std::size_t> order = by_falling_score(scores);
  for (std::size_t i = 0; i < order.size();) {
    const double score = scores[order[i]];
    for (; i < order.size() && scores[order[i]] == score; ++i) {
      const std::size_t at = order[i];
      runs.add(at, seconds[at], !is_start[at], !is_start[at + 1]);
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
      ratio.pooled = ratio.worst_tenth = panel.within_twice = kNone;
      continue;
    }
    if (CalibrationPanel::kLevels[l] == CalibrationPanel::kWithin) {
      const auto within = std::count_if(streams.begin(), streams.end(),
                                        [](double ratio_of) { return ratio_of <= 2; });
      panel.within_twice = static_cast<double>(within) / static_cast<double>(streams.size());
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

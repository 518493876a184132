#include "evaluate/runner.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <optional>

#include "evaluate/controls.h"
#include "evaluate/parallel.h"

namespace anomalyd::evaluate {
namespace {

/// The judged part of what was scored.
JudgedSeries judge(const Series& series, const SampleScores& scores, const StreamScores& stream) {
  JudgedSeries judged;
  judged.series = &series;
  const auto begin = static_cast<std::ptrdiff_t>(series.train);
  judged.score.assign(scores.score.begin() + begin, scores.score.end());
  judged.surprise.assign(scores.surprise.begin() + begin, scores.surprise.end());
  judged.unscored =
      static_cast<std::size_t>(std::count(scores.scored.begin() + begin, scores.scored.end(), 0));
  for (std::size_t i = series.train; i < series.samples(); ++i) {
    const std::size_t known = scores.known_at[i];
    judged.known_at.push_back(known == kNever ? kNever : known - series.train);
  }
  std::vector<std::size_t> labelled_before{0};  // among the first i samples
  for (const std::uint8_t mark : series.truth) {
    labelled_before.push_back(labelled_before.back() + (mark != 0 ? 1U : 0U));
  }
  for (const WindowScore& window : stream.windows) {
    if (window.begin < series.train || window.end > series.samples()) continue;
    if (labelled_before[window.end] != labelled_before[window.begin]) continue;
    if (window.is_held) {
      ++judged.held_windows;
    } else {
      judged.normal_p_values.push_back(window.p_value);
    }
  }
  for (const Span& alert : stream.alerts) {
    const std::size_t end = std::min(alert.end, series.samples());
    if (end <= series.train) continue;
    judged.alerts.push_back(
        {std::max(alert.begin, series.train) - series.train, end - series.train});
  }
  return judged;
}

/// The null of the calibration panel: p-values that are what they promise, one for each normal
/// sample, so that a reader sees how far chance alone moves a ratio on these series.
void add_null(JudgedSeries& random) {
  const Marks truth = random.truth();
  for (std::size_t i = 0; i < truth.size(); ++i) {
    if (truth[i] == 0) random.normal_p_values.push_back(std::pow(10.0, -random.surprise[i]));
  }
}

/// One detector over all series.
class Row {
 public:
  Row(const Protocol& protocol, const Dataset& dataset, const RunOptions& options)
      : protocol_(protocol), dataset_(dataset), options_(options) {
    judged_.resize(dataset.series.size());
  }

  DetectorResult control(std::string_view name, Control control) {
    return timed(std::string(name), [&](std::size_t i) {
      const Series& series = dataset_.series[i];
      SampleScores scores =
          control_scores(control, protocol_.kind, dataset_, i, options_.scoring.seed);
      // One table, one rule: what is judged afterwards has no time for any row.
      if (options_.scoring.mode == Mode::kOffline) {
        scores.known_at.assign(series.samples(), kNever);
      }
      judged_[i] = judge(series, scores, {});
      if (control == Control::kRandom) add_null(judged_[i]);
    });
  }

  DetectorResult detector(const std::string& name) {
    const auto begin = std::chrono::steady_clock::now();
    std::optional<Result<LearnedDetector>> shared;
    if (!dataset_.training.empty()) {
      std::vector<const Series*> material;
      material.reserve(dataset_.training.size());
      for (const Series& series : dataset_.training) material.push_back(&series);
      shared.emplace(learn(name, material, false, options_.scoring, options_.threads));
    }
    DetectorResult result = timed(name, [&](std::size_t i) {
      const Series& series = dataset_.series[i];
      if (shared) {
        score(i, *shared);
      } else {
        score(i, learn(name, {&series}, true, options_.scoring, 1));
      }
    });
    result.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return result;
  }

 private:
  void score(std::size_t i, const Result<LearnedDetector>& learned) {
    const Series& series = dataset_.series[i];
    if (!learned.ok()) {
      fail(i, learned.error());
      return;
    }
    const Result<StreamScores> stream = score_series(learned.value(), series, options_.scoring);
    if (!stream.ok()) {
      fail(i, stream.error());
      return;
    }
    const SampleScores samples =
        sample_scores(stream.value().windows, series.samples(), options_.scoring.mode);
    JudgedSeries judged = judge(series, samples, stream.value());
    if (judged.unscored == judged.score.size()) {
      fail(i, Error{ErrorCode::kInvalidArgument, "no sample of the judged part was scored"});
      return;
    }
    judged_[i] = std::move(judged);
  }

  /// Without scores nothing was ever alarmed.
  void fail(std::size_t i, const Error& error) {
    const Series& series = dataset_.series[i];
    judged_[i] = judge(series, sample_scores({}, series.samples(), options_.scoring.mode), {});
    const std::lock_guard<std::mutex> lock(mutex_);
    failures_[i] = series.name + ": " + error.message;
  }

  template <class Work>
  DetectorResult timed(std::string name, const Work& work) {
    const auto begin = std::chrono::steady_clock::now();
    DetectorResult result;
    result.detector = std::move(name);
    std::size_t done = 0;
    for_each_index(judged_.size(), options_.threads, [&](std::size_t i) {
      work(i);
      const std::lock_guard<std::mutex> lock(mutex_);
      ++done;
      if (options_.on_progress) options_.on_progress(done, judged_.size(), result.detector);
    });
    result.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    result.figures = figures_of(protocol_.kind, judged_, options_.alarm_p);
    for (const auto& [index, why] : failures_) result.failures.push_back(why);
    for (const JudgedSeries& judged : judged_) {
      result.unscored += judged.unscored;
      result.judged += judged.score.size();
    }
    const std::size_t plots = std::min(options_.plots, judged_.size());
    for (std::size_t p = 0; p < plots; ++p) {
      result.plots.push_back(std::move(judged_[p * judged_.size() / plots]));
    }
    return result;
  }

  const Protocol& protocol_;
  const Dataset& dataset_;
  const RunOptions& options_;
  std::vector<JudgedSeries> judged_;
  std::mutex mutex_;
  std::map<std::size_t, std::string> failures_;  // by series, whatever the threads did first
};

/// Offline learns from the series that it judges, and is another thing where none is learned from.
Status check_offline(const Dataset& dataset, const std::vector<std::string>& names) {
  if (!dataset.training.empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 "mode offline: recordings are not learned from when they are judged; expected "
                 "causal or lag"};
  }
  for (const std::string& name : names) {
    if (!name.ends_with(".safetensors")) continue;
    return Error{ErrorCode::kInvalidArgument, "mode offline: " + name +
                                                  " is learned already; expected causal or lag, or "
                                                  "a kind of detector"};
  }
  return Done{};
}

}  // namespace

std::vector<std::string> all_detectors() {
  std::vector<std::string> names;
  for (const detect::MemberKind& kind : detect::member_kinds()) names.emplace_back(kind.name);
  return names;
}

Status check_detectors(const std::vector<std::string>& names) {
  const std::vector<std::string> kinds = all_detectors();
  for (const std::string& name : names) {
    if (name.ends_with(".safetensors")) {
      // A file that cannot be read is a mistake of the caller, not a result.
      if (const auto loaded = detect::load_detector(name); !loaded.ok()) return loaded.error();
      continue;
    }
    if (std::find(kinds.begin(), kinds.end(), name) != kinds.end()) continue;
    if (name.find(kWithout) != std::string::npos) {
      if (const Status known = detect::check_ablation(name); !known.ok()) return known.error();
      continue;
    }
    std::string known;
    for (const std::string& kind : kinds) known += kind + ", ";
    return Error{ErrorCode::kInvalidArgument, "no detector '" + name + "'; expected one of: " +
                                                  known + "or a file that ends in .safetensors"};
  }
  return Done{};
}

Result<std::vector<DetectorResult>> run(const Protocol& protocol, const Dataset& dataset,
                                        const std::vector<std::string>& detectors,
                                        const RunOptions& options) {
  if (options.scoring.mode == Mode::kOffline) {
    if (const Status fits = check_offline(dataset, detectors); !fits.ok()) return fits.error();
  }
  if (const Status checked = check_detectors(detectors); !checked.ok()) return checked.error();
  std::vector<DetectorResult> results;
  for (const std::string& name : detectors) {
    Row row(protocol, dataset, options);
    results.push_back(row.detector(name));
  }
  const double none = std::numeric_limits<double>::quiet_NaN();
  double random_pa_f1 = none;
  for (const std::string_view name : kControls) {
    Row row(protocol, dataset, options);
    results.push_back(row.control(name, *find_control(name)));
    results.back().is_control = true;
    if (name == "random") random_pa_f1 = find_figure(results.back().figures, "pa_f1");
  }
  // Point adjustment is shown only beside what noise gets.
  for (DetectorResult& result : results) {
    const auto at = std::find_if(result.figures.begin(), result.figures.end(),
                                 [](const Figure& f) { return f.name == "pa_f1"; });
    if (at != result.figures.end()) {
      result.figures.insert(at + 1, {"pa_f1_of_random", random_pa_f1, true});
    }
  }
  return results;
}

}  // namespace anomalyd::evaluate

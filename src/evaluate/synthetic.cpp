#include "evaluate/synthetic.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <mutex>
#include <numeric>
#include <optional>
#include <random>
#include <utility>

#include "detect/normaliser.h"
#include "evaluate/controls.h"
#include "evaluate/parallel.h"
#include "evaluate/runner.h"
#include "nn/random.h"

namespace anomalyd::evaluate {
namespace {

// Around an anomaly, what a splice may be taken from.
constexpr std::size_t kNeighbourhood = 8192;
// Passes in a row in which no place was left that would do.
constexpr std::size_t kPatience = 64;
constexpr std::size_t kLongest = kSyntheticLengths.back();

Error refuse(std::string what) { return Error{ErrorCode::kInvalidArgument, std::move(what)}; }

/// An anomaly at its place: `injection.begin` is a row of the series.
struct Placed {
  detect::Injection injection;
  std::size_t cell = 0;
  std::uint64_t seed = 0;
};
using Pass = std::vector<Placed>;

/// The moving channels of a series and their scale.
struct Scale {
  std::vector<std::size_t> channels;  // of the series
  std::vector<double> mean, spread;   // of each of them
};

Scale scale_of(const Series& series, const std::vector<std::string>& moving) {
  Scale scale;
  for (std::size_t c = 0; c < series.channels.size(); ++c) {
    if (std::find(moving.begin(), moving.end(), series.channels[c]) == moving.end()) continue;
    detect::ChannelMoments moments;
    for (std::size_t i = 0; i < series.train; ++i) {
      const auto value = static_cast<double>(series.values[i * series.channels.size() + c]);
      if (!std::isnan(value)) moments.add(value);
    }
    scale.channels.push_back(c);
    scale.mean.push_back(moments.mean);
    scale.spread.push_back(moments.spread());
  }
  return scale;
}

std::vector<SyntheticCell> make_cells(std::size_t channels) {
  std::vector<SyntheticCell> cells;
  for (const detect::Anomaly kind : detect::kAnomalies) {
    if (kind == detect::Anomaly::kDecoupled && channels == 1) continue;
    for (const double strength : kSyntheticStrengths) {
      for (const std::size_t length : kSyntheticLengths) {
        SyntheticCell cell;
        cell.kind = kind;
        cell.strength = has_strength(kind) ? strength : 0;
        cell.length = has_length(kind) ? length : 1;
        cells.push_back(cell);
        if (!has_length(kind)) break;
      }
      if (!has_strength(kind)) break;
    }
  }
  return cells;
}

/// Rows begin..end-1 of the moving channels, normalised; what is missing is as it was before.
detect::Recording normalised(const Series& series, const Scale& scale, std::size_t begin,
                             std::size_t end) {
  detect::Recording recording;
  recording.channels = scale.channels.size();
  std::vector<float> last(scale.channels.size(), 0.0F);
  for (std::size_t i = begin; i < end; ++i) {
    for (std::size_t c = 0; c < scale.channels.size(); ++c) {
      const auto raw =
          static_cast<double>(series.values[i * series.channels.size() + scale.channels[c]]);
      if (!std::isnan(raw)) {
        last[c] = static_cast<float>((raw - scale.mean[c]) / scale.spread[c]);
      }
      recording.values.push_back(last[c]);
    }
  }
  return recording;
}

/// Puts the anomaly into the series' own units. Only what it changes is written.
void put(const Placed& placed, const Scale& scale, std::size_t first_row, Series& series) {
  const std::size_t at = placed.injection.begin;
  const std::size_t half = kNeighbourhood / 2;
  const std::size_t from = at > first_row + half ? at - half : first_row;
  const std::size_t to = std::min(series.samples(), from + kNeighbourhood);
  const detect::Recording before = normalised(series, scale, from, to);
  detect::Recording after = before;
  detect::Injection injection = placed.injection;
  injection.begin -= from;
  std::mt19937_64 bits(placed.seed);
  detect::inject(injection, bits, after);
  for (std::size_t v = 0; v < after.values.size(); ++v) {
    if (after.values[v] == before.values[v]) continue;
    const std::size_t c = v % scale.channels.size();
    const std::size_t row = from + v / scale.channels.size();
    series.values[row * series.channels.size() + scale.channels[c]] =
        static_cast<float>(static_cast<double>(after.values[v]) * scale.spread[c] + scale.mean[c]);
  }
}

/// Where anomalies go: each cell's, in random order, pass by pass.
class Planner {
 public:
  Planner(const Series& series, const Scale& scale, std::size_t tail)
      : series_(series), tail_(tail), unusable_before_{0} {
    for (std::size_t i = 0; i < series.samples(); ++i) {
      bool is_usable = series.truth[i] == 0;
      for (const std::size_t c : scale.channels) {
        is_usable = is_usable && !std::isnan(series.values[i * series.channels.size() + c]);
      }
      unusable_before_.push_back(unusable_before_.back() + (is_usable ? 0U : 1U));
    }
  }

  Result<std::vector<Pass>> plan(const std::vector<SyntheticCell>& cells, std::size_t channels,
                                 std::uint64_t seed) const {
    const std::size_t stretch = kSyntheticLead + kLongest + tail_;
    const std::size_t rest = series_.samples() - series_.train;
    if (rest < stretch) {
      return refuse(std::to_string(rest) + " rows behind the train part, expected at least " +
                    std::to_string(stretch));
    }
    std::mt19937_64 bits(seed);
    std::vector<Placed> waiting = injections(cells, channels, bits);
    const std::size_t spacing = std::max(kSyntheticSpacing, stretch);
    std::vector<Pass> passes;
    for (std::size_t missed = 0; !waiting.empty();) {
      const std::size_t room = std::min(spacing, rest - stretch + 1);
      std::size_t begin = series_.train + kSyntheticLead + bits() % room;
      Pass pass;
      for (; begin + kLongest + tail_ <= series_.samples() && !waiting.empty(); begin += spacing) {
        if (!is_clean(begin - kSyntheticLead, begin + kLongest + tail_)) continue;
        waiting.back().injection.begin = begin;
        pass.push_back(waiting.back());
        waiting.pop_back();
      }
      missed = pass.empty() ? missed + 1 : 0;
      if (missed == kPatience) {
        return refuse("no place for an anomaly: expected stretches of " + std::to_string(stretch) +
                      " rows behind the train part without labels or missing values");
      }
      if (!pass.empty()) passes.push_back(std::move(pass));
    }
    return passes;
  }

 private:
  static std::vector<Placed> injections(const std::vector<SyntheticCell>& cells,
                                        std::size_t channels, std::mt19937_64& bits) {
    std::vector<Placed> all;
    for (std::size_t c = 0; c < cells.size(); ++c) {
      for (std::size_t repeat = 0; repeat < kSyntheticRepeats; ++repeat) {
        Placed placed;
        placed.cell = c;
        placed.seed = bits();
        placed.injection.kind = cells[c].kind;
        placed.injection.length = cells[c].length;
        placed.injection.strength = cells[c].strength;
        placed.injection.channel = bits() % channels;
        all.push_back(placed);
      }
    }
    for (std::size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[bits() % i]);
    return all;
  }

  bool is_clean(std::size_t begin, std::size_t end) const {
    return unusable_before_[begin] == unusable_before_[end];
  }

  const Series& series_;
  std::size_t tail_;
  std::vector<std::size_t> unusable_before_;  // among the first i rows
};

using Alarms = std::vector<std::uint8_t>;

/// The sample at which the first alarm of begin..end-1 is known, if there is one.
std::optional<std::size_t> first_alarm(const Alarms& alarms, const SampleScores& scores,
                                       std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end; ++i) {
    if (alarms[i] != 0) return scores.known_at[i];
  }
  return std::nullopt;
}

/// The median of what is there; NaN of nothing.
double median(std::vector<double> values) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

/// One detector, or the control, over all passes.
class Trial {
 public:
  Trial(const Series& series, const Scale& scale, const std::vector<Pass>& passes, std::size_t tail,
        const SyntheticOptions& options)
      : series_(series), scale_(scale), passes_(passes), tail_(tail), options_(options) {}

  /// `score` makes SampleScores, or an Error, of a series and the number of its pass.
  template <class Score>
  SyntheticResult judge(std::string name, std::vector<SyntheticCell> cells, const Score& score) {
    const auto start = std::chrono::steady_clock::now();
    SyntheticResult result;
    result.detector = std::move(name);
    const Result<SampleScores> clean = score(series_, passes_.size());
    if (!clean.ok()) {
      result.failure = clean.error().message;
      return result;
    }
    const Alarms usual = alarms_of(clean.value());
    for (const Span& span : spans_of(Marks(usual).subspan(series_.train))) {
      ++result.clean_alarms;
      result.clean_alarmed += span.size();
    }
    result.clean_samples = series_.samples() - series_.train;
    std::vector<std::vector<std::optional<double>>> delays(passes_.size());
    std::mutex mutex;
    std::size_t done = 0;
    for_each_index(passes_.size(), options_.threads, [&](std::size_t p) {
      Series odd = series_;
      for (const Placed& placed : passes_[p]) put(placed, scale_, series_.train, odd);
      const Result<SampleScores> scores = score(odd, p);
      const std::lock_guard<std::mutex> lock(mutex);
      if (scores.ok()) {
        delays[p] = delays_of(passes_[p], usual, scores.value());
      } else {
        result.failure = scores.error().message;
      }
      ++done;
      if (options_.on_progress) options_.on_progress(done, passes_.size(), result.detector);
    });
    if (result.failure.empty()) gather(delays, std::move(cells), result);
    result.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return result;
  }

 private:
  Alarms alarms_of(const SampleScores& scores) const {
    // A surprise of -log10(alarm_p) as its p-value has it, whatever the logarithm's last bit.
    return alarms_at(scores.surprise, -std::log10(options_.alarm_p) * (1 - 1e-12));
  }

  /// Of each anomaly of a pass the delay in samples; nothing for one that was not caught.
  std::vector<std::optional<double>> delays_of(const Pass& pass, const Alarms& usual,
                                               const SampleScores& scores) const {
    const Alarms now = alarms_of(scores);
    std::vector<std::optional<double>> delays;
    for (const Placed& placed : pass) {
      const std::size_t begin = placed.injection.begin;
      const std::size_t end = begin + placed.injection.length + tail_;
      const bool is_on = now[begin - 1] != 0;
      const bool is_usual = std::any_of(usual.begin() + static_cast<std::ptrdiff_t>(begin),
                                        usual.begin() + static_cast<std::ptrdiff_t>(end),
                                        [](std::uint8_t alarm) { return alarm != 0; });
      const auto found = first_alarm(now, scores, begin, end);
      if (is_on || is_usual || !found) {
        delays.emplace_back(std::nullopt);
      } else {
        delays.emplace_back(static_cast<double>(*found - begin));
      }
    }
    return delays;
  }

  void gather(const std::vector<std::vector<std::optional<double>>>& delays,
              std::vector<SyntheticCell> cells, SyntheticResult& result) const {
    std::vector<std::vector<double>> by_cell(cells.size());
    std::vector<double> all;
    for (std::size_t p = 0; p < passes_.size(); ++p) {
      for (std::size_t i = 0; i < passes_[p].size(); ++i) {
        ++cells[passes_[p][i].cell].put;
        ++result.put;
        if (!delays[p][i]) continue;
        by_cell[passes_[p][i].cell].push_back(*delays[p][i]);
        all.push_back(*delays[p][i]);
      }
    }
    for (std::size_t c = 0; c < cells.size(); ++c) {
      cells[c].caught = by_cell[c].size();
      cells[c].delay_samples = median(std::move(by_cell[c]));
    }
    result.caught = all.size();
    result.delay_samples = median(std::move(all));
    result.cells = std::move(cells);
  }

  const Series& series_;
  const Scale& scale_;
  const std::vector<Pass>& passes_;
  std::size_t tail_;
  const SyntheticOptions& options_;
};

/// The recording as far as the anomalies need it: a rest without end would be scored for nothing.
Series cut(const Series& series, std::size_t cells, std::size_t tail) {
  const std::size_t stretch = std::max(kSyntheticSpacing, kSyntheticLead + kLongest + tail);
  const std::size_t most = series.train + (cells * kSyntheticRepeats + 1) * stretch;
  Series part = series;
  if (series.samples() <= most) return part;
  part.truth.resize(most);
  part.values.resize(most * series.channels.size());
  if (!part.times.empty()) part.times.resize(most);
  return part;
}

Status check(const Series& series, const SyntheticOptions& options) {
  if (options.scoring.mode == Mode::kOffline) {
    return refuse(
        "mode offline: a recording with anomalies in it is not learned from; expected "
        "causal or lag");
  }
  const auto end = series.truth.begin() + static_cast<std::ptrdiff_t>(series.train);
  const auto labelled =
      std::find_if(series.truth.begin(), end, [](auto mark) { return mark != 0; });
  if (labelled != end) {
    return refuse("sample " + std::to_string(labelled - series.truth.begin()) +
                  " of the train part is labelled anomalous, expected normal ones");
  }
  return Done{};
}

}  // namespace

bool has_strength(detect::Anomaly kind) {
  using detect::Anomaly;
  return kind == Anomaly::kSpike || kind == Anomaly::kLevel || kind == Anomaly::kTrend ||
         kind == Anomaly::kVariance || kind == Anomaly::kAmplitude;
}

bool has_length(detect::Anomaly kind) { return kind != detect::Anomaly::kSpike; }

Result<std::vector<SyntheticResult>> run_synthetic(const Series& series,
                                                   const std::vector<std::string>& detectors,
                                                   const SyntheticOptions& options) {
  if (const Status checked = check(series, options); !checked.ok()) return checked.error();
  if (const Status known = check_detectors(detectors); !known.ok()) return known.error();
  const std::vector<const Series*> material{&series};
  const std::vector<std::string> moving = moving_channels(material, {series.train});
  if (moving.empty()) return refuse("no channel moves in the train part");
  const Scale scale = scale_of(series, moving);
  std::vector<Result<LearnedDetector>> learned;
  std::size_t tail = window_for("", series.train, moving.size(), options.scoring).window;
  for (const std::string& name : detectors) {
    learned.push_back(learn(name, material, true, options.scoring, options.threads));
    if (learned.back().ok()) tail = std::max(tail, learned.back().value().size.window);
  }
  const std::vector<SyntheticCell> cells = make_cells(moving.size());
  const Series part = cut(series, cells.size(), tail);
  const Result<std::vector<Pass>> passes =
      Planner(part, scale, tail).plan(cells, moving.size(), options.scoring.seed);
  if (!passes.ok()) return passes.error();
  Trial trial(part, scale, passes.value(), tail, options);
  std::vector<SyntheticResult> results;
  for (std::size_t d = 0; d < detectors.size(); ++d) {
    if (!learned[d].ok()) {
      SyntheticResult failed;
      failed.detector = detectors[d];
      failed.failure = learned[d].error().message;
      results.push_back(std::move(failed));
      continue;
    }
    results.push_back(trial.judge(
        detectors[d], cells, [&](const Series& shown, std::size_t) -> Result<SampleScores> {
          const auto stream = score_series(learned[d].value(), shown, options.scoring);
          if (!stream.ok()) return stream.error();
          SampleScores scores =
              sample_scores(stream.value().windows, shown.samples(), options.scoring.mode);
          if (std::count(scores.scored.begin() + static_cast<std::ptrdiff_t>(shown.train),
                         scores.scored.end(),
                         0) == static_cast<std::ptrdiff_t>(shown.samples() - shown.train)) {
            return refuse("no sample behind the train part was scored");
          }
          return scores;
        }));
  }
  results.push_back(trial.judge(
      "random", cells, [&](const Series& shown, std::size_t pass) -> Result<SampleScores> {
        Dataset dataset;
        dataset.series.push_back(shown);
        return control_scores(Control::kRandom, ProtocolKind::kCsv, dataset, 0,
                              nn::derive_seed(options.scoring.seed, pass));
      }));
  results.back().is_control = true;
  return results;
}

}  // namespace anomalyd::evaluate

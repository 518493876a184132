#include "evaluate/scoring.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "base/sample_batch.h"
#include "detect/fit.h"
#include "detect/normaliser.h"
#include "stream/domain.h"
#include "stream/shard_streams.h"
#include "stream/windower.h"

namespace anomalyd::evaluate {
namespace {

constexpr std::string_view kStreamKey = "series";
constexpr std::string_view kFileEnd = ".safetensors";
constexpr std::size_t kBatchRows = 4096;
constexpr std::size_t kMinWindow = 8;
constexpr std::size_t kMaxHop = 8;
constexpr std::size_t kWindowStep = 8;  // the autoencoder's strides
constexpr std::size_t kTrainOverHop = 1000;
constexpr std::size_t kMinLearnWindows = 40;
// What a stream that is to learn from other recordings is shown of them at most.
constexpr std::size_t kMaxLeadInRows = 100'000;
// Behind a series' last row, so that its last window ends in range.
constexpr std::size_t kRowsToSpare = 1024;
constexpr TimeNs kDefaultStart = 1577836800 * kNsPerSecond;  // 2020-01-01
constexpr TimeNs kMaxTime = TimeNs{1} << 62U;                // 2116, where the daemon's times end
// No distance of rows is a gap: the grid is even by construction.
constexpr std::int64_t kNoGap = std::int64_t{1} << 60U;
// What a channel's spread must reach, relative to its mean, to have moved (detect::ChannelScale).
constexpr double kFlat = 1e-5;

Error refuse(std::string what) { return Error{ErrorCode::kInvalidArgument, std::move(what)}; }

/// Where row i of a series lies in time, on the grid that it is fed on: from its own start with its
/// own period, or with an artificial one where that would leave the daemon's range, which would
/// drop those rows.
class Grid {
 public:
  explicit Grid(const Series& series, std::size_t lead_in = 0)
      : period_ns_((series.sample_seconds > 0 ? series.sample_seconds : 1) *
                   static_cast<double>(kNsPerSecond)) {
    const std::size_t rows = lead_in + series.samples();
    if (!series.times.empty()) start_ = series.times[0];
    if (!holds(rows)) start_ = kDefaultStart;
    if (!holds(rows)) period_ns_ = static_cast<double>(kNsPerSecond);
  }
  TimeNs time(std::size_t row) const {
    return start_ + std::llround(static_cast<double>(row) * period_ns_);
  }
  /// The row that begins at this time.
  std::size_t row(TimeNs time) const {
    return static_cast<std::size_t>(
        std::max(0.0, std::round(static_cast<double>(time - start_) / period_ns_)));
  }
  double rate_hz() const { return static_cast<double>(kNsPerSecond) / period_ns_; }

 private:
  /// Whether the grid's times, and those of a few windows behind them, are in range.
  bool holds(std::size_t rows) const {
    const double end =
        static_cast<double>(start_) + static_cast<double>(rows + kRowsToSpare) * period_ns_;
    return start_ >= 0 && end < static_cast<double>(kMaxTime);
  }

  TimeNs start_ = kDefaultStart;
  double period_ns_;
};

/// The positions of `wanted` among `channels`.
Result<std::vector<std::size_t>> positions(const std::vector<std::string>& wanted,
                                           const std::vector<std::string>& channels) {
  std::vector<std::size_t> found;
  for (const std::string& name : wanted) {
    const auto at = std::find(channels.begin(), channels.end(), name);
    if (at == channels.end()) return refuse("the detector needs a channel \"" + name + "\"");
    found.push_back(static_cast<std::size_t>(at - channels.begin()));
  }
  return found;
}

/// Keeps the complete windows of one recording.
class Collector final : public stream::WindowSink {
 public:
  Collector(std::size_t window, std::size_t channels) : values_(window * channels) {}

  void on_window(stream::Windower& windower, TimeNs, TimeNs) override {
    std::vector<float> window(values_);
    windower.copy_window(window);
    const auto finite = [](float v) { return std::isfinite(v); };
    if (std::all_of(window.begin(), window.end(), finite)) {
      all_.insert(all_.end(), window.begin(), window.end());
    }
  }
  void on_gap(stream::Windower&) override {}

  nn::Matrix<float> matrix() const {
    const auto columns = static_cast<Eigen::Index>(values_);
    const auto rows = static_cast<Eigen::Index>(all_.size()) / columns;
    return Eigen::Map<const nn::Matrix<float>>(all_.data(), rows, columns);
  }

 private:
  std::size_t values_;
  std::vector<float> all_;
};

stream::WindowRules window_rules(const LearnedDetector& learned, double rate_hz) {
  stream::WindowRules rules;
  rules.channels = std::make_shared<const std::vector<std::string>>(learned.channels);
  rules.rate_hz = rate_hz;
  rules.window_samples = learned.size.window;
  rules.hop_samples = learned.size.hop;
  rules.lateness_ns = 0;
  rules.max_gap_ns = kNoGap;
  return rules;
}

/// The first `rows` of a series, cut into windows by the daemon's own Windower.
Result<nn::Matrix<float>> cut(const Series& series, std::size_t rows,
                              const LearnedDetector& learned) {
  const auto at = positions(learned.channels, series.channels);
  if (!at.ok()) return at.error();
  const Grid grid(series);
  stream::Windower windower;
  const stream::WindowRules rules = window_rules(learned, grid.rate_hz());
  Collector collector(learned.size.window, learned.channels.size());
  std::vector<float> values(learned.channels.size());
  const std::vector<std::string_view> names(learned.channels.begin(), learned.channels.end());
  SampleBatch holder;  // only for the schema, with the hash that the windower looks at
  holder.append(kStreamKey, holder.schema(names), 0, values);
  const Schema& schema = holder.schema_of(holder.runs().front());
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t c = 0; c < values.size(); ++c) {
      values[c] = series.values[i * series.channels.size() + at.value()[c]];
    }
    windower.push(rules, schema, grid.time(i), values, collector);
  }
  windower.flush(rules, collector);
  return collector.matrix();
}

/// The row of a kind, or of one less a member; one that is neither trained nor online where there
/// is none.
detect::MemberKind kind_of(std::string_view name) {
  const std::string_view kind = name.substr(0, name.find(kWithout));
  for (const detect::MemberKind& each : detect::member_kinds()) {
    if (each.name == kind) return each;
  }
  return {name, false, false};
}

/// Keeps what a stream's windows scored and when its alerts fired.
class Keeper final : public stream::Observer {
 public:
  Keeper(const Grid& grid, std::size_t lead_in) : grid_(grid), lead_in_(lead_in) {}

  void on_score(const stream::Stream& stream, TimeNs start, TimeNs end, float score,
                double p) override {
    // Not every window of an alert is told of.
    if (stream.machine.phase() == alert::Phase::kFiring) {
      add_alert(stream.machine.start(), stream.machine.last_bad_end());
    }
    const std::size_t begin = grid_.row(start);
    if (begin < lead_in_) return;
    scores_.windows.push_back({begin - lead_in_, grid_.row(end) - lead_in_,
                               static_cast<double>(score), p,
                               stream.machine.phase() != alert::Phase::kQuiet});
  }
  void on_alert(const alert::Alert& alert, bool) override {
    if (alert.state != alert::AlertState::kPending) add_alert(alert.start, alert.end);
  }
  void on_alert_cancelled(const alert::Alert&) override {}

  StreamScores take() {
    for (const auto& [start, span] : fired_) scores_.alerts.push_back(span);
    return std::move(scores_);
  }

 private:
  void add_alert(TimeNs from, TimeNs to) {
    const std::size_t begin = std::max(grid_.row(from), lead_in_) - lead_in_;
    const std::size_t end = std::max(grid_.row(to), lead_in_) - lead_in_;
    if (end > begin) fired_[from] = {begin, end};
  }

  StreamScores scores_;
  const Grid& grid_;
  std::size_t lead_in_;
  std::map<TimeNs, Span> fired_;
};

bool is_usable(const WindowScore& window) {
  return std::isfinite(window.score) && !std::isnan(window.p_value);
}

/// Each sample gets what the last window that ended at or before it has.
void take_last(const std::vector<WindowScore>& windows, SampleScores& result) {
  const WindowScore* last = nullptr;
  std::size_t next = 0;
  std::size_t step = std::numeric_limits<std::size_t>::max();  // of windows that follow each other
  for (std::size_t w = 1; w < windows.size(); ++w) {
    if (windows[w].end > windows[w - 1].end) {
      step = std::min(step, windows[w].end - windows[w - 1].end);
    }
  }
  for (std::size_t i = 0; i < result.score.size(); ++i) {
    for (; next < windows.size() && windows[next].end <= i + 1; ++next) {
      if (is_usable(windows[next])) last = &windows[next];
    }
    if (last == nullptr) continue;
    result.score[i] = last->score;
    result.surprise[i] = -std::log10(last->p_value);
    // An old score is kept, but it says nothing of this sample.
    const bool is_newest = last == &windows[next - 1];
    result.scored[i] = is_newest && i + 1 - last->end < step ? 1 : 0;
  }
}

/// Each sample gets the means of the windows that contain it.
void take_means(const std::vector<WindowScore>& windows, SampleScores& result) {
  const std::size_t samples = result.score.size();
  std::vector<double> score(samples, 0);
  std::vector<double> surprise(samples, 0);
  std::vector<std::size_t> count(samples, 0);
  std::vector<std::size_t>& known = result.known_at;
  for (const WindowScore& window : windows) {
    if (!is_usable(window)) continue;
    for (std::size_t i = window.begin; i < std::min(window.end, samples); ++i) {
      score[i] += window.score;
      surprise[i] += -std::log10(window.p_value);
      ++count[i];
      known[i] = std::max(known[i], std::min(window.end, samples) - 1);
    }
  }
  for (std::size_t i = 0; i < samples; ++i) {
    if (i > 0) known[i] = std::max(known[i], known[i - 1]);
    if (count[i] == 0) continue;
    result.scored[i] = 1;
    result.score[i] = score[i] / static_cast<double>(count[i]);
    result.surprise[i] = surprise[i] / static_cast<double>(count[i]);
  }
}

/// What has no score gets the lowest of the others.
void fill_unscored(SampleScores& result) {
  double lowest = std::numeric_limits<double>::infinity();
  for (const double score : result.score) {
    if (!std::isnan(score)) lowest = std::min(lowest, score);
  }
  if (std::isinf(lowest)) lowest = 0;
  for (double& score : result.score) {
    if (std::isnan(score)) score = lowest;
  }
}

/// The longest span, in eighths of the windows, that a stream has learned by the last of them: not
/// every window teaches.
std::size_t span_within(const nn::Matrix<float>& windows, std::size_t channels) {
  const auto count = static_cast<std::size_t>(windows.rows());
  for (std::size_t eighths = 8; eighths > 2; --eighths) {
    const std::size_t span = std::max(kMinLearnWindows, count * eighths / 8);
    detect::ScaleLearner learner(channels, span);
    std::size_t taught = 0;
    for (Eigen::Index row = 0; row < windows.rows(); ++row) {
      const std::span<const float> window(windows.data() + row * windows.cols(),
                                          static_cast<std::size_t>(windows.cols()));
      if (learner.take(window)) ++taught;
    }
    if (taught >= span) return span;
  }
  return std::max(kMinLearnWindows, count / 4);
}

}  // namespace

std::string_view to_text(Mode mode) {
  switch (mode) {
    case Mode::kCausal:
      return "causal";
    case Mode::kLag:
      return "lag";
    case Mode::kOffline:
      return "offline";
  }
  return "";
}

Result<Mode> parse_mode(std::string_view text) {
  for (const Mode mode : {Mode::kCausal, Mode::kLag, Mode::kOffline}) {
    if (text == to_text(mode)) return mode;
  }
  return refuse("no mode '" + std::string(text) + "'; expected one of: causal, lag, offline");
}

std::vector<std::string> moving_channels(const std::vector<const Series*>& material,
                                         const std::vector<std::size_t>& rows) {
  const std::vector<std::string>& names = material.front()->channels;
  std::vector<std::string> moving;
  for (std::size_t c = 0; c < names.size(); ++c) {
    detect::ChannelMoments moments;
    for (std::size_t m = 0; m < material.size(); ++m) {
      for (std::size_t i = 0; i < (rows[m] + 1) / 2; ++i) {
        const auto value = static_cast<double>(material[m]->values[i * names.size() + c]);
        if (!std::isnan(value)) moments.add(value);
      }
    }
    if (moments.spread() > kFlat * std::max(1e-3, std::abs(moments.mean))) {
      moving.push_back(names[c]);
    }
  }
  return moving;
}

WindowSize window_for(std::string_view kind, std::size_t train_samples, std::size_t channels,
                      const ScoringOptions& options) {
  WindowSize size{options.window_samples, options.hop_samples};
  if (size.window == 0) {
    const detect::MemberKind usual = kind_of(kind);
    const std::size_t most =
        std::min(usual.usual_samples, usual.usual_values / std::max<std::size_t>(1, channels));
    const std::size_t wanted = std::min(most, train_samples / usual.windows_in_recording);
    size.window = std::max(kMinWindow, wanted - wanted % kWindowStep);
  }
  if (size.hop == 0) {
    size.hop = std::max<std::size_t>(
        1, std::min({size.window / 8, train_samples / kTrainOverHop, kMaxHop}));
  }
  size.hop = std::min(size.hop, size.window);
  return size;
}

Result<LearnedDetector> learn(const std::string& kind, const std::vector<const Series*>& material,
                              bool own_train, const ScoringOptions& options, std::size_t threads) {
  if (material.empty()) return refuse("nothing to learn from");
  LearnedDetector learned;
  if (kind.ends_with(kFileEnd)) {
    auto loaded = detect::load_detector(kind);
    if (!loaded.ok()) return loaded.error();
    learned.detector = std::move(loaded).value();
    const detect::DetectorInfo& info = learned.detector->info();
    learned.channels = info.channels;
    learned.size = {info.window_samples, info.hop_samples};
    return learned;
  }
  std::vector<std::size_t> rows;
  std::size_t longest = 0;
  for (const Series* series : material) {
    rows.push_back(options.mode == Mode::kOffline ? series->samples() : series->train);
    longest = std::max(longest, rows.back());
  }
  learned.channels = moving_channels(material, rows);
  if (learned.channels.empty()) return refuse("no channel moves in what is learned from");
  learned.size = window_for(kind, longest, learned.channels.size(), options);

  detect::DetectorInfo info;
  info.kind = kind;
  info.channels = learned.channels;
  info.rate_hz = Grid(*material.front()).rate_hz();
  info.window_samples = learned.size.window;
  info.hop_samples = learned.size.hop;
  info.seed = options.seed;
  std::vector<nn::Matrix<float>> recordings;
  const detect::MemberKind row = kind_of(kind);
  for (std::size_t m = 0; m < material.size() && !row.online; ++m) {
    auto windows = cut(*material[m], rows[m], learned);
    if (!windows.ok()) return windows.error();
    recordings.push_back(std::move(windows).value());
  }
  const auto fit_all = [&]() -> Result<std::shared_ptr<const detect::Detector>> {
    detect::FitOptions fit;
    fit.info = info;
    fit.epochs = options.epochs;
    fit.threads = threads;
    auto fitted = detect::fit_detector(recordings, fit);
    if (!fitted.ok()) return fitted.error();
    return std::move(fitted).value().detector;
  };
  if (row.online || row.learns_streams) {
    info.normaliser = detect::NormaliserKind::kStream;
    const auto largest =
        static_cast<std::size_t>(std::max_element(rows.begin(), rows.end()) - rows.begin());
    const std::size_t seen =
        material.size() == 1 ? rows[largest] : std::min(rows[largest], kMaxLeadInRows);
    const auto windows = cut(*material[largest], seen, learned);
    if (!windows.ok()) return windows.error();
    info.learn_windows = span_within(windows.value(), learned.channels.size());
    auto made = row.online ? detect::make_online_detector(info) : fit_all();
    if (!made.ok()) return made.error();
    learned.detector = std::move(made).value();
    if (own_train && options.mode != Mode::kOffline) return learned;
    std::size_t left = kMaxLeadInRows;
    for (std::size_t m = 0; m < material.size(); ++m) {
      const std::size_t shown = material.size() == 1 ? rows[m] : std::min(rows[m], left);
      left -= std::min(shown, left);
      const auto end = static_cast<std::ptrdiff_t>(shown * material[m]->channels.size());
      learned.lead_in.insert(learned.lead_in.end(), material[m]->values.begin(),
                             material[m]->values.begin() + end);
    }
    return learned;
  }
  info.normaliser = detect::NormaliserKind::kDomain;
  auto fitted = fit_all();
  if (!fitted.ok()) return fitted.error();
  learned.detector = std::move(fitted).value();
  return learned;
}

Result<StreamScores> score_series(const LearnedDetector& learned, const Series& series,
                                  const ScoringOptions& options) {
  const std::vector<std::string>& channels =
      learned.channels.empty() ? series.channels : learned.channels;
  const auto at = positions(channels, series.channels);
  if (!at.ok()) return at.error();
  const std::size_t width = series.channels.size();
  const std::size_t lead_in = learned.lead_in.size() / width;
  const Grid grid(series, lead_in);
  auto domain = std::make_shared<stream::Domain>();
  domain->name = "evaluate";
  domain->detector = learned.detector;
  domain->windows = window_rules(learned, grid.rate_hz());
  domain->windows.channels = std::make_shared<const std::vector<std::string>>(channels);
  domain->budget.alerts_per_second = options.alerts_per_day / 86400;
  auto domains = std::make_shared<stream::DomainSet>();
  domains->domains = {domain};
  domains->find = [domain](const StreamKey&) { return domain; };

  Keeper keeper(grid, lead_in);
  stream::ShardStreams shard({}, {}, domains, keeper);
  const std::vector<std::string_view> names(channels.begin(), channels.end());
  std::vector<float> values(channels.size());
  const std::size_t rows = lead_in + series.samples();
  for (std::size_t i = 0; i < rows;) {
    SampleBatch batch;
    const std::uint32_t schema = batch.schema(names);
    for (const std::size_t end = std::min(rows, i + kBatchRows); i < end; ++i) {
      const float* row = i < lead_in ? learned.lead_in.data() + i * width
                                     : series.values.data() + (i - lead_in) * width;
      for (std::size_t c = 0; c < values.size(); ++c) values[c] = row[at.value()[c]];
      batch.append(kStreamKey, schema, grid.time(i), values);
    }
    shard.process(batch);
  }
  shard.flush();
  return keeper.take();
}

SampleScores sample_scores(const std::vector<WindowScore>& windows, std::size_t samples,
                           Mode mode) {
  SampleScores result;
  result.score.assign(samples, std::numeric_limits<double>::quiet_NaN());
  result.surprise.assign(samples, 0);
  result.scored.assign(samples, 0);
  result.known_at.resize(samples);
  std::iota(result.known_at.begin(), result.known_at.end(), std::size_t{0});
  if (mode == Mode::kCausal) {
    take_last(windows, result);
  } else {
    take_means(windows, result);
  }
  if (mode == Mode::kOffline) result.known_at.assign(samples, kNever);
  fill_unscored(result);
  return result;
}

}  // namespace anomalyd::evaluate

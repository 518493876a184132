#include "evaluate/runner.h"

#include <cmath>
#include <limits>

#include "evaluate/controls.h"
#include "support/catch.h"

namespace anomalyd::evaluate {
namespace {

double noise(std::size_t i) {
  const double x = std::sin(static_cast<double>(i) * 12.9898) * 43758.5453;
  return x - std::floor(x) - 0.5;
}

/// A noisy wave of one channel with a burst at [begin, begin + 60) behind 1000 rows of training,
/// and one channel that never moves there.
Series wave(const std::string& name, std::size_t begin) {
  Series series;
  series.name = name;
  series.channels = {"x", "still"};
  series.train = 1000;
  series.sample_seconds = 60;
  for (std::size_t i = 0; i < 2000; ++i) {
    const bool burst = i >= begin && i < begin + 60;
    const double x =
        std::sin(static_cast<double>(i) * 0.4) + 0.2 * noise(i) + (burst ? 3 * noise(7 * i) : 0.0);
    series.values.push_back(static_cast<float>(x));
    series.values.push_back(4);
    series.truth.push_back(burst ? 1 : 0);
  }
  series.events = spans_of(series.truth);
  return series;
}

Dataset waves() {
  Dataset dataset;
  for (const std::size_t begin : {1300U, 1500U, 1800U}) {
    dataset.series.push_back(wave("wave" + std::to_string(begin), begin));
  }
  return dataset;
}

const Protocol& protocol(const char* name) { return *find_protocol(name).value(); }

std::vector<DetectorResult> run_on(const char* name, const Dataset& dataset, RunOptions options,
                                   const std::vector<std::string>& detectors = {"zscore", "pca"}) {
  const auto results = run(protocol(name), dataset, detectors, options);
  REQUIRE(results.ok());
  return results.value();
}

bool same(const std::vector<DetectorResult>& a, const std::vector<DetectorResult>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t r = 0; r < a.size(); ++r) {
    if (a[r].figures.size() != b[r].figures.size()) return false;
    for (std::size_t f = 0; f < a[r].figures.size(); ++f) {
      const double left = a[r].figures[f].value;
      const double right = b[r].figures[f].value;
      if (left != right && !(std::isnan(left) && std::isnan(right))) return false;
    }
  }
  return true;
}

TEST_CASE("Causal: a sample has the score of the last window that ended at or before it",
          "[evaluate][scoring]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<WindowScore> windows{{0, 3, 5, 0.1}, {2, 5, nan, nan}, {4, 7, 2, 0.01}};
  const SampleScores causal = sample_scores(windows, 8, Mode::kCausal);
  CHECK(causal.score == std::vector<double>{2, 2, 5, 5, 5, 5, 2, 2});
  CHECK(causal.surprise[1] == 0);
  CHECK(causal.surprise[2] == Approx(1));
  CHECK(causal.surprise[7] == Approx(2));
  // Before the first window there is nothing; behind the one that failed only an old score.
  CHECK(causal.scored == std::vector<std::uint8_t>{0, 0, 1, 1, 0, 0, 1, 1});
  CHECK(causal.known_at == std::vector<std::size_t>{0, 1, 2, 3, 4, 5, 6, 7});
  // Windows that cease leave samples without a score of their own.
  const SampleScores ceased = sample_scores({{0, 3, 5, 0.1}, {2, 5, 5, 0.1}}, 8, Mode::kCausal);
  CHECK(ceased.scored == std::vector<std::uint8_t>{0, 0, 1, 1, 1, 1, 0, 0});
  // What comes later changes nothing that was there before.
  const SampleScores prefix =
      sample_scores({windows.begin(), windows.begin() + 1}, 6, Mode::kCausal);
  for (std::size_t i = 2; i < 6; ++i) CHECK(prefix.score[i] == causal.score[i]);
}

TEST_CASE("Lag: a sample has the mean of the windows that contain it", "[evaluate][scoring]") {
  const SampleScores lag = sample_scores({{0, 3, 6, 0.1}, {2, 5, 2, 0.001}}, 6, Mode::kLag);
  CHECK(lag.score == std::vector<double>{6, 6, 4, 2, 2, 2});
  CHECK(lag.surprise[2] == Approx(2));
  CHECK(lag.scored == std::vector<std::uint8_t>{1, 1, 1, 1, 1, 0});
  CHECK(lag.known_at == std::vector<std::size_t>{2, 2, 4, 4, 4, 5});
  const SampleScores offline = sample_scores({{0, 3, 6, 0.1}}, 3, Mode::kOffline);
  CHECK(offline.known_at == std::vector<std::size_t>{kNever, kNever, kNever});
  const SampleScores nothing = sample_scores({}, 2, Mode::kLag);
  CHECK(nothing.score == std::vector<double>{0, 0});
}

TEST_CASE("Windows are short enough for a fit, and follow what was asked", "[evaluate][scoring]") {
  ScoringOptions options;
  CHECK(window_for("pca", 400, 8, options).window == 16);
  CHECK(window_for("pca", 400, 8, options).hop == 1);
  CHECK(window_for("pca", 20000, 1, options).window == 64);
  CHECK(window_for("pca", 20000, 1, options).hop == 8);
  CHECK(window_for("pca", 20000, 38, options).window == 24);
  CHECK(window_for("pca", 1000, 1, options).window == 40);
  CHECK(window_for("pca", 10, 1, options).window == 8);
  CHECK(window_for("discriminator", 1000, 1, options).window == 120);
  CHECK(window_for("discriminator", 20000, 38, options).window == 160);
  CHECK(window_for("discriminator", 20000, 200, options).window == 40);
  options.window_samples = 30;
  options.hop_samples = 100;
  CHECK(window_for("pca", 400, 1, options).hop == 30);
}

TEST_CASE("Windows of the stream are those of the series' rows", "[evaluate][scoring]") {
  const Dataset dataset = waves();
  const Series& series = dataset.series[0];
  ScoringOptions options;
  options.window_samples = 20;
  options.hop_samples = 5;
  const auto learned = learn("pca", {&series}, true, options, 1);
  REQUIRE(learned.ok());
  CHECK(learned.value().channels == std::vector<std::string>{"x"});
  const auto stream = score_series(learned.value(), series, options);
  REQUIRE(stream.ok());
  const std::vector<WindowScore>& windows = stream.value().windows;
  REQUIRE(windows.size() == (2000 - 20) / 5 + 1);
  for (std::size_t w = 0; w < windows.size(); ++w) {
    CHECK(windows[w].begin == 5 * w);
    CHECK(windows[w].end == 5 * w + 20);
  }
  // Causal to the bit: cut the series, and what is left scores the same.
  Series part = series;
  part.values.resize(2 * 1400);
  part.truth.resize(1400);
  const auto again = score_series(learned.value(), part, options);
  REQUIRE(again.ok());
  for (std::size_t w = 0; w < again.value().windows.size(); ++w) {
    CHECK(again.value().windows[w].score == windows[w].score);
  }
}

TEST_CASE("Detectors beat the controls on an easy series, on any number of threads, twice alike",
          "[evaluate][runner]") {
  const Dataset dataset = waves();
  RunOptions options;
  const auto once = run_on("csv", dataset, options);
  REQUIRE(once.size() == 5);
  CHECK(once[0].detector == "zscore");
  CHECK(once[4].detector == "clock");
  CHECK(once[4].is_control);
  for (const std::size_t detector : {0U, 1U}) {
    CAPTURE(once[detector].detector);
    CHECK(once[detector].failures.empty());
    CHECK(once[detector].unscored == 0);
    CHECK(once[detector].judged == 3000);
    CHECK(find_figure(once[detector].figures, "auc_roc") > 0.9);
    CHECK(find_figure(once[detector].figures, "vus_pr") >
          3 * find_figure(once[2].figures, "vus_pr"));
  }
  CHECK(find_figure(once[3].figures, "auc_roc") == Approx(0.5));
  // The null of the calibration panel keeps its promise; the other controls make none.
  CHECK(find_figure(once[2].figures, "calibration_1e-2") == Approx(1).margin(0.7));
  CHECK(find_figure(once[2].figures, "calibration_1e-2") > 0);
  CHECK(std::isnan(find_figure(once[3].figures, "calibration_1e-2")));
  CHECK(find_figure(once[0].figures, "pa_f1_of_random") == find_figure(once[2].figures, "pa_f1"));
  options.threads = 3;
  CHECK(same(once, run_on("csv", dataset, options)));
  options.scoring.seed = 2;
  CHECK_FALSE(same(once, run_on("csv", dataset, options)));
}

TEST_CASE("Modes differ, and the offline one needs no train part", "[evaluate][runner]") {
  const Dataset dataset = waves();
  RunOptions options;
  const auto causal = run_on("csv", dataset, options, {"pca"});
  options.scoring.mode = Mode::kLag;
  const auto lag = run_on("csv", dataset, options, {"pca"});
  CHECK_FALSE(same(causal, lag));
  options.scoring.mode = Mode::kOffline;
  const auto offline = run_on("csv", dataset, options);
  CHECK(offline[0].failures.empty());
  CHECK(find_figure(offline[1].figures, "auc_roc") > 0.9);
}

TEST_CASE("What knows its scores late is late; what knows them at the end has no delay",
          "[evaluate][runner]") {
  Dataset dataset = waves();
  for (Series& series : dataset.series) {
    for (std::size_t i = 0; i < series.samples(); ++i) {
      series.times.push_back(static_cast<TimeNs>(1600000000 + 60 * i) * kNsPerSecond);
    }
    for (const Span& event : series.events) series.changes = {event.begin, event.end};
  }
  RunOptions options;
  options.scoring.mode = Mode::kOffline;
  for (const char* name : {"skab", "nab"}) {
    CAPTURE(name);
    for (const DetectorResult& result : run_on(name, dataset, options, {"pca"})) {
      CAPTURE(result.detector);
      for (const char* figure : {"detection_delay_seconds", "delay_at_budget_seconds",
                                 "changepoint_standard", "standard", "standard_raw"}) {
        CAPTURE(figure);
        CHECK(std::isnan(find_figure(result.figures, figure)));
      }
      CHECK_FALSE(std::isnan(find_figure(result.figures, "recall_at_budget")));
    }
  }
}

/// One series whose score is 1 in its event of rows 50 to 59 and 0 elsewhere, known `lag` rows on.
JudgedSeries judged_with_lag(const Series& series, std::size_t lag) {
  JudgedSeries judged;
  judged.series = &series;
  for (std::size_t i = 0; i < series.samples(); ++i) {
    judged.score.push_back(series.truth[i] != 0 ? 1 : 0);
    judged.surprise.push_back(series.truth[i] != 0 ? 9 : 0);
    judged.known_at.push_back(std::min(i + lag, series.samples() - 1));
  }
  return judged;
}

TEST_CASE("A lag costs the reward of an early alarm", "[evaluate][figures]") {
  Series series;
  series.channels = {"x"};
  series.sample_seconds = 1;
  for (std::size_t i = 0; i < 100; ++i) {
    series.truth.push_back(i >= 50 && i < 60 ? 1 : 0);
    series.times.push_back(static_cast<TimeNs>(i) * kNsPerSecond);
  }
  series.values.assign(100, 0);
  series.events = {{50, 60}};
  series.changes = {50};
  const auto figure = [&](ProtocolKind kind, std::size_t lag, const char* name) {
    return find_figure(figures_of(kind, {judged_with_lag(series, lag)}, 1e-3), name);
  };
  CHECK(figure(ProtocolKind::kNab, 0, "standard") == Approx(100));
  CHECK(figure(ProtocolKind::kNab, 0, "standard_raw") == Approx(100).margin(0.01));
  CHECK(figure(ProtocolKind::kNab, 5, "standard") < 99);
  CHECK(figure(ProtocolKind::kNab, 5, "standard") > 50);
  CHECK(figure(ProtocolKind::kSkab, 0, "detection_delay_seconds") == 0);
  CHECK(figure(ProtocolKind::kSkab, 5, "detection_delay_seconds") == 5);
  CHECK(figure(ProtocolKind::kSkab, 5, "delay_at_budget_seconds") == 5);
  const double at_once = figure(ProtocolKind::kSkab, 0, "changepoint_standard");
  CHECK(figure(ProtocolKind::kSkab, 30, "changepoint_standard") < at_once - 10);
}

TEST_CASE("Series of one kind of samples have no area", "[evaluate][figures]") {
  Series mixed;
  mixed.channels = {"x"};
  mixed.truth.assign(100, 0);
  std::fill(mixed.truth.begin() + 40, mixed.truth.begin() + 60, 1);
  mixed.events = {{40, 60}};
  Series anomalous = mixed;
  anomalous.truth.assign(100, 1);
  anomalous.events = {{0, 100}};
  Series normal = mixed;
  normal.truth.assign(100, 0);
  normal.events.clear();
  const auto judge = [](const Series& series) {
    JudgedSeries judged = judged_with_lag(series, 0);
    for (std::size_t i = 0; i < 100; ++i) judged.score[i] = noise(i);
    return judged;
  };
  const auto alone = figures_of(ProtocolKind::kCsv, {judge(mixed)}, 1e-3);
  const auto all =
      figures_of(ProtocolKind::kCsv, {judge(anomalous), judge(mixed), judge(normal)}, 1e-3);
  for (const char* name : {"vus_pr", "vus_roc", "auc_pr", "auc_roc"}) {
    CAPTURE(name);
    CHECK(find_figure(all, name) == find_figure(alone, name));
    CHECK(find_figure(alone, name) < 0.9);
  }
}

TEST_CASE("Offline needs a series to learn from", "[evaluate][runner]") {
  RunOptions options;
  options.scoring.mode = Mode::kOffline;
  const auto file = run(protocol("csv"), waves(), {"pca", "some.safetensors"}, options);
  REQUIRE_FALSE(file.ok());
  CHECK(file.error().message.find("some.safetensors is learned already") != std::string::npos);
  Dataset recordings = waves();
  recordings.training = {wave("normal", 5000)};
  const auto shared = run(protocol("recordings"), recordings, {"pca"}, options);
  REQUIRE_FALSE(shared.ok());
  CHECK(shared.error().message.find("recordings are not learned from") != std::string::npos);
}

TEST_CASE("Causal: nothing of the judged part is learned", "[evaluate][scoring]") {
  const Series series = wave("a", 1500);
  Series other = series;
  for (std::size_t i = 2 * series.train; i < other.values.size(); ++i) {
    other.values[i] = 50 * static_cast<float>(noise(3 * i)) + 7;  // both channels move there
  }
  ScoringOptions options;
  options.epochs = 2;
  for (const std::string& kind : all_detectors()) {
    CAPTURE(kind);
    const auto from_one = learn(kind, {&series}, true, options, 1);
    const auto from_other = learn(kind, {&other}, true, options, 1);
    REQUIRE(from_one.ok());
    REQUIRE(from_other.ok());
    CHECK(from_one.value().channels == from_other.value().channels);
    CHECK(from_one.value().size.window == from_other.value().size.window);
    CHECK(from_one.value().size.hop == from_other.value().size.hop);
    CHECK(from_one.value().lead_in == from_other.value().lead_in);
    const auto one = score_series(from_one.value(), series, options);
    const auto another = score_series(from_other.value(), series, options);
    REQUIRE(one.ok());
    REQUIRE(another.ok());
    REQUIRE(one.value().windows.size() > 50);
    REQUIRE(one.value().windows.size() == another.value().windows.size());
    bool alike = true;
    for (std::size_t w = 0; w < one.value().windows.size(); ++w) {
      const WindowScore& a = one.value().windows[w];
      const WindowScore& b = another.value().windows[w];
      const bool both_nan = std::isnan(a.score) && std::isnan(b.score);
      alike = alike && (both_nan || (a.score == b.score && a.p_value == b.p_value));
    }
    CHECK(alike);
  }
}

TEST_CASE("Times beyond the daemon's range do not cost samples", "[evaluate][scoring]") {
  for (const bool late : {false, true}) {
    CAPTURE(late);
    Series series = wave("a", 1500);
    // From 2088 by weeks, and from 2020 by the century.
    series.sample_seconds = late ? 2e6 : 3e9;
    for (std::size_t i = 0; i < series.samples() && late; ++i) {
      series.times.push_back(static_cast<TimeNs>(3755000000 + 2000000 * i) * kNsPerSecond);
    }
    const auto learned = learn("pca", {&series}, true, {}, 1);
    REQUIRE(learned.ok());
    const auto stream = score_series(learned.value(), series, {});
    REQUIRE(stream.ok());
    REQUIRE_FALSE(stream.value().windows.empty());
    CHECK(stream.value().windows.back().end > 1990);
  }
}

TEST_CASE("What cannot be learned is told and never alarms", "[evaluate][runner]") {
  Dataset dataset = waves();
  std::fill(dataset.series[1].values.begin(), dataset.series[1].values.end(), 1.0F);
  RunOptions options;
  options.plots = 2;
  const auto results = run_on("csv", dataset, options, {"pca"});
  REQUIRE(results[0].failures.size() == 1);
  CHECK(results[0].failures[0].find("wave1500: no channel moves") != std::string::npos);
  CHECK(results[0].unscored == 1000);
  CHECK(results[0].judged == 3000);
  REQUIRE(results[0].plots.size() == 2);
  CHECK(results[0].plots[0].score.size() == 1000);
  const auto unknown = run(protocol("csv"), dataset, {"lstm"}, options);
  REQUIRE_FALSE(unknown.ok());
  CHECK(unknown.error().message.find("no detector 'lstm'") != std::string::npos);
  for (const char* name : {"standard-without-lstm", "lstm-without-ridge", "zscore-without-"}) {
    CAPTURE(name);
    const auto refused = run(protocol("csv"), dataset, {name}, options);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().message.find(name) != std::string::npos);
  }
  const auto no_file = run(protocol("csv"), dataset, {"gone.safetensors"}, options);
  CHECK_FALSE(no_file.ok());
}

TEST_CASE("Who scores no judged sample has failed", "[evaluate][runner]") {
  Dataset dataset = waves();
  // No reader gives these; a window with them has no score.
  Series& gone = dataset.series[1];
  for (std::size_t i = 2 * gone.train; i < gone.values.size(); ++i) gone.values[i] = INFINITY;
  // Here towards the end.
  Series& cut = dataset.series[2];
  for (std::size_t i = 2 * 1900; i < cut.values.size(); ++i) cut.values[i] = INFINITY;
  const auto results = run_on("csv", dataset, {}, {"pca"});
  CAPTURE(results[0].unscored);
  REQUIRE(results[0].failures.size() == 1);
  CHECK(results[0].failures[0] == "wave1500: no sample of the judged part was scored");
  CHECK(results[0].unscored >= 1000 + 95);
  CHECK(results[0].unscored <= 1000 + 110);
  CHECK(results[1].unscored == 0);  // a control
}

TEST_CASE("Recordings share what was learned from the normal ones", "[evaluate][runner]") {
  Dataset dataset;
  for (const char* name : {"normal1", "normal2", "normal3"}) {
    Series series = wave(name, 5000);
    const bool trains = name[6] == '1';
    series.train = trains ? series.samples() : 0;
    (trains ? dataset.training : dataset.series).push_back(std::move(series));
  }
  for (const char* name : {"fault1", "fault2"}) {
    Series series = wave(name, 5000);
    for (std::size_t i = 0; i < series.values.size(); i += 2) series.values[i] *= 2.5F;
    series.train = 0;
    series.truth.assign(series.samples(), 1);
    series.events = {{0, series.samples()}};
    dataset.series.push_back(std::move(series));
  }
  const auto results = run_on("recordings", dataset, {});
  for (const std::size_t detector : {0U, 1U}) {
    CAPTURE(results[detector].detector);
    CHECK(results[detector].failures.empty());
    CHECK(find_figure(results[detector].figures, "recording_auroc_mean") == 1);
  }
  CHECK(find_figure(results[3].figures, "recording_auroc_mean") == Approx(0.5));
  CHECK(find_figure(results[4].figures, "auc_roc") == Approx(0.5).margin(0.01));  // clock
}

TEST_CASE("UCR and SKAB have their own figures; a clock has SKAB's script", "[evaluate][runner]") {
  Dataset dataset = waves();
  const auto ucr = run_on("ucr", dataset, {}, {"pca"});
  CHECK(find_figure(ucr[0].figures, "hit_rate") == 1);
  CHECK(find_figure(ucr[2].figures, "hit_rate") == 0);  // constant: the first sample
  for (Series& series : dataset.series) {
    for (std::size_t i = 0; i < series.samples(); ++i) {
      series.times.push_back(static_cast<TimeNs>(1600000000 + i) * kNsPerSecond);
      series.truth[i] = i >= 1170 && i < 1570 ? 1 : 0;
    }
    series.events = {{1170, 1570}};
    series.changes = {1170, 1570};
  }
  const auto skab = run_on("skab", dataset, {}, {});
  CHECK(find_figure(skab[2].figures, "f1") == 1);  // clock
  CHECK(find_figure(skab[2].figures, "far") == 0);
  CHECK(find_figure(skab[2].figures, "changepoint_standard") == Approx(100));
  CHECK(find_figure(skab[1].figures, "f1") == Approx(2 * 0.4 / 1.4));  // always: 40 % prevalence
  CHECK(find_figure(skab[1].figures, "mar") == 0);
  // Its first row is a detection, which is false, and it makes no other.
  CHECK(find_figure(skab[1].figures, "changepoint_standard") == Approx(-100 * 0.11 / 4));
  CHECK(find_figure(skab[1].figures, "changepoints_false") == 3);
}

TEST_CASE("The random control is a function of seed, series and sample", "[evaluate][controls]") {
  const Dataset dataset = waves();
  const auto draw = [&](std::size_t series, std::uint64_t seed) {
    return control_scores(Control::kRandom, ProtocolKind::kCsv, dataset, series, seed).surprise;
  };
  CHECK(draw(0, 1) == draw(0, 1));
  CHECK(draw(0, 1) != draw(1, 1));
  CHECK(draw(0, 1) != draw(0, 2));
  double below = 0;
  for (const double surprise : draw(0, 1)) below += surprise >= 1 ? 1 : 0;
  CHECK(below / 2000 == Approx(0.1).margin(0.03));
  CHECK_FALSE(find_control("zscore"));
}

}  // namespace
}  // namespace anomalyd::evaluate

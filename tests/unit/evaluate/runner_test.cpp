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
  CHECK(causal.unscored == 2);
  // What comes later changes nothing that was there before.
  const SampleScores prefix =
      sample_scores({windows.begin(), windows.begin() + 1}, 6, Mode::kCausal);
  for (std::size_t i = 2; i < 6; ++i) CHECK(prefix.score[i] == causal.score[i]);
}

TEST_CASE("Lag: a sample has the mean of the windows that contain it", "[evaluate][scoring]") {
  const SampleScores lag = sample_scores({{0, 3, 6, 0.1}, {2, 5, 2, 0.001}}, 6, Mode::kLag);
  CHECK(lag.score == std::vector<double>{6, 6, 4, 2, 2, 2});
  CHECK(lag.surprise[2] == Approx(2));
  CHECK(lag.unscored == 1);
  const SampleScores nothing = sample_scores({}, 2, Mode::kLag);
  CHECK(nothing.score == std::vector<double>{0, 0});
}

TEST_CASE("Windows are short enough for a fit, and follow what was asked", "[evaluate][scoring]") {
  ScoringOptions options;
  CHECK(window_for(400, 8, options).window == 16);
  CHECK(window_for(400, 8, options).hop == 1);
  CHECK(window_for(20000, 1, options).window == 64);
  CHECK(window_for(20000, 1, options).hop == 8);
  CHECK(window_for(20000, 38, options).window == 24);
  CHECK(window_for(1000, 1, options).window == 40);
  CHECK(window_for(10, 1, options).window == 8);
  options.window_samples = 30;
  options.hop_samples = 100;
  CHECK(window_for(400, 1, options).hop == 30);
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
    CHECK(once[detector].failed == 0);
    CHECK(find_figure(once[detector].figures, "auc_roc") > 0.9);
    CHECK(find_figure(once[detector].figures, "vus_pr") >
          3 * find_figure(once[2].figures, "vus_pr"));
  }
  CHECK(find_figure(once[3].figures, "auc_roc") == Approx(0.5));
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
  CHECK(offline[0].failed == 0);
  CHECK(find_figure(offline[1].figures, "auc_roc") > 0.9);
}

TEST_CASE("What cannot be learned is told and never alarms", "[evaluate][runner]") {
  Dataset dataset = waves();
  std::fill(dataset.series[1].values.begin(), dataset.series[1].values.end(), 1.0F);
  RunOptions options;
  options.plots = 2;
  const auto results = run_on("csv", dataset, options, {"pca"});
  CHECK(results[0].failed == 1);
  CHECK(results[0].first_failure.find("wave1500: no channel moves") != std::string::npos);
  REQUIRE(results[0].plots.size() == 2);
  CHECK(results[0].plots[0].score.size() == 1000);
  const auto unknown = run(protocol("csv"), dataset, {"lstm"}, options);
  REQUIRE_FALSE(unknown.ok());
  CHECK(unknown.error().message.find("no detector 'lstm'") != std::string::npos);
  const auto no_file = run(protocol("csv"), dataset, {"gone.safetensors"}, options);
  CHECK_FALSE(no_file.ok());
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
    CAPTURE(results[detector].detector, results[detector].first_failure);
    CHECK(results[detector].failed == 0);
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

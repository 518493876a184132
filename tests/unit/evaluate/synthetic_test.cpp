#include "evaluate/synthetic.h"

#include <array>
#include <cmath>
#include <limits>
#include <map>

#include "support/catch.h"

namespace anomalyd::evaluate {
namespace {

using detect::Anomaly;

double noise(std::size_t i) {
  const double x = std::sin(static_cast<double>(i) * 12.9898) * 43758.5453;
  return x - std::floor(x) - 0.5;
}

/// Noise in sensor units far from 0 and 1, and a channel that never moves.
Series recording(std::size_t rows) {
  Series series;
  series.name = "pump";
  series.channels = {"x", "still", "y"};
  series.train = 1500;
  series.sample_seconds = 0.5;
  for (std::size_t i = 0; i < rows; ++i) {
    series.values.push_back(static_cast<float>(4000 + 30 * noise(i)));
    series.values.push_back(7);
    series.values.push_back(static_cast<float>(-0.02 + 0.001 * noise(3 * i + 1)));
    series.truth.push_back(0);
  }
  return series;
}

SyntheticOptions options_with(std::size_t threads) {
  SyntheticOptions options;
  options.threads = threads;
  return options;
}

std::vector<SyntheticResult> run_on(const Series& series, const SyntheticOptions& options) {
  const auto results = run_synthetic(series, {"zscore"}, options);
  if (!results.ok()) FAIL(results.error().message);
  return results.value();
}

double share_of(const SyntheticResult& result, Anomaly kind, double strength) {
  std::size_t put = 0;
  std::size_t caught = 0;
  for (const SyntheticCell& cell : result.cells) {
    if (cell.kind != kind || cell.strength != strength) continue;
    put += cell.put;
    caught += cell.caught;
  }
  REQUIRE(put > 0);
  return static_cast<double>(caught) / static_cast<double>(put);
}

TEST_CASE("A shift of four spreads is caught, one of half a spread is not", "[evaluate]") {
  const auto results = run_on(recording(6000), options_with(2));
  REQUIRE(results.size() == 2);
  const SyntheticResult& zscore = results[0];
  CHECK(zscore.failure.empty());
  CHECK(share_of(zscore, Anomaly::kLevel, 4) > 0.9);
  CHECK(share_of(zscore, Anomaly::kLevel, 4) > share_of(zscore, Anomaly::kLevel, 0.5));
  // White noise backwards is white noise, and no scorer of levels can tell.
  CHECK(share_of(zscore, Anomaly::kReversed, 0) < 0.35);
  CHECK(zscore.clean_samples == 4500);
  CHECK(zscore.clean_alarmed < 90);
  for (const SyntheticCell& cell : zscore.cells) {
    CAPTURE(detect::to_text(cell.kind), cell.strength, cell.length);
    CHECK(cell.put == kSyntheticRepeats);
    CHECK(cell.caught <= cell.put);
    CHECK(std::isnan(cell.delay_samples) == (cell.caught == 0));
    if (cell.caught > 0) {
      CHECK(cell.delay_samples >= 0);
      CHECK(cell.delay_samples < static_cast<double>(cell.length + 64));
    }
  }
}

TEST_CASE("Random scores catch what chance gives them", "[evaluate]") {
  const auto results = run_on(recording(9000), options_with(2));
  const SyntheticResult& random = results.back();
  CHECK(random.detector == "random");
  CHECK(random.is_control);
  // Each anomaly is watched for at most 192 + 64 samples at 1e-3.
  CHECK(random.put == results[0].put);
  CHECK(static_cast<double>(random.caught) < 0.25 * static_cast<double>(random.put));
}

TEST_CASE("An alarm that is always on catches nothing", "[evaluate]") {
  SyntheticOptions options = options_with(2);
  options.alarm_p = 0.999999;
  const SyntheticResult random = run_on(recording(6000), options).back();
  CHECK(random.clean_alarmed > random.clean_samples * 99 / 100);
  CHECK(random.caught == 0);
}

TEST_CASE("Where the recording itself is alarmed nothing counts as caught", "[evaluate]") {
  SyntheticOptions options = options_with(2);
  // Of 192 + 40 samples or more one is alarmed nearly always, before an anomaly one rarely is.
  options.alarm_p = 0.03;
  const SyntheticResult random = run_on(recording(9000), options).back();
  std::size_t put = 0;
  std::size_t caught = 0;
  for (const SyntheticCell& cell : random.cells) {
    if (cell.length != kSyntheticLengths.back()) continue;
    put += cell.put;
    caught += cell.caught;
  }
  CHECK(put > 80);
  CHECK(caught * 20 < put);
}

TEST_CASE("Every kind comes at every length and strength that it has", "[evaluate]") {
  Series series = recording(6000);
  const auto results = run_on(series, options_with(1));
  std::map<Anomaly, std::size_t> cells;
  for (const SyntheticCell& cell : results[0].cells) ++cells[cell.kind];
  CHECK(cells.size() == detect::kAnomalies.size());
  CHECK(cells[Anomaly::kSpike] == kSyntheticStrengths.size());
  CHECK(cells[Anomaly::kTrend] == kSyntheticStrengths.size() * kSyntheticLengths.size());
  CHECK(cells[Anomaly::kFlat] == kSyntheticLengths.size());
  // With the second moving channel held still, none is left to be decoupled from.
  for (std::size_t i = 0; i < series.samples(); ++i) series.values[i * 3 + 2] = 1;
  const auto still = run_on(series, options_with(1));
  for (const SyntheticCell& cell : still[0].cells) {
    CHECK(cell.kind != Anomaly::kDecoupled);
  }
}

TEST_CASE("Threads do not change what is caught, seeds do", "[evaluate]") {
  const Series series = recording(5000);
  // Of the detector and of the control.
  const auto caught_of = [&](const SyntheticOptions& options) {
    std::array<std::vector<std::pair<std::size_t, double>>, 2> all;
    const std::vector<SyntheticResult> results = run_on(series, options);
    for (std::size_t r = 0; r < all.size(); ++r) {
      for (const SyntheticCell& cell : results[r].cells) {
        all[r].emplace_back(cell.caught, cell.caught > 0 ? cell.delay_samples : -1);
      }
    }
    return all;
  };
  SyntheticOptions options = options_with(1);
  const auto one = caught_of(options);
  CHECK(one == caught_of(options_with(3)));
  options.scoring.seed = 2;
  const auto other = caught_of(options);
  CHECK(one[0] != other[0]);
  CHECK(one[1] != other[1]);
}

TEST_CASE("Labelled rows and missing values are no place for an anomaly", "[evaluate]") {
  const auto refused = [](const Series& series, const char* part,
                          const SyntheticOptions& options = {}) {
    const auto results = run_synthetic(series, {"zscore"}, options);
    REQUIRE_FALSE(results.ok());
    CAPTURE(results.error().message);
    CHECK(results.error().code == ErrorCode::kInvalidArgument);
    CHECK(results.error().message.find(part) != std::string::npos);
  };
  Series series = recording(6000);
  for (std::size_t i = 1500; i < 6000; i += 400) series.truth[i] = 1;
  refused(series, "no place for an anomaly");
  series = recording(6000);
  for (std::size_t i = 1500; i < 6000; i += 400) {
    series.values[i * 3] = std::numeric_limits<float>::quiet_NaN();
  }
  refused(series, "without labels or missing values");
  // Of a channel that is not looked at, they do not matter.
  series = recording(6000);
  for (std::size_t i = 1500; i < 6000; i += 400) {
    series.values[i * 3 + 1] = std::numeric_limits<float>::quiet_NaN();
  }
  CHECK(run_on(series, options_with(2))[0].put > 0);

  series = recording(6000);
  series.truth[20] = 1;
  refused(series, "sample 20 of the train part is labelled");
  refused(recording(1900), "400 rows behind the train part, expected at least");
  SyntheticOptions offline;
  offline.scoring.mode = Mode::kOffline;
  refused(recording(6000), "mode offline", offline);
  series = recording(6000);
  for (float& value : series.values) value = 1;
  refused(series, "no channel moves");
}

TEST_CASE("Synthetic anomalies need detectors that are known", "[evaluate]") {
  const Series series = recording(6000);
  CHECK(run_synthetic(series, {"lstm"}, {}).error().message.find("no detector 'lstm'") == 0);
  CHECK(run_synthetic(series, {"gone.safetensors"}, {}).error().code == ErrorCode::kNotFound);
}

}  // namespace
}  // namespace anomalyd::evaluate

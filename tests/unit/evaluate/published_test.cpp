// What others published, computed again: needs the benchmarks' data, whose folder the environment
// variable ANOMALYD_DATASETS names. Without it these tests say so and check nothing.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <map>
#include <string>

#include "evaluate/change_points.h"
#include "evaluate/nab.h"
#include "evaluate/points.h"
#include "evaluate/protocol.h"
#include "support/catch.h"

namespace anomalyd::evaluate {
namespace {

/// The data of a protocol, or nothing when it is not there.
std::optional<Dataset> dataset(const char* protocol) {
  const char* root = std::getenv("ANOMALYD_DATASETS");
  const std::filesystem::path folder =
      std::filesystem::path(root == nullptr ? "" : root) / protocol;
  if (root == nullptr || !std::filesystem::is_directory(folder)) {
    WARN("skipped: ANOMALYD_DATASETS does not name a folder with " << protocol);
    return std::nullopt;
  }
  ReadOptions options;
  options.data = folder;
  auto read = read_dataset(*find_protocol(protocol).value(), options);
  REQUIRE(read.ok());
  return std::move(read).value();
}

double tail_probability(double x, double mean, double spread) {
  if (x < mean) x = 2 * mean - x;
  return 0.5 * std::erfc((x - mean) / spread / std::sqrt(2.0));
}

/// NAB's windowed Gaussian detector: a window of 6400 rows moved on by 100 at a time. Its result
/// files hold twelve digits, and the published threshold 1.0 lives on that rounding.
std::vector<double> windowed_gaussian(const std::vector<float>& values) {
  std::deque<double> window;
  std::vector<double> waiting;
  std::vector<double> scores;
  double mean = 0;
  double spread = 1;
  for (const float value : values) {
    // The file's decimal, which a float rounds: read back at float's precision.
    char text[40];
    std::snprintf(text, sizeof text, "%.9g", static_cast<double>(value));
    const double x = std::strtod(text, nullptr);
    double score = 0;
    if (!window.empty()) score = 1 - tail_probability(x, mean, spread);
    std::snprintf(text, sizeof text, "%.12g", score);
    scores.push_back(std::strtod(text, nullptr));
    if (window.size() < 6400) {
      window.push_back(x);
    } else {
      waiting.push_back(x);
      if (waiting.size() < 100) continue;
      window.erase(window.begin(), window.begin() + 100);
      window.insert(window.end(), waiting.begin(), waiting.end());
      waiting.clear();
    }
    double sum = 0;
    for (const double each : window) sum += each;
    mean = sum / static_cast<double>(window.size());
    double squares = 0;
    for (const double each : window) squares += (each - mean) * (each - mean);
    spread = std::sqrt(squares / static_cast<double>(window.size()));
    if (spread == 0) spread = 0.000001;
  }
  return scores;
}

struct Published {
  double standard, low_fp;
  std::uint64_t tp, fp;
};

// numenta/NAB results/windowedGaussian/windowedGaussian_{standard,reward_low_FP_rate}_scores.csv at
// commit de8e91a, where the whole corpus sums to -24.0131054891, which is the board's 39.65.
const std::map<std::string, Published> kWindowedGaussian{
    {"artificialWithAnomaly/art_increase_spike_density.csv", {-1, -1, 0, 0}},
    {"artificialWithAnomaly/art_load_balancer_spikes.csv",
     {-0.692444609523, -2.34244460952, 18, 15}},
    {"artificialNoAnomaly/art_noisy.csv", {0, 0, 0, 0}},
    {"realTraffic/speed_t4013.csv", {1.76631783122, 1.76631783122, 14, 0}},
    {"realTraffic/speed_6005.csv", {0.832538201468, 0.832538201468, 1, 0}},
    {"realTraffic/speed_7578.csv", {3.47059145681, 3.36059145681, 11, 1}},
    {"realTraffic/occupancy_t4013.csv", {1.72522152023, 1.72522152023, 3, 0}},
    {"realTraffic/occupancy_6005.csv", {-1, -1, 0, 0}},
    {"realTraffic/TravelTime_387.csv", {-1.79598133079, -2.45598133079, 1, 6}},
    {"realTraffic/TravelTime_451.csv", {-1, -1, 0, 0}},
    {"realKnownCause/rogue_agent_key_updown.csv", {-1.3964908955, -2.1748083231, 1, 8}},
    {"realKnownCause/rogue_agent_key_hold.csv", {-2.44, -2.88, 0, 4}},
    {"realKnownCause/ec2_request_latency_system_failure.csv", {2.02150685678, 2.02150685678, 8, 0}},
    {"realKnownCause/nyc_taxi.csv", {-5, -5, 0, 0}},
    {"realKnownCause/cpu_utilization_asg_misconfiguration.csv", {-1.11, -1.22, 0, 1}},
    {"realKnownCause/machine_temperature_system_failure.csv", {-4, -4, 0, 0}},
    {"realKnownCause/ambient_temperature_system_failure.csv", {-2, -2, 0, 0}},
};

TEST_CASE("NAB's published rows of its windowed Gaussian come out to the last digit",
          "[evaluate][nab][published]") {
  const auto nab = dataset("nab");
  if (!nab) return;
  std::size_t compared = 0;
  for (const Series& series : nab->series) {
    const auto found = kWindowedGaussian.find(series.name);
    if (found == kWindowedGaussian.end()) continue;
    CAPTURE(series.name);
    ++compared;
    const std::vector<NabFile> file{{windowed_gaussian(series.values), series.events}};
    const NabScore standard = nab_at(file, kNabProfiles[0], 1.0);
    CHECK(standard.raw == Approx(found->second.standard).epsilon(1e-10));
    CHECK(standard.tp == found->second.tp);
    CHECK(standard.fp == found->second.fp);
    CHECK(nab_at(file, kNabProfiles[1], 1.0).raw == Approx(found->second.low_fp).epsilon(1e-10));
  }
  CHECK(compared == kWindowedGaussian.size());
}

TEST_CASE("NAB's null detector has its published rows", "[evaluate][nab][published]") {
  const auto nab = dataset("nab");
  if (!nab) return;
  // results/null/null_standard_scores.csv: score, true negatives, false negatives.
  struct Null {
    double raw;
    std::uint64_t tn, fn;
  };
  const std::map<std::string, Null> published{
      {"realTraffic/speed_7578.csv", {-4, 842, 116}},
      {"realKnownCause/machine_temperature_system_failure.csv", {-4, 19677, 2268}},
      {"realKnownCause/nyc_taxi.csv", {-5, 8535, 1035}},
      {"realKnownCause/cpu_utilization_asg_misconfiguration.csv", {-1, 15801, 1499}},
      {"realTraffic/occupancy_t4013.csv", {-2, 1875, 250}},
      {"artificialNoAnomaly/art_flatline.csv", {0, 3428, 0}}};
  std::size_t compared = 0;
  for (const Series& series : nab->series) {
    const auto found = published.find(series.name);
    if (found == published.end()) continue;
    CAPTURE(series.name);
    ++compared;
    const NabScore silent =
        nab_at({{std::vector<double>(series.samples(), 0.5), series.events}}, kNabProfiles[0], 2);
    CHECK(silent.raw == found->second.raw);
    CHECK(silent.tn == found->second.tn);
    CHECK(silent.fn == found->second.fn);
  }
  CHECK(compared == published.size());
}

TEST_CASE("SKAB's F1 is beaten by a clock", "[evaluate][skab][published]") {
  const auto skab = dataset("skab");
  if (!skab) return;
  Confusion always;
  Confusion clock;
  for (const Series& series : skab->series) {
    const std::size_t n = series.samples() - series.train;
    const Marks truth = Marks(series.truth).subspan(series.train);
    std::vector<std::uint8_t> marks(n, 1);
    always += confuse(truth, marks);
    for (std::size_t i = 0; i < n; ++i) marks[i] = i >= 170 && i < 570 ? 1 : 0;
    clock += confuse(truth, marks);
  }
  if (skab->series.size() == 34) {  // the whole
    CHECK(always.f1() == Approx(0.698).margin(0.0005));
    CHECK(clock.f1() == Approx(0.929).margin(0.0005));
  } else {
    WARN("only " << skab->series.size() << " of 34 files: always " << always.f1() << ", clock "
                 << clock.f1());
    CHECK(clock.f1() > 0.78);  // the best published detector
    CHECK(always.f1() > 0.6);
  }
}

}  // namespace
}  // namespace anomalyd::evaluate

// Against tests/golden/metric_golden.txt, which make_metric_golden.py makes from independent code.
#include <fstream>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "evaluate/affiliation.h"
#include "evaluate/change_points.h"
#include "evaluate/events.h"
#include "evaluate/nab.h"
#include "evaluate/points.h"
#include "evaluate/vus.h"
#include "support/catch.h"

namespace anomalyd::evaluate {
namespace {

struct Case {
  std::string name;
  std::map<std::string, std::vector<double>> values;

  const std::vector<double>& operator[](const std::string& key) const {
    const auto found = values.find(key);
    REQUIRE(found != values.end());
    return found->second;
  }
  std::vector<std::uint8_t> marks(const std::string& key) const {
    const std::vector<double>& numbers = (*this)[key];
    return {numbers.begin(), numbers.end()};
  }
};

std::vector<Case> read_golden() {
  std::ifstream file(std::string(ANOMALYD_SOURCE_DIR) + "/tests/golden/metric_golden.txt");
  REQUIRE(file.is_open());
  std::vector<Case> cases;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    words >> name;
    if (name == "#") continue;
    if (name == "case") {
      cases.emplace_back();
      words >> cases.back().name;
      continue;
    }
    REQUIRE(!cases.empty());
    std::vector<double>& values = cases.back().values[name];
    for (double value = 0; words >> value;) values.push_back(value);
  }
  return cases;
}

// Sums of up to 6000 doubles in another order: 1e-12 relative would do, 1e-9 is the promise.
Approx close(double value) { return Approx(value).epsilon(1e-9).margin(1e-12); }

TEST_CASE("Metrics of a series are those of the authors' and scikit-learn's code",
          "[evaluate][metrics][golden]") {
  int series = 0;
  for (const Case& golden : read_golden()) {
    if (golden.values.count("auc_roc") == 0) continue;
    CAPTURE(golden.name);
    ++series;
    const std::vector<double>& score = golden["score"];
    const auto truth = golden.marks("truth");
    const auto alarm = golden.marks("alarm");
    CHECK(auc_roc(score, truth) == close(golden["auc_roc"][0]));
    CHECK(auc_pr(score, truth) == close(golden["auc_pr"][0]));
    CHECK(best_f1(score, truth).value == close(golden["best_f1"][0]));
    CHECK(confuse(truth, alarms_at(score, best_f1(score, truth).threshold)).f1() ==
          close(golden["best_f1"][0]));
    CHECK(confuse(truth, alarm).f1() == close(golden["f1"][0]));
    for (const std::size_t window : {0U, 7U, 100U}) {
      CAPTURE(window);
      const std::vector<double>& expected = golden["vus_" + std::to_string(window)];
      const Vus got = vus(score, truth, window);
      CHECK(got.roc == close(expected[0]));
      CHECK(got.pr == close(expected[1]));
    }
    CHECK(best_point_adjusted_f1(score, truth).value == close(golden["pa_f1"][0]));
    const AtThreshold fc1 = best_composite(score, truth);
    CHECK(fc1.value == close(golden["fc1"][0]));
    CHECK(composite(truth, alarms_at(score, fc1.threshold)).f1() == close(golden["fc1"][0]));
    CHECK(range_based(truth, alarm).precision == close(golden["range"][0]));
    CHECK(range_based(truth, alarm).recall == close(golden["range"][1]));
    CHECK(affiliation(truth, alarm).precision == close(golden["affiliation"][0]));
    CHECK(affiliation(truth, alarm).recall == close(golden["affiliation"][1]));
  }
  CHECK(series == 10);
}

TEST_CASE("NAB's scores of a corpus are those of its rules written out",
          "[evaluate][nab][golden]") {
  std::vector<NabFile> corpus;
  for (const Case& golden : read_golden()) {
    if (golden.name == "nab_file") {
      corpus.push_back({golden["score"], spans_of(golden.marks("truth"))});
    } else if (golden.name == "nab") {
      REQUIRE(corpus.size() == 4);
      for (const NabProfile& profile : kNabProfiles) {
        CAPTURE(profile.name);
        const NabScore best = nab_best(corpus, profile);
        CHECK(best.score == close(golden["best_" + std::string(profile.name)][0]));
        CHECK(nab_at(corpus, profile, best.threshold).score == close(best.score));
        CHECK(nab_at(corpus, profile, 1.1).raw ==
              close(golden["raw_" + std::string(profile.name)][0]));
      }
      return;
    }
  }
  FAIL("no NAB case in the golden file");
}

TEST_CASE("SKAB's change-point scores are those of its rules written out",
          "[evaluate][skab][golden]") {
  std::vector<ChangeFile> files;
  const auto times = [](const std::vector<double>& seconds) {
    std::vector<TimeNs> out;
    for (const double s : seconds) out.push_back(static_cast<TimeNs>(s) * kNsPerSecond);
    return out;
  };
  for (const Case& golden : read_golden()) {
    if (golden.name == "skab_file") {
      files.push_back({times(golden["changes"]), times(golden["found"])});
    } else if (golden.name == "skab") {
      REQUIRE(files.size() == 3);
      const ChangeScore score = change_point_score(files);
      CHECK(score.standard == close(golden["score"][0]));
      CHECK(score.low_fp == close(golden["score"][1]));
      CHECK(score.low_fn == close(golden["score"][2]));
      return;
    }
  }
  FAIL("no SKAB case in the golden file");
}

}  // namespace
}  // namespace anomalyd::evaluate

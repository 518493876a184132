#include "evaluate/nab.h"

#include <cmath>
#include <limits>

#include "evaluate/change_points.h"
#include "support/catch.h"

namespace anomalyd::evaluate {
namespace {

/// 100 rows, 15 in probation, one window of ten rows; `alarms` score 1, the others 0.
NabFile file_with(const std::vector<std::size_t>& alarms) {
  NabFile file{std::vector<double>(100, 0), {{50, 60}}};
  for (const std::size_t at : alarms) file.scores[at] = 1;
  return file;
}

double standard(const std::vector<std::size_t>& alarms) {
  return nab_at({file_with(alarms)}, kNabProfiles[0], 0.5).score;
}

TEST_CASE("NAB: the first row of a window is worth all, no alarm nothing", "[evaluate][nab]") {
  CHECK(nab_probation(100) == 15);
  CHECK(nab_probation(7) == 1);
  CHECK(nab_probation(100000) == 750);
  CHECK(standard({50}) == Approx(100));
  CHECK(standard({}) == Approx(0));
  CHECK(standard({50, 51, 59}) == Approx(100));  // only the first counts
  // The last row: position -1/10.
  const double late = (2 / (1 + std::exp(-0.5)) - 1) / (2 / (1 + std::exp(-5.0)) - 1);
  CHECK(standard({59}) == Approx(100 * (late + 1) / 2));
}

TEST_CASE("NAB: a false alarm costs its weight, less just behind a window, nothing in probation",
          "[evaluate][nab]") {
  CHECK(standard({20, 50}) == Approx(100 - 100 * 0.11 / 2));
  CHECK(standard({14, 50}) == Approx(100));
  // Row 60 is one row past the last of the window: position 1/9.
  const double near = 0.11 * (1 - 2 / (1 + std::exp(5.0 / 9)));
  CHECK(standard({50, 60}) == Approx(100 - 100 * near / 2));
  const NabScore counts = nab_at({file_with({20, 50, 51})}, kNabProfiles[0], 0.5);
  CHECK(counts.tp == 2);
  CHECK(counts.fp == 1);
  CHECK(counts.fn == 8);
  CHECK(counts.tn == 74);
}

TEST_CASE("NAB: the profiles weigh misses and false alarms", "[evaluate][nab]") {
  const std::vector<NabFile> corpus{file_with({20})};
  CHECK(nab_at(corpus, kNabProfiles[0], 0.5).raw == Approx(-1 - 0.11));
  CHECK(nab_at(corpus, kNabProfiles[1], 0.5).raw == Approx(-1 - 0.22));
  CHECK(nab_at(corpus, kNabProfiles[2], 0.5).raw == Approx(-2 - 0.11));
}

TEST_CASE("NAB: the sweep takes the best threshold for all files, or none", "[evaluate][nab]") {
  NabFile good = file_with({50});
  good.scores[50] = 0.7;
  NabFile bad = file_with({});
  bad.scores[20] = 0.9;  // an alarm that costs 0.11 and must be bought
  const NabScore best = nab_best({good, bad}, kNabProfiles[0]);
  CHECK(best.threshold == 0.7);
  CHECK(best.raw == Approx(1 - 0.11 - 1));
  // Nothing but false alarms: not to alarm at all is best.
  NabFile noisy = file_with({20, 21, 22});
  const NabScore silent = nab_best({noisy}, kNabProfiles[0]);
  CHECK(silent.threshold == std::numeric_limits<double>::infinity());
  CHECK(silent.score == Approx(0));
  CHECK(std::isnan(nab_best({NabFile{{1, 2, 3}, {}}}, kNabProfiles[0]).score));
}

TEST_CASE("NAB: a row speaks where it is above those before it", "[evaluate][nab]") {
  CHECK(records_of(std::vector<double>{1, 3, 3, 2, 4, 1}, 3) ==
        std::vector<double>{1, 3, 0, 0, 4, 0});
  // The 3 is forgotten two rows behind it; then the 2 is a record.
  CHECK(records_of(std::vector<double>{3, 1, 1, 2, 1}, 2) == std::vector<double>{3, 0, 0, 2, 0});
  CHECK(records_of(std::vector<double>{5, 5, 5, 5}, 1) == std::vector<double>{5, 0, 0, 0});
  CHECK(records_of(std::vector<double>{}).empty());
}

TEST_CASE("SKAB: a change point found at once is worth all, at the window's end a false alarm",
          "[evaluate][skab]") {
  const auto seconds = [](std::vector<int> s) {
    std::vector<TimeNs> out;
    for (const int each : s) out.push_back(each * kNsPerSecond);
    return out;
  };
  const auto score = [&](std::vector<int> found) {
    return change_point_score({{seconds({100, 400}), seconds(std::move(found))}});
  };
  CHECK(score({100, 400}).standard == Approx(100));
  CHECK(score({}).standard == Approx(0));
  CHECK(score({}).missed == 2);
  // Found at the end of its window: -0.11 of 1; the other missed.
  CHECK(score({160}).standard == Approx(100 * (-0.11 - 1 + 2) / 4));
  CHECK(score({161}).standard == Approx(100 * (-0.11 - 2 + 2) / 4));
  CHECK(score({161}).false_alarms == 1);
  CHECK(score({50, 100, 400}).low_fp == Approx(100 - 100 * 0.22 / 4));
  CHECK(score({}).low_fn == Approx(0));
  CHECK(std::isnan(change_point_score({}).standard));
}

TEST_CASE("SKAB: alarms give their edges", "[evaluate][skab]") {
  CHECK(edges_of(std::vector<std::uint8_t>{0, 1, 0, 0, 1}) == std::vector<std::size_t>{1, 2, 4});
  // On from the start: a detection there.
  CHECK(edges_of(std::vector<std::uint8_t>{1, 1, 0, 0, 1}) == std::vector<std::size_t>{0, 2, 4});
  CHECK(edges_of(std::vector<std::uint8_t>{}).empty());
}

}  // namespace
}  // namespace anomalyd::evaluate

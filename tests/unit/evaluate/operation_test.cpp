#include "evaluate/operation.h"

#include <cmath>
#include <limits>

#include "support/catch.h"

namespace anomalyd::evaluate {
namespace {

/// A day of 1440 minutes with events at 100..109 and 200..209.
ScoredStream quiet_day() {
  ScoredStream stream{std::vector<double>(1460, 0), std::vector<std::uint8_t>(1460, 0), 60};
  for (std::size_t i = 0; i < 10; ++i) stream.truth[100 + i] = stream.truth[200 + i] = 1;
  return stream;
}

TEST_CASE("An operator sees events found, their delay and false alarms a day",
          "[evaluate][operation]") {
  ScoredStream day = quiet_day();
  day.scores[104] = day.scores[105] = 5;  // 4 minutes late
  for (std::size_t i = 500; i < 503; ++i) day.scores[i] = 5;
  day.scores[700] = 5;
  day.scores[99] = day.scores[100] = 0;
  const Operation at = operation_at({day}, 1);
  CHECK(at.events == 2);
  CHECK(at.found == 1);
  CHECK(at.recall == Approx(0.5));
  CHECK(at.mean_delay_seconds == Approx(240));
  CHECK(at.false_alarms == 2);  // runs, not samples
  CHECK(at.normal_days == Approx(1));
  CHECK(at.false_alarms_per_day == Approx(2));
  // A run that begins before the event and reaches into it is no false alarm.
  day.scores[98] = day.scores[99] = day.scores[100] = 5;
  CHECK(operation_at({day}, 1).false_alarms == 2);
  CHECK(operation_at({day}, 1).mean_delay_seconds == Approx(0));
  CHECK(std::isnan(operation_at({day}, 10).mean_delay_seconds));
}

TEST_CASE("The budget buys the recall of the lowest threshold that keeps it",
          "[evaluate][operation]") {
  ScoredStream day = quiet_day();
  day.scores[105] = 9;
  day.scores[500] = 8;  // the one false alarm a day that may be
  day.scores[205] = 7;
  day.scores[501] = 6;  // the same alarm, longer
  day.scores[900] = 5;  // one too many
  day.scores[203] = 4;
  const Operation bought = operation_at_budget({day}, 1);
  CHECK(bought.threshold == 6);
  CHECK(bought.recall == Approx(1));
  CHECK(bought.mean_delay_seconds == Approx(5 * 60));
  const Operation none = operation_at_budget({day}, 0.5);
  CHECK(none.threshold == 9);
  CHECK(none.recall == Approx(0.5));
  // Two streams share the budget: two days, two false alarms.
  CHECK(operation_at_budget({day, quiet_day()}, 1).threshold == 4);
}

TEST_CASE("An alarm that is always on is raised every hour", "[evaluate][operation]") {
  const ScoredStream day = quiet_day();  // all scores are equal
  const Operation on = operation_at({day}, 0);
  CHECK(on.recall == 1);
  CHECK(on.false_alarms == 24);
  CHECK(operation_at_budget({day}, 23.9).recall == 0);
  CHECK(operation_at_budget({day}, 24).recall == 1);
}

TEST_CASE("An alarm that is always on buys nothing where series are short",
          "[evaluate][operation]") {
  // 20 minutes with an event of 2: the whole is far below an hour.
  ScoredStream brief{std::vector<double>(20, 0), std::vector<std::uint8_t>(20, 0), 60};
  brief.truth[9] = brief.truth[10] = 1;
  CHECK(operation_at({brief}, 0).false_alarms == 2);  // before the event and behind it
  CHECK(operation_at_budget({brief}, 1).recall == 0);
  CHECK(operation_at_budget({brief, brief, brief}, 1).recall == 0);
  // Nearly always on is the same thing.
  for (const std::size_t i : {0U, 1U, 18U, 19U}) brief.scores[i] = -1;
  CHECK(operation_at({brief}, 0).false_alarms == 2);
  // Early and late by less than half of the quiet time is an alarm for the event.
  for (std::size_t i = 0; i < 20; ++i) brief.scores[i] = i >= 5 && i < 15 ? 0 : -1;
  CHECK(operation_at({brief}, 0).false_alarms == 0);
  CHECK(operation_at_budget({brief}, 1).recall == 1);
  // What stays on from one event to the next covers the time between them.
  brief.truth[14] = 1;
  CHECK(operation_at({brief}, 0).false_alarms == 1);
}

TEST_CASE("An alarm is raised when its score is known", "[evaluate][operation]") {
  ScoredStream day = quiet_day();
  day.scores[104] = 5;
  for (std::size_t i = 0; i < day.scores.size(); ++i) day.known_at.push_back(i + 7);
  CHECK(operation_at({day}, 1).mean_delay_seconds == Approx(11 * 60));
  CHECK(operation_at_budget({day}, 1).mean_delay_seconds == Approx(11 * 60));
  day.known_at.assign(day.scores.size(), kNever);
  CHECK(std::isnan(operation_at({day}, 1).mean_delay_seconds));
  CHECK(operation_at({day}, 1).recall == Approx(0.5));
}

TEST_CASE("Runs of two streams never join, and equal scores come together",
          "[evaluate][operation]") {
  ScoredStream one{std::vector<double>(1440, 0), std::vector<std::uint8_t>(1440, 0), 60};
  ScoredStream two = one;
  one.scores.back() = two.scores.front() = 3;
  CHECK(operation_at({one, two}, 3).false_alarms == 2);
  CHECK(operation_at_budget({one, two}, 1).threshold == 3);
  CHECK(operation_at_budget({one, two}, 0.9).threshold == std::numeric_limits<double>::infinity());
  CHECK(std::isnan(operation_at({one}, 1).recall));
}

TEST_CASE("Joining runs counts as a look over the whole does", "[evaluate][operation]") {
  // Scores in a scrambled order, so that runs appear, grow and merge.
  ScoredStream day = quiet_day();
  for (std::size_t i = 0; i < day.scores.size(); ++i) {
    day.scores[i] = static_cast<double>((i * 7919) % 61);
  }
  for (const double budget : {1.0, 5.0, 40.0, 300.0}) {
    const Operation bought = operation_at_budget({day}, budget);
    CHECK(bought.false_alarms_per_day <= budget);
    double lowest = std::numeric_limits<double>::infinity();
    for (double threshold = 60; threshold >= 0; --threshold) {
      if (operation_at({day}, threshold).false_alarms_per_day > budget) break;
      lowest = threshold;
    }
    CHECK(bought.threshold == lowest);
  }
}

TEST_CASE("The panel compares the observed with the nominal rate", "[evaluate][operation]") {
  std::vector<std::vector<double>> streams(20, std::vector<double>(1000, 0.5));
  for (std::size_t s = 0; s < 20; ++s) {
    for (std::size_t i = 0; i < 10; ++i) streams[s][i] = 0.01;  // exactly as promised
  }
  for (std::size_t i = 0; i < 50; ++i) streams[3][i] = 0.0005;
  streams[4][999] = std::numeric_limits<double>::quiet_NaN();
  streams.emplace_back();  // no windows, no stream
  const CalibrationPanel panel = calibration_panel(streams);
  CHECK(panel.windows == 19999);
  CHECK(panel.ratios[0].observed == 19 * 10 + 50);
  CHECK(panel.ratios[0].pooled == Approx(240 / 19999.0 / 0.01));
  // The worst tenth of 20 streams: stream 3 with 5, and one with 1 (10 of 999 for stream 4).
  CHECK(panel.ratios[0].worst_tenth == Approx((5 + 10 / 999.0 / 0.01) / 2));
  CHECK(panel.ratios[1].pooled == Approx(50 / 19999.0 / 0.001));
  CHECK(panel.ratios[2].pooled == 0);
  CHECK(panel.within_twice == Approx(19 / 20.0));  // all but stream 3, which has 50 of 1000
  CHECK(std::isnan(calibration_panel({}).ratios[0].pooled));
  CHECK(std::isnan(calibration_panel({}).within_twice));
}

}  // namespace
}  // namespace anomalyd::evaluate

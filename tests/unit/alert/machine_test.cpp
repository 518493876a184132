#include "alert/machine.h"

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "support/catch.h"

namespace anomalyd::alert {
namespace {

static_assert(sizeof(Machine) <= 56, "one a stream: 100,000 streams shall not notice");

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kBad = 1e-7, kAtFire = 1e-6, kBetween = 1e-5, kAtClear = 1e-4, kClear = 0.3;

std::string name(Phase phase) {
  return phase == Phase::kQuiet ? "quiet" : phase == Phase::kPending ? "pending" : "firing";
}
std::string name(Change change) {
  switch (change) {
    case Change::kNone:
      return "none";
    case Change::kPending:
      return "pending";
    case Change::kFired:
      return "fired";
    case Change::kCancelled:
      return "cancelled";
    case Change::kResolved:
      return "resolved";
  }
  return "?";
}

/// A window of one second that ends at `end_s`, and what it shall do.
struct Row {
  double end_s;
  double p;
  Change change;
  Phase phase;
  bool is_peak;
};

TimeNs ns(double seconds) { return static_cast<TimeNs>(seconds * 1e9); }

void run(const Rules& rules, const std::vector<Row>& rows) {
  Machine machine;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    INFO("row " << i << ": end " << row.end_s << " s, p " << row.p);
    const Change change =
        machine.step(rules, ns(row.end_s - 1), ns(row.end_s), row.p, -std::log10(row.p));
    CHECK(name(change) == name(row.change));
    CHECK(name(machine.phase()) == name(row.phase));
    CHECK(machine.is_peak() == row.is_peak);
  }
}

TEST_CASE("The state machine takes these steps", "[alert][machine]") {
  Rules rules;  // fire 1e-6, clear 1e-4, confirm 2, hold 5 s
  SECTION("nothing happens while windows are not anomalous") {
    run(rules, {{1, kClear, Change::kNone, Phase::kQuiet, false},
                {2, kAtClear, Change::kNone, Phase::kQuiet, false},
                {3, kBetween, Change::kNone, Phase::kQuiet, false},
                {4, kNaN, Change::kNone, Phase::kQuiet, false},
                {5, std::nextafter(kAtFire, 1.0), Change::kNone, Phase::kQuiet, false}});
  }
  SECTION("it fires at the confirming window and resolves after the hold") {
    run(rules, {{1, kAtFire, Change::kPending, Phase::kPending, true},
                {2, kBad, Change::kFired, Phase::kFiring, true},
                {3, kClear, Change::kNone, Phase::kFiring, false},
                {6.999, kClear, Change::kNone, Phase::kFiring, false},
                {7, kClear, Change::kResolved, Phase::kQuiet, false},
                {8, kClear, Change::kNone, Phase::kQuiet, false},
                {9, kBad, Change::kPending, Phase::kPending, true}});
  }
  SECTION("a clear window cancels what is pending, and the count begins anew") {
    run(rules, {{1, kBad, Change::kPending, Phase::kPending, true},
                {2, std::nextafter(kAtClear, 1.0), Change::kCancelled, Phase::kQuiet, false},
                {3, kBad, Change::kPending, Phase::kPending, true},
                {4, kClear, Change::kCancelled, Phase::kQuiet, false}});
  }
  SECTION("between the two p-values a pending alert stays and keeps its count") {
    run(rules, {{1, kBad, Change::kPending, Phase::kPending, true},
                {2, kBetween, Change::kNone, Phase::kPending, false},
                {5, kAtClear, Change::kNone, Phase::kPending, false},
                {100, kAtFire, Change::kFired, Phase::kFiring, false}});
  }
  SECTION("but not for longer than the hold") {
    run(rules, {{1, kBad, Change::kPending, Phase::kPending, true},
                {5, kBetween, Change::kNone, Phase::kPending, false},
                {6, kAtClear, Change::kCancelled, Phase::kQuiet, false},
                {7, kBetween, Change::kNone, Phase::kQuiet, false}});
  }
  SECTION("between the two p-values a firing alert stays and the hold begins anew") {
    run(rules, {{1, kBad, Change::kPending, Phase::kPending, true},
                {2, kBad, Change::kFired, Phase::kFiring, false},
                {6, kBetween, Change::kNone, Phase::kFiring, false},
                {8, kClear, Change::kNone, Phase::kFiring, false},
                {10, kAtClear, Change::kNone, Phase::kFiring, false},
                {14, kClear, Change::kNone, Phase::kFiring, false},
                {15, kClear, Change::kResolved, Phase::kQuiet, false}});
  }
  SECTION("an anomalous window within the hold goes on with the same alert") {
    run(rules, {{1, kBad, Change::kPending, Phase::kPending, true},
                {2, kBad, Change::kFired, Phase::kFiring, false},
                {6, kClear, Change::kNone, Phase::kFiring, false},
                {6.5, 1e-9, Change::kNone, Phase::kFiring, true},
                {11, kClear, Change::kNone, Phase::kFiring, false},
                {11.5, kClear, Change::kResolved, Phase::kQuiet, false}});
  }
  SECTION("NaN neither raises, confirms, cancels, holds nor resolves") {
    run(rules, {{1, kBad, Change::kPending, Phase::kPending, true},
                {2, kNaN, Change::kNone, Phase::kPending, false},
                {3, kBad, Change::kFired, Phase::kFiring, false},
                {4, kNaN, Change::kNone, Phase::kFiring, false},
                {20, kNaN, Change::kNone, Phase::kFiring, false},
                {21, kClear, Change::kResolved, Phase::kQuiet, false}});
  }
  SECTION("one window is enough when confirm_windows is 1 or 0") {
    rules.confirm_windows = GENERATE(0U, 1U);
    run(rules, {{1, kBad, Change::kFired, Phase::kFiring, true},
                {6, kClear, Change::kResolved, Phase::kQuiet, false}});
  }
  SECTION("three windows confirm when it says three") {
    rules.confirm_windows = 3;
    run(rules, {{1, kBad, Change::kPending, Phase::kPending, true},
                {2, kBad, Change::kNone, Phase::kPending, false},
                {3, kBad, Change::kFired, Phase::kFiring, false}});
  }
  SECTION("without a hold the first clear window resolves") {
    rules.hold_ns = 0;
    run(rules, {{1, kBad, Change::kPending, Phase::kPending, true},
                {2, kBad, Change::kFired, Phase::kFiring, false},
                {2.25, kBetween, Change::kNone, Phase::kFiring, false},
                {2.5, kClear, Change::kResolved, Phase::kQuiet, false}});
  }
  SECTION("a clear_p below fire_p counts as fire_p") {
    rules.clear_p = 1e-9;
    run(rules, {{1, kBad, Change::kPending, Phase::kPending, true},
                {2, kBad, Change::kFired, Phase::kFiring, false},
                {7, kBetween, Change::kResolved, Phase::kQuiet, false}});
  }
}

TEST_CASE("Closing ends what is open", "[alert][machine]") {
  const Rules rules;
  Machine machine;
  CHECK(machine.close() == Change::kNone);
  machine.step(rules, 0, ns(1), kBad, 7);
  CHECK(machine.is_peak());
  CHECK(machine.close() == Change::kCancelled);
  CHECK(machine.phase() == Phase::kQuiet);
  CHECK_FALSE(machine.is_peak());
  machine.step(rules, ns(1), ns(2), kBad, 7);
  CHECK(machine.phase() == Phase::kPending);
  machine.step(rules, ns(2), ns(3), kBad, 7);
  CHECK(machine.phase() == Phase::kFiring);
  CHECK(machine.close() == Change::kResolved);
  CHECK(machine.close() == Change::kNone);
}

TEST_CASE("An alert knows its span and its peak, also once it ended", "[alert][machine]") {
  const Rules rules;
  Machine machine;
  machine.step(rules, ns(10), ns(11), 1e-7, 7);
  machine.step(rules, ns(10.5), ns(11.5), 1e-9, 9);
  machine.step(rules, ns(11), ns(12), 1e-6, 6);
  machine.step(rules, ns(11.5), ns(12.5), kBetween, 5);
  CHECK(machine.start() == ns(10));
  CHECK(machine.last_bad_end() == ns(12));
  CHECK(machine.peak_p() == 1e-9);
  CHECK(machine.peak_score() == 9);
  CHECK(machine.step(rules, ns(30), ns(31), kClear, 0) == Change::kResolved);
  CHECK(machine.start() == ns(10));
  CHECK(machine.last_bad_end() == ns(12));
  CHECK(machine.peak_p() == 1e-9);
  // The next alert begins with its own.
  machine.step(rules, ns(40), ns(41), 1e-6, 6);
  CHECK(machine.start() == ns(40));
  CHECK(machine.last_bad_end() == ns(41));
  CHECK(machine.peak_p() == 1e-6);
}

TEST_CASE("Among windows of the same p-value the highest score is the peak", "[alert][machine]") {
  const Rules rules;
  Machine machine;
  const double least = 1e-15;
  machine.step(rules, ns(0), ns(1), least, 40);
  CHECK(machine.is_peak());
  machine.step(rules, ns(1), ns(2), least, 40);
  CHECK_FALSE(machine.is_peak());
  machine.step(rules, ns(2), ns(3), least, 39);
  CHECK_FALSE(machine.is_peak());
  machine.step(rules, ns(3), ns(4), least, 41);
  CHECK(machine.is_peak());
  // A higher score does not outweigh a higher p-value: the p-value is what is comparable.
  machine.step(rules, ns(4), ns(5), 1e-14, 1000);
  CHECK_FALSE(machine.is_peak());
  CHECK(machine.peak_score() == 41);
  CHECK(machine.peak_p() == least);
}

TEST_CASE("Windows out of order move nothing back and resolve nothing early", "[alert][machine]") {
  const Rules rules;
  Machine machine;
  machine.step(rules, ns(99), ns(100), kBad, 7);
  machine.step(rules, ns(9), ns(10), kBad, 7);
  CHECK(machine.phase() == Phase::kFiring);
  CHECK(machine.last_bad_end() == ns(100));
  CHECK(machine.step(rules, ns(50), ns(51), kClear, 0) == Change::kNone);
  CHECK(machine.step(rules, ns(103), ns(104), kClear, 0) == Change::kNone);
  CHECK(machine.step(rules, ns(104), ns(105), kClear, 0) == Change::kResolved);

  // The ends of time do not overflow.
  constexpr TimeNs kFirst = std::numeric_limits<TimeNs>::min();
  constexpr TimeNs kLast = std::numeric_limits<TimeNs>::max();
  machine.step(rules, kFirst, kFirst, kBad, 7);
  machine.step(rules, kFirst, kFirst, kBad, 7);
  CHECK(machine.step(rules, kLast, kLast, kClear, 0) == Change::kResolved);
  machine.step(rules, kLast, kLast, kBad, 7);
  machine.step(rules, kLast, kLast, kBad, 7);
  CHECK(machine.step(rules, kFirst, kFirst, kClear, 0) == Change::kNone);
}

TEST_CASE("Changes follow from phases whatever comes", "[alert][machine]") {
  std::mt19937_64 bits(1);
  Machine machine;
  Rules rules;
  rules.hold_ns = kNsPerSecond;
  std::size_t changes[5] = {};
  for (int i = 0; i < 200'000; ++i) {
    rules.confirm_windows = static_cast<std::uint32_t>(bits() % 4);
    const double p = bits() % 16 == 0 ? kNaN : std::pow(10.0, -static_cast<double>(bits() % 9));
    const TimeNs at = ns(0.5 * i);
    const Phase before = machine.phase();
    const Change change = machine.step(rules, at, at + ns(1), p, -std::log10(p));
    const Phase after = machine.phase();
    ++changes[static_cast<std::size_t>(change)];
    const bool is_right =
        (change == Change::kNone && before == after) ||
        (change == Change::kPending && before == Phase::kQuiet && after == Phase::kPending) ||
        (change == Change::kFired && before != Phase::kFiring && after == Phase::kFiring) ||
        (change == Change::kCancelled && before == Phase::kPending && after == Phase::kQuiet) ||
        (change == Change::kResolved && before == Phase::kFiring && after == Phase::kQuiet);
    if (!is_right || (machine.is_peak() && after == Phase::kQuiet)) {
      FAIL("step " << i << ": " << name(before) << " " << name(change) << " " << name(after));
    }
  }
  for (const std::size_t seen : changes) CHECK(seen > 100);
}

}  // namespace
}  // namespace anomalyd::alert

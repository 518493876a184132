#include "stream/resampler.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <string>

#include "support/catch.h"

namespace anomalyd::stream {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr TimeNs kMs = 1'000'000;

/// "3" for a whole number, else "3.5".
std::string number(float value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.6g", static_cast<double>(value));
  return text.data();
}

/// What came out, as text: values in order, "|" for a break.
class Log final : public SlotSink {
 public:
  void on_slot(std::span<const float> values) override {
    last_.assign(values.begin(), values.end());
    if (!text.empty()) text += ' ';
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i > 0) text += '/';
      text += std::isnan(values[i]) ? "nan" : number(values[i]);
    }
    ++slots;
  }
  void on_break() override { text += " |"; }
  std::span<const float> last_slot() const override { return last_; }

  std::string text;
  std::size_t slots = 0;

 private:
  std::vector<float> last_;
};

GridRules rules_100_hz() { return {10.0 * kMs, 200 * kMs, 50 * kMs, 128, 128}; }

struct Fixture {
  GridRules rules = rules_100_hz();
  Resampler resampler;
  Log log;
  Arrival push(TimeNs time, float value) {
    return resampler.push(rules, time, std::array{value}, log);
  }
};

TEST_CASE("Resampler passes an even stream through, bit for bit", "[stream][resampler]") {
  Fixture f;
  for (int i = 0; i < 5; ++i)
    CHECK(f.push(1000 * kMs + i * 10 * kMs, static_cast<float>(i)) == Arrival::kPlaced);
  CHECK(f.log.text == "0 1 2 3 4");
  CHECK(f.resampler.slot_time(f.rules, 1) == 1040 * kMs);
  CHECK(f.resampler.slot_time(f.rules, 5) == 1000 * kMs);
}

TEST_CASE("Resampler keeps a rate whose period is no whole number of nanoseconds",
          "[stream][resampler]") {
  Fixture f;
  f.rules.period_ns = 1e9 / 12000;
  for (int i = 0; i < 100'000; ++i) {
    REQUIRE(f.push(std::llround(i * 1e9 / 12000), 0) == Arrival::kPlaced);
  }
  CHECK(f.log.slots == 100'000);
  CHECK(std::abs(f.resampler.slot_time(f.rules, 1) - std::llround(99'999 * 1e9 / 12000)) <= 1);
}

TEST_CASE("Resampler counts jittered stamps of up to half a period onto the grid",
          "[stream][resampler]") {
  Fixture f;
  std::mt19937_64 bits(3);
  for (int i = 0; i < 20'000; ++i) {
    const auto jitter = static_cast<TimeNs>(bits() % (8 * kMs)) - 4 * kMs;
    INFO(i);
    REQUIRE(f.push(1000 * kMs + i * 10 * kMs + jitter, 1) == Arrival::kPlaced);
  }
  CHECK(f.log.slots == 20'000);
  CHECK(std::abs(f.resampler.slot_time(f.rules, 1) - (1000 * kMs + 19'999 * 10 * kMs)) < 3 * kMs);
}

TEST_CASE("Resampler follows a sensor clock that is half a percent off", "[stream][resampler]") {
  for (const double period_ms : {9.95, 10.05}) {
    Fixture f;
    for (int i = 0; i < 10'000; ++i) {
      REQUIRE(f.push(std::llround(i * period_ms * kMs), 1) == Arrival::kPlaced);
    }
    CHECK(f.log.slots == 10'000);
    const TimeNs last = std::llround(9999 * period_ms * kMs);
    CHECK(std::abs(f.resampler.slot_time(f.rules, 1) - last) < 10 * kMs);
  }
}

TEST_CASE("Resampler spreads samples that were delivered under one stamp", "[stream][resampler]") {
  Fixture f;
  // Groups of five every 50 ms, each stamped with the time of its last sample.
  float value = 0;
  for (int group = 1; group <= 40; ++group) {
    for (int i = 0; i < 5; ++i) f.push(group * 50 * kMs, value++);
  }
  f.resampler.flush(f.rules, f.log);
  CHECK(f.log.text.find('|') == std::string::npos);
  CHECK(f.log.text.find('.') == std::string::npos);  // nothing was interpolated
  CHECK(f.log.slots == 200);
  CHECK(f.log.text.substr(0, 23) == "0 1 2 3 4 5 6 7 8 9 10 ");
}

TEST_CASE("Resampler waits for a sample that is out of order", "[stream][resampler]") {
  Fixture f;
  f.push(0, 0);
  CHECK(f.push(20 * kMs, 2) == Arrival::kHeld);
  CHECK(f.push(30 * kMs, 3) == Arrival::kHeld);
  CHECK(f.log.text == "0");
  CHECK(f.push(10 * kMs, 1) == Arrival::kHeld);
  CHECK(f.log.text == "0 1 2 3");
  CHECK(f.push(15 * kMs, 9) == Arrival::kLate);
  CHECK(f.push(40 * kMs, 4) == Arrival::kPlaced);
}

TEST_CASE("Resampler fills a short hole when the wait is over", "[stream][resampler]") {
  Fixture f;
  f.push(0, 0);
  f.push(30 * kMs, 3);
  CHECK(f.log.text == "0");
  for (int i = 4; i <= 21; ++i) f.push(i * 10 * kMs, static_cast<float>(i));
  // The missing slot at 10 ms is 200 ms late when the stamp 210 ms is seen.
  CHECK(f.log.text.substr(0, 11) == "0 1 2 3 4 5");
  CHECK(f.push(10 * kMs, 1) == Arrival::kLate);
}

TEST_CASE("Resampler starts anew after a long gap", "[stream][resampler]") {
  Fixture f;
  f.push(0, 0);
  f.push(10 * kMs, 1);
  CHECK(f.push(10'000 * kMs, 2) == Arrival::kHeld);  // older ones could still come
  f.push(10'010 * kMs, 3);
  f.resampler.flush(f.rules, f.log);
  CHECK(f.log.text == "0 1 | 2 3");
  CHECK(f.resampler.slot_time(f.rules, 2) == 10'000 * kMs);
}

TEST_CASE("Resampler takes a hole of more slots than a window for a break",
          "[stream][resampler][hostile]") {
  Fixture f;
  f.rules.period_ns = 1;  // a hole of milliseconds is millions of slots
  for (int i = 0; i < 3; ++i) f.push(i, 0);
  f.push(40 * kMs, 1);
  f.push(40 * kMs + 1, 2);
  f.resampler.flush(f.rules, f.log);
  CHECK(f.log.text == "0 0 0 | 1 2");
}

TEST_CASE("Resampler gives up a lone stamp from far ahead and goes on",
          "[stream][resampler][clock]") {
  Fixture f;
  for (int i = 0; i < 10; ++i) f.push(i * 10 * kMs, static_cast<float>(i));
  CHECK(f.push(36'000'000 * kMs, 99) == Arrival::kHeld);  // ten hours
  std::size_t late = 0;
  for (int i = 10; i < 200; ++i) {
    late += f.push(i * 10 * kMs, static_cast<float>(i)) == Arrival::kLate ? 1 : 0;
  }
  CHECK(late == 0);
  CHECK(f.log.slots == 200);
  CHECK(f.log.text.find("99 ") != std::string::npos);  // the sample 99, not the one from ahead
  CHECK(f.log.text.find('|') == std::string::npos);
  CHECK(f.resampler.take_excess() == 1);
  CHECK(f.resampler.bytes() == 0);
}

TEST_CASE("Resampler forgets a large group, and sees gaps again", "[stream][resampler]") {
  Fixture f;
  for (int i = 0; i < 500; ++i) f.push(0, static_cast<float>(i % 7));
  // The grid ran 5 s ahead; what comes next is surplus until the grid starts anew.
  TimeNs time = 0;
  for (int i = 0; i < 400; ++i) f.push(time += 10 * kMs, static_cast<float>(i));
  const std::size_t before = f.log.slots;
  CHECK(f.log.text.find('|') != std::string::npos);
  f.log.text.clear();
  time += 8000 * kMs;
  f.push(time, 1);
  f.push(time + 10 * kMs, 2);
  f.resampler.flush(f.rules, f.log);
  CHECK(f.log.text == " | 1 2");
  CHECK(f.log.slots == before + 2);
}

TEST_CASE("Resampler keeps equal values within a group", "[stream][resampler]") {
  Fixture f;
  std::size_t duplicates = 0;
  for (int group = 1; group <= 100; ++group) {
    for (int i = 0; i < 16; ++i) {
      duplicates += f.push(group * 160 * kMs, static_cast<float>((group * 16 + i) / 3 % 2)) ==
                            Arrival::kDuplicate
                        ? 1
                        : 0;
    }
  }
  f.resampler.flush(f.rules, f.log);
  CHECK(duplicates <= 2);  // before the first group is known to be one
  CHECK(f.log.slots >= 1598);
}

TEST_CASE("Resampler does not wait longer than it may hold", "[stream][resampler]") {
  Fixture f;
  f.rules.max_held = 3;
  f.rules.lateness_ns = 3600 * kNsPerSecond;
  f.push(0, 0);
  for (int i = 2; i <= 5; ++i) f.push(i * 10 * kMs, static_cast<float>(i));
  CHECK(f.log.text == "0 1 2 3 4 5");
}

TEST_CASE("Resampler tells repeats, late and surplus samples apart", "[stream][resampler]") {
  Fixture f;
  f.push(0, 0);
  f.push(10 * kMs, 1);
  CHECK(f.push(10 * kMs, 1) == Arrival::kDuplicate);
  CHECK(f.push(5 * kMs, 7) == Arrival::kLate);
  CHECK(f.push(20 * kMs, 2) == Arrival::kPlaced);
  Fixture fast;  // 200 Hz on a grid of 100 Hz: half of it is too much
  std::size_t excess = 0;
  for (int i = 0; i < 2000; ++i) excess += fast.push(i * 5 * kMs, 1) == Arrival::kExcess ? 1 : 0;
  CHECK(excess > 950);
  CHECK(excess < 1010);
}

TEST_CASE("Resampler joins the parts of one sample", "[stream][resampler]") {
  GridRules rules = rules_100_hz();
  Resampler resampler;
  Log log;
  for (int i = 0; i < 3; ++i) {
    resampler.push(rules, i * 10 * kMs, std::array{static_cast<float>(i), kNaN}, log);
    resampler.push(rules, i * 10 * kMs, std::array{kNaN, static_cast<float>(i + 5)}, log);
  }
  CHECK(log.text == "0/5 1/6 2/7");
}

TEST_CASE("Resampler lets a sample through whose other part never comes", "[stream][resampler]") {
  GridRules rules = rules_100_hz();
  Resampler resampler;
  Log log;
  for (int i = 0; i < 3; ++i) {
    resampler.push(rules, i * 10 * kMs, std::array{static_cast<float>(i), kNaN}, log);
  }
  CHECK(log.text == "0/nan 1/nan");
  resampler.flush(rules, log);
  CHECK(log.text == "0/nan 1/nan 2/nan");
}

TEST_CASE("Resampler keeps its memory bounded under any stamps", "[stream][resampler]") {
  Fixture f;
  f.rules.max_held = 16;
  std::mt19937_64 bits(5);
  for (int i = 0; i < 100'000; ++i) {
    f.push(static_cast<TimeNs>(bits() >> 2U), static_cast<float>(bits() % 3));
    REQUIRE(f.resampler.bytes() < 8192);
  }
}

}  // namespace
}  // namespace anomalyd::stream

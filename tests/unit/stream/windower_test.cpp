#include "stream/windower.h"

#include <array>
#include <cmath>
#include <limits>

#include "support/catch.h"

namespace anomalyd::stream {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr TimeNs kMs = 1'000'000;

struct Window {
  TimeNs start;
  TimeNs end;
  std::vector<float> values;
};

class Collect final : public WindowSink {
 public:
  void on_window(Windower& windower, TimeNs start, TimeNs end) override {
    std::vector<float> values(samples * windower.channels().size());
    windower.copy_window(values);
    windows.push_back({start, end, values});
  }
  void on_gap(Windower&) override { ++gaps; }

  std::size_t samples = 4;
  std::vector<Window> windows;
  int gaps = 0;
};

ChannelNames names(std::vector<std::string> channels) {
  return std::make_shared<const std::vector<std::string>>(std::move(channels));
}

WindowRules rules(ChannelNames channels, double rate_hz) {
  WindowRules made;
  made.channels = std::move(channels);
  made.rate_hz = rate_hz;
  made.window_samples = 4;
  made.hop_samples = 2;
  return made;
}

Schema schema(std::vector<std::string> channels) {
  Schema made;
  made.channels = std::move(channels);
  for (const auto& name : made.channels)
    made.hash = made.hash * 31 + std::hash<std::string>{}(name);
  return made;
}

TEST_CASE("Windower cuts a window every hop, in time order", "[stream][windower]") {
  const WindowRules r = rules(names({"x"}), 100);
  Windower windower;
  Collect sink;
  for (int i = 0; i < 9; ++i) {
    windower.push(r, schema({"x"}), i * 10 * kMs, std::array{static_cast<float>(i)}, sink);
  }
  REQUIRE(sink.windows.size() == 3);
  CHECK(sink.windows[0].values == std::vector<float>{0, 1, 2, 3});
  CHECK(sink.windows[1].values == std::vector<float>{2, 3, 4, 5});
  CHECK(sink.windows[2].values == std::vector<float>{4, 5, 6, 7});
  CHECK(sink.windows[1].start == 20 * kMs);
  CHECK(sink.windows[1].end == 60 * kMs);
  CHECK(windower.counts().samples == 9);
}

TEST_CASE("Windower orders channels, ignores others and follows a changing schema",
          "[stream][windower]") {
  const WindowRules r = rules(names({"x", "y"}), 100);
  Windower windower;
  Collect sink;
  windower.push(r, schema({"y", "z", "x"}), 0, std::array{2.0F, 9.0F, 1.0F}, sink);
  windower.push(r, schema({"x", "y"}), 10 * kMs, std::array{3.0F, 4.0F}, sink);
  windower.push(r, schema({"y"}), 20 * kMs, std::array{6.0F}, sink);
  windower.push(r, schema({"x"}), 20 * kMs, std::array{5.0F}, sink);
  windower.push(r, schema({"x", "y"}), 30 * kMs, std::array{7.0F, 8.0F}, sink);
  REQUIRE(sink.windows.size() == 1);
  CHECK(sink.windows[0].values == std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8});
}

TEST_CASE("Windower carries a channel that is missing, but not for ever", "[stream][windower]") {
  WindowRules r = rules(names({"x", "y"}), 100);
  r.max_gap_ns = 20 * kMs;
  r.lateness_ns = 0;
  Windower windower;
  Collect sink;
  for (int i = 0; i < 6; ++i) {
    windower.push(r, schema({"x", "y"}), i * 10 * kMs,
                  std::array{static_cast<float>(i), i == 0 ? 5.0F : kNaN}, sink);
  }
  REQUIRE(sink.windows.size() == 2);
  CHECK(sink.windows[0].values[3] == 5.0F);
  CHECK(sink.windows[0].values[5] == 5.0F);
  CHECK(std::isnan(sink.windows[0].values[7]));
}

TEST_CASE("Windower breaks the window at a long gap", "[stream][windower]") {
  const WindowRules r = rules(names({"x"}), 100);
  Windower windower;
  Collect sink;
  for (int i = 0; i < 5; ++i) windower.push(r, schema({"x"}), i * 10 * kMs, std::array{1.0F}, sink);
  for (int i = 0; i < 300; ++i) {
    windower.push(r, schema({"x"}), 100'000 * kMs + i * 10 * kMs, std::array{2.0F}, sink);
  }
  CHECK(sink.gaps == 1);
  CHECK(windower.counts().breaks == 1);
  REQUIRE(sink.windows.size() > 2);
  CHECK(sink.windows[1].values == std::vector<float>(4, 2.0F));
  CHECK(sink.windows[1].start == 100'000 * kMs);
}

TEST_CASE("Windower finds rate and channels from the first samples", "[stream][windower]") {
  for (const double rate : {0.1, 1.0, 50.0, 12000.0}) {
    INFO(rate);
    const WindowRules r = rules(nullptr, 0);
    Windower windower;
    Collect sink;
    for (int i = 0; i < 40; ++i) {
      const auto time = static_cast<TimeNs>(std::llround(i * 1e9 / rate * 1.0003));
      windower.push(r, schema({"a", "b"}), time, std::array{1.0F * static_cast<float>(i), 2.0F},
                    sink);
      CHECK(windower.discovered() == (i >= 31));
    }
    CHECK(windower.rate_hz() == Approx(rate));
    REQUIRE(windower.channels().size() == 2);
    CHECK(sink.windows.size() == 19);  // the samples it looked at are not lost
    CHECK(sink.windows[0].values[2] == 1.0F);
  }
}

TEST_CASE("Windower finds the rate behind stamps that groups share", "[stream][windower]") {
  for (const int size : {2, 4, 7, 8, 10, 16, 20, 50, 100}) {
    INFO(size);
    const WindowRules r = rules(nullptr, 0);
    Windower windower;
    Collect sink;
    float value = 0;
    for (int group = 0; group < 8; ++group) {
      for (int i = 0; i < size; ++i) {
        windower.push(r, schema({"a"}), group * size * 10 * kMs, std::array{value++}, sink);
      }
    }
    if (8 * size < 32) windower.flush(r, sink);
    CHECK(windower.rate_hz() == Approx(100));
    CHECK(windower.counts().excess == 0);
    CHECK(windower.counts().duplicate == 0);
    REQUIRE(sink.windows.size() > 3);
    CHECK(sink.windows[3].values == std::vector<float>{6, 7, 8, 9});
  }
}

TEST_CASE("Windower is not misled by a sender that sends everything twice", "[stream][windower]") {
  const WindowRules r = rules(nullptr, 0);
  Windower windower;
  Collect sink;
  for (int i = 0; i < 40; ++i) {
    for (int again = 0; again < 2; ++again) {
      windower.push(r, schema({"a"}), i * 10 * kMs, std::array{static_cast<float>(i)}, sink);
    }
  }
  CHECK(windower.rate_hz() == Approx(100));
  CHECK(windower.counts().duplicate == 40);
  CHECK(sink.windows.size() == 19);
}

TEST_CASE("Windower holds a bounded number of samples that do not tell the rate",
          "[stream][windower][hostile]") {
  const WindowRules r = rules(nullptr, 0);
  Windower windower;
  Collect sink;
  for (int i = 0; i < 20'000; ++i) {
    windower.push(r, schema({"a"}), 5, std::array{static_cast<float>(i)}, sink);
    REQUIRE(windower.bytes() < 200'000);
  }
  CHECK_FALSE(windower.discovered());
  Windower fast;  // a nanosecond apart: no sensor
  for (int i = 0; i < 2000; ++i) {
    fast.push(r, schema({"a"}), i, std::array{static_cast<float>(i)}, sink);
  }
  CHECK_FALSE(fast.discovered());
}

TEST_CASE("Windower gives a recording too short for a rate up at its end", "[stream][windower]") {
  const WindowRules r = rules(nullptr, 0);
  Windower windower;
  Collect sink;
  windower.push(r, schema({"a"}), 0, std::array{1.0F}, sink);
  windower.flush(r, sink);
  CHECK_FALSE(windower.discovered());
  for (int i = 0; i < 8; ++i) windower.push(r, schema({"a"}), i * kMs, std::array{1.0F}, sink);
  windower.flush(r, sink);
  CHECK(windower.rate_hz() == Approx(1000));
  CHECK(sink.windows.size() == 3);
}

TEST_CASE("Windower counts times that cannot be", "[stream][windower]") {
  const WindowRules r = rules(names({"x"}), 100);
  Windower windower;
  Collect sink;
  for (const TimeNs time :
       {std::numeric_limits<TimeNs>::min(), TimeNs{-1}, std::numeric_limits<TimeNs>::max()}) {
    windower.push(r, schema({"x"}), time, std::array{1.0F}, sink);
  }
  CHECK(windower.counts().time_range == 3);
  CHECK_FALSE(windower.discovered());
}

}  // namespace
}  // namespace anomalyd::stream

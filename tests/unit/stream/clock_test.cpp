// What sensors' clocks do in a lifetime: smeared and repeated leap seconds, steps of both signs, a
// clock that was never set. A stream's own times are all that counts; nobody asks the wall clock.
#include "stream/windower.h"
#include "support/catch.h"

namespace anomalyd::stream {
namespace {

constexpr TimeNs kDay = 86'400 * kNsPerSecond;
constexpr TimeNs kStart = 1'760'000'000 * kNsPerSecond;

class Sink final : public WindowSink {
 public:
  void on_window(Windower&, TimeNs start, TimeNs end) override {
    in_order = in_order && end > last_end && end > start;
    last_end = end;
    ++windows;
  }
  void on_gap(Windower&) override { ++gaps; }
  std::size_t windows = 0;
  std::size_t gaps = 0;
  bool in_order = true;
  TimeNs last_end = 0;
};

/// A stream of 10 Hz in windows of ten samples without overlap.
struct Sensor {
  Sensor() {
    rules.channels = std::make_shared<const std::vector<std::string>>(1, "x");
    rules.rate_hz = 10;
    rules.window_samples = 10;
    rules.hop_samples = 10;
    schema.channels = *rules.channels;
    schema.hash = 1;
  }
  void send(TimeNs time) {
    const float value = static_cast<float>(sent++ % 997);
    windower.push(rules, schema, time, {&value, 1}, sink);
  }
  /// `samples` a tenth of a second apart, the first at `time`; returns the time after them.
  TimeNs run(TimeNs time, int samples) {
    for (int i = 0; i < samples; ++i, time += kNsPerSecond / 10) send(time);
    return time;
  }
  const WindowerCounts& counts() const { return windower.counts(); }

  WindowRules rules;
  Schema schema;
  Windower windower;
  Sink sink;
  int sent = 0;
};

TEST_CASE("A smeared leap second loses nothing", "[stream][clock]") {
  Sensor sensor;
  // A day whose clock is slow by a second in all, with ordinary time before and after it.
  TimeNs time = sensor.run(kStart, 1000);
  const int samples = static_cast<int>(kDay / kNsPerSecond * 10) + 10;
  for (int i = 0; i < samples; ++i) {
    sensor.send(time + static_cast<TimeNs>(static_cast<double>(i) * static_cast<double>(kDay) /
                                           static_cast<double>(samples)));
  }
  sensor.run(time + kDay, 1000);
  CHECK(sensor.counts().late == 0);
  CHECK(sensor.counts().excess == 0);
  CHECK(sensor.counts().duplicate == 0);
  CHECK(sensor.counts().breaks == 0);
  CHECK(sensor.sink.windows == static_cast<std::size_t>((2000 + samples) / 10));
  CHECK(sensor.sink.in_order);
}

TEST_CASE("A repeated leap second drops that second's samples and no more", "[stream][clock]") {
  Sensor sensor;
  const TimeNs time = sensor.run(kStart, 1000);
  sensor.run(time - kNsPerSecond, 1000);
  // The last of them is no later than the last before: they share a stamp and both are kept.
  CHECK(sensor.counts().late + sensor.counts().duplicate == 9);
  CHECK(sensor.counts().excess == 0);
  CHECK(sensor.counts().breaks == 0);
  CHECK(sensor.sink.windows == 199);
  CHECK(sensor.sink.in_order);
}

TEST_CASE("A clock set back is late until it is where it was, and counted", "[stream][clock]") {
  for (const int seconds : {1, 30, 3600}) {
    INFO(seconds);
    Sensor sensor;
    const TimeNs time = sensor.run(kStart, 1000);
    sensor.run(time - seconds * kNsPerSecond + 1, 10 * seconds + 500);
    const auto dropped = sensor.counts().late + sensor.counts().duplicate + sensor.counts().excess;
    // The last of them is a nanosecond newer than what was there: that is jitter.
    CHECK(dropped == static_cast<std::uint64_t>(10 * seconds - 1));
    CHECK(sensor.counts().breaks == 0);
    CHECK(sensor.sink.windows == 150);
    CHECK(sensor.sink.in_order);
  }
}

TEST_CASE("A clock set ahead is a hole that is filled, or a break", "[stream][clock]") {
  Sensor filled;
  TimeNs time = filled.run(kStart, 1000);
  filled.run(time + kNsPerSecond / 2, 1000);
  CHECK(filled.counts().breaks == 0);
  CHECK(filled.sink.gaps == 0);
  CHECK(filled.sink.windows == 200);

  for (const TimeNs ahead : {10 * kNsPerSecond, 3600 * kNsPerSecond, 400 * kDay}) {
    Sensor sensor;
    time = sensor.run(kStart, 1000);
    sensor.run(time + ahead, 1000);
    CHECK(sensor.counts().breaks == 1);
    CHECK(sensor.sink.gaps == 1);
    CHECK(sensor.counts().late + sensor.counts().excess == 0);
    CHECK(sensor.sink.windows == 200);
    CHECK(sensor.sink.in_order);
  }
}

TEST_CASE("Single stamps from far off do not move a stream", "[stream][clock]") {
  Sensor sensor;
  TimeNs time = sensor.run(kStart, 1000);
  for (const TimeNs wrong : {time + kDay, TimeNs{0}, TimeNs{777}, time + 10 * kDay, time - kDay}) {
    sensor.send(wrong);
    time = sensor.run(time, 200);
  }
  // Those from before are late, those from ahead are waited for and given up.
  CHECK(sensor.counts().late == 3);
  CHECK(sensor.counts().excess == 2);
  CHECK(sensor.counts().breaks == 0);
  CHECK(sensor.sink.windows == 200);
  CHECK(sensor.sink.in_order);
}

TEST_CASE("A clock that starts in 1970 and is then set is one break", "[stream][clock]") {
  Sensor sensor;
  sensor.run(3 * kNsPerSecond, 100);
  sensor.run(kStart, 1000);
  CHECK(sensor.counts().breaks == 1);
  CHECK(sensor.counts().late + sensor.counts().excess == 0);
  CHECK(sensor.sink.windows == 110);
  CHECK(sensor.sink.in_order);
  // And what has no place in time at all is counted apart.
  sensor.send(-1);
  sensor.send(TimeNs{1} << 62);
  CHECK(sensor.counts().time_range == 2);
}

TEST_CASE("Samples years apart make no rate", "[stream][clock]") {
  Sensor sensor;
  sensor.rules.rate_hz = 0;
  sensor.rules.window_samples = 64;
  for (int i = 0; i < 40; ++i) sensor.send(i * 365 * kDay);
  sensor.windower.flush(sensor.rules, sensor.sink);
  CHECK_FALSE(sensor.windower.discovered());
  CHECK(sensor.counts().excess == 40);
}

}  // namespace
}  // namespace anomalyd::stream

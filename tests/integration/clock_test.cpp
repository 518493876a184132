// Steps of the machine's clock: what is kept, what is refused, and what must not notice.
#include "running_engine.h"

namespace anomalyd::app {
namespace {

using testing::json;
using testing::kLearnSamples;
using testing::Machine;
using testing::make_config;
using testing::RunningEngine;
using testing::TempDir;

constexpr TimeNs kDay = 86'400 * kNsPerSecond;

/// The system's clocks, of which the one on the wall is set by the test.
class SteppedClock final : public Clock {
 public:
  TimeNs now() const override { return system_clock().now() + step; }
  std::chrono::nanoseconds elapsed() const override { return system_clock().elapsed(); }
  std::atomic<TimeNs> step{0};
};

std::size_t alerts(RunningEngine& daemon) {
  return daemon.get_json("/api/v1/alerts").at("alerts").size();
}

void fault(RunningEngine& daemon, Machine& machine) {
  daemon.write(machine.lines(320, 5));
  daemon.write(machine.lines(320));
}

TEST_CASE("A clock that is set ahead deletes no alerts; time that passes for the sensors does",
          "[integration][clock][retention]") {
  const TempDir dir;
  SteppedClock clock;
  RunningEngine daemon(make_config(dir, "alert_retention = \"1d\"\n"), store::real_file_system(),
                       clock);
  daemon.engine().prune_alerts();  // there is no sample yet, and nothing is old
  Machine machine("s");
  daemon.write(machine.lines(kLearnSamples));
  fault(daemon, machine);
  REQUIRE(daemon.await_received("s", machine.sent()));
  REQUIRE(testing::await(
      [&] { return daemon.get_json("/api/v1/alerts?state=resolved").at("alerts").size() == 1; }));

  clock.step = 4000 * kDay;
  daemon.engine().prune_alerts();
  // Something that is written after it: the writer has passed it by then.
  fault(daemon, machine);
  REQUIRE(testing::await([&] { return alerts(daemon) == 2; }));
  CHECK(testing::await(
      [&] { return daemon.get_json("/api/v1/alerts?state=resolved").at("alerts").size() == 2; }));
}

TEST_CASE("Alerts that are old by the sensors' time are deleted",
          "[integration][clock][retention]") {
  const TempDir dir;
  SteppedClock clock;
  RunningEngine daemon(make_config(dir, "alert_retention = \"1d\"\n"), store::real_file_system(),
                       clock);
  Machine machine("s");
  daemon.write(machine.lines(kLearnSamples));
  fault(daemon, machine);
  REQUIRE(daemon.await_received("s", machine.sent()));
  REQUIRE(testing::await(
      [&] { return daemon.get_json("/api/v1/alerts?state=resolved").at("alerts").size() == 1; }));
  daemon.write("other ax=1 " + std::to_string(Machine::kStart + 2 * kDay) + "\n");
  REQUIRE(testing::await(
      [&] { return daemon.engine().shard_figures(0).newest == Machine::kStart + 2 * kDay; }));
  daemon.engine().prune_alerts();
  CHECK(testing::await([&] { return alerts(daemon) == 0; }));
}

TEST_CASE("Steps of the clock change what is refused, and nothing else", "[integration][clock]") {
  const TempDir dir;
  SteppedClock clock;
  RunningEngine daemon(make_config(dir, "[ingest]\nmax_future = \"1h\"\nmax_past = \"30d\"\n"),
                       store::real_file_system(), clock);
  const auto line = [](TimeNs time) { return "s ax=1 " + std::to_string(time) + "\n"; };
  const auto status = [&](TimeNs time) {
    return daemon.send("POST", "/api/v2/write", line(time), "text/plain").status;
  };
  const TimeNs now = system_clock().now();
  const char* const refused =
      "anomalyd_ingest_rejected_total{protocol=\"line_protocol\",reason=\"time\"}";
  CHECK(status(now) == 204);
  CHECK(status(now + 2 * 3600 * kNsPerSecond) == 400);
  CHECK(status(now - 31 * kDay) == 400);
  CHECK(status(5 * kNsPerSecond) == 400);  // 1970
  CHECK(daemon.metric(refused) == 3);

  clock.step = 400 * kDay;
  CHECK(status(now) == 400);
  clock.step = -400 * kDay;
  CHECK(status(now) == 400);
  clock.step = 0;
  CHECK(status(now + kNsPerSecond) == 204);
  CHECK(daemon.metric(refused) == 5);

  for (const TimeNs step : {-4000 * kDay, 4000 * kDay}) {
    clock.step = step;
    CHECK(daemon.get("/-/ready").status == 200);
    const double up = daemon.get_json("/api/v1/status").at("uptime_seconds");
    CHECK(up >= 0);
    CHECK(up < 600);
    CHECK(testing::await([&] { return daemon.engine().progressed(); }));
  }
  CHECK(daemon.await_received("s", 2));
}

}  // namespace
}  // namespace anomalyd::app

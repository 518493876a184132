// A database that takes no writes, until the alerts' queue is full and a shard waits for it.
#include <thread>

#include "running_engine.h"
#include "support/sqlite_lock.h"

namespace anomalyd::app {
namespace {

using testing::Machine;
using testing::make_config;
using testing::RunningEngine;
using testing::TempDir;

/// Each fault lasts for some windows, and so does what is between: an alert fires and resolves.
std::string faults(Machine& machine, int count) {
  std::string lines;
  for (int i = 0; i < count; ++i) lines += machine.lines(12, 5) + machine.lines(12);
  return lines;
}

TEST_CASE("A stuck database stops neither the watchdog's petting nor the daemon's end",
          "[integration][life][stop][overload]") {
  const TempDir dir;
  Config config = make_config(dir, "[daemon]\ndrain_timeout = \"1s\"\n");
  config.http.workers = 1;
  config.domains[0].window_samples = 4;
  config.domains[0].hop_samples = 4;
  config.domains[0].confirm_windows = 1;
  RunningEngine daemon(config);
  const anomalyd::testing::SqliteLock lock(dir.path() / "anomalyd.db");
  Machine machine("s");
  daemon.write(machine.lines(61 * 4 + 100));
  const AlertWriter& writer = daemon.engine().alert_writer();
  for (int i = 0; i < 40 && writer.queued() < writer.capacity(); ++i) {
    daemon.write(faults(machine, 500));
    testing::await([&] { return daemon.engine().shard_figures(0).queued_samples == 0; },
                   std::chrono::seconds(2));
  }
  REQUIRE(writer.queued() == writer.capacity());
  daemon.write(faults(machine, 500));

  // The shard waits for room: a restart would not help, and lose what is queued.
  for (int i = 0; i < 3; ++i) CHECK(testing::await([&] { return daemon.engine().progressed(); }));
  const auto begun_prune = std::chrono::steady_clock::now();
  daemon.engine().prune_alerts();
  CHECK(std::chrono::steady_clock::now() - begun_prune < std::chrono::seconds(4));

  // The only worker waits for the shard's answer, which does not come.
  std::string scraped;
  std::thread scraper([&] {
    const auto client = http::Client::make(
        "http://127.0.0.1:" + std::to_string(daemon.engine().port()), std::chrono::seconds(30));
    auto response = client.value()->send("GET", "/metrics", {}, {}, {});
    if (response.ok()) scraped = response.value().body;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  const auto begun = std::chrono::steady_clock::now();
  CHECK(daemon.get("/-/healthy").status == 200);
  CHECK(daemon.get("/-/ready").status == 503);
  CHECK(std::chrono::steady_clock::now() - begun < std::chrono::seconds(20));
  scraper.join();
  CHECK(scraped.find("\nanomalyd_ready 0\n") != std::string::npos);
  CHECK(scraped.find("\nanomalyd_stream_queue_samples{shard=\"0\"} ") != std::string::npos);
  CHECK(scraped.find("anomalyd_stream_streams") == std::string::npos);
  CHECK(scraped.find("anomalyd_alert_open") == std::string::npos);

  // One write may be under way, for which the database has five seconds.
  const auto stopping = std::chrono::steady_clock::now();
  daemon.engine().stop();
  CHECK(std::chrono::steady_clock::now() - stopping < std::chrono::seconds(12));
}

}  // namespace
}  // namespace anomalyd::app

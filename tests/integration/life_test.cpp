#include <sqlite3.h>

#include <fstream>

#include "running_engine.h"
#include "store/database.h"

namespace anomalyd::app {
namespace {

using testing::json;
using testing::kLearnSamples;
using testing::Machine;
using testing::make_config;
using testing::RunningEngine;
using testing::TempDir;

const char* const kReloaded = "anomalyd_config_last_reload_successful";

TEST_CASE("A started engine is ready and says what it runs", "[integration][life][ready]") {
  const TempDir dir;
  RunningEngine daemon(make_config(dir));
  CHECK(daemon.engine().ready());
  CHECK(daemon.get("/-/ready").status == 200);
  CHECK(daemon.get("/-/healthy").status == 200);
  CHECK(daemon.get("/ping").status == 204);
  const json status = daemon.get_json("/api/v1/status");
  CHECK(status.at("ready") == true);
  CHECK(status.at("shards").size() == 1);
  CHECK(daemon.get_json("/health").at("status") == "pass");
  CHECK(daemon.metric("anomalyd_ready") == 1);
  const json detectors = daemon.get_json("/api/v1/detectors").at("detectors");
  REQUIRE(detectors.size() == 1);
  CHECK(detectors[0].at("window_samples") == 32);
  CHECK(detectors[0].at("learn_windows") == 60);
}

TEST_CASE("The watchdog sees every shard turn its loop", "[integration][life][watchdog]") {
  const TempDir dir;
  RunningEngine daemon(make_config(dir, "[stream]\nshards = 2\n"));
  // Without any samples, too: an idle daemon is a healthy one.
  for (int i = 0; i < 3; ++i) CHECK(testing::await([&] { return daemon.engine().progressed(); }));
}

TEST_CASE("A good reload swaps detectors; streams whose domain stays go on",
          "[integration][life][reload]") {
  const TempDir dir;
  RunningEngine daemon(make_config(dir));
  Machine machine("s");
  daemon.write(machine.lines(kLearnSamples));
  REQUIRE(daemon.await_received("s", machine.sent()));
  REQUIRE(daemon.state_of("s") == "normal");

  REQUIRE(daemon.engine().reload(make_config(dir)).ok());
  CHECK(testing::await([&] { return daemon.state_of("s") == "normal"; }));
  CHECK(daemon.metric(kReloaded) == 1);

  REQUIRE(daemon.engine().reload(make_config(dir, "", "learn_windows = 70\n")).ok());
  CHECK(daemon.get_json("/api/v1/detectors").at("detectors").at(0).at("learn_windows") == 70);
  CHECK(testing::await([&] { return daemon.state_of("s") == "learning"; }));
  daemon.write(machine.lines(100));
  CHECK(daemon.await_received("s", 100));
  CHECK(daemon.get("/-/ready").status == 200);
}

TEST_CASE("After a reload the streams are saved at once", "[integration][life][reload]") {
  const TempDir dir;
  const Config config = make_config(dir, "checkpoint_interval = \"1h\"\n");
  RunningEngine daemon(config);
  Machine machine("s");
  daemon.write(machine.lines(kLearnSamples));
  REQUIRE(daemon.await_received("s", machine.sent()));
  CHECK(daemon.metric("anomalyd_checkpoint_position") == 0);
  REQUIRE(daemon.engine().reload(config).ok());
  CHECK(testing::await([&] { return daemon.metric("anomalyd_checkpoint_position") == 1; }));
}

TEST_CASE("A bad reload is refused with the reason and changes nothing",
          "[integration][life][reload][errors]") {
  const TempDir dir;
  RunningEngine daemon(make_config(dir));
  Machine machine("s");
  daemon.write(machine.lines(kLearnSamples));
  REQUIRE(daemon.await_received("s", machine.sent()));
  const json before = daemon.get_json("/api/v1/detectors");

  const std::string broken = (dir.path() / "broken.safetensors").string();
  std::ofstream(broken, std::ios::binary)
      << std::string("\x10\0\0\0\0\0\0\0{\"nonsense\":true}", 24);
  Config config = make_config(dir);
  config.domains[0].detector = broken;
  const Status corrupt = daemon.engine().reload(config);
  REQUIRE_FALSE(corrupt.ok());
  CHECK(corrupt.error().message.find("domain machines: ") == 0);
  CHECK(corrupt.error().message.find("broken") != std::string::npos);
  config.domains[0].detector = (dir.path() / "missing.safetensors").string();
  const Status missing = daemon.engine().reload(config);
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.error().code == ErrorCode::kNotFound);

  CHECK(daemon.metric(kReloaded) == 0);
  CHECK(daemon.get_json("/api/v1/detectors") == before);
  CHECK(daemon.state_of("s") == "normal");
  CHECK(daemon.get("/-/ready").status == 200);
  daemon.write(machine.lines(320, 5));
  CHECK(daemon.await_received("s", machine.sent()));
  CHECK(daemon.state_of("s") == "anomalous");

  REQUIRE(daemon.engine().reload(make_config(dir)).ok());
  CHECK(daemon.metric(kReloaded) == 1);
}

TEST_CASE("An engine that cannot load a detector does not start", "[integration][life][errors]") {
  const TempDir dir;
  Config config = make_config(dir);
  config.domains[0].detector = (dir.path() / "missing.safetensors").string();
  const auto engine = Engine::make(config, system_clock());
  const Status started = engine->start();
  REQUIRE_FALSE(started.ok());
  CHECK(started.error().message.find("missing.safetensors") != std::string::npos);
  CHECK_FALSE(engine->ready());
}

TEST_CASE("The lag is that of the shard furthest behind, and no future makes it negative",
          "[integration][metrics]") {
  const TempDir dir;
  RunningEngine daemon(make_config(dir, "[stream]\nshards = 2\n"));
  std::string other = "a";
  while (daemon.engine().shard_of(other) == daemon.engine().shard_of("s")) other += "a";
  const TimeNs hour = 3600 * kNsPerSecond;
  const auto send = [&](const std::string& key, TimeNs time) {
    daemon.write(key + " ax=1 " + std::to_string(time) + "\n");
    REQUIRE(daemon.await_received(key, 1));
  };
  send("s", system_clock().now() + hour);
  CHECK(testing::await([&] { return daemon.metric("anomalyd_stream_samples_total") == 1; }));
  CHECK(daemon.metric("anomalyd_stream_lag_seconds") == 0);
  send(other, system_clock().now() - hour);
  CHECK(testing::await([&] { return daemon.metric("anomalyd_stream_lag_seconds") >= 3600; }));
}

TEST_CASE("stop() scores and writes what was acknowledged, within its bound; a restart goes on",
          "[integration][life][stop]") {
  const TempDir dir;
  const Config config = make_config(dir, "[daemon]\ndrain_timeout = \"20s\"\n");
  long sent = 0;
  {
    RunningEngine daemon(config);
    Machine machine("s");
    // All of it is waiting when stop() begins, the fault at its very end.
    daemon.write(machine.lines(kLearnSamples));
    for (int i = 0; i < 20; ++i) daemon.write(machine.lines(500));
    daemon.write(machine.lines(160, 5));
    sent = machine.sent();
    const auto begun = std::chrono::steady_clock::now();
    daemon.engine().stop();
    CHECK(std::chrono::steady_clock::now() - begun < std::chrono::seconds(25));
    CHECK_FALSE(daemon.engine().ready());
  }
  std::string id;
  {
    const auto database = store::Database::open(dir.path() / "anomalyd.db").value();
    const auto page = database->find({}).value();
    REQUIRE(page.alerts.size() == 1);
    CHECK(page.alerts[0].state == alert::AlertState::kFiring);
    id = page.alerts[0].id;
  }
  {
    // Nothing is learned anew and nothing scored again: the alert still fires.
    RunningEngine again(config);
    CHECK(again.get_json("/api/v1/alerts/" + id).at("state") == "firing");
    CHECK(again.received("s") == sent);
    CHECK(again.state_of("s") == "anomalous");
    CHECK(again.metric("anomalyd_journal_replayed_samples_total") == 0);
  }
  // The streams are lost: so is what the alert belonged to.
  std::filesystem::remove_all(dir.path() / "journal");
  {
    sqlite3* database = nullptr;
    REQUIRE(sqlite3_open((dir.path() / "anomalyd.db").c_str(), &database) == SQLITE_OK);
    REQUIRE(sqlite3_exec(database, "DELETE FROM stream_checkpoint; DELETE FROM shard_checkpoint",
                         nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(database);
  }
  RunningEngine lost(config);
  const json alert = lost.get_json("/api/v1/alerts/" + id);
  CHECK(alert.at("state") == "resolved");
  CHECK(alert.at("end_reason") == "restart");
  CHECK(alert.at("resolved_at") == alert.at("end"));
  CHECK(lost.get_json("/api/v1/alerts?state=firing").at("alerts").empty());
  CHECK(lost.received("s") == -1);
}

}  // namespace
}  // namespace anomalyd::app

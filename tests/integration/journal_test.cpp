// What a sender, a scraper and the next start see of the journal and of the checkpoints.
#include <sqlite3.h>

#include <cstdlib>
#include <cstring>
#include <fstream>

#include "running_engine.h"
#include "store/crc32c.h"
#include "store/journal_segment.h"
#include "support/fake_disk.h"

namespace anomalyd::app {
namespace {

using anomalyd::testing::FakeDisk;
using testing::await;
using testing::json;
using testing::kLearnSamples;
using testing::Machine;
using testing::make_config;
using testing::RunningEngine;
using testing::TempDir;

void run_sql(const TempDir& dir, const char* sql) {
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open((dir.path() / "anomalyd.db").c_str(), &database) == SQLITE_OK);
  REQUIRE(sqlite3_exec(database, sql, nullptr, nullptr, nullptr) == SQLITE_OK);
  sqlite3_close(database);
}

/// A disk that takes nothing for a while: what is told, and that it is over by itself.
void check_refusal(FakeDisk::Fault fault, int status, const std::string& reason,
                   const std::string& why) {
  const TempDir dir;
  FakeDisk disk;
  RunningEngine daemon(make_config(dir), disk);
  Machine machine("s");
  daemon.write(machine.lines(100));
  REQUIRE(daemon.await_received("s", 100));

  disk.fail(0, 1'000'000'000, fault);
  const std::string lines = machine.lines(100);
  for (int i = 0; i < 3; ++i) {
    const auto refused = daemon.send("POST", "/api/v2/write", lines, "text/plain");
    CHECK(refused.status == status);
    CHECK(refused.body.find(why) != std::string::npos);
    bool has_retry = false;
    for (const auto& header : refused.headers) has_retry |= header.name == "Retry-After";
    CHECK(has_retry);
  }
  const auto ready = daemon.get("/-/ready");
  CHECK(ready.status == 503);
  CHECK(ready.body.find(why) != std::string::npos);
  CHECK(daemon.get("/-/healthy").status == 200);
  CHECK(daemon.metric("anomalyd_ready") == 0);
  CHECK(daemon.metric("anomalyd_journal_failing") == 1);
  CHECK(daemon.metric("anomalyd_ingest_requests_refused_total{reason=\"" + reason + "\"}") == 3);
  const json trouble = daemon.get_json("/api/v1/status").at("journal").at("trouble");
  REQUIRE(trouble.is_string());
  CHECK(trouble.get<std::string>().find(why) != std::string::npos);
  // What is in memory is still answered, and nothing of the refused was scored.
  CHECK(daemon.received("s") == 100);
  CHECK(daemon.metric("anomalyd_stream_queue_samples{shard=\"0\"}") == 0);

  disk.heal();
  REQUIRE(await([&] { return daemon.get("/-/ready").status == 200; }));
  daemon.write(lines);
  REQUIRE(daemon.await_received("s", 200));
  CHECK(daemon.received("s") == 200);
  CHECK(daemon.metric("anomalyd_journal_failing") == 0);
  CHECK(daemon.metric("anomalyd_journal_failures_total") >= 1);
}

TEST_CASE("A full disk is told with 507, and is over once there is room",
          "[integration][journal]") {
  check_refusal(FakeDisk::Fault::kFull, 507, "disk_full", "No space left on device");
}

TEST_CASE("A disk that fails is told with 503, and is over once it works",
          "[integration][journal]") {
  check_refusal(FakeDisk::Fault::kEio, 503, "journal", "Input/output error");
}

TEST_CASE("With any number of shards a start goes on where the last one ended",
          "[integration][journal]") {
  const TempDir dir;
  constexpr int kStreams = 12;
  std::vector<Machine> machines;
  for (int i = 0; i < kStreams; ++i) machines.emplace_back("s" + std::to_string(i), 7 + i);
  long sent = 0;
  for (const int shards : {1, 3, 2, 2}) {
    RunningEngine daemon(make_config(dir, "[stream]\nshards = " + std::to_string(shards) + "\n"));
    for (Machine& machine : machines) {
      if (sent > 0) {
        const std::string key = "s" + std::to_string(&machine - machines.data());
        CHECK(daemon.received(key) == sent);
        CHECK(daemon.state_of(key) == "normal");
      }
      daemon.write(machine.lines(sent == 0 ? kLearnSamples : 320));
    }
    sent = machines[0].sent();
    for (int i = 0; i < kStreams; ++i) {
      REQUIRE(daemon.await_received("s" + std::to_string(i), sent));
    }
    CHECK(daemon.metric("anomalyd_journal_replayed_samples_total") == 0);
    CHECK(daemon.get_json("/api/v1/alerts").at("alerts").empty());
    daemon.engine().stop();
  }
}

/// Rows of a table while the daemon runs.
int count_rows(const TempDir& dir, const char* table) {
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open((dir.path() / "anomalyd.db").c_str(), &database) == SQLITE_OK);
  int rows = 0;
  const auto take = [](void* into, int, char** values, char**) {
    *static_cast<int*>(into) = std::atoi(values[0]);
    return 0;
  };
  const std::string sql = std::string("SELECT count(*) FROM ") + table;
  REQUIRE(sqlite3_exec(database, sql.c_str(), take, &rows, nullptr) == SQLITE_OK);
  sqlite3_close(database);
  return rows;
}

// Else a crash after the first shard's first checkpoint would look like another number of shards,
// and the others would begin where that one is.
TEST_CASE("Every shard has its place from the first start on", "[integration][journal]") {
  const TempDir dir;
  RunningEngine daemon(make_config(dir, "[stream]\nshards = 3\n"));
  CHECK(count_rows(dir, "shard_checkpoint") == 3);
}

TEST_CASE("A second daemon leaves the first one's store alone", "[integration][journal][errors]") {
  const TempDir dir;
  const Config config = make_config(dir);
  RunningEngine daemon(config);
  const auto second = Engine::make(config, system_clock());
  const Status started = second->start();
  REQUIRE_FALSE(started.ok());
  CHECK(started.error().message.find("another anomalyd uses this folder") != std::string::npos);
  Machine machine("s");
  daemon.write(machine.lines(100));
  CHECK(daemon.await_received("s", 100));
}

TEST_CASE("Without its last checkpoint the journal brings a stream back",
          "[integration][journal]") {
  const TempDir dir;
  const Config config = make_config(dir, "journal_retention = \"1h\"\n");
  Machine machine("s");
  json before;
  {
    RunningEngine daemon(config);
    daemon.write(machine.lines(kLearnSamples));
    daemon.write(machine.lines(160, 5));
    REQUIRE(daemon.await_received("s", machine.sent()));
    before = daemon.get_json("/api/v1/streams/s");
    daemon.engine().stop();
  }
  run_sql(dir, "DELETE FROM stream_checkpoint; DELETE FROM shard_checkpoint");
  RunningEngine again(config);
  CHECK(again.metric("anomalyd_journal_replayed_samples_total") ==
        static_cast<double>(machine.sent()));
  json after = again.get_json("/api/v1/streams/s");
  before.erase("memory_bytes");
  after.erase("memory_bytes");
  CHECK(after == before);
  CHECK(after.at("state") == "anomalous");
  CHECK(again.get_json("/api/v1/alerts").at("alerts").size() == 1);
}

TEST_CASE("A damaged state costs one stream its learning, and is counted",
          "[integration][journal]") {
  const TempDir dir;
  {
    RunningEngine daemon(make_config(dir));
    for (const char* name : {"a", "b"}) {
      Machine machine(name);
      daemon.write(machine.lines(kLearnSamples));
      REQUIRE(daemon.await_received(name, machine.sent()));
    }
    daemon.engine().stop();
  }
  run_sql(
      dir,
      "UPDATE stream_checkpoint SET state = CAST(substr(state, 1, 40) AS BLOB) WHERE stream = 'a'");
  RunningEngine again(make_config(dir));
  CHECK(again.metric("anomalyd_checkpoint_damaged_total") == 1);
  CHECK(again.received("a") == -1);
  CHECK(again.state_of("b") == "normal");
}

TEST_CASE("A journal of a newer version is left alone", "[integration][journal][errors]") {
  const TempDir dir;
  {
    RunningEngine daemon(make_config(dir));
    daemon.write(Machine("s").lines(10));
  }
  const auto path = dir.path() / "journal" / store::segment_name(1);
  std::string newer = store::encode_segment_header({1, 0});
  newer[8] = 9;
  const std::uint32_t crc = store::crc32c(std::string_view(newer).substr(0, 28));
  std::memcpy(newer.data() + 28, &crc, sizeof crc);
  std::ofstream(path, std::ios::binary) << newer;
  const auto engine = Engine::make(make_config(dir), system_clock());
  const Status started = engine->start();
  REQUIRE_FALSE(started.ok());
  CHECK(started.error().code == ErrorCode::kUnsupported);
  CHECK(started.error().message == path.string() + ": a journal of version 9, expected 1");
}

}  // namespace
}  // namespace anomalyd::app

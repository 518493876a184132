#include <sqlite3.h>

#include <map>

#include "store/database.h"
#include "support.h"

namespace anomalyd::store {
namespace {

using alert::AlertState;

std::vector<std::byte> bytes_of(const std::string& text) {
  const auto* begin = reinterpret_cast<const std::byte*>(text.data());
  return {begin, begin + text.size()};
}

void run(const std::filesystem::path& path, const std::string& sql) {
  sqlite3* connection = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &connection) == SQLITE_OK);
  CHECK(sqlite3_exec(connection, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
  sqlite3_close(connection);
}

std::map<std::string, StreamCheckpoint> streams_of(const Database& database) {
  std::map<std::string, StreamCheckpoint> found;
  const Status read = database.each_stream_checkpoint([&](StreamCheckpoint stream) -> Status {
    found[stream.stream] = std::move(stream);
    return Done{};
  });
  REQUIRE(read.ok());
  return found;
}

TEST_CASE("A checkpoint comes back as it was put, also after reopening", "[store][checkpoint]") {
  const Folder folder;
  const auto path = folder / "a.db";
  {
    const auto database = open_database(path);
    CHECK(database->shard_checkpoints().value().empty());
    CHECK(streams_of(*database).empty());
    const std::vector<Change> changes{
        ShardCheckpoint{1, 7, bytes_of("one"), {{"b", 7, bytes_of(std::string(100'000, 'x'))}}},
        ShardCheckpoint{0, 9, bytes_of("zero"), {{"a{site=\"'\"}", 9, bytes_of("")}}}};
    REQUIRE(database->write(changes).ok());
    // The next one has what changed; the rest stays.
    REQUIRE(database
                ->write(std::vector<Change>{
                    ShardCheckpoint{1, 12, bytes_of("more"), {{"c", 12, bytes_of("new")}}}})
                .ok());
  }
  const auto database = open_database(path);
  const auto shards = database->shard_checkpoints().value();
  REQUIRE(shards.size() == 2);
  CHECK(shards[0].shard == 0);
  CHECK(shards[0].position == 9);
  CHECK(shards[0].state == bytes_of("zero"));
  CHECK(shards[1].shard == 1);
  CHECK(shards[1].position == 12);
  CHECK(shards[1].state == bytes_of("more"));
  const auto streams = streams_of(*database);
  REQUIRE(streams.size() == 3);
  CHECK(streams.at("a{site=\"'\"}").state.empty());
  CHECK(streams.at("b").position == 7);
  CHECK(streams.at("b").state.size() == 100'000);
  CHECK(streams.at("c").position == 12);
}

TEST_CASE("Alerts, removed ones and a checkpoint are one write", "[store][checkpoint]") {
  const Folder folder;
  const auto path = folder / "a.db";
  const auto database = open_database(path);
  const alert::Alert gone = make_alert("gone", 1, AlertState::kPending);
  const alert::Alert kept = make_alert("kept", 2, AlertState::kPending);
  REQUIRE(database->put(std::vector{gone, kept}).ok());
  alert::Alert fired = kept;
  fired.state = AlertState::kFiring;
  REQUIRE(database
              ->write(std::vector<Change>{RemovedAlert{gone.id}, fired, RemovedAlert{"none"},
                                          ShardCheckpoint{0, 3, {}, {{"s", 3, {}}}}})
              .ok());
  CHECK(database->count().value() == 1);
  CHECK(database->get(kept.id).value()->state == AlertState::kFiring);
  CHECK(database->shard_checkpoints().value().at(0).position == 3);

  // In order: what is put, removed and put again is there.
  REQUIRE(database->write(std::vector<Change>{gone, RemovedAlert{gone.id}, gone}).ok());
  CHECK(database->count().value() == 2);
  REQUIRE(database->write({}).ok());
}

TEST_CASE("After an error nothing of a write is there", "[store][checkpoint][errors]") {
  const Folder folder;
  const auto path = folder / "a.db";
  const auto database = open_database(path);
  REQUIRE(database->write(std::vector<Change>{ShardCheckpoint{0, 5, {}, {{"s", 5, {}}}}}).ok());
  alert::Alert bad = make_alert("bad", 1);
  bad.state = static_cast<AlertState>(9);
  const std::vector<std::vector<Change>> refused{
      {ShardCheckpoint{0, 6, {}, {{"s", 6, {}}, {"t", 6, {}}}}, bad},
      {make_alert("good", 1), ShardCheckpoint{0, 6, {}, {{"t", std::uint64_t{1} << 63U, {}}}}}};
  for (const auto& changes : refused) {
    CHECK_FALSE(database->write(changes).ok());
    CHECK(database->count().value() == 0);
    CHECK(database->shard_checkpoints().value().at(0).position == 5);
    CHECK(streams_of(*database).size() == 1);
    CHECK(streams_of(*database).at("s").position == 5);
  }
}

TEST_CASE("Another number of shards replaces the shards and keeps the streams",
          "[store][checkpoint]") {
  const Folder folder;
  const auto database = open_database(folder / "a.db");
  REQUIRE(database
              ->write(std::vector<Change>{ShardCheckpoint{0, 5, {}, {{"s", 5, {}}}},
                                          ShardCheckpoint{1, 8, {}, {{"t", 6, {}}}},
                                          ShardCheckpoint{2, 7, {}, {}}})
              .ok());
  REQUIRE(
      database->replace_shards(std::vector<ShardCheckpoint>{{0, 5, {}, {}}, {1, 5, {}, {}}}).ok());
  const auto shards = database->shard_checkpoints().value();
  REQUIRE(shards.size() == 2);
  CHECK(shards[1].position == 5);
  CHECK(streams_of(*database).size() == 2);
  CHECK(streams_of(*database).at("t").position == 6);
}

TEST_CASE("Reading streams' rows ends at the first that is refused", "[store][checkpoint]") {
  const Folder folder;
  const auto database = open_database(folder / "a.db");
  REQUIRE(database
              ->write(std::vector<Change>{
                  ShardCheckpoint{0, 5, {}, {{"a", 5, {}}, {"b", 5, {}}, {"c", 5, {}}}}})
              .ok());
  int seen = 0;
  const Status read = database->each_stream_checkpoint([&](const StreamCheckpoint&) -> Status {
    if (++seen == 2) return Error{ErrorCode::kExhausted, "enough"};
    return Done{};
  });
  REQUIRE(!read.ok());
  CHECK(read.error().message == "enough");
  CHECK(seen == 2);
}

TEST_CASE("Open alerts whose states are kept stay open", "[store][checkpoint]") {
  const Folder folder;
  const auto database = open_database(folder / "a.db");
  const std::vector<alert::Alert> alerts{
      make_alert("p", 1, AlertState::kPending), make_alert("q", 2, AlertState::kPending),
      make_alert("f", 3, AlertState::kFiring), make_alert("g", 4, AlertState::kFiring)};
  REQUIRE(database->put(alerts).ok());
  const std::vector<std::string> kept{alerts[0].id, alerts[2].id, "unknown", alerts[0].id};
  CHECK(database->close_open_alerts("restart", kept).value() == 1);
  CHECK(database->get(alerts[0].id).value()->state == AlertState::kPending);
  CHECK_FALSE(database->get(alerts[1].id).value().has_value());
  CHECK(database->get(alerts[2].id).value()->state == AlertState::kFiring);
  CHECK(database->get(alerts[3].id).value()->end_reason == "restart");
  // What was kept the last time is not kept for ever.
  CHECK(database->close_open_alerts("restart").value() == 1);
  CHECK(database->count().value() == 2);
}

TEST_CASE("A file of the version before gets its tables and keeps its alerts",
          "[store][open][checkpoint]") {
  const Folder folder;
  const auto path = folder / "a.db";
  REQUIRE(put(*open_database(path), make_alert("old", 1)).ok());
  run(path, "DROP TABLE shard_checkpoint; DROP TABLE stream_checkpoint; PRAGMA user_version=1");
  const auto database = open_database(path);
  CHECK(database->count().value() == 1);
  CHECK(database->shard_checkpoints().value().empty());
  REQUIRE(database->write(std::vector<Change>{ShardCheckpoint{0, 1, {}, {{"s", 1, {}}}}}).ok());
  CHECK(streams_of(*database).size() == 1);
}

}  // namespace
}  // namespace anomalyd::store

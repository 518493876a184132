// What the database does when its file or its disk is not what it should be.
#include <sqlite3.h>
#include <sys/resource.h>

#include <csignal>
#include <random>

#include "store/database.h"
#include "support.h"

namespace anomalyd::store {
namespace {

using alert::Alert;

/// A plain connection beside the database's own.
class Sqlite {
 public:
  explicit Sqlite(const std::filesystem::path& path) {
    REQUIRE(sqlite3_open(path.c_str(), &connection_) == SQLITE_OK);
  }
  ~Sqlite() { sqlite3_close(connection_); }
  Sqlite(const Sqlite&) = delete;
  Sqlite& operator=(const Sqlite&) = delete;
  int run(const std::string& sql) {
    return sqlite3_exec(connection_, sql.c_str(), nullptr, nullptr, nullptr);
  }
  int count(const std::string& table) {
    int rows = -1;
    const auto read = [](void* out, int, char** values, char**) {
      *static_cast<int*>(out) = std::stoi(values[0]);
      return 0;
    };
    sqlite3_exec(connection_, ("SELECT count(*) FROM " + table).c_str(), read, &rows, nullptr);
    return rows;
  }

 private:
  sqlite3* connection_ = nullptr;
};

/// Hands out the connections that are opened while it lives, the one that writes first.
class Spy {
 public:
  Spy() {
    connections().clear();
    sqlite3_auto_extension(reinterpret_cast<void (*)()>(&note));
  }
  ~Spy() { sqlite3_cancel_auto_extension(reinterpret_cast<void (*)()>(&note)); }
  Spy(const Spy&) = delete;
  Spy& operator=(const Spy&) = delete;
  void run_on_writer(const char* sql) {
    REQUIRE(connections().size() == 2);
    REQUIRE(sqlite3_exec(connections()[0], sql, nullptr, nullptr, nullptr) == SQLITE_OK);
  }

 private:
  static std::vector<sqlite3*>& connections() {
    static std::vector<sqlite3*> list;
    return list;
  }
  static int note(sqlite3* connection, const char**, const sqlite3_api_routines*) {
    connections().push_back(connection);
    return SQLITE_OK;
  }
};

Error refusal(const std::filesystem::path& path) {
  const auto refused = Database::open(path);
  REQUIRE_FALSE(refused.ok());
  CHECK(contains(refused.error().message, path.string()));
  return refused.error();
}

std::vector<Alert> make_alerts(int count) {
  std::vector<Alert> alerts;
  for (int i = 0; i < count; ++i) {
    alerts.push_back(
        make_alert("s" + std::to_string(i), i, alert::AlertState::kFiring, {{"site", "a"}}));
    alerts.back().context.channels = {"ax"};
    alerts.back().context.actual.resize(512, 1);
    alerts.back().context.expected.resize(512, 1);
  }
  return alerts;
}

/// A database of 100 alerts in one file, without WAL beside it.
void make_file(const std::filesystem::path& path) {
  REQUIRE(open_database(path)->put(make_alerts(100)).ok());
  REQUIRE_FALSE(std::filesystem::exists(path.string() + "-wal"));
}

TEST_CASE("A file that is none of ours is refused and left as it is", "[store][open][errors]") {
  const Folder folder;
  const auto path = folder / "a.db";
  SECTION("random bytes") {
    std::mt19937_64 bits(1);
    std::string bytes;
    for (int i = 0; i < 20'000; ++i) bytes += static_cast<char>(bits() & 0xffU);
    write_bytes(path, bytes);
    CHECK(refusal(path).code == ErrorCode::kCorrupt);
    CHECK(read_bytes(path) == bytes);
  }
  SECTION("a short text") {
    write_bytes(path, "hello");
    CHECK(refusal(path).code == ErrorCode::kCorrupt);
    CHECK(read_bytes(path) == "hello");
  }
  SECTION("someone else's SQLite file") {
    CHECK(Sqlite(path).run("CREATE TABLE mine (x)") == SQLITE_OK);
    const std::string bytes = read_bytes(path);
    const Error error = refusal(path);
    CHECK(error.code == ErrorCode::kCorrupt);
    CHECK(contains(error.message, "not of anomalyd: application_id 0"));
    CHECK(read_bytes(path) == bytes);
  }
  SECTION("someone else's mark on an empty file") {
    CHECK(Sqlite(path).run("PRAGMA application_id=77") == SQLITE_OK);
    const Error error = refusal(path);
    CHECK(error.code == ErrorCode::kCorrupt);
    CHECK(contains(error.message, "application_id 77"));
  }
  SECTION("our mark without a schema") {
    CHECK(Sqlite(path).run("PRAGMA application_id=0x616e6d64") == SQLITE_OK);
    CHECK(refusal(path).code == ErrorCode::kCorrupt);
  }
}

TEST_CASE("A file of a newer version is refused, not rewritten", "[store][open][errors]") {
  const Folder folder;
  const auto path = folder / "a.db";
  make_file(path);
  CHECK(Sqlite(path).run("PRAGMA user_version=3") == SQLITE_OK);
  const Error error = refusal(path);
  CHECK(error.code == ErrorCode::kUnsupported);
  CHECK(contains(error.message, "schema version 3, this build knows up to 2"));
  CHECK(Sqlite(path).run("PRAGMA user_version=2") == SQLITE_OK);
  CHECK(open_database(path)->count().value() == 100);
}

TEST_CASE("A truncated file is refused", "[store][open][errors]") {
  const Folder folder;
  const auto path = folder / "a.db";
  make_file(path);
  const std::string whole = read_bytes(path);
  // From 2 on: SQLite itself takes a file of one byte as empty (unixFileSize in os_unix.c).
  for (const std::size_t size :
       {std::size_t{2}, std::size_t{99}, std::size_t{100}, std::size_t{4095}, std::size_t{4096},
        whole.size() / 2, whole.size() - 4096}) {
    INFO(size << " of " << whole.size());
    write_bytes(path, whole.substr(0, size));
    CHECK(refusal(path).code == ErrorCode::kCorrupt);
  }
  write_bytes(path, whole);
  CHECK(open_database(path)->count().value() == 100);
}

TEST_CASE("A damaged page is found when the file is opened", "[store][open][errors]") {
  const Folder folder;
  const auto path = folder / "a.db";
  make_file(path);
  std::string bytes = read_bytes(path);
  for (std::size_t i = 0; i < 64; ++i) bytes[3 * 4096 + i] = '\x5a';
  write_bytes(path, bytes);
  CHECK(refusal(path).code == ErrorCode::kCorrupt);
}

TEST_CASE("Damaged bytes never do more than fail", "[store][open][errors]") {
  const Folder folder;
  const auto path = folder / "a.db";
  make_file(path);
  const std::string whole = read_bytes(path);
  std::mt19937_64 bits(3);
  int refused = 0;
  for (int i = 0; i < 60; ++i) {
    std::string bytes = whole;
    for (int edit = 0; edit < 8; ++edit) {
      bytes[bits() % bytes.size()] = static_cast<char>(bits() & 0xffU);
    }
    std::filesystem::remove(path.string() + "-wal");
    std::filesystem::remove(path.string() + "-shm");
    write_bytes(path, bytes);
    const auto opened = Database::open(path);
    if (!opened.ok()) {
      ++refused;
      continue;
    }
    const Database& database = *opened.value();
    const auto page = database.find({.labels = {{"site", "a"}}});
    if (!page.ok()) continue;
    for (const Alert& alert : page.value().alerts) static_cast<void>(database.get(alert.id).ok());
  }
  CHECK(refused > 0);
}

TEST_CASE("A row that does not decode is reported with its id", "[store][database][errors]") {
  const Folder folder;
  const auto path = folder / "a.db";
  const auto database = open_database(path);
  const Alert alert = make_alert("pump", 1);
  REQUIRE(put(*database, alert).ok());
  Sqlite other(path);
  SECTION("context") {
    REQUIRE(other.run("UPDATE alert SET context = x'01000000ff'") == SQLITE_OK);
    CHECK(database->find({}).ok());  // which does not read it
  }
  SECTION("contributions") {
    REQUIRE(other.run("UPDATE alert SET contributions = x''") == SQLITE_OK);
    CHECK(database->find({}).error().code == ErrorCode::kCorrupt);
  }
  SECTION("stream") {
    REQUIRE(other.run("UPDATE alert SET stream = 'a{'") == SQLITE_OK);
    CHECK(database->find({}).error().code == ErrorCode::kCorrupt);
  }
  const auto refused = database->get(alert.id);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == ErrorCode::kCorrupt);
  CHECK(contains(refused.error().message, path.string() + ": alert " + alert.id + ": "));
}

TEST_CASE("The schema holds types and states", "[store][database][errors]") {
  const Folder folder;
  const auto path = folder / "a.db";
  const auto database = open_database(path);
  REQUIRE(put(*database, make_alert("pump", 1)).ok());
  Sqlite other(path);
  CHECK(other.run("UPDATE alert SET start_ns = 'soon'") == SQLITE_CONSTRAINT);
  CHECK(other.run("UPDATE alert SET state = 3") == SQLITE_CONSTRAINT);
  CHECK(other.run("UPDATE alert SET stream = NULL") == SQLITE_CONSTRAINT);
}

TEST_CASE("One alert that the schema refuses takes its batch with it, and no more",
          "[store][database][errors]") {
  const Folder folder;
  const auto database = open_database(folder / "a.db");
  std::vector<Alert> alerts = make_alerts(3);
  alerts[2].state = static_cast<alert::AlertState>(7);
  const Status refused = database->put(alerts);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == ErrorCode::kInvalidArgument);
  CHECK(database->count().value() == 0);
  REQUIRE(database->put(std::span(alerts).first(2)).ok());
  CHECK(database->count().value() == 2);
}

TEST_CASE("Labels go with their alert, however it goes", "[store][database]") {
  const Folder folder;
  const auto path = folder / "a.db";
  const auto database = open_database(path);
  std::vector<Alert> alerts = make_alerts(3);
  alerts[0].state = alert::AlertState::kPending;
  alerts[1].state = alert::AlertState::kResolved;
  REQUIRE(database->put(alerts).ok());
  Sqlite other(path);
  CHECK(other.count("alert_label") == 3);
  REQUIRE(database->close_open_alerts("restart").ok());
  CHECK(other.count("alert_label") == 2);
  REQUIRE(database->remove(alerts[1].id).ok());
  CHECK(other.count("alert_label") == 1);
  REQUIRE(database->prune(100 * kNsPerSecond).ok());
  CHECK(other.count("alert_label") == 0);
}

TEST_CASE("A place that cannot be opened is unavailable", "[store][open][errors]") {
  const Folder folder;
  const auto file = folder / "file";
  write_bytes(file, "x");
  CHECK(refusal(file / "a.db").code == ErrorCode::kUnavailable);
  const auto taken = folder / "taken";
  std::filesystem::create_directory(taken);
  CHECK(refusal(taken).code == ErrorCode::kUnavailable);
}

TEST_CASE("A full disk refuses writes whole, answers reads, and is over when there is space",
          "[store][database][full]") {
  const Folder folder;
  Spy spy;
  const auto database = open_database(folder / "a.db");
  const Alert first = make_alert("first", 1);
  REQUIRE(put(*database, first).ok());
  spy.run_on_writer("PRAGMA max_page_count=16");
  const auto alerts = make_alerts(100);
  for (int attempt = 0; attempt < 3; ++attempt) {
    const Status refused = database->put(alerts);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == ErrorCode::kUnavailable);
    CHECK(contains(refused.error().message, (folder / "a.db").string()));
    CHECK(contains(refused.error().message, "full"));
    CHECK(database->count().value() == 1);
    CHECK(database->get(first.id).value().has_value());
  }
  spy.run_on_writer("PRAGMA max_page_count=100000");
  REQUIRE(database->put(alerts).ok());
  CHECK(database->count().value() == 101);
}

TEST_CASE("A read-only database refuses every kind of write", "[store][database][full]") {
  const Folder folder;
  Spy spy;
  const auto database = open_database(folder / "a.db");
  Alert alert = make_alert("pump", 1, alert::AlertState::kResolved);
  REQUIRE(put(*database, alert).ok());
  spy.run_on_writer("PRAGMA query_only=ON");
  CHECK(put(*database, alert).error().code == ErrorCode::kUnavailable);
  CHECK(database->remove(alert.id).error().code == ErrorCode::kUnavailable);
  CHECK(database->prune(1'000'000'000'000).error().code == ErrorCode::kUnavailable);
  const auto closed = database->close_open_alerts("restart");
  REQUIRE_FALSE(closed.ok());
  CHECK(contains(closed.error().message, "readonly"));
  CHECK(database->count().value() == 1);
  spy.run_on_writer("PRAGMA query_only=OFF");
  CHECK(database->prune(kNsPerSecond * 10).value() == 1);
}

TEST_CASE("A write that the system cuts short leaves nothing behind", "[store][database][full]") {
  const Folder folder;
  const auto path = folder / "a.db";
  const auto database = open_database(path);
  REQUIRE(put(*database, make_alert("first", 1)).ok());
  rlimit kept{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &kept) == 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit tight = kept;
  tight.rlim_cur = 150'000;
  REQUIRE(setrlimit(RLIMIT_FSIZE, &tight) == 0);
  const Status refused = database->put(make_alerts(200));
  const auto count_then = database->count();
  REQUIRE(setrlimit(RLIMIT_FSIZE, &kept) == 0);
  std::signal(SIGXFSZ, old_handler);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == ErrorCode::kUnavailable);
  CHECK(contains(refused.error().message, path.string()));
  CHECK(count_then.value() == 1);
  REQUIRE(database->put(make_alerts(200)).ok());
  CHECK(database->count().value() == 201);
}

TEST_CASE("What was put is there after the process is gone without a word", "[store][database]") {
  const Folder folder;
  const auto path = folder / "a.db";
  const auto database = open_database(path);
  REQUIRE(database->put(make_alerts(10)).ok());
  // A copy of the files as they are now, WAL not yet moved in: what a killed process leaves.
  const auto copy = folder / "copy.db";
  std::filesystem::copy_file(path, copy);
  std::filesystem::copy_file(path.string() + "-wal", copy.string() + "-wal");
  CHECK(open_database(copy)->count().value() == 10);
  // And one with its last transaction torn: that is gone, the rest is there.
  REQUIRE(put(*database, make_alert("last", 99)).ok());
  const auto torn = folder / "torn.db";
  std::filesystem::copy_file(path, torn);
  const std::string wal = read_bytes(path.string() + "-wal");
  write_bytes(torn.string() + "-wal", wal.substr(0, wal.size() - 100));
  CHECK(open_database(torn)->count().value() == 10);
}

}  // namespace
}  // namespace anomalyd::store

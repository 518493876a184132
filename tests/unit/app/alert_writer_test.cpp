#include "app/alert_writer.h"

#include <stdlib.h>

#include <optional>
#include <string>
#include <thread>

#include "base/log.h"
#include "support/catch.h"
#include "support/sqlite_lock.h"

namespace anomalyd::app {
namespace {

using namespace std::chrono_literals;
using testing::SqliteLock;

/// A database in a folder of its own, gone with the object.
class Store {
 public:
  Store() {
    log::configure(log::Level::kFatal, log::Format::kLogfmt, false);
    std::string name = (std::filesystem::temp_directory_path() / "anomalyd_XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    database_ = store::Database::open(path()).value();
  }
  ~Store() {
    database_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  std::filesystem::path path() const { return folder_ / "anomalyd.db"; }
  store::Database& database() { return *database_; }

 private:
  std::filesystem::path folder_;
  std::unique_ptr<store::Database> database_;
};

alert::Alert alert_at(TimeNs start) {
  alert::Alert alert;
  alert.stream = StreamKey::make("s", {}).value();
  alert.start = start;
  alert.end = start + 1;
  alert.domain = "d";
  alert.detector = "zscore";
  alert.state = alert::AlertState::kResolved;
  alert.id = alert::alert_id(alert.stream.text(), start, alert.detector);
  return alert;
}

void do_nothing() {}

TEST_CASE("AlertWriter writes all that was put by the time it has stopped", "[app][alerts]") {
  Store store;
  AlertWriter writer(store.database(), 1000);
  writer.start();
  for (int i = 1; i <= 350; ++i) writer.put(alert_at(i), do_nothing);
  writer.remove(alert_at(7).id, do_nothing);
  CHECK(writer.stop(30s) == 0);
  CHECK(writer.writes() == 351);
  CHECK(store.database().count().value() == 349);
}

TEST_CASE("AlertWriter's stop waits for one write of a stuck database, not for each",
          "[app][alerts][stop]") {
  Store store;
  const SqliteLock lock(store.path());
  AlertWriter writer(store.database(), 1000);
  writer.start();
  for (int i = 1; i <= 400; ++i) writer.put(alert_at(i), do_nothing);
  const auto begun = std::chrono::steady_clock::now();
  CHECK(writer.stop(100ms) == 400);
  // The database's own time-out is five seconds a write, and four writes waited.
  CHECK(std::chrono::steady_clock::now() - begun < 14s);
}

TEST_CASE("Who waits for room in AlertWriter's queue says so, and goes on when it is closed",
          "[app][alerts][overload]") {
  Store store;
  AlertWriter writer(store.database(), 2);  // not started: nothing is taken out
  writer.put(alert_at(1), do_nothing);
  writer.put(alert_at(2), do_nothing);
  CHECK(writer.keeps_up());
  int turns = 0;
  writer.put(alert_at(3), [&] {
    CHECK_FALSE(writer.keeps_up());
    if (++turns == 2) writer.close();
  });
  CHECK(turns == 2);
  CHECK(writer.keeps_up());
  writer.put(alert_at(4), do_nothing);
  writer.start();
  CHECK(writer.stop(30s) == 2);
  CHECK(store.database().count().value() == 2);
}

TEST_CASE("AlertWriter deletes old alerts, however many", "[app][alerts][retention]") {
  Store store;
  AlertWriter writer(store.database(), 2000);
  for (int i = 1; i <= 1300; ++i) writer.put(alert_at(i), do_nothing);
  writer.start();
  const auto await_count = [&](std::size_t count) {
    const auto end = std::chrono::steady_clock::now() + 30s;
    while (store.database().count().value() != count) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(5ms);
    }
    return true;
  };
  REQUIRE(await_count(1300));
  writer.prune(1201);  // ends before this: those that start before 1200
  CHECK(await_count(101));
  writer.prune(1301);
  CHECK(await_count(1));
  CHECK(writer.stop(30s) == 0);
}

}  // namespace
}  // namespace anomalyd::app

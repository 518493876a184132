#include "store/journal.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "store/journal_segment.h"
#include "support.h"
#include "support/fake_disk.h"

namespace anomalyd::store {
namespace {

using testing::FakeDisk;
using Records = std::map<std::uint64_t, std::string>;

JournalOptions options(const std::filesystem::path& folder) {
  log::configure(log::Level::kFatal, log::Format::kLogfmt, false);
  JournalOptions options;
  options.folder = folder;
  options.sync = Sync::kAlways;
  options.retry_every = std::chrono::milliseconds(1);
  return options;
}

std::string record_of(const std::string& payload) { return begin_record() + payload; }

/// Appends and waits for the answer.
Result<std::uint64_t> append(Journal& journal, const std::string& payload) {
  std::mutex mutex;
  std::condition_variable answered;
  std::optional<Result<std::uint64_t>> answer;
  const Status taken = journal.append(record_of(payload), [&](const auto& result) {
    const std::lock_guard lock(mutex);
    CHECK(!answer);
    answer = result;
    answered.notify_one();
  });
  if (!taken.ok()) return taken.error();
  std::unique_lock lock(mutex);
  answered.wait(lock, [&] { return answer.has_value(); });
  return *answer;
}

Records replay(Journal& journal, std::uint64_t after = 0) {
  Records records;
  const Status status =
      journal.replay(after, [&](std::uint64_t position, std::string_view payload) {
        CHECK((records.empty() || position > records.rbegin()->first));
        records[position] = payload;
        return Status(Done{});
      });
  INFO((status.ok() ? "" : status.error().message));
  REQUIRE(status.ok());
  return records;
}

std::unique_ptr<Journal> open(FileSystem& files, const JournalOptions& given) {
  auto opened = Journal::open(files, given, system_clock());
  INFO((opened.ok() ? "" : opened.error().message));
  REQUIRE(opened.ok());
  return std::move(opened).value();
}

TEST_CASE("What was kept is read again after a restart, on a real disk", "[store][journal]") {
  const Folder folder;
  const auto given = options(folder / "journal");
  Records kept;
  for (int run = 0; run < 3; ++run) {
    auto journal = open(real_file_system(), given);
    CHECK(replay(*journal) == kept);
    journal->start(0);
    for (int i = 0; i < 5; ++i) {
      const std::string payload = "run " + std::to_string(run) + " no. " + std::to_string(i);
      const auto position = append(*journal, payload);
      REQUIRE(position.ok());
      CHECK(position.value() == kept.size() + 1);
      kept[position.value()] = payload;
    }
    journal->stop();
    CHECK(journal->figures().position == kept.size());
    CHECK(!journal->append(record_of("late"), [](const auto&) {}).ok());
  }
  auto journal = open(real_file_system(), given);
  CHECK(replay(*journal, 13) == Records{{14, "run 2 no. 3"}, {15, "run 2 no. 4"}});
  CHECK(journal->figures().damage.missing == 0);
}

TEST_CASE("Records of many threads are synced together, in one order", "[store][journal]") {
  for (const Sync sync : {Sync::kAlways, Sync::kInterval, Sync::kNever}) {
    FakeDisk disk;
    auto given = options("journal");
    given.sync = sync;
    auto journal = open(disk, given);
    journal->start(0);
    constexpr int kThreads = 8;
    constexpr int kEach = 200;
    std::mutex mutex;
    std::vector<std::uint64_t> order;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < kEach; ++i) {
          const Status taken = journal->append(
              record_of(std::to_string(t) + ":" + std::to_string(i)), [&](const auto& position) {
                const std::lock_guard lock(mutex);
                order.push_back(position.ok() ? position.value() : 0);
              });
          if (!taken.ok()) std::abort();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    journal->stop();
    REQUIRE(order.size() == kThreads * kEach);
    for (std::size_t i = 0; i < order.size(); ++i) REQUIRE(order[i] == i + 1);
    const JournalFigures figures = journal->figures();
    CHECK(figures.records == kThreads * kEach);
    CHECK(figures.commits < figures.records);
    // Each thread's records are in its order.
    std::map<std::string, int> next;
    for (const auto& [position, payload] : replay(*open(disk, given))) {
      const std::size_t colon = payload.find(':');
      CHECK(std::stoi(payload.substr(colon + 1)) == next[payload.substr(0, colon)]++);
    }
    CHECK(next.size() == kThreads);
  }
}

TEST_CASE("With the policies that sync, a power cut takes nothing that was kept",
          "[store][journal]") {
  for (const Sync sync : {Sync::kAlways, Sync::kInterval}) {
    FakeDisk disk;
    auto given = options("journal");
    given.sync = sync;
    given.segment_bytes = 200;
    auto journal = open(disk, given);
    journal->start(0);
    Records kept;
    for (int i = 0; i < 20; ++i) {
      const auto position = append(*journal, "record " + std::to_string(i));
      REQUIRE(position.ok());
      kept[position.value()] = "record " + std::to_string(i);
    }
    disk.cut_power();
    CHECK(replay(*open(disk, given)) == kept);
  }
}

TEST_CASE("An interval's group waits for others, but not longer than that", "[store][journal]") {
  FakeDisk disk;
  auto given = options("journal");
  given.sync = Sync::kInterval;
  given.interval = std::chrono::milliseconds(200);
  auto journal = open(disk, given);
  journal->start(0);
  const auto begin = std::chrono::steady_clock::now();
  std::thread other([&] { CHECK(append(*journal, "a").ok()); });
  CHECK(append(*journal, "b").ok());
  other.join();
  const auto spent = std::chrono::steady_clock::now() - begin;
  CHECK(spent >= std::chrono::milliseconds(199));
  CHECK(journal->figures().commits <= 2);
  // One that is large enough does not wait.
  const auto again = std::chrono::steady_clock::now();
  CHECK(append(*journal, std::string(2U << 20U, 'x')).ok());
  CHECK(std::chrono::steady_clock::now() - again < std::chrono::milliseconds(199));
}

TEST_CASE("A half-written end is cut off and told", "[store][journal]") {
  FakeDisk disk;
  const auto given = options("journal");
  const std::string name = segment_name(1);
  {
    auto journal = open(disk, given);
    journal->start(0);
    for (int i = 0; i < 3; ++i) REQUIRE(append(*journal, "record").ok());
  }
  const std::string whole = disk.content(name);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    disk.content(name) = whole.substr(0, size);
    auto journal = open(disk, given);
    const std::size_t records = replay(*journal).size();
    // A record here is of 30 bytes and 2 of padding, which it can do without.
    CHECK(records == (size < kSegmentHeaderBytes ? 0 : (size - kSegmentHeaderBytes + 2) / 32));
    CHECK(disk.content(name).size() <= size);
    CHECK(journal->figures().damage.torn_bytes == size - disk.content(name).size());
    // Positions go on where the good ones end.
    journal->start(0);
    const auto next = append(*journal, "more");
    REQUIRE(next.ok());
    CHECK(next.value() == records + 1);
    journal.reset();
    CHECK(replay(*open(disk, given)).size() == records + 1);
    for (const std::string& other : disk.names()) {
      if (other != name) CHECK(disk.remove("journal/" + other).ok());
    }
  }
}

TEST_CASE("A damaged middle is passed over and counted", "[store][journal]") {
  FakeDisk disk;
  auto given = options("journal");
  given.segment_bytes = 300;
  Records kept;
  {
    auto journal = open(disk, given);
    journal->start(0);
    for (int i = 0; i < 30; ++i) {
      const std::string payload = "record " + std::to_string(i);
      kept[append(*journal, payload).value()] = payload;
    }
  }
  REQUIRE(disk.names().size() > 3);
  disk.content(disk.names()[0])[kSegmentHeaderBytes + 50] ^= 1;  // in the second record
  kept.erase(2);
  auto journal = open(disk, given);
  CHECK(replay(*journal) == kept);
  CHECK(journal->figures().damage.damaged == 1);
  CHECK(journal->figures().damage.missing == 1);
  // A whole segment that is gone.
  const auto first = position_in_name(disk.names()[2]).value();
  const auto next = position_in_name(disk.names()[3]).value();
  REQUIRE(disk.remove("journal/" + disk.names()[2]).ok());
  for (std::uint64_t i = first; i < next; ++i) kept.erase(i);
  journal = open(disk, given);
  CHECK(replay(*journal) == kept);
  CHECK(journal->figures().damage.missing == 1 + next - first);
}

TEST_CASE("Segments go once they are passed and past the retention", "[store][journal]") {
  FakeDisk disk;
  auto given = options("journal");
  given.segment_bytes = 100;
  given.retention = std::chrono::hours(1);
  {
    auto journal = open(disk, given);
    journal->start(0);
    for (int i = 0; i < 20; ++i) REQUIRE(append(*journal, "a record of some bytes").ok());
    journal->passed(15);
    REQUIRE(append(*journal, "more").ok());
    journal->stop();
    CHECK(journal->figures().segments == 21);  // passed, but young
  }
  given.retention = {};
  {
    auto journal = open(disk, given);
    journal->start(0);
    REQUIRE(append(*journal, "more").ok());
    journal->stop();
    CHECK(journal->figures().segments == 22);  // old, but no shard has passed them
  }
  auto journal = open(disk, given);
  journal->start(0);
  journal->passed(15);
  REQUIRE(append(*journal, "more").ok());
  journal->stop();
  CHECK(journal->figures().segments == 8);  // 16 to 23
  CHECK(replay(*open(disk, given), 15).size() == 8);
}

TEST_CASE("A journal at its limit takes no more until a checkpoint passes", "[store][journal]") {
  FakeDisk disk;
  auto given = options("journal");
  given.segment_bytes = 200;
  given.max_bytes = 600;
  auto journal = open(disk, given);
  journal->start(0);
  std::uint64_t last = 0;
  Result<std::uint64_t> answer = Error{};
  while ((answer = append(*journal, std::string(60, 'x'))).ok()) last = answer.value();
  CHECK(answer.error().code == ErrorCode::kExhausted);
  CHECK(answer.error().message.find("no checkpoint has passed") != std::string::npos);
  CHECK(journal->trouble().has_value());
  CHECK(last >= 3);
  CHECK(journal->figures().bytes <= given.max_bytes);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(!append(*journal, "y").ok());
  journal->passed(last);
  for (int i = 0; i < 1000 && journal->trouble(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  CHECK(!journal->trouble());
  CHECK(append(*journal, "y").value() == last + 1);
}

TEST_CASE("Positions go on behind the shards' when the journal has lost its end",
          "[store][journal]") {
  FakeDisk disk;
  auto journal = open(disk, options("journal"));
  journal->start(0);
  REQUIRE(append(*journal, "a").value() == 1);
  journal = open(disk, options("journal"));
  journal->start(7);
  CHECK(append(*journal, "b").value() == 8);
  journal = open(disk, options("journal"));
  CHECK(replay(*journal, 7) == Records{{8, "b"}});
  CHECK(journal->figures().damage.missing == 0);
}

/// A journal with some segments and a torn end, then more of everything, with a fault at the
/// given visits: opening, appending, rolling, pruning. Nothing that is answered may be untrue.
void survive(std::size_t from, std::size_t count, FakeDisk::Fault fault, bool cuts_power,
             std::set<std::string>& sites, bool& was_reached) {
  FakeDisk disk;
  auto given = options("journal");
  given.segment_bytes = 150;
  Records kept;
  {
    auto journal = open(disk, given);
    journal->start(0);
    for (int i = 0; i < 4; ++i)
      kept[append(*journal, std::string(40, 'o')).value()] = std::string(40, 'o');
  }
  disk.content(disk.names().back()) += "torn";
  INFO("visits " << from << " to " << from + count - 1 << ", fault " << static_cast<int>(fault));

  std::set<std::string> refused;
  disk.fail(from, count, fault);
  auto opened = Journal::open(disk, given, system_clock());
  const bool began = opened.ok();
  if (began) {
    Journal& journal = *opened.value();
    Records replayed;
    if (journal
            .replay(0,
                    [&](std::uint64_t position, std::string_view payload) {
                      replayed[position] = payload;
                      return Status(Done{});
                    })
            .ok()) {
      CHECK(replayed == kept);
    }
    journal.start(0);
    for (int i = 0; i < 12; ++i) {
      const std::string payload = "new " + std::to_string(i) + std::string(30, 'n');
      const auto answer = append(journal, payload);
      if (answer.ok()) {
        CHECK(kept.emplace(answer.value(), payload).second);
      } else {
        const ErrorCode code = answer.error().code;
        CHECK((code == ErrorCode::kExhausted || code == ErrorCode::kUnavailable));
        refused.insert(payload);
        CHECK(fault != FakeDisk::Fault::kShort);
        // So that it also tries again while the disk still fails.
        if (refused.size() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(4));
      }
      if (i == 6) journal.passed(3);
    }
    was_reached = disk.visits() > from;
    disk.heal();
    // Service is back by itself.
    for (int i = 0; i < 2000 && journal.trouble(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    const auto last = append(journal, "last");
    REQUIRE(last.ok());
    kept[last.value()] = "last";
    journal.stop();
  } else {
    was_reached = true;
    disk.heal();
  }
  for (const std::string& site : disk.failed_sites()) sites.insert(site);
  if (cuts_power) disk.cut_power();

  auto journal = open(disk, given);
  const Records found = replay(*journal, 3);
  kept.erase(kept.begin(), kept.upper_bound(3));
  CHECK(found == kept);
  CHECK(journal->figures().damage.damaged == 0);
  CHECK(journal->figures().damage.missing == 0);
  for (const auto& [position, payload] : found) CHECK(refused.count(payload) == 0);
}

TEST_CASE("Whatever call of the disk fails, nothing kept is lost and nothing refused is kept",
          "[store][journal]") {
  using Fault = FakeDisk::Fault;
  std::set<std::string> sites;
  std::size_t places = 0;
  for (const Fault fault : {Fault::kEio, Fault::kFull, Fault::kShort}) {
    for (const std::size_t count : {1, 2, 20}) {
      for (const bool cuts_power : {false, true}) {
        bool was_reached = true;
        for (std::size_t from = 0; was_reached; ++from) {
          was_reached = false;
          survive(from, count, fault, cuts_power, sites, was_reached);
          ++places;
        }
      }
    }
  }
  CHECK(places > 200);
  CHECK(sites == std::set<std::string>{"make_folder", "list", "size", "read", "open", "truncate",
                                       "sync", "create", "write", "rename", "sync_folder", "remove",
                                       "free_bytes"});
}

}  // namespace
}  // namespace anomalyd::store

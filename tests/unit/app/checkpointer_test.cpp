#include "app/checkpointer.h"

#include <stdlib.h>

#include <array>
#include <map>
#include <optional>
#include <string>

#include "app/recovery.h"
#include "base/log.h"
#include "stream/dispatcher.h"
#include "support/catch.h"
#include "support/fake_detector.h"
#include "support/fake_disk.h"
#include "support/sqlite_lock.h"

namespace anomalyd::app {
namespace {

using namespace std::chrono_literals;
constexpr int kStreams = 600;  // more than two slices

std::shared_ptr<const stream::DomainSet> domains() {
  auto domain = std::make_shared<stream::Domain>();
  domain->name = "d";
  detect::DetectorInfo info;
  info.window_samples = 4;
  info.hop_samples = 4;
  domain->detector = std::make_shared<testing::MeanDetector>(info);
  domain->windows = {std::make_shared<const std::vector<std::string>>(1, "x"), 100, 4, 4};
  auto set = std::make_shared<stream::DomainSet>();
  set->find = [domain](const StreamKey&) { return domain; };
  return set;
}

class Quiet final : public stream::Observer {
 public:
  void on_score(const stream::Stream&, TimeNs, TimeNs, float, double) override {}
  void on_alert(const alert::Alert&, bool) override {}
  void on_alert_cancelled(const alert::Alert&) override {}
};

/// A shard of `streams` streams, with all that its checkpoints go through.
class Rig {
 public:
  Rig() {
    log::configure(log::Level::kFatal, log::Format::kLogfmt, false);
    std::string name = (std::filesystem::temp_directory_path() / "anomalyd_XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    database_ = store::Database::open(path()).value();
    writer_.emplace(*database_, 1000);
    writer_->start();
    journal_ = store::Journal::open(disk_, {.folder = "journal"}, system_clock()).value();
    journal_->start(0);
    shard_.emplace(stream::ShardStreams::Limits{}, stream::ShardStreams::Share{}, domains(), quiet_,
                   1'000'000, system_clock(), stream::ShardTimers{});
    dispatcher_.emplace(std::vector<stream::Shard*>{&*shard_}, system_clock());
    checkpointer_.emplace(std::vector<stream::Shard*>{&*shard_}, *writer_, *journal_, 10ms);
    shard_->start();
  }
  ~Rig() {
    checkpointer_.reset();
    shard_->stop();
    writer_->stop(1s);
    database_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Rig(const Rig&) = delete;
  Rig& operator=(const Rig&) = delete;

  std::filesystem::path path() const { return folder_ / "anomalyd.db"; }
  Checkpointer& checkpointer() { return *checkpointer_; }
  stream::Shard& shard() { return *shard_; }
  AlertWriter& writer() { return *writer_; }
  store::Database& database() { return *database_; }

  /// A batch of one sample of each of the first `streams`, worked through.
  void take_in(int streams) {
    SampleBatch batch;
    constexpr std::array<std::string_view, 1> kX{"x"};
    ++position_;
    for (int i = 0; i < streams; ++i) {
      batch.append("s" + std::to_string(i), batch.schema(kX),
                   static_cast<TimeNs>(position_) * 10'000'000, std::array{0.5F});
    }
    REQUIRE(dispatcher_->reserve(batch.samples()).ok());
    dispatcher_->dispatch(std::make_shared<const SampleBatch>(std::move(batch)), position_);
    REQUIRE(await([&] { return shard_->figures().position == position_; }));
  }
  std::uint64_t position() const { return position_; }

  template <class Done>
  static bool await(const Done& done) {
    const auto end = std::chrono::steady_clock::now() + 30s;
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(1ms);
    }
    return true;
  }
  bool await_position(std::uint64_t position) {
    return await([&] { return checkpointer_->position() == position; });
  }

  /// Of every stream's row.
  std::map<std::string, std::uint64_t> rows() {
    std::map<std::string, std::uint64_t> found;
    REQUIRE(database_
                ->each_stream_checkpoint([&](store::StreamCheckpoint row) -> Status {
                  found[row.stream] = row.position;
                  return Done{};
                })
                .ok());
    return found;
  }
  /// Samples received by each stream of a shard that is made of what the database has.
  std::map<std::string, std::uint64_t> restored() {
    stream::Shard shard({}, {}, domains(), quiet_, 1000, system_clock(), {});
    REQUIRE(restore_streams(*database_, {&shard}).ok());
    std::map<std::string, std::uint64_t> found;
    for (const stream::Stream& stream : shard.stopped_streams().streams()) {
      found[stream.key] = stream.windower.counts().samples;
    }
    return found;
  }

 private:
  std::filesystem::path folder_;
  std::unique_ptr<store::Database> database_;
  testing::FakeDisk disk_;
  Quiet quiet_;
  std::optional<AlertWriter> writer_;
  std::unique_ptr<store::Journal> journal_;
  std::optional<stream::Shard> shard_;
  std::optional<stream::Dispatcher> dispatcher_;
  std::optional<Checkpointer> checkpointer_;
  std::uint64_t position_ = 0;
};

TEST_CASE("A round writes the streams that have changed, and those alone", "[app][checkpoint]") {
  Rig rig;
  rig.take_in(kStreams);
  rig.take_in(kStreams);
  rig.checkpointer().start();
  REQUIRE(rig.await_position(2));
  CHECK(rig.checkpointer().streams() == kStreams);
  auto rows = rig.rows();
  CHECK(rows.size() == kStreams);
  for (const auto& [key, position] : rows) CHECK(position == 2);

  rig.take_in(3);
  REQUIRE(rig.await_position(3));
  CHECK(rig.checkpointer().streams() == kStreams + 3);
  rows = rig.rows();
  CHECK(rows.at("s2") == 3);
  CHECK(rows.at("s3") == 2);
  const auto shards = rig.database().shard_checkpoints().value();
  REQUIRE(shards.size() == 1);
  CHECK(shards[0].position == 3);

  // Nothing new: nothing is written.
  const std::uint64_t rounds = rig.checkpointer().rounds();
  REQUIRE(Rig::await([&] { return rig.checkpointer().rounds() > rounds + 2; }));
  CHECK(rig.checkpointer().streams() == kStreams + 3);
}

TEST_CASE("What a round did not get through to is owed to the next", "[app][checkpoint]") {
  Rig rig;
  rig.take_in(kStreams);
  rig.checkpointer().start();
  REQUIRE(rig.await_position(1));
  {
    const testing::SqliteLock lock(rig.path());
    rig.take_in(kStreams);
    // The round has noted what has changed, and waits for the database.
    REQUIRE(Rig::await([&] { return rig.writer().failing(); }));
    rig.checkpointer().stop();
    CHECK(rig.checkpointer().position() == 1);
  }
  CHECK(rig.shard().drain(10s));
  rig.shard().stop();
  CHECK(rig.checkpointer().finish(20s));
  CHECK(rig.checkpointer().position() == 2);
  const auto restored = rig.restored();
  CHECK(restored.size() == kStreams);
  for (const auto& [key, samples] : restored) CHECK(samples == 2);
}

TEST_CASE("A last round ends at its bound when the database is stuck", "[app][checkpoint]") {
  Rig rig;
  rig.take_in(kStreams);
  rig.checkpointer().start();
  REQUIRE(rig.await_position(1));
  const testing::SqliteLock lock(rig.path());
  rig.take_in(kStreams);
  CHECK(rig.shard().drain(10s));
  rig.checkpointer().stop();
  rig.shard().stop();
  const auto begun = std::chrono::steady_clock::now();
  CHECK_FALSE(rig.checkpointer().finish(200ms));
  CHECK(std::chrono::steady_clock::now() - begun < 5s);
}

}  // namespace
}  // namespace anomalyd::app

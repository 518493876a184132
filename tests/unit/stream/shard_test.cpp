#include "stream/shard.h"

#include <array>
#include <future>

#include "stream/dispatcher.h"
#include "support/catch.h"
#include "support/fake_detector.h"

namespace anomalyd::stream {
namespace {

using namespace std::chrono_literals;
constexpr std::array<std::string_view, 1> kX{"x"};

std::shared_ptr<const DomainSet> domains() {
  auto domain = std::make_shared<Domain>();
  domain->name = "d";
  detect::DetectorInfo info;
  info.window_samples = 4;
  info.hop_samples = 4;
  domain->detector = std::make_shared<testing::MeanDetector>(info);
  domain->windows = {std::make_shared<const std::vector<std::string>>(1, "x"), 100, 4, 4};
  auto set = std::make_shared<DomainSet>();
  set->find = [domain](const StreamKey&) { return domain; };
  return set;
}

class Quiet final : public Observer {
 public:
  void on_score(const Stream&, TimeNs, TimeNs, float, double) override { ++scores; }
  void on_alert(const alert::Alert&, bool) override {}
  void on_alert_cancelled(const alert::Alert&) override {}
  std::atomic<int> scores{0};
};

SampleBatch batch_of(int samples, int& at) {
  SampleBatch batch;
  for (int i = 0; i < samples; ++i, ++at) {
    batch.append("s", batch.schema(kX), at * 10'000'000LL, std::array{0.5F});
  }
  return batch;
}

/// What is before the shards in the daemon, without a journal.
class Intake {
 public:
  Intake(std::vector<Shard*> shards, const Clock& clock) : dispatcher_(std::move(shards), clock) {}
  Result<std::uint64_t> accept(SampleBatch batch) {
    if (Status room = dispatcher_.reserve(batch.samples()); !room.ok()) return room.error();
    dispatcher_.dispatch(std::make_shared<const SampleBatch>(std::move(batch)), ++position_);
    return position_;
  }

 private:
  Dispatcher dispatcher_;
  std::uint64_t position_ = 0;
};

TEST_CASE("What the intake accepts is scored, in order, by the time the shard has stopped",
          "[stream][shard][threads]") {
  Quiet quiet;
  Shard shard({}, {}, domains(), quiet, 1'000'000, system_clock(), {});
  shard.start();
  Intake intake({&shard}, system_clock());
  int at = 0;
  for (std::uint64_t i = 1; i <= 100; ++i) CHECK(intake.accept(batch_of(40, at)).value() == i);
  CHECK(shard.drain(10s));
  CHECK(shard.stop() == 0);
  CHECK(quiet.scores == 1000);
  const ShardFigures figures = shard.figures();
  CHECK(figures.samples == 4000);
  CHECK(figures.streams == 1);
  CHECK(figures.position == 100);
  CHECK(figures.drops.late == 0);
  const auto refused = intake.accept(batch_of(1, at));
  REQUIRE_FALSE(refused.ok());
}

TEST_CASE("A full queue refuses the whole batch for every shard", "[stream][shard][overload]") {
  Quiet quiet;
  Shard free({}, {0, 2}, domains(), quiet, 1000, system_clock(), {});
  Shard full({}, {1, 2}, domains(), quiet, 50, system_clock(), {});
  Intake intake({&free, &full}, system_clock());  // neither runs: nothing is taken out
  int at = 0;
  CHECK(intake.accept(batch_of(40, at)).ok());
  const auto refused = intake.accept(batch_of(40, at));
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == ErrorCode::kExhausted);
  CHECK(refused.error().message == "a shard's queue is full: 40 of 50 samples wait");
  CHECK(free.figures().queued_samples == 40);
}

TEST_CASE("Room that is reserved is not given twice, and comes back", "[stream][shard][overload]") {
  Quiet quiet;
  Shard shard({}, {}, domains(), quiet, 100, system_clock(), {});
  Dispatcher dispatcher({&shard}, system_clock());
  CHECK(dispatcher.reserve(60).ok());
  CHECK_FALSE(dispatcher.reserve(60).ok());
  CHECK(dispatcher.reserve(40).ok());
  dispatcher.release(60);
  CHECK(shard.figures().queued_samples == 40);
  dispatcher.release(40);
  CHECK(dispatcher.reserve(1000).ok());  // alone, one that is larger than all
  int at = 0;
  dispatcher.dispatch(std::make_shared<const SampleBatch>(batch_of(1000, at)), 1);
  shard.start();
  CHECK(shard.drain(10s));
  CHECK(shard.stop() == 0);
  CHECK(shard.figures().samples == 1000);
  CHECK(shard.figures().queued_samples == 0);
}

TEST_CASE("A question is answered before the batches that wait", "[stream][shard][threads]") {
  Quiet quiet;
  Shard shard({}, {}, domains(), quiet, 1000, system_clock(), {});
  Intake intake({&shard}, system_clock());
  int at = 0;
  CHECK(intake.accept(batch_of(40, at)).ok());
  std::promise<std::uint64_t> answer;
  CHECK(shard.ask([&](const ShardStreams& streams) { answer.set_value(streams.samples()); }));
  shard.start();
  CHECK(answer.get_future().get() == 0);
  CHECK(shard.drain(10s));
  CHECK(shard.figures().samples == 40);
  shard.stop();
  CHECK_FALSE(shard.ask([](const ShardStreams&) {}));
}

TEST_CASE("A shard that answers nobody takes no more questions after a while, but its domains",
          "[stream][shard][overload]") {
  Quiet quiet;
  Shard shard({}, {}, domains(), quiet, 1000, system_clock(), {});
  int asked = 0;
  while (asked < 100'000 && shard.ask([](const ShardStreams&) {})) ++asked;
  CHECK(asked > 0);
  CHECK(asked < 100'000);
  auto none = std::make_shared<DomainSet>();
  none->find = [](const StreamKey&) { return nullptr; };
  shard.apply(none);
  Intake intake({&shard}, system_clock());
  int at = 0;
  CHECK(intake.accept(batch_of(40, at)).ok());
  shard.start();
  CHECK(shard.drain(10s));
  CHECK(shard.figures().drops.no_domain == 40);
}

TEST_CASE("A stop that may not wait says what it left undone", "[stream][shard]") {
  Quiet quiet;
  Shard shard({}, {}, domains(), quiet, 1000, system_clock(), {});
  Intake intake({&shard}, system_clock());
  int at = 0;
  CHECK(intake.accept(batch_of(40, at)).ok());
  CHECK(intake.accept(batch_of(40, at)).ok());
  // The thread is held up by a question until the bound is over.
  Shard slow({}, {}, domains(), quiet, 1000, system_clock(), {});
  CHECK(slow.ask([&](const ShardStreams&) { std::this_thread::sleep_for(50ms); }));
  Intake into_slow({&slow}, system_clock());
  CHECK(into_slow.accept(batch_of(40, at)).ok());
  slow.start();
  CHECK_FALSE(slow.drain(1ms));
  CHECK(slow.stop() == 40);
}

}  // namespace
}  // namespace anomalyd::stream

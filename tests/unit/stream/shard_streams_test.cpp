#include "stream/shard_streams.h"

#include <array>
#include <limits>

#include "support/catch.h"
#include "support/fake_detector.h"

namespace anomalyd::stream {
namespace {

using testing::MeanDetector;
constexpr TimeNs kMs = 1'000'000;
constexpr std::array<std::string_view, 1> kX{"x"};

struct Domains {
  std::size_t learn_windows = 0;
  bool online = false;
  std::string version = "1";
  bool none = false;

  std::shared_ptr<const DomainSet> make() const {
    auto domain = std::make_shared<Domain>();
    domain->name = "d";
    detect::DetectorInfo info;
    info.window_samples = 4;
    info.hop_samples = 4;
    info.learn_windows = learn_windows;
    info.version = version;
    domain->detector = std::make_shared<MeanDetector>(info, online);
    domain->windows.channels = std::make_shared<const std::vector<std::string>>(1, "x");
    domain->windows.rate_hz = 100;
    domain->windows.window_samples = 4;
    domain->windows.hop_samples = 4;
    domain->budget.alerts_per_second = 1e-4 / 0.04;  // fires at p = 1e-4, clears at 1e-2
    domain->hold_ns = 100 * kMs;
    auto set = std::make_shared<DomainSet>();
    set->domains = {domain};
    set->find = [domain, no = none](const StreamKey&) -> std::shared_ptr<const Domain> {
      return no ? nullptr : domain;
    };
    return set;
  }
};

class Log final : public Observer {
 public:
  void on_score(const Stream& stream, TimeNs, TimeNs end, float score, double) override {
    scores.push_back({stream.key, end, score});
  }
  void on_alert(const alert::Alert& alert, bool changed) override {
    if (changed) states += std::string(alert::to_string(alert.state)) + ' ';
    last = alert;
  }
  void on_alert_cancelled(const alert::Alert&) override { states += "cancelled "; }

  struct Entry {
    std::string key;
    TimeNs end;
    float score;
    bool operator==(const Entry&) const = default;
  };
  std::vector<Entry> scores;
  std::string states;
  alert::Alert last;
};

/// Appends `windows` windows of samples of this level to a stream that is at sample `at`.
void fill(SampleBatch& batch, std::string_view key, int& at, int windows, float level) {
  for (int i = 0; i < windows * 4; ++i, ++at) {
    batch.append(key, batch.schema(kX), at * 10 * kMs, std::array{level});
  }
}

struct Fixture {
  explicit Fixture(const Domains& domains = {}) : streams({}, {}, domains.make(), log) {}
  void feed(int windows, float level, std::string_view key = "s") {
    SampleBatch batch;
    fill(batch, key, at, windows, level);
    streams.process(batch);
  }
  Log log;
  ShardStreams streams;
  int at = 0;
};

TEST_CASE("A stream goes from normal to an alert and back", "[stream][shard]") {
  Fixture f;
  f.feed(3, 0);
  CHECK(f.streams.streams()[0].state() == State::kNormal);
  f.feed(1, 6);
  CHECK(f.log.states == "pending ");
  CHECK(f.streams.streams()[0].state() == State::kAnomalous);
  f.feed(1, 7);
  CHECK(f.log.states == "pending firing ");
  CHECK(f.log.last.peak_score == Approx(7));
  f.feed(5, 0);
  CHECK(f.log.states == "pending firing resolved ");
  const alert::Alert& alert = f.log.last;
  CHECK(alert.start == 120 * kMs);
  CHECK(alert.end == 200 * kMs);
  CHECK(alert.end_reason == "cleared");
  CHECK(alert.domain == "d");
  CHECK(alert.detector_version == "1");
  REQUIRE(alert.contributions.size() == 1);
  CHECK(alert.contributions[0].channel == "x");
  CHECK(alert.contributions[0].share == Approx(1));
  CHECK(alert.context.actual == std::vector<float>(4, 7));
  CHECK(alert.context.expected.size() == 4);
  CHECK(alert.id == alert::alert_id("s", alert.start, "mean"));
  CHECK(f.streams.streams()[0].state() == State::kNormal);
}

TEST_CASE("What does not confirm is cancelled", "[stream][shard]") {
  Fixture f;
  f.feed(2, 0);
  f.feed(1, 6);
  f.feed(1, 0);
  CHECK(f.log.states == "pending cancelled ");
}

TEST_CASE("A gap ends an alert and says so", "[stream][shard]") {
  Fixture f;
  f.feed(2, 6);
  f.at += 100'000;
  f.feed(60, 0);
  CHECK(f.log.states == "pending firing resolved ");
  CHECK(f.log.last.end_reason == "gap");
}

TEST_CASE("A window that cannot be scored is neither an alert nor silence", "[stream][shard]") {
  Fixture f;
  f.feed(1, std::numeric_limits<float>::max());
  f.feed(1, -std::numeric_limits<float>::max());
  f.feed(2, 0);
  const Stream& stream = f.streams.streams()[0];
  CHECK(f.log.states.empty());
  CHECK(stream.windows_invalid == 2);
  CHECK(stream.state() == State::kNormal);
  f.feed(1, std::numeric_limits<float>::max());
  CHECK(stream.state() == State::kDegraded);
}

TEST_CASE("A stream is learned before it is scored", "[stream][shard]") {
  Domains domains;
  domains.learn_windows = 4;
  Fixture f(domains);
  f.feed(1, 9);
  CHECK(f.streams.streams()[0].state() == State::kLearning);
  CHECK(f.streams.streams()[0].progress() == Approx(0.25));
  f.feed(3, 9);
  CHECK(f.streams.streams()[0].state() == State::kNormal);
  CHECK(f.log.scores.empty());
  f.feed(1, 0);
  CHECK(f.log.scores.size() == 1);
}

TEST_CASE("An online member learns nothing from windows of an alert", "[stream][shard]") {
  Domains domains;
  domains.online = true;
  Fixture f(domains);
  f.feed(10, 0);
  const auto memory = [&] { return f.streams.streams()[0].learned->member[0]; };
  CHECK(memory() == 10);
  f.feed(20, 6);
  CHECK(memory() == 10);
  f.feed(10, 0);
  CHECK(f.log.states == "pending firing resolved ");
  CHECK(memory() > 10);
  CHECK(memory() < 20);  // it stands still until the alert is over
}

TEST_CASE("Scores do not depend on how samples are cut into batches", "[stream][shard]") {
  for (const bool online : {false, true}) {
    Domains domains;
    domains.online = online;
    Fixture whole(domains);
    Fixture pieces(domains);
    SampleBatch all;
    for (int i = 0; i < 400; ++i) {
      for (const char* key : {"a", "b", "c"}) {
        const std::array value{static_cast<float>((i * 7 + key[0]) % 5)};
        all.append(key, all.schema(kX), i * 10 * kMs, value);
        SampleBatch one;
        one.append(key, one.schema(kX), i * 10 * kMs, value);
        pieces.streams.process(one);
      }
    }
    whole.streams.process(all);
    CHECK(whole.log.scores.size() == 300);
    CHECK(whole.log.scores == pieces.log.scores);
    CHECK(whole.log.states == pieces.log.states);
  }
}

TEST_CASE("Shards share the streams among them", "[stream][shard]") {
  Log log;
  const auto domains = Domains{}.make();
  ShardStreams first({}, {0, 2}, domains, log);
  ShardStreams second({}, {1, 2}, domains, log);
  SampleBatch batch;
  for (int i = 0; i < 100; ++i) {
    batch.append("s" + std::to_string(i), batch.schema(kX), 0, std::array{1.0F});
  }
  first.process(batch);
  second.process(batch);
  CHECK(first.streams().size() + second.streams().size() == 100);
  CHECK(first.streams().size() > 20);
  CHECK(second.streams().size() > 20);
  CHECK((first.find("s5") == nullptr) != (second.find("s5") == nullptr));
}

TEST_CASE("Samples without a domain and streams beyond the limit are counted", "[stream][shard]") {
  Log log;
  Domains nobody;
  nobody.none = true;
  ShardStreams none({}, {}, nobody.make(), log);
  SampleBatch batch;
  batch.append("a", batch.schema(kX), 0, std::array{1.0F});
  batch.append("b", batch.schema(kX), 0, std::array{1.0F});
  none.process(batch);
  CHECK(none.drops().no_domain == 2);

  ShardStreams few({1, 1024}, {}, Domains{}.make(), log);
  few.process(batch);
  CHECK(few.streams().size() == 1);
  CHECK(few.drops().too_many_streams == 1);
}

TEST_CASE("A reload keeps what is as it was and starts the rest anew", "[stream][shard]") {
  Domains domains;
  domains.learn_windows = 2;
  Fixture f(domains);
  f.feed(4, 6);
  CHECK(f.log.states == "pending firing ");
  f.streams.apply(domains.make());
  CHECK(f.streams.streams()[0].state() == State::kAnomalous);
  domains.version = "2";
  f.streams.apply(domains.make());
  CHECK(f.log.states == "pending firing resolved ");
  CHECK(f.log.last.end_reason == "reload");
  CHECK(f.streams.streams()[0].state() == State::kLearning);
  f.feed(3, 0);
  CHECK(f.streams.streams()[0].state() == State::kNormal);
}

TEST_CASE("ScoreRing keeps the newest and follows its bound", "[stream][scores]") {
  ScoreRing ring;
  for (int i = 0; i < 100; ++i) ring.push({i, static_cast<float>(i), 1}, 40);
  auto kept = ring.between(0, 1000);
  REQUIRE(kept.size() == 40);
  CHECK(kept.front().time == 60);
  CHECK(kept.back().time == 99);
  CHECK(ring.last()->time == 99);
  ring.push({100, 0, 1}, 10);
  kept = ring.between(0, 1000);
  REQUIRE(kept.size() == 10);
  CHECK(kept.front().time == 91);
  for (int i = 101; i < 110; ++i) ring.push({i, 0, 1}, 50);
  kept = ring.between(95, 105);
  REQUIRE(kept.size() == 10);
  CHECK(kept.front().time == 95);
  CHECK(kept.back().time == 104);
}

}  // namespace
}  // namespace anomalyd::stream

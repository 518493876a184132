#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <numbers>

#include "stream/shard_streams.h"
#include "support/catch.h"

namespace anomalyd::stream {
namespace {

constexpr TimeNs kMs = 1'000'000;
constexpr std::array<std::string_view, 1> kX{"x"};

std::shared_ptr<const DomainSet> portfolio_domain(const std::string& kind) {
  auto domain = std::make_shared<Domain>();
  domain->name = "d";
  detect::DetectorInfo info;
  info.kind = kind;
  info.channels = {"x"};
  info.rate_hz = 100;
  info.window_samples = 32;
  info.hop_samples = 8;
  info.learn_windows = 100;
  domain->detector = detect::make_online_detector(info).value();
  domain->windows.channels = std::make_shared<const std::vector<std::string>>(1, "x");
  domain->windows.rate_hz = 100;
  domain->windows.window_samples = 32;
  domain->windows.hop_samples = 8;
  domain->budget.alerts_per_second = 1e-4 / 0.08;
  auto set = std::make_shared<DomainSet>();
  set->domains = {domain};
  set->find = [domain](const StreamKey&) { return domain; };
  return set;
}

/// The bits of every score, by stream.
class Log final : public Observer {
 public:
  void on_score(const Stream& stream, TimeNs, TimeNs end, float score, double p) override {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &score, sizeof bits);
    scores[stream.key].push_back({end, bits, p});
    finite += std::isfinite(score);
  }
  void on_alert(const alert::Alert& alert, bool) override { last = alert; }
  void on_alert_cancelled(const alert::Alert&) override {}

  struct Entry {
    TimeNs end;
    std::uint32_t bits;
    double p;
    bool operator==(const Entry&) const = default;
  };
  std::map<std::string, std::vector<Entry>> scores;
  std::size_t finite = 0;
  alert::Alert last;
};

/// Sample `t` of stream `s`: waves of different phase, with a fault in stream 1 and a gap in
/// stream 2 (its time stands in for it).
float value_of(int s, int t) {
  const double turn = 2 * std::numbers::pi * t / 37.0 + s;
  const double wave = std::sin(turn) + 0.3 * std::sin(3 * turn) + 0.02 * std::sin(t * t * 0.37);
  return static_cast<float>(s == 1 && t >= 2000 && t < 2200 ? 0.2 * wave + 2 : wave);
}

void run(const std::string& kind, int batch_samples, int streams, Log& log) {
  ShardStreams shard({}, {}, portfolio_domain(kind), log);
  for (int begin = 0; begin < 3000; begin += batch_samples) {
    SampleBatch batch;
    for (int s = 0; s < streams; ++s) {
      const std::string key = "s" + std::to_string(s);
      for (int t = begin; t < std::min(3000, begin + batch_samples); ++t) {
        const TimeNs gap = s == 2 && t >= 1700 ? 60'000 * kMs : 0;
        batch.append(key, batch.schema(kX), t * 10 * kMs + gap, std::array{value_of(s, t)});
      }
    }
    shard.process(batch);
  }
  shard.flush();
}

TEST_CASE("A portfolio's scores do not depend on how samples came in or who came along",
          "[stream][following][batch-invariance]") {
  for (const std::string kind : {"standard", "tiny"}) {
    CAPTURE(kind);
    Log large;
    Log small;
    Log alone;
    run(kind, 3000, 3, large);
    run(kind, 7, 3, small);
    run(kind, 100, 1, alone);
    CHECK(large.scores.size() == 3);
    CHECK(large.scores == small.scores);
    CHECK(large.scores.at("s0") == alone.scores.at("s0"));
    CHECK(large.scores.at("s0").size() > 250);
    CHECK(large.finite > 750);
  }
}

TEST_CASE("A portfolio's alert names its fault, and a gap upsets nobody",
          "[stream][following][alerts]") {
  Log log;
  run("standard", 500, 3, log);
  CHECK(log.last.stream.text() == "s1");
  CHECK(log.last.start >= 1960 * 10 * kMs);
  CHECK(log.last.start <= 2100 * 10 * kMs);
  // Stream 2 missed a minute: the window after it is whole again, and normal.
  std::size_t after = 0;
  for (const auto& entry : log.scores.at("s2")) {
    if (entry.end < 60'000 * kMs) continue;
    ++after;
    CHECK(entry.p > 1e-6);
  }
  CHECK(after > 100);
}

}  // namespace
}  // namespace anomalyd::stream

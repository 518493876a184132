#pragma once

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/archive.h"
#include "nn/random.h"
#include "stream/shard_streams.h"

namespace anomalyd::stream {

/// A sample on its way, and whose it is.
struct SentSample {
  std::string key;
  TimeNs time = 0;
  std::vector<float> values;
  bool is_swapped = false;  ///< the channels come in the other order
};

/// What sensors send in real life, the same for a seed: two channels at about 100 Hz with jitter,
/// samples lost, doubled, out of order or without a channel, long gaps, a fault and a louder
/// stretch. `steady` samples come first, in which only the jitter is.
inline std::vector<SentSample> sent_samples(int streams, int samples, int steady,
                                            std::uint64_t seed) {
  std::mt19937_64 bits(seed);
  const auto chance = [&](double p) { return nn::unit_uniform(bits) < p; };
  std::vector<std::vector<SentSample>> of(static_cast<std::size_t>(streams));
  for (int s = 0; s < streams; ++s) {
    auto& sent = of[static_cast<std::size_t>(s)];
    TimeNs time = 1'760'000'000 * kNsPerSecond + s * 1'234'567;
    for (int t = 0; t < samples; ++t) {
      time += 10'000'000;
      const bool is_rough = t >= steady;
      if (is_rough && chance(0.001)) time += (chance(0.5) ? 2 : 9) * kNsPerSecond;
      if (is_rough && chance(0.004)) continue;
      const double turn = 2 * 3.141592653589793 * t / 57.0 + s;
      double x = std::sin(turn) + 0.3 * std::sin(3 * turn) + 0.1 * nn::unit_uniform(bits);
      double y = 200 + 40 * std::cos(turn) + 3 * nn::unit_uniform(bits);
      const int fault = (t - steady + 40 * s) % 700;
      if (is_rough && fault > 300 && fault < 380) x += 6;
      if (is_rough && fault > 600 && fault < 660) y = 200 + 4 * (y - 200);
      const TimeNs jitter = static_cast<TimeNs>(3e6 * (nn::unit_uniform(bits) - 0.5));
      SentSample sample{"pump{unit=\"" + std::to_string(s) + "\"}",
                        time + jitter,
                        {static_cast<float>(x), static_cast<float>(y)},
                        is_rough && s % 2 == 1 && chance(0.01)};
      if (is_rough && chance(0.004)) sample.values[1] = std::numeric_limits<float>::quiet_NaN();
      if (is_rough && s % 3 == 2 && (t - steady) % 1100 > 800 && (t - steady) % 1100 < 990) {
        sample.values[1] = std::numeric_limits<float>::quiet_NaN();
      }
      if (sample.is_swapped) std::swap(sample.values[0], sample.values[1]);
      sent.push_back(sample);
      if (is_rough && chance(0.003)) sent.push_back(sample);
      if (is_rough && sent.size() > 1 && chance(0.004)) {
        std::swap(sent[sent.size() - 1], sent[sent.size() - 2]);
      }
    }
  }
  // The streams' samples come mixed, each stream's in its order.
  std::vector<SentSample> all;
  std::vector<std::size_t> at(of.size(), 0);
  for (bool more = true; more;) {
    more = false;
    for (std::size_t s = 0; s < of.size(); ++s) {
      for (int i = 0; i < 12 && at[s] < of[s].size(); ++i) all.push_back(of[s][at[s]++]);
      more = more || at[s] < of[s].size();
    }
  }
  return all;
}

/// In batches of about `mean` samples, cut anywhere.
inline std::vector<SampleBatch> batches_of(const std::vector<SentSample>& sent, std::size_t mean,
                                           std::uint64_t seed) {
  constexpr std::array<std::string_view, 2> kNames{"ax", "tach"};
  constexpr std::array<std::string_view, 2> kSwapped{"tach", "ax"};
  std::mt19937_64 bits(seed);
  std::vector<SampleBatch> batches;
  for (std::size_t i = 0; i < sent.size();) {
    SampleBatch& batch = batches.emplace_back();
    const std::size_t end = std::min(sent.size(), i + 1 + bits() % (2 * mean));
    for (; i < end; ++i) {
      const std::uint32_t schema = batch.schema(sent[i].is_swapped ? kSwapped : kNames);
      batch.append(sent[i].key, schema, sent[i].time, sent[i].values);
    }
  }
  return batches;
}

/// All that comes out, as bytes, by stream and in order.
class OutcomeLog final : public Observer {
 public:
  void on_score(const Stream& stream, TimeNs start, TimeNs end, float score, double p) override {
    Archive archive;
    archive(start, end, score, p);
    add(stream.key, 's', archive);
    finite += std::isfinite(score);
    invalid += std::isnan(score);
  }
  void on_alert(const alert::Alert& alert, bool changed) override {
    alert::Alert copy = alert;
    Archive archive;
    alert::archive_open(archive, copy);
    archive.text(copy.id, 64, "id");
    archive.choice(copy.state, alert::AlertState::kResolved, "state");
    archive(copy.resolved_at, changed);
    archive.text(copy.end_reason, 64, "reason");
    add(alert.stream.text(), 'a', archive);
    fired += changed && alert.state == alert::AlertState::kFiring;
    last = alert;
  }
  void on_alert_cancelled(const alert::Alert& alert) override {
    Archive archive;
    std::string id = alert.id;
    archive.text(id, 64, "id");
    add(alert.stream.text(), 'c', archive);
    ++cancelled;
  }

  std::map<std::string, std::vector<std::string>> of;
  std::size_t finite = 0;
  std::size_t invalid = 0;
  std::size_t fired = 0;
  std::size_t cancelled = 0;
  alert::Alert last;

 private:
  void add(const std::string& key, char what, Archive& archive) {
    const std::vector<std::byte> bytes = archive.take();
    std::string text(1, what);
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    of[key].push_back(std::move(text));
  }
};

/// A domain of windows of 32 samples, 8 or 16 apart, that takes every stream.
inline std::shared_ptr<Domain> domain_of(std::shared_ptr<const detect::Detector> detector,
                                         bool finds_rate) {
  auto domain = std::make_shared<Domain>();
  domain->name = "pumps";
  domain->windows.window_samples = detector->info().window_samples;
  domain->windows.hop_samples = detector->info().hop_samples;
  if (!finds_rate) {
    domain->windows.rate_hz = 100;
    domain->windows.channels =
        std::make_shared<const std::vector<std::string>>(std::vector<std::string>{"ax", "tach"});
  }
  domain->detector = std::move(detector);
  domain->budget.alerts_per_second = 1e-3;
  domain->clear_factor = 10;
  domain->hold_ns = kNsPerSecond / 2;
  domain->windows.max_gap_ns = kNsPerSecond;
  domain->windows.lateness_ns = kNsPerSecond / 4;
  return domain;
}

inline std::shared_ptr<const DomainSet> set_of(std::shared_ptr<const Domain> domain) {
  auto set = std::make_shared<DomainSet>();
  set->domains = {domain};
  set->find = [domain](const StreamKey&) { return domain; };
  return set;
}

/// The domains that the seeds of the state's fuzzer belong to, by the seed's first byte.
inline std::shared_ptr<const Domain> fuzzed_domain(std::size_t which) {
  constexpr std::array<const char*, 5> kKinds{"zscore", "tiny", "standard", "full", "zscore"};
  detect::DetectorInfo info;
  info.kind = kKinds[which % kKinds.size()];
  info.window_samples = 32;
  info.hop_samples = 8;
  info.learn_windows = 50;
  return domain_of(detect::make_online_detector(info).value(), which % kKinds.size() != 4);
}
inline constexpr std::size_t kFuzzedDomains = 5;

/// The bytes with the hash that belongs to them.
inline std::vector<std::byte> sealed_again(std::vector<std::byte> bytes) {
  if (bytes.size() < 8) return bytes;
  const std::uint64_t hash =
      hash_bytes({reinterpret_cast<const char*>(bytes.data()), bytes.size() - 8});
  std::memcpy(bytes.data() + bytes.size() - 8, &hash, sizeof hash);
  return bytes;
}

/// What a database would hold of a shard: only streams that changed are written again.
struct Kept {
  std::uint64_t position = 0;
  std::vector<std::byte> counters;
  std::map<std::string, std::pair<std::uint64_t, std::vector<std::byte>>> streams;

  void take(ShardStreams& shard) {
    position = shard.position();
    counters = shard.save_counters();
    for (const std::uint32_t number : shard.take_changed()) {
      streams[shard.streams()[number].key] = {position, shard.save(number)};
    }
  }
};

}  // namespace anomalyd::stream

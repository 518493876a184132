#include <filesystem>
#include <fstream>

#include "support/catch.h"
#include "support/fake_detector.h"
#include "unit/detect/signals.h"
#include "unit/stream/recorded.h"

namespace anomalyd::stream {
namespace {

using detect::NormaliserKind;

std::unique_ptr<ShardStreams> restored(const Kept& kept, std::shared_ptr<const DomainSet> domains,
                                       Observer& log) {
  auto shard = std::make_unique<ShardStreams>(ShardStreams::Limits{}, ShardStreams::Share{},
                                              std::move(domains), log);
  for (const auto& [key, row] : kept.streams) {
    const Result<Restored> done = shard->restore(key, row.first, row.second);
    INFO((done.ok() ? "" : done.error().message));
    REQUIRE(done.ok());
    REQUIRE(done.value() == Restored::kWhole);
  }
  REQUIRE(shard->restore_counters(kept.counters).ok());
  shard->resume_at(kept.position);
  return shard;
}

/// Runs the batches; before every `every`th the shard is taken down and made again from what was
/// kept of it.
OutcomeLog run(const std::vector<SampleBatch>& batches,
               const std::shared_ptr<const DomainSet>& domains, std::size_t every) {
  OutcomeLog log;
  auto shard =
      std::make_unique<ShardStreams>(ShardStreams::Limits{}, ShardStreams::Share{}, domains, log);
  Kept kept;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    if (every != 0 && i % every == every - 1) {
      kept.take(*shard);
      const std::uint64_t samples = shard->samples();
      const DropCounts drops = shard->drops();
      const TimeNs newest = shard->newest();
      shard = restored(kept, domains, log);
      CHECK(shard->samples() == samples);
      CHECK(shard->newest() == newest);
      CHECK(shard->drops().late == drops.late);
      CHECK(shard->drops().excess == drops.excess);
      CHECK(shard->drops().duplicate == drops.duplicate);
      // What was read back writes the same bytes: no field is passed over.
      for (std::uint32_t n = 0; n < shard->streams().size(); ++n) {
        const Stream& stream = shard->streams()[n];
        CHECK(shard->save(n) == kept.streams.at(stream.key).second);
      }
    }
    shard->process(batches[i]);
  }
  shard->flush();
  return log;
}

/// The first place where two runs differ, as text; empty when they are the same.
std::string difference(const OutcomeLog& a, const OutcomeLog& b) {
  if (a.of.size() != b.of.size()) return "other streams";
  for (const auto& [key, events] : a.of) {
    const auto other = b.of.find(key);
    if (other == b.of.end()) return key + " is missing";
    for (std::size_t i = 0; i < std::min(events.size(), other->second.size()); ++i) {
      if (events[i] != other->second[i]) {
        return key + ": event " + std::to_string(i) + " (" + events[i].front() + " against " +
               other->second[i].front() + ") of " + std::to_string(events.size());
      }
    }
    if (events.size() != other->second.size()) return key + ": another number of events";
  }
  return {};
}

struct Case {
  std::string name;
  std::shared_ptr<const detect::Detector> detector;
  int steady;  ///< samples until it is learned, and some
};

std::shared_ptr<const detect::Detector> online(const std::string& kind, std::size_t hop,
                                               std::size_t learn) {
  detect::DetectorInfo info;
  info.kind = kind;
  info.window_samples = 32;
  info.hop_samples = hop;
  info.learn_windows = learn;
  return detect::make_online_detector(info).value();
}

/// Every kind with every normaliser it can have.
std::vector<Case> all_kinds() {
  std::vector<Case> cases;
  for (const detect::MemberKind& kind : detect::member_kinds()) {
    const std::string name(kind.name);
    if (kind.online) {
      const bool is_zscore = name == "zscore";
      cases.push_back({name, online(name, 16, is_zscore ? 50 : 100), is_zscore ? 1000 : 1800});
    }
    if (!kind.trained) continue;
    for (const NormaliserKind normaliser :
         {NormaliserKind::kDomain, NormaliserKind::kStream, NormaliserKind::kWindow}) {
      // A kind that learns each stream has no other.
      if (kind.learns_streams && normaliser != NormaliserKind::kStream) continue;
      cases.push_back({name + " " + std::string(detect::to_text(normaliser)),
                       detect::fitted(name, normaliser), kind.learns_streams ? 1800 : 1000});
    }
  }
  return cases;
}

TEST_CASE("A stream that is read back goes on to the last bit", "[stream][checkpoint]") {
  for (const Case& each : all_kinds()) {
    INFO(each.name);
    const auto domains = set_of(domain_of(each.detector, true));
    const auto sent = sent_samples(3, each.steady + 1500, each.steady, 7);
    const auto batches = batches_of(sent, 150, 1);
    const OutcomeLog whole = run(batches, domains, 0);
    // The test is of something: scores, alerts that fire and windows that cannot be scored.
    CHECK(whole.finite > 100);
    CHECK(whole.fired > 0);
    CHECK(difference(whole, run(batches, domains, 1)) == "");
    CHECK(difference(whole, run(batches, domains, 7)) == "");
  }
}

TEST_CASE("What comes out does not depend on where batches end", "[stream][checkpoint]") {
  for (const char* kind : {"zscore", "tiny", "standard"}) {
    INFO(kind);
    const auto domains = set_of(domain_of(online(kind, 8, 50), false));
    const auto sent = sent_samples(4, 2000, 500, 11);
    const OutcomeLog large = run(batches_of(sent, 900, 1), domains, 0);
    CHECK(large.fired > 0);
    CHECK(difference(large, run(batches_of(sent, 5, 2), domains, 0)) == "");
    CHECK(difference(large, run(batches_of(sent, 60, 3), domains, 2)) == "");
  }
}

TEST_CASE("Checkpoints fall into every state that a stream can be in", "[stream][checkpoint]") {
  const auto domains = set_of(domain_of(online("zscore", 8, 50), true));
  const auto batches = batches_of(sent_samples(3, 3000, 600, 5), 20, 1);
  OutcomeLog log;
  ShardStreams shard({}, {}, domains, log);
  std::size_t finding = 0, learning = 0, pending = 0, firing = 0, held = 0, degraded = 0;
  for (const SampleBatch& batch : batches) {
    shard.process(batch);
    for (const Stream& stream : shard.streams()) {
      finding += !stream.windower.discovered();
      learning += stream.state() == State::kLearning;
      pending += stream.machine.phase() == alert::Phase::kPending;
      firing += stream.machine.phase() == alert::Phase::kFiring;
      degraded += stream.state() == State::kDegraded;
      // Beside the ring it has samples that wait, or channels that are missing.
      held += stream.key == "pump{unit=\"0\"}" && stream.windower.discovered() &&
              stream.windower.bytes() > 0;
    }
  }
  CHECK(finding > 0);
  CHECK(learning > 0);
  CHECK(pending > 0);
  CHECK(firing > 0);
  CHECK(degraded > 0);
  CHECK(held > 0);
}

TEST_CASE("A crash between two checkpoints repeats what came out, and nothing else",
          "[stream][checkpoint]") {
  const auto domains = set_of(domain_of(online("tiny", 8, 50), true));
  const auto batches = batches_of(sent_samples(5, 2500, 600, 21), 40, 1);
  const OutcomeLog whole = run(batches, domains, 0);
  REQUIRE(whole.fired > 0);

  std::mt19937_64 bits(3);
  OutcomeLog log;
  Kept kept;
  auto shard =
      std::make_unique<ShardStreams>(ShardStreams::Limits{}, ShardStreams::Share{}, domains, log);
  kept.take(*shard);
  std::map<std::string, std::size_t> at;  // events that the checkpoint has
  std::size_t crashes = 0;
  for (std::uint64_t position = 1; position <= batches.size(); ++position) {
    shard->process(batches[position - 1], position);
    if (bits() % 9 == 0) {
      kept.take(*shard);
      for (const auto& [key, events] : log.of) at[key] = events.size();
    }
    if (bits() % 13 != 0) continue;
    ++crashes;
    // Replayed from anywhere at or before the checkpoint: what it has is passed over.
    shard = restored(kept, domains, log);
    OutcomeLog expected = log;
    for (auto& [key, events] : log.of) events.resize(at[key]);
    const std::uint64_t from = kept.position - std::min<std::uint64_t>(kept.position, bits() % 5);
    for (std::uint64_t again = from + 1; again <= position; ++again) {
      shard->process(batches[again - 1], again);
    }
    CHECK(difference(expected, log) == "");
  }
  shard->flush();
  CHECK(crashes > 5);
  CHECK(difference(whole, log) == "");
}

TEST_CASE("Streams may be saved at later positions than their shard", "[stream][checkpoint]") {
  const auto domains = set_of(domain_of(online("zscore", 8, 50), true));
  const auto batches = batches_of(sent_samples(5, 1800, 600, 21), 40, 1);
  OutcomeLog whole_log;
  ShardStreams whole({}, {}, domains, whole_log);
  for (const SampleBatch& batch : batches) whole.process(batch);

  std::mt19937_64 bits(4);
  OutcomeLog log;
  Kept kept;
  auto shard =
      std::make_unique<ShardStreams>(ShardStreams::Limits{}, ShardStreams::Share{}, domains, log);
  std::uint64_t position = 0;
  while (position < batches.size()) {
    // The shard's position is noted first; its streams are saved one by one as it goes on.
    kept.position = shard->position();
    kept.counters = shard->save_counters();
    for (const std::uint32_t number : shard->take_changed()) {
      for (std::uint64_t n = bits() % 3; n > 0 && position < batches.size(); --n, ++position) {
        shard->process(batches[position], position + 1);
      }
      kept.streams[shard->streams()[number].key] = {shard->position(), shard->save(number)};
    }
    if (position == batches.size()) break;
    shard->process(batches[position], position + 1);
    ++position;
    if (bits() % 3 != 0) continue;
    // A replay repeats what came after each stream's row, and nothing else.
    OutcomeLog again;
    shard = restored(kept, domains, again);
    for (std::uint64_t p = kept.position; p < position; ++p) shard->process(batches[p], p + 1);
    for (const auto& [key, events] : again.of) {
      auto& known = log.of[key];
      REQUIRE(events.size() <= known.size());
      CHECK(std::equal(events.begin(), events.end(),
                       known.end() - static_cast<std::ptrdiff_t>(events.size())));
    }
    // What it repeats is in the log already.
    const OutcomeLog before = log;
    shard = restored(kept, domains, log);
    for (std::uint64_t p = kept.position; p < position; ++p) shard->process(batches[p], p + 1);
    log = before;
  }
  CHECK(difference(whole_log, log) == "");
  CHECK(shard->samples() == whole.samples());
  CHECK(shard->newest() == whole.newest());
  CHECK(shard->drops().late == whole.drops().late);
  CHECK(shard->drops().excess == whole.drops().excess);
  CHECK(shard->drops().duplicate == whole.drops().duplicate);
}

TEST_CASE("Streams may move to another number of shards", "[stream][checkpoint]") {
  const auto domains = set_of(domain_of(online("zscore", 8, 50), true));
  const auto batches = batches_of(sent_samples(9, 1500, 600, 8), 100, 1);
  const OutcomeLog whole = run(batches, domains, 0);
  REQUIRE(whole.fired > 0);

  // Three shards, each at another position when they are stopped.
  OutcomeLog log;
  std::vector<Kept> kept(3);
  const std::size_t half = batches.size() / 2;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    ShardStreams shard({}, {i, kept.size()}, domains, log);
    for (std::size_t b = 0; b < half + 7 * i; ++b) shard.process(batches[b], b + 1);
    kept[i].take(shard);
  }
  // Two take over: from the first of the positions on, each stream from its own.
  std::uint64_t samples = 0;
  for (std::size_t i = 0; i < 2; ++i) {
    ShardStreams shard({}, {i, 2}, domains, log);
    for (const Kept& each : kept) {
      if (i == 0) REQUIRE(shard.restore_counters(each.counters).ok());
      for (const auto& [key, row] : each.streams) {
        if (shard_of(hash_bytes(key), 2) != i) continue;
        REQUIRE(shard.restore(key, row.first, row.second).ok());
      }
    }
    shard.resume_at(half);
    for (std::size_t b = half; b < batches.size(); ++b) shard.process(batches[b], b + 1);
    shard.flush();
    samples += shard.samples();
  }
  CHECK(difference(whole, log) == "");
  std::uint64_t sent = 0;
  for (const SampleBatch& batch : batches) sent += batch.samples();
  CHECK(samples == sent);
}

/// A shard in the midst of everything, and what is kept of it.
struct Midst {
  explicit Midst(const std::string& kind, std::uint64_t seed = 5, int samples = 1500)
      : domains(set_of(domain_of(online(kind, 8, 50), true))) {
    ShardStreams shard({}, {}, domains, log);
    for (const SampleBatch& batch : batches_of(sent_samples(2, samples, 600, seed), 50, 1)) {
      shard.process(batch);
      kept.take(shard);
      // One that is worth a look: an alert is firing.
      bool is_firing = false;
      for (const Stream& stream : shard.streams()) {
        is_firing = is_firing || stream.machine.phase() == alert::Phase::kFiring;
      }
      if (is_firing) return;
    }
  }
  OutcomeLog log;
  std::shared_ptr<const DomainSet> domains;
  Kept kept;
};

const std::string& firing_key(const Midst& midst, ShardStreams& shard) {
  for (const auto& [key, row] : midst.kept.streams) {
    if (shard.find(key)->open != nullptr) return key;
  }
  FAIL("no alert is open");
  return midst.kept.streams.begin()->first;
}

TEST_CASE("State of another detector or of other windows is dropped, and its alert ends",
          "[stream][checkpoint]") {
  const Midst midst("zscore");
  OutcomeLog before;
  const auto was = restored(midst.kept, midst.domains, before);
  const std::string key = firing_key(midst, *was);
  const std::string open_id = was->find(key)->open->id;
  const auto& [position, bytes] = midst.kept.streams.at(key);

  const auto kind = domain_of(online("tiny", 8, 50), true);
  const auto hop = domain_of(online("zscore", 16, 50), true);
  const auto span = domain_of(online("zscore", 8, 60), true);
  const auto channels = domain_of(online("zscore", 8, 50), false);
  auto name = domain_of(online("zscore", 8, 50), true);
  name->name = "fans";
  for (const std::shared_ptr<const Domain>& other :
       std::initializer_list<std::shared_ptr<const Domain>>{kind, hop, span, channels, name,
                                                            nullptr}) {
    OutcomeLog log;
    ShardStreams shard({}, {}, set_of(other), log);
    const auto done = shard.restore(key, position, bytes);
    REQUIRE(done.ok());
    CHECK(done.value() == Restored::kAnew);
    const Stream& stream = *shard.find(key);
    CHECK(!stream.learned);
    CHECK(stream.open == nullptr);
    CHECK(stream.machine.phase() == alert::Phase::kQuiet);
    CHECK(stream.scores.last() == nullptr);
    CHECK(log.last.state == alert::AlertState::kResolved);
    CHECK(log.last.end_reason == "reload");
    CHECK(log.last.id == open_id);
    CHECK(shard.take_changed().size() == 1);
  }

  // What only judges the scores may change: the stream goes on under the new rules.
  auto budget = domain_of(online("zscore", 8, 50), true);
  budget->budget.alerts_per_second = 1e-5;
  OutcomeLog log;
  ShardStreams shard({}, {}, set_of(budget), log);
  REQUIRE(shard.restore(key, position, bytes).value() == Restored::kWhole);
  CHECK(shard.find(key)->rules.fire_p == Approx(1e-5 * 0.08));
  CHECK(shard.take_changed().empty());
}

TEST_CASE("States of a newer format are refused, of an older one dropped",
          "[stream][checkpoint][errors]") {
  const Midst midst("zscore");
  const auto& [key, row] = *midst.kept.streams.begin();
  std::vector<std::byte> bytes = row.second;
  OutcomeLog log;
  ShardStreams shard({}, {}, midst.domains, log);
  bytes[0] = std::byte{2};
  const auto newer = shard.restore(key, 1, bytes);
  REQUIRE(!newer.ok());
  CHECK(newer.error().code == ErrorCode::kUnsupported);
  CHECK(newer.error().message.find("state format 2, this build knows up to 1") !=
        std::string::npos);
  CHECK(newer.error().message.find(key) != std::string::npos);
  CHECK(shard.restore_counters(bytes).error().code == ErrorCode::kUnsupported);
  CHECK(shard.streams().empty());
  bytes[0] = std::byte{0};
  CHECK(shard.restore(key, 1, sealed_again(bytes)).error().code == ErrorCode::kCorrupt);
}

TEST_CASE("A stream is restored once, under a key, and not over the limit",
          "[stream][checkpoint][errors]") {
  const Midst midst("zscore");
  const auto& [key, row] = *midst.kept.streams.begin();
  OutcomeLog log;
  ShardStreams shard({1, 1000}, {}, midst.domains, log);
  CHECK(shard.restore("a{b", 1, row.second).error().code == ErrorCode::kCorrupt);
  CHECK(shard.restore(key, 1, row.second).ok());
  CHECK(shard.restore(key, 1, row.second).error().code == ErrorCode::kInvalidArgument);
  CHECK(shard.restore("other", 1, row.second).error().code == ErrorCode::kExhausted);
  CHECK(shard.streams().size() == 1);
}

TEST_CASE("Cut or changed bytes of a state are corrupt", "[stream][checkpoint][errors]") {
  const Midst midst("tiny");
  const auto& [key, row] = *midst.kept.streams.begin();
  const std::vector<std::byte>& bytes = row.second;
  OutcomeLog log;
  ShardStreams shard({}, {}, midst.domains, log);
  for (std::size_t size = 0; size < bytes.size(); size += size < 64 ? 1 : 37) {
    const auto cut = shard.restore(key, 1, std::span(bytes).first(size));
    REQUIRE(!cut.ok());
    CHECK(cut.error().code == ErrorCode::kCorrupt);
    // With a good hash it is the walk that finds it.
    std::vector<std::byte> sealed(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    const auto short_walk = shard.restore(key, 1, sealed_again(std::move(sealed)));
    REQUIRE(!short_walk.ok());
  }
  for (std::size_t at = 2; at < bytes.size(); at += 11) {
    std::vector<std::byte> flipped = bytes;
    flipped[at] ^= std::byte{0x10};
    CHECK(shard.restore(key, 1, flipped).error().code == ErrorCode::kCorrupt);
  }
  std::vector<std::byte> longer = bytes;
  longer.push_back(std::byte{0});
  CHECK(shard.restore(key, 1, sealed_again(longer)).error().code == ErrorCode::kCorrupt);
  CHECK(shard.streams().empty());
}

TEST_CASE("Whatever is read back is an error or a state that can be used",
          "[stream][checkpoint][errors]") {
  const auto more = batches_of(sent_samples(2, 2200, 600, 5), 200, 1);
  for (const char* kind : {"zscore", "tiny", "standard", "full"}) {
    for (const int samples : {150, 450, 1500}) {  // discovering or learning, learning, scored
      const Midst midst(kind, 5, samples);
      const auto& [key, row] = *midst.kept.streams.begin();
      std::mt19937_64 bits(17);
      std::size_t used = 0;
      for (int i = 0; i < 30; ++i) {
        std::vector<std::byte> bytes = row.second;
        for (std::uint64_t n = 1 + bits() % 4; n > 0; --n) {
          // The front has the counts and places, and is a small part of the whole.
          const std::size_t reach = bits() % 2 == 0 ? bytes.size() - 10 : 400;
          const std::size_t at = 2 + bits() % std::min(reach, bytes.size() - 10);
          bytes[at] = static_cast<std::byte>(bits());
        }
        OutcomeLog log;
        ShardStreams shard({}, {}, midst.domains, log);
        if (!shard.restore(key, 1, sealed_again(std::move(bytes))).ok()) continue;
        ++used;
        for (std::size_t b = 0; b < more.size(); b += 3) shard.process(more[b], b + 2);
        shard.flush();
        for (std::uint32_t n = 0; n < shard.streams().size(); ++n) {
          static_cast<void>(shard.save(n));
        }
      }
      INFO(kind << ' ' << samples);
      CHECK(used > 5);
    }
  }
}

/// Where the seeds of the state's fuzzer are: a byte that says of which domain, then a state.
std::filesystem::path corpus() {
  return std::filesystem::path(ANOMALYD_SOURCE_DIR) / "tests" / "fuzz" / "corpus" / "state";
}

// Not run unless asked for: makes the seeds anew, after the state's format has changed.
TEST_CASE("Write the seeds of the state's fuzzer", "[.][state-corpus]") {
  for (std::size_t which = 0; which < kFuzzedDomains; ++which) {
    for (const int samples : {20, 250, 1500}) {
      const auto domain = fuzzed_domain(which);
      OutcomeLog log;
      ShardStreams shard({}, {}, set_of(domain), log);
      for (const SampleBatch& batch : batches_of(sent_samples(1, samples, 500, 5), 10, 1)) {
        shard.process(batch);
        if (!shard.streams().empty() && shard.streams()[0].open != nullptr) break;
      }
      const std::vector<std::byte> bytes = shard.save(0);
      const std::string name =
          domain->detector->info().kind + (which == 4 ? "-fixed-" : "-") + std::to_string(samples);
      std::ofstream file(corpus() / name, std::ios::binary);
      file.put(static_cast<char>(which));
      file.write(reinterpret_cast<const char*>(bytes.data()),
                 static_cast<std::streamsize>(bytes.size()));
      REQUIRE(file.good());
    }
  }
}

TEST_CASE("States that this format's first build wrote are read", "[stream][checkpoint]") {
  std::size_t seeds = 0;
  for (const auto& entry : std::filesystem::directory_iterator(corpus())) {
    INFO(entry.path().filename().string());
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    REQUIRE(text.size() > 1);
    OutcomeLog log;
    ShardStreams shard({}, {}, set_of(fuzzed_domain(static_cast<unsigned char>(text[0]))), log);
    const auto done = shard.restore("s", 1, std::as_bytes(std::span(text).subspan(1)));
    // When the walk of anything has changed, or what a preset is made of: the format is another.
    // Raise kStateVersion in src/stream/checkpoint.cpp, and make the seeds anew:
    //   stream_test "[state-corpus]"
    INFO((done.ok() ? "" : done.error().message));
    REQUIRE(done.ok());
    CHECK(done.value() == Restored::kWhole);
    ++seeds;
  }
  CHECK(seeds >= 15);
}

TEST_CASE("Streams that no domain takes are kept, with what they count", "[stream][checkpoint]") {
  OutcomeLog log;
  ShardStreams shard({}, {}, set_of(nullptr), log);
  shard.process(batches_of(sent_samples(1, 10, 10, 1), 100, 1).front());
  CHECK(shard.take_changed() == std::vector<std::uint32_t>{0});
  const std::vector<std::byte> bytes = shard.save(0);
  const std::string key = shard.streams()[0].key;
  ShardStreams again({}, {}, set_of(nullptr), log);
  CHECK(again.restore(key, 1, bytes).value() == Restored::kWhole);
  CHECK(again.find(key)->state() == State::kExcluded);
  // A domain that takes it now finds nothing that was learned.
  ShardStreams taken({}, {}, set_of(domain_of(online("zscore", 8, 50), true)), log);
  CHECK(taken.restore(key, 1, bytes).value() == Restored::kAnew);
}

}  // namespace
}  // namespace anomalyd::stream

#include <algorithm>
#include <string>

#include "base/check.h"
#include "stream/shard_streams.h"

namespace anomalyd::stream {
namespace {

/// Of all that save() and save_counters() write. Any walk that changes is another version: see
/// STATE.md for what happens to what older and newer builds wrote.
constexpr std::uint16_t kStateVersion = 1;
constexpr std::size_t kMostIdentity = std::size_t{1} << 18U;  // 256 channels' names and some
constexpr std::size_t kHashBytes = sizeof(std::uint64_t);

std::uint64_t hash_of(std::span<const std::byte> bytes) {
  return hash_bytes({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

Archive begin_state() {
  Archive archive;
  std::uint16_t version = kStateVersion;
  archive(version);
  return archive;
}

std::vector<std::byte> seal(Archive archive) {
  std::vector<std::byte> bytes = archive.take();
  std::uint64_t hash = hash_of(bytes);
  Archive end;
  end(hash);
  const std::vector<std::byte> tail = end.take();
  bytes.insert(bytes.end(), tail.begin(), tail.end());
  return bytes;
}

/// What is between version and hash, once both are right.
struct Opened {
  std::uint16_t version = 0;
  std::span<const std::byte> body;
};

Result<Opened> open_state(std::span<const std::byte> bytes) {
  Opened opened;
  if (bytes.size() < sizeof opened.version + kHashBytes) {
    return Error{ErrorCode::kCorrupt,
                 std::to_string(bytes.size()) + " bytes, too short for a state"};
  }
  Archive front(bytes.first(sizeof opened.version));
  front(opened.version);
  // Before the hash: a newer format may well have another.
  if (opened.version > kStateVersion) {
    return Error{ErrorCode::kUnsupported,
                 "state format " + std::to_string(opened.version) + ", this build knows up to " +
                     std::to_string(kStateVersion) + ": a newer version of anomalyd wrote it"};
  }
  std::uint64_t hash = 0;
  Archive end(bytes.last(kHashBytes));
  end(hash);
  if (hash != hash_of(bytes.first(bytes.size() - kHashBytes)) || opened.version == 0) {
    return Error{ErrorCode::kCorrupt, "its hash is not that of its bytes"};
  }
  opened.body =
      bytes.subspan(sizeof opened.version, bytes.size() - sizeof opened.version - kHashBytes);
  return opened;
}

/// What a stream keeps whatever becomes of its detector.
void archive_alert(Archive& archive, Stream& stream) {
  archive(stream.windows_scored, stream.windows_invalid, stream.last_invalid, stream.no_domain);
  stream.before.archive(archive);
  WindowerCounts counts = stream.windower.counts();
  counts.archive(archive);
  stream.windower.set_counts(counts);
  stream.machine.archive(archive);
  constexpr TimeNs kFar = TimeNs{1} << 62;
  archive.within(stream.open_written, -kFar, kFar, "the time an alert was written");
  // An alert is open exactly while the machine is not quiet.
  if (stream.machine.phase() == alert::Phase::kQuiet) return;
  if (archive.reads()) stream.open = std::make_unique<alert::Alert>();
  alert::Alert& open = *stream.open;
  alert::archive_open(archive, open);
  if (!archive.reads()) return;
  open.stream = StreamKey::parse(stream.key).value();
  open.id = alert::alert_id(stream.key, open.start, open.detector);
  open.state = stream.machine.phase() == alert::Phase::kFiring ? alert::AlertState::kFiring
                                                               : alert::AlertState::kPending;
}

/// What belongs to the detector and the windows of its domain.
void archive_learned(Archive& archive, Stream& stream) {
  const Domain& domain = *stream.domain;
  stream.windower.archive(domain.windows, archive);
  bool is_started = stream.learned.has_value();
  archive(is_started);
  if (is_started && archive.reads()) {
    const std::size_t channels = stream.windower.channels().size();
    const std::size_t expected = domain.detector->info().channels.size();
    if (channels == 0 || (expected != 0 && channels != expected)) {
      archive.fail("learned from " + std::to_string(channels) + " channels, expected " +
                   std::to_string(expected));
    }
    if (!archive.ok()) return;
    stream.learned.emplace(domain.detector->start(channels));
    stream.rules = domain.alert_rules(stream.windower.rate_hz());
  }
  if (is_started && archive.ok()) {
    domain.detector->archive(*stream.learned, stream.windower.channels().size(), archive);
  }
  stream.rates.archive(archive);
  archive.within(stream.opening_p, 0, 1, "a p-value");
  stream.scores.archive(archive);
}

}  // namespace

void ScoreRing::archive(Archive& archive) {
  std::vector<ScorePoint> last;
  for (std::size_t i = points_.size() - std::min(points_.size(), kArchived); i < points_.size();
       ++i) {
    last.push_back(points_[(head_ + i) % points_.size()]);
  }
  archive.list(last, kArchived, sizeof(TimeNs) + 2 * sizeof(float), "scores",
               [](Archive& a, ScorePoint& point) { a(point.time, point.score, point.p_value); });
  if (!archive.reads()) return;
  points_ = std::move(last);
  head_ = 0;
}

std::vector<std::byte> ShardStreams::save(std::uint32_t number) {
  Stream& stream = streams_[number];
  ANOMALYD_CHECK(!stream.waiting, "shard: a stream is saved between two batches");
  Archive archive = begin_state();
  std::string identity = stream.domain == nullptr ? "" : stream.domain->identity();
  archive.text(identity, kMostIdentity, "letters of an identity");
  archive_alert(archive, stream);
  if (stream.domain != nullptr) archive_learned(archive, stream);
  return seal(std::move(archive));
}

Result<Restored> ShardStreams::restore(std::string_view key, std::uint64_t position,
                                       std::span<const std::byte> state) {
  const auto refuse = [&](ErrorCode code, const std::string& what) {
    return Error{code, "state of stream " + std::string(key.substr(0, kMaxKeyBytes)) + ": " + what};
  };
  const std::uint64_t hash = hash_bytes(key);
  if (number_of(key, hash) != KeyIndex::kNone) {
    return refuse(ErrorCode::kInvalidArgument, "there is one already");
  }
  if (streams_.size() >= limits_.max_streams) {
    return refuse(ErrorCode::kExhausted, "there are " + std::to_string(streams_.size()) +
                                             " streams already, as many as may be");
  }
  const Result<StreamKey> parsed = StreamKey::parse(key);
  if (!parsed.ok() || parsed.value().text() != key) {
    return refuse(ErrorCode::kCorrupt, "not a key of a stream");
  }
  const Result<Opened> opened = open_state(state);
  if (!opened.ok()) return refuse(opened.error().code, opened.error().message);

  const std::shared_ptr<const Domain> domain = domains_->find(parsed.value());
  Stream stream(key, domain);
  Restored outcome = Restored::kAnew;
  if (opened.value().version == kStateVersion) {
    Archive archive(opened.value().body);
    std::string identity;
    archive.text(identity, kMostIdentity, "letters of an identity");
    archive_alert(archive, stream);
    const bool is_excluded = identity.empty() && domain == nullptr;
    const bool goes_on = domain != nullptr && archive.ok() && identity == domain->identity();
    if (goes_on) archive_learned(archive, stream);
    if (goes_on || is_excluded || !archive.ok()) {
      const Status finished = archive.finish();
      if (!finished.ok()) return refuse(finished.error().code, finished.error().message);
      outcome = Restored::kWhole;
    }
  }
  stream.restored_at = position;
  const auto number = static_cast<std::uint32_t>(streams_.size());
  index_.add(hash, number);
  Stream& added = streams_.emplace_back(std::move(stream));
  if (outcome == Restored::kAnew) {
    end_alert(added, added.machine.close(), added.machine.last_bad_end(), "reload");
    added.machine = {};
    added.rates = {};
    added.last_invalid = false;
    added.before.add(added.windower.counts());
    added.windower = Windower();
    mark_changed(added, number);
  }
  count_restored(added);
  return outcome;
}

void ShardStreams::count_restored(const Stream& stream) {
  WindowerCounts counts = stream.before;
  counts.add(stream.windower.counts());
  samples_ += counts.samples + stream.no_domain;
  drops_.no_domain += stream.no_domain;
  drops_.duplicate += counts.duplicate;
  drops_.late += counts.late;
  drops_.excess += counts.excess;
  drops_.time_range += counts.time_range;
  newest_ = std::max(newest_, stream.windower.newest());
}

std::vector<std::byte> ShardStreams::save_counters() {
  Archive archive = begin_state();
  archive(drops_.too_many_streams, newest_);
  return seal(std::move(archive));
}

Status ShardStreams::restore_counters(std::span<const std::byte> counters) {
  const Result<Opened> opened = open_state(counters);
  if (!opened.ok()) return opened.error();
  // Of an older format there is nothing that could not be counted anew.
  if (opened.value().version != kStateVersion) return Done{};
  Archive archive(opened.value().body);
  std::uint64_t too_many = 0;
  TimeNs newest = 0;
  archive(too_many, newest);
  if (Status finished = archive.finish(); !finished.ok()) return finished;
  samples_ += too_many;
  drops_.too_many_streams += too_many;
  newest_ = std::max(newest_, newest);
  return Done{};
}

}  // namespace anomalyd::stream

#include "stream/shard_streams.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"

namespace anomalyd::stream {
namespace {

constexpr std::size_t kBatchWindows = 64;
constexpr std::size_t kPrefetchRuns = 32;
constexpr std::size_t kMinScorePoints = 32;
constexpr std::size_t kMaxScorePoints = 4096;
/// An open alert whose peak moves is handed on at most once per this much event time.
constexpr TimeNs kRewriteNs = kNsPerSecond;

}  // namespace

std::string_view to_string(State state) {
  switch (state) {
    case State::kLearning:
      return "learning";
    case State::kNormal:
      return "normal";
    case State::kAnomalous:
      return "anomalous";
    case State::kDegraded:
      return "degraded";
    case State::kExcluded:
      return "excluded";
  }
  return "";
}

void ScoreRing::push(const ScorePoint& point, std::size_t bound) {
  if (points_.size() > bound || (head_ != 0 && points_.size() < bound)) {
    // The bound moved: back into order, the newest kept.
    std::rotate(points_.begin(), points_.begin() + head_, points_.end());
    head_ = 0;
    if (points_.size() > bound) {
      points_.erase(points_.begin(), points_.end() - static_cast<std::ptrdiff_t>(bound));
      points_.shrink_to_fit();
    }
  }
  if (points_.size() < bound) {
    if (points_.size() == points_.capacity()) {
      points_.reserve(std::min(bound, std::max<std::size_t>(8, points_.size() * 2)));
    }
    points_.push_back(point);
    return;
  }
  points_[head_] = point;
  head_ = head_ + 1 == points_.size() ? 0 : head_ + 1;
}

std::vector<ScorePoint> ScoreRing::between(TimeNs from, TimeNs to) const {
  std::vector<ScorePoint> found;
  for (std::size_t i = 0; i < points_.size(); ++i) {
    const ScorePoint& point = points_[(head_ + i) % points_.size()];
    if (point.time >= from && point.time < to) found.push_back(point);
  }
  return found;
}

const ScorePoint* ScoreRing::last() const {
  if (points_.empty()) return nullptr;
  return &points_[head_ == 0 ? points_.size() - 1 : head_ - 1];
}

State Stream::state() const {
  if (domain == nullptr) return State::kExcluded;
  if (!learned || domain->detector->progress(*learned) < 1) return State::kLearning;
  if (last_invalid) return State::kDegraded;
  return machine.phase() == alert::Phase::kQuiet ? State::kNormal : State::kAnomalous;
}

double Stream::progress() const { return learned ? domain->detector->progress(*learned) : 0; }

std::size_t Stream::bytes() const {
  return sizeof *this + key.capacity() + windower.bytes() + (learned ? learned->bytes() : 0) +
         scores.bytes() + (open ? sizeof *open : 0);
}

ShardStreams::ShardStreams(Limits limits, Share share, std::shared_ptr<const DomainSet> domains,
                           Observer& observer)
    : limits_(limits), share_(share), domains_(std::move(domains)), observer_(observer) {
  waiting_.reserve(kBatchWindows);
}

const Stream* ShardStreams::find(std::string_view key) const {
  const std::uint32_t number = number_of(key, hash_bytes(key));
  return number == KeyIndex::kNone ? nullptr : &streams_[number];
}

std::uint32_t ShardStreams::number_of(std::string_view key, std::uint64_t hash) const {
  return index_.find(hash, [&](std::uint32_t candidate) { return streams_[candidate].key == key; });
}

Stream* ShardStreams::add(std::string_view key, std::uint64_t hash) {
  if (streams_.size() >= limits_.max_streams) {
    return nullptr;
  }
  const Result<StreamKey> parsed = StreamKey::parse(key);
  ANOMALYD_CHECK(parsed.ok(), "a codec let a key through that does not parse");
  std::shared_ptr<const Domain> domain = domains_->find(parsed.value());
  const auto number = static_cast<std::uint32_t>(streams_.size());
  index_.add(hash, number);
  Stream& stream = streams_.emplace_back(key, std::move(domain));
  mark_changed(stream, number);
  return &stream;
}

void ShardStreams::mark_changed(Stream& stream, std::uint32_t number) {
  if (stream.changed) return;
  stream.changed = true;
  changed_.push_back(number);
}

std::vector<std::uint32_t> ShardStreams::take_changed() {
  for (const std::uint32_t number : changed_) streams_[number].changed = false;
  return std::exchange(changed_, {});
}

void ShardStreams::process(const SampleBatch& batch, std::uint64_t position) {
  if (position <= position_) return;
  const std::span<const Run> runs = batch.runs();
  std::array<const Run*, kPrefetchRuns> group{};
  std::size_t at = 0;
  while (at < runs.size()) {
    // A group of runs at a time: first their index entries are fetched, then their streams, then
    // their rings, so that the cache misses of 32 streams overlap.
    std::size_t size = 0;
    for (; at < runs.size() && size < kPrefetchRuns; ++at) {
      if (shard_of(runs[at].key_hash, share_.count) != share_.index) continue;
      index_.prefetch(runs[at].key_hash);
      group[size++] = &runs[at];
    }
    prefetch(std::span(group).first(size));
    for (std::size_t i = 0; i < size; ++i) take(batch, *group[i], position);
  }
  score_waiting();
  position_ = position;
}

void ShardStreams::prefetch(std::span<const Run* const> runs) const {
  std::array<std::uint32_t, kPrefetchRuns> numbers{};
  for (std::size_t i = 0; i < runs.size(); ++i) {
    // The hash alone is good enough to fetch by; take() compares the key.
    numbers[i] = index_.find(runs[i]->key_hash, [](std::uint32_t) { return true; });
    if (numbers[i] == KeyIndex::kNone) continue;
    const char* stream = reinterpret_cast<const char*>(&streams_[numbers[i]]);
    for (std::size_t line = 0; line < sizeof(Stream); line += 64) {
      __builtin_prefetch(stream + line);
    }
  }
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (numbers[i] == KeyIndex::kNone) continue;
    const Stream& stream = streams_[numbers[i]];
    __builtin_prefetch(stream.key.data());
    stream.windower.prefetch();
  }
}

void ShardStreams::take(const SampleBatch& batch, const Run& run, std::uint64_t position) {
  const std::string_view key = batch.key(run);
  const std::uint32_t number = number_of(key, run.key_hash);
  Stream* stream = number != KeyIndex::kNone ? &streams_[number] : add(key, run.key_hash);
  if (stream != nullptr && position <= stream->restored_at) return;
  samples_ += run.rows;
  if (stream == nullptr) {
    drops_.too_many_streams += run.rows;
    return;
  }
  // A new one has been marked by add().
  if (number != KeyIndex::kNone) mark_changed(*stream, number);
  if (stream->domain == nullptr) {
    drops_.no_domain += run.rows;
    stream->no_domain += run.rows;
  } else {
    push(*stream, batch, run);
  }
}

void ShardStreams::push(Stream& stream, const SampleBatch& batch, const Run& run) {
  current_ = &stream;
  const WindowerCounts before = stream.windower.counts();
  const Schema& schema = batch.schema_of(run);
  const std::span<const TimeNs> times = batch.times(run);
  const std::span<const float> values = batch.values(run);
  const std::size_t c = schema.channels.size();
  for (std::size_t i = 0; i < times.size(); ++i) {
    stream.windower.push(stream.domain->windows, schema, times[i], values.subspan(i * c, c), *this);
  }
  const WindowerCounts& after = stream.windower.counts();
  drops_.duplicate += after.duplicate - before.duplicate;
  drops_.late += after.late - before.late;
  drops_.excess += after.excess - before.excess;
  drops_.time_range += after.time_range - before.time_range;
  newest_ = std::max(newest_, stream.windower.newest());
}

void ShardStreams::flush() {
  for (std::uint32_t number = 0; number < streams_.size(); ++number) {
    Stream& stream = streams_[number];
    if (stream.domain == nullptr) continue;
    mark_changed(stream, number);
    current_ = &stream;
    stream.windower.flush(stream.domain->windows, *this);
  }
  score_waiting();
}

void ShardStreams::on_window(Windower& windower, TimeNs start, TimeNs end) {
  Stream& stream = *current_;
  const detect::Detector& detector = *stream.domain->detector;
  const std::size_t size = stream.domain->windows.window_samples * windower.channels().size();
  if (!stream.learned) {
    stream.learned.emplace(detector.start(windower.channels().size()));
    stream.rules = stream.domain->alert_rules(windower.rate_hz());
  }
  // What an online member learns from one window decides the score of the next.
  const bool in_turn = stream.waiting && detector.is_online();
  if (in_turn || waiting_.size() == kBatchWindows || waiting_domain_ != stream.domain ||
      static_cast<std::size_t>(raw_.cols()) != size) {
    score_waiting();
  }
  if (waiting_domain_ != stream.domain || static_cast<std::size_t>(raw_.cols()) != size) {
    waiting_domain_ = stream.domain;
    raw_.resize(kBatchWindows, static_cast<Eigen::Index>(size));
  }
  float* row = raw_.row(static_cast<Eigen::Index>(waiting_.size())).data();
  windower.copy_window({row, size});
  if (detector.progress(*stream.learned) < 1) {
    detector.set_time(*stream.learned, start, end);
    detector.learn(*stream.learned, {row, size});
    return;
  }
  waiting_.push_back({&stream, start, end});
  stream.waiting = true;
}

void ShardStreams::on_gap(Windower& windower) {
  static_cast<void>(windower);
  Stream& stream = *current_;
  if (stream.waiting) score_waiting();
  if (stream.learned) stream.domain->detector->interrupt(*stream.learned);
  end_alert(stream, stream.machine.close(), stream.machine.last_bad_end(), "gap");
}

void ShardStreams::score_waiting() {
  if (waiting_.empty()) return;
  const detect::Detector& detector = *waiting_domain_->detector;
  const auto n = static_cast<Eigen::Index>(waiting_.size());
  const auto size = static_cast<std::size_t>(raw_.cols());
  normalised_.resize(n, raw_.cols());
  scores_.assign(waiting_.size(), std::numeric_limits<float>::quiet_NaN());
  states_.clear();
  for (Eigen::Index i = 0; i < n; ++i) {
    const Waiting& window = waiting_[static_cast<std::size_t>(i)];
    Stream& stream = *window.stream;
    states_.push_back(&*stream.learned);
    stream.waiting = false;
    detector.set_time(*stream.learned, window.start, window.end);
    detector.follow(*stream.learned, {raw_.row(i).data(), size});
    detector.normalise(*stream.learned, {raw_.row(i).data(), size},
                       {normalised_.row(i).data(), size});
  }
  detector.score(normalised_, states_, scores_);
  for (Eigen::Index i = 0; i < n; ++i) {
    const Waiting& window = waiting_[static_cast<std::size_t>(i)];
    judge(*window.stream, window, scores_[static_cast<std::size_t>(i)],
          {normalised_.row(i).data(), size}, {raw_.row(i).data(), size});
  }
  waiting_.clear();
}

void ShardStreams::judge(Stream& stream, const Waiting& window, float score,
                         std::span<const float> normalised, std::span<const float> raw) {
  const detect::Detector& detector = *stream.domain->detector;
  if (!std::isfinite(score)) score = std::numeric_limits<float>::quiet_NaN();
  const double calibrated = detector.p_value(*stream.learned, score);
  const double p = stream.rates.p_value(calibrated);
  ++stream.windows_scored;
  stream.last_invalid = std::isnan(p);
  if (stream.last_invalid) ++stream.windows_invalid;
  const std::size_t bound = std::clamp(limits_.score_history_bytes / sizeof(ScorePoint) /
                                           share_.count / std::max<std::size_t>(1, streams_.size()),
                                       kMinScorePoints, kMaxScorePoints);
  stream.scores.push({window.end, score, static_cast<float>(p)}, bound);
  observer_.on_score(stream, window.start, window.end, score, p);

  // An open alert is held by no window that the calibration would not: thresholds that sank in
  // quiet times stand still now, and what is usual again must end it.
  const double judged =
      stream.machine.phase() == alert::Phase::kQuiet ? p : std::max(p, calibrated);
  const alert::Change change = stream.machine.step(stream.rules, window.start, window.end, judged,
                                                   static_cast<double>(score));
  if (change == alert::Change::kPending ||
      (change == alert::Change::kFired && stream.open == nullptr)) {
    open_alert(stream);
    stream.opening_p = calibrated;
  }
  if (stream.machine.phase() != alert::Phase::kQuiet) {
    const bool peak = stream.machine.is_peak();
    if (peak) note_peak(stream, window, score, p, raw);
    stream.open->end = stream.machine.last_bad_end();
    const bool fired = change == alert::Change::kFired;
    if (fired) {
      stream.open->state = alert::AlertState::kFiring;
      stream.open->fired_at = window.end;
    }
    const bool is_new = fired || change == alert::Change::kPending;
    if (is_new || (peak && window.end - stream.open_written >= kRewriteNs)) {
      observer_.on_alert(*stream.open, is_new);
      stream.open_written = window.end;
    }
  } else {
    end_alert(stream, change, window.end, "cleared");
    stream.rates.add(calibrated);
    if (!stream.last_invalid) detector.update(*stream.learned, normalised);
  }
}

void ShardStreams::open_alert(Stream& stream) {
  const detect::DetectorInfo& info = stream.domain->detector->info();
  auto opened = std::make_unique<alert::Alert>();
  opened->stream = StreamKey::parse(stream.key).value();
  opened->start = stream.machine.start();
  opened->id = alert::alert_id(stream.key, opened->start, info.name);
  opened->domain = stream.domain->name;
  opened->detector = info.name;
  opened->detector_version = info.version;
  opened->threshold_p = stream.rules.fire_p;
  stream.open = std::move(opened);
}

void ShardStreams::note_peak(Stream& stream, const Waiting& window, float score, double p,
                             std::span<const float> raw) {
  alert::Alert& alert = *stream.open;
  detect::Explanation why = stream.domain->detector->explain(*stream.learned, raw);
  alert.peak_score = static_cast<double>(score);
  alert.peak_p = p;
  alert.peak_time = window.start;
  const std::span<const std::string> channels = stream.windower.channels();
  alert.contributions.clear();
  for (std::size_t i = 0; i < channels.size(); ++i) {
    alert.contributions.push_back({channels[i], why.contributions[i]});
  }
  std::stable_sort(alert.contributions.begin(), alert.contributions.end(),
                   [](const auto& a, const auto& b) { return a.share > b.share; });
  alert.context.start = window.start;
  alert.context.rate_hz = stream.windower.rate_hz();
  alert.context.channels.assign(channels.begin(), channels.end());
  alert.context.actual.assign(raw.begin(), raw.end());
  alert.context.expected = std::move(why.expected);
}

void ShardStreams::end_alert(Stream& stream, alert::Change change, TimeNs at,
                             std::string_view reason) {
  if (change == alert::Change::kCancelled) {
    observer_.on_alert_cancelled(*stream.open);
  } else if (change == alert::Change::kResolved) {
    stream.open->state = alert::AlertState::kResolved;
    stream.open->resolved_at = at;
    stream.open->end_reason = reason;
    observer_.on_alert(*stream.open, true);
  } else {
    return;
  }
  stream.open.reset();
  // Of an alert its first window alone counts, and only now: the promise is on alerts, their
  // windows are judged by what was normal before, and a fault must not become normal.
  stream.rates.add(stream.opening_p);
}

void ShardStreams::apply(std::shared_ptr<const DomainSet> domains) {
  score_waiting();
  waiting_domain_.reset();
  domains_ = std::move(domains);
  for (std::uint32_t number = 0; number < streams_.size(); ++number) {
    Stream& stream = streams_[number];
    std::shared_ptr<const Domain> domain = domains_->find(StreamKey::parse(stream.key).value());
    const bool goes_on =
        stream.domain != nullptr && domain != nullptr && domain->continues(*stream.domain);
    stream.domain = std::move(domain);
    if (goes_on) {
      if (stream.learned) stream.rules = stream.domain->alert_rules(stream.windower.rate_hz());
      continue;
    }
    mark_changed(stream, number);
    end_alert(stream, stream.machine.close(), stream.machine.last_bad_end(), "reload");
    stream.before.add(stream.windower.counts());
    stream.windower = Windower();  // what the old one found was for the old rules
    stream.learned.reset();
    stream.rates = {};
    stream.scores = {};  // of another detector: not to be compared
    stream.machine = {};
    stream.last_invalid = false;
  }
}

}  // namespace anomalyd::stream

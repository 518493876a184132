#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "alert/alert.h"
#include "alert/machine.h"
#include "base/archive.h"
#include "base/sample_batch.h"
#include "detect/rate_tracking.h"
#include "stream/domain.h"
#include "stream/key_index.h"
#include "stream/windower.h"

namespace anomalyd::stream {

/// One scored window, as the API shows it.
struct ScorePoint {
  TimeNs time = 0;  ///< end of the window
  float score = 0;  ///< NaN when it could not be scored
  float p_value = 0;
};

/// The last scores of a stream, oldest dropped first. Grows with use up to a bound that may move.
/// Cost     one heap block.
/// Threads  one at a time.
class ScoreRing {
 public:
  void push(const ScorePoint& point, std::size_t bound);
  /// In order of time, those with from <= time < to.
  std::vector<ScorePoint> between(TimeNs from, TimeNs to) const;
  const ScorePoint* last() const;
  std::size_t bytes() const { return points_.capacity() * sizeof(ScorePoint); }
  /// Walks the last kArchived of them.
  void archive(Archive& archive);
  static constexpr std::size_t kArchived = 32;

 private:
  std::vector<ScorePoint> points_;
  std::uint32_t head_ = 0;  // where the oldest one is once the ring is full
};

/// What a stream is doing, in one word for operators.
enum class State : std::uint8_t {
  kLearning,   ///< finding rate and channels, or the learning span of the detector
  kNormal,     ///< scored, no alert
  kAnomalous,  ///< an alert is pending or firing
  kDegraded,   ///< its last window could not be scored (missing channel, value out of range)
  kExcluded,   ///< it matches no domain
};
inline constexpr std::size_t kStates = 5;
std::string_view to_string(State state);

/// Everything a shard knows of one stream.
struct Stream {
  explicit Stream(std::string_view stream_key, std::shared_ptr<const Domain> stream_domain)
      : key(stream_key), domain(std::move(stream_domain)) {}

  std::string key;
  std::shared_ptr<const Domain> domain;
  Windower windower;
  std::optional<detect::StreamState> learned;  ///< from the first window on
  alert::Rules rules;
  alert::Machine machine;
  detect::RateTracking rates;          ///< of p-values, once they come
  std::unique_ptr<alert::Alert> open;  ///< the pending or firing alert
  double opening_p = 1;                ///< of its first window, by the calibration
  TimeNs open_written = 0;             ///< event time at which `open` was last handed on
  ScoreRing scores;
  std::uint64_t no_domain = 0;  ///< samples that came while no domain took it
  WindowerCounts before;        ///< of windowers that a reload has ended
  std::uint64_t windows_scored = 0;
  std::uint64_t windows_invalid = 0;
  bool last_invalid = false;
  bool waiting = false;           ///< has windows in the batch that is being gathered
  bool changed = false;           ///< since it was last saved
  std::uint64_t restored_at = 0;  ///< the position up to which its state was read back

  State state() const;
  double progress() const;
  std::size_t bytes() const;  ///< all but the window ring
};

/// The shard of a stream: a function of its key alone, so that a stream never moves.
constexpr std::size_t shard_of(std::uint64_t key_hash, std::size_t shards) {
  return (key_hash >> 48U) % shards;  // the index of streams uses the low bits
}

/// Told of what comes out of the scoring. Called on the shard's thread.
class Observer {
 public:
  virtual ~Observer() = default;
  /// Every window, in order within a stream. `p` is NaN when the score is.
  virtual void on_score(const Stream& stream, TimeNs start, TimeNs end, float score, double p) = 0;
  /// A new or changed alert; `changed` says whether its state is new.
  virtual void on_alert(const alert::Alert& alert, bool changed) = 0;
  /// A pending alert that did not confirm.
  virtual void on_alert_cancelled(const alert::Alert& alert) = 0;
};

/// Why samples were dropped after they were accepted.
struct DropCounts {
  std::uint64_t no_domain = 0;
  std::uint64_t too_many_streams = 0;
  std::uint64_t duplicate = 0;
  std::uint64_t late = 0;
  std::uint64_t excess = 0;
  std::uint64_t time_range = 0;
};

/// What became of a stream that was read back.
enum class Restored : std::uint8_t {
  kWhole,  ///< it goes on where it was
  kAnew,   ///< its state is of another detector, other windows or an older format: it starts to
           ///< learn anew, and an alert that was open has ended with reason "reload"
};

/// The streams of one shard and all that happens to them from sample to alert, without a thread:
/// the daemon's shards and `anomalyctl score` run this same code. What comes out is a function of
/// the samples' order within each stream alone.
///
/// A checkpoint is the position() of the journal up to which all was taken in, save_counters(),
/// and save() of each stream that has changed since the checkpoint before (STATE.md). A new shard
/// that is given them back before it takes in anything goes on to the last bit, and passes over
/// what was in it already.
///
/// Threads  one at a time.
class ShardStreams final : private WindowSink {
 public:
  struct Limits {
    std::size_t max_streams = 200'000;
    std::size_t score_history_bytes = 64UL << 20U;
  };
  struct Share {  ///< of the streams, by key hash
    std::size_t index = 0;
    std::size_t count = 1;
  };

  ShardStreams(Limits limits, Share share, std::shared_ptr<const DomainSet> domains,
               Observer& observer);

  /// Takes in the samples of its streams; every window that they complete has been scored when it
  /// returns. A batch at or before position() has been taken in already and is passed over, and
  /// so is a stream's part of one that its restored state has.
  void process(const SampleBatch& batch, std::uint64_t position);
  /// The same of a batch that follows on the last.
  void process(const SampleBatch& batch) { process(batch, position_ + 1); }
  /// Places samples that wait for late ones, as at the end of a recording.
  void flush();
  /// Changes domains and detectors, between two windows. A stream whose domain is as it was goes
  /// on; others start to learn anew, and their open alerts end with reason "reload".
  void apply(std::shared_ptr<const DomainSet> domains);

  const std::deque<Stream>& streams() const { return streams_; }
  const Stream* find(std::string_view key) const;
  const DropCounts& drops() const { return drops_; }
  std::uint64_t samples() const { return samples_; }
  TimeNs newest() const { return newest_; }
  /// In the journal, of the last batch that was taken in.
  std::uint64_t position() const { return position_; }

  /// The numbers in streams() of those that changed since the last call.
  std::vector<std::uint32_t> take_changed();
  /// A stream's state, between two batches.
  std::vector<std::byte> save(std::uint32_t number);
  /// What the shard counts beside its streams, whose states have their own: samples of streams
  /// that are too many, and the newest time.
  std::vector<std::byte> save_counters();

  /// Makes the stream of this key from what save() gave at `position`. The bytes are not trusted.
  /// Errors   kCorrupt for bytes that are no state; kUnsupported when a newer build wrote them;
  ///          kExhausted when there are as many streams as may be; kInvalidArgument when there is
  ///          one of this key. Then nothing has changed.
  Result<Restored> restore(std::string_view key, std::uint64_t position,
                           std::span<const std::byte> state);
  /// Adds what save_counters() gave.  Errors  kCorrupt, kUnsupported.
  Status restore_counters(std::span<const std::byte> counters);
  /// All up to here has been taken in, by what was restored.
  void resume_at(std::uint64_t position) { position_ = position; }

 private:
  struct Waiting {
    Stream* stream;
    TimeNs start;
    TimeNs end;
  };

  void on_window(Windower& windower, TimeNs start, TimeNs end) override;
  void on_gap(Windower& windower) override;
  Stream* add(std::string_view key, std::uint64_t hash);
  void mark_changed(Stream& stream, std::uint32_t number);
  void count_restored(const Stream& stream);
  std::uint32_t number_of(std::string_view key, std::uint64_t hash) const;
  void prefetch(std::span<const Run* const> runs) const;
  void take(const SampleBatch& batch, const Run& run, std::uint64_t position);
  void push(Stream& stream, const SampleBatch& batch, const Run& run);
  void score_waiting();
  void judge(Stream& stream, const Waiting& window, float score, std::span<const float> normalised,
             std::span<const float> raw);
  void open_alert(Stream& stream);
  void note_peak(Stream& stream, const Waiting& window, float score, double p,
                 std::span<const float> raw);
  void end_alert(Stream& stream, alert::Change change, TimeNs at, std::string_view reason);

  const Limits limits_;
  const Share share_;
  std::shared_ptr<const DomainSet> domains_;
  Observer& observer_;
  std::deque<Stream> streams_;
  KeyIndex index_;
  Stream* current_ = nullptr;  // whose samples are being taken in
  std::vector<std::uint32_t> changed_;
  std::uint64_t position_ = 0;

  // Windows that wait to be scored together, all of one domain.
  std::vector<Waiting> waiting_;
  std::shared_ptr<const Domain> waiting_domain_;
  nn::Matrix<float> raw_;
  nn::Matrix<float> normalised_;
  std::vector<float> scores_;
  std::vector<const detect::StreamState*> states_;

  DropCounts drops_;
  std::uint64_t samples_ = 0;
  TimeNs newest_ = 0;
};

}  // namespace anomalyd::stream

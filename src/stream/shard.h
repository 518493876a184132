#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <variant>

#include "base/bounded_queue.h"
#include "base/sample_batch.h"
#include "base/time.h"
#include "stream/shard_streams.h"

namespace prometheus {
class Histogram;
}

namespace anomalyd::stream {

/// A batch on its way from the journal to the shards.
struct Delivery {
  std::shared_ptr<const SampleBatch> batch;
  std::uint64_t position = 0;           ///< in the journal, counted in batches
  std::chrono::nanoseconds accepted{};  ///< Clock::elapsed() when it was appended
};

/// Figures of a shard that any thread may read. Each is up to one batch old.
struct ShardFigures {
  std::uint64_t samples = 0;
  DropCounts drops;
  std::uint64_t streams = 0;
  TimeNs newest = 0;           ///< event time of the newest sample
  std::uint64_t position = 0;  ///< of the last batch that was scored
  std::size_t queued_samples = 0;
  std::size_t queue_capacity = 0;
  std::uint64_t heartbeat = 0;  ///< grows with each turn of the loop
};

/// Times of interest, observed once a batch. Null ones are not observed.
struct ShardTimers {
  prometheus::Histogram* score_seconds = nullptr;               ///< a batch: resample to alert
  prometheus::Histogram* accepted_to_scored_seconds = nullptr;  ///< from append to the end of it
};

/// One thread that owns its streams: takes batches in the journal's order and answers questions
/// between two of them, before any batch that waits.
///
/// Threads   reserve(), release(), offer(), ask(), between(), apply(), beat() and figures() from
/// any thread;
///           the rest from one.
class Shard {
 public:
  Shard(ShardStreams::Limits limits, ShardStreams::Share share,
        std::shared_ptr<const DomainSet> domains, Observer& observer, std::size_t queue_samples,
        const Clock& clock, ShardTimers timers);
  ~Shard();

  /// What it starts with, to be restored, and what it has ended with.
  ShardStreams& stopped_streams();
  void start();
  /// Takes room in the queue for a batch of that many samples; offer() or release() follows. False
  /// when there is none, or the shard is stopping.
  bool reserve(std::size_t samples) { return queue_.try_reserve(samples); }
  void release(std::size_t samples) { queue_.release(samples); }
  /// Puts a batch in the room that was reserved for it. False when the shard is stopping.
  bool offer(Delivery delivery);
  /// Runs `question` on the shard's thread, after the batch under way. False when the shard is
  /// stopping, or so many questions wait already that it must be stuck.
  bool ask(std::function<void(const ShardStreams&)> question);
  /// Runs `task` on the shard's thread, after the batch under way. False when it is stopping.
  bool between(std::function<void(ShardStreams&)> task);
  /// Swaps the domains, after the batch under way.
  void apply(std::shared_ptr<const DomainSet> domains);
  /// A sign of life, for an observer that waits on the shard's thread for good reason.
  void beat() { heartbeat_.fetch_add(1, std::memory_order_relaxed); }
  ShardFigures figures() const;

  /// Takes no more and finishes what waits, at most for `bound`. True when all of it is done. The
  /// thread still is to be joined.
  bool drain(std::chrono::milliseconds bound);
  /// Leaves undone what still waits and ends the thread; returns the samples left. A batch under
  /// way is finished first: it is waited for, and so is an observer that waits in it.
  std::size_t stop();

 private:
  /// Questions that may wait; there are fewer API workers than that unless a shard is stuck.
  static constexpr std::size_t kMostQuestions = 1024;
  using Question = std::function<void(ShardStreams&)>;
  using Item = std::variant<Delivery, Question>;

  void run();
  void publish();

  ShardStreams streams_;
  BoundedQueue<Item> queue_;
  const Clock& clock_;
  const ShardTimers timers_;
  std::thread thread_;
  std::atomic<bool> abandon_{false};
  std::atomic<bool> ended_{false};  ///< the thread does nothing any more
  std::atomic<std::uint64_t> heartbeat_{0};
  std::atomic<std::size_t> undone_{0};

  // Written by the shard's thread after each batch.
  struct Published {
    std::atomic<std::uint64_t> samples{0}, no_domain{0}, too_many_streams{0}, duplicate{0}, late{0},
        excess{0}, time_range{0}, streams{0}, position{0};
    std::atomic<TimeNs> newest{0};
  } published_;
};

}  // namespace anomalyd::stream

#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "app/alert_writer.h"
#include "base/time.h"
#include "store/journal.h"
#include "stream/shard.h"

namespace anomalyd::app {

/// Writes what the shards know to the database, behind the alerts that it led to, so that after a
/// crash only what came since is scored again; and lets the journal go up to there.
///
/// A round notes a shard's position and which streams have changed since the round before, then
/// saves those a slice at a time between batches, each with the position it then has, and last
/// writes the noted position as the shard's: a replay begins there, and passes over what a stream
/// has had already. So a shard with many streams stands still for a slice at a time, not for all.
///
/// Made of shards that have been restored and do not run yet.
///
/// Threads   start(), finish() and the destructor from one; request() and figures from any.
class Checkpointer {
 public:
  Checkpointer(std::vector<stream::Shard*> shards, AlertWriter& writer, store::Journal& journal,
               std::chrono::nanoseconds interval);
  ~Checkpointer();

  /// From then on a round of all shards begins `interval` after the end of the one before, or four
  /// times what that took, if that is more: it never takes more than a fifth of the time.
  void start();
  /// The next round begins at once: after a reload, before which nothing should be scored again.
  void request();
  /// Ends the thread.
  void stop();
  /// One round of shards that have been stopped, for at most `bound`. False when it did not get
  /// through; then a start will score more again.
  bool finish(std::chrono::nanoseconds bound);

  std::uint64_t rounds() const { return rounds_; }
  std::uint64_t streams() const { return streams_; }  ///< saved, so far
  std::uint64_t bytes() const { return bytes_; }      ///< the same
  double last_seconds() const { return last_seconds_; }
  /// Up to where all shards are written.
  std::uint64_t position() const { return position_; }

 private:
  using Task = std::function<void(stream::ShardStreams&)>;
  /// Runs a task between two batches of a shard; false when that did not come to pass.
  using RunOn = std::function<bool(std::size_t shard, Task task)>;
  struct Row {
    std::uint64_t position = 0;
    std::vector<std::byte> state;
  };

  void run();
  bool round(const RunOn& run_on);
  /// Half of what the journal may hold waits for a checkpoint.
  bool is_filling() const;
  bool checkpoint(std::size_t shard, const RunOn& run_on);
  std::uint64_t least_written() const;
  /// Hands it to the database's thread and waits until it is written.
  bool write(const store::ShardCheckpoint& slice);
  bool run_between(std::size_t shard, Task task);

  const std::vector<stream::Shard*> shards_;
  AlertWriter& writer_;
  store::Journal& journal_;
  const std::chrono::nanoseconds interval_;
  std::vector<Row> written_;                      ///< of each shard, of its last round
  std::vector<std::vector<std::uint32_t>> owed_;  ///< of each: streams that are to be saved
  std::thread thread_;
  std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::time_point::max();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<bool> is_stopping_{false};
  bool is_requested_ = false;  ///< under mutex_
  std::atomic<std::uint64_t> rounds_{0};
  std::atomic<std::uint64_t> streams_{0};
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<double> last_seconds_{0};
  std::atomic<std::uint64_t> position_{0};
};

}  // namespace anomalyd::app

#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "alert/alert.h"
#include "base/bounded_queue.h"
#include "base/time.h"
#include "store/database.h"

namespace anomalyd::app {

/// The database thread, the only one that writes: alerts go through its queue, and many of them
/// into one transaction. While the database does not take them it keeps them and tries again; a
/// full queue makes the shards wait, and so ingest refuse, rather than lose an alert.
///
/// Threads   put(), remove(), prune() and the figures from any thread; the rest from one.
class AlertWriter {
 public:
  AlertWriter(store::Database& database, std::size_t capacity);
  ~AlertWriter();

  void start();
  /// Both wait for room in the queue, and call `while_waiting` a few times a second meanwhile.
  /// After close() the change counts as left unwritten.
  void put(alert::Alert alert, const std::function<void()>& while_waiting);
  void remove(std::string id, const std::function<void()>& while_waiting);
  /// Writes it in the transaction of the alerts put before it, or in a later one. Then `done` is
  /// called once, on the writer's thread: whether it was written. False, and nothing happens, when
  /// there is no room for a tenth of a second, or after close().
  bool checkpoint(const store::ShardCheckpoint& checkpoint, std::function<void(bool)> done);
  /// Has resolved alerts deleted that ended before `time`, in steps between other writes. A
  /// failure is logged and not tried again.
  void prune(TimeNs time);
  /// Takes no more; what waits in put() or remove() returns.
  void close() { queue_.close(); }
  /// Writes what waits, at most for `bound`, and ends the thread; a write under way is finished
  /// first, for which the database has its own bound of some seconds. Returns the changes that
  /// were left unwritten.
  std::size_t stop(std::chrono::milliseconds bound);

  std::uint64_t writes() const { return writes_; }
  std::uint64_t failures() const { return failures_; }
  std::size_t queued() const { return queue_.size(); }
  std::size_t capacity() const { return queue_.capacity(); }
  bool failing() const { return failing_; }  ///< the last write did not go through
  /// True while changes are taken and written: nobody waits for room and no write fails.
  bool keeps_up() const { return !failing_ && waiting_ == 0; }

 private:
  struct Item {
    store::Change change;
    std::function<void(bool)> done = {};  ///< may be empty
  };

  void run();
  void push(Item item, const std::function<void()>& while_waiting);
  /// Takes up to a transaction's worth from the queue.
  void collect();
  /// Tries until it is written or the writer is told to stop.
  void write_out();
  void prune_step();
  /// False when the database did not take it.
  bool write();

  store::Database& database_;
  BoundedQueue<Item> queue_;
  std::vector<store::Change> changes_;           ///< the thread's own: a transaction's worth
  std::vector<std::function<void(bool)>> done_;  ///< the same
  std::thread thread_;
  std::atomic<std::uint64_t> writes_{0};
  std::atomic<std::uint64_t> failures_{0};
  std::atomic<bool> failing_{false};
  std::atomic<bool> abandon_{false};
  std::atomic<bool> ended_{false};  ///< the thread does nothing any more
  std::atomic<int> waiting_{0};     ///< who has waited long for room
  static constexpr TimeNs kNothing = std::numeric_limits<TimeNs>::min();
  std::atomic<TimeNs> prune_before_{kNothing};
  std::size_t pruned_ = 0;  ///< the thread's own: so far of this prune
  std::atomic<std::size_t> unwritten_{0};
};

}  // namespace anomalyd::app

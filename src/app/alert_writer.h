#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <variant>

#include "alert/alert.h"
#include "base/bounded_queue.h"
#include "store/database.h"

namespace anomalyd::app {

/// The database thread: all writes of alerts go through its queue, and many of them into one
/// transaction. While the database does not take them it keeps them and tries again; a full queue
/// makes the shards wait, and so ingest refuse, rather than lose an alert.
///
/// Threads   put(), remove() and the figures from any thread; start() and stop() from one.
class AlertWriter {
 public:
  AlertWriter(store::Database& database, std::size_t capacity);
  ~AlertWriter();

  void start();
  void put(alert::Alert alert);
  void remove(std::string id);
  /// Writes what waits, at most for `bound`, and ends the thread. Returns what was left unwritten.
  std::size_t stop(std::chrono::milliseconds bound);

  std::uint64_t writes() const { return writes_; }
  std::uint64_t failures() const { return failures_; }
  std::size_t queued() const { return queue_.size(); }
  std::size_t capacity() const { return queue_.capacity(); }
  bool failing() const { return failing_; }  ///< the last write did not go through

 private:
  struct Remove {
    std::string id;
  };
  using Item = std::variant<alert::Alert, Remove>;

  void run();
  /// False when the database did not take it.
  bool write(const std::vector<Item>& items);

  store::Database& database_;
  BoundedQueue<Item> queue_;
  std::thread thread_;
  std::atomic<std::uint64_t> writes_{0};
  std::atomic<std::uint64_t> failures_{0};
  std::atomic<bool> failing_{false};
  std::atomic<bool> abandon_{false};
  std::atomic<std::size_t> unwritten_{0};
};

}  // namespace anomalyd::app

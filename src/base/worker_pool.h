#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace anomalyd {

/// A fixed number of threads, the caller's among them, that share out the items of one task at a
/// time. Which thread does which item is open: a task whose result depends on that is a bug.
///
/// Errors    an exception that leaves a task, a run() inside a task and 2^32 items or more are
///           bugs and abort. Fewer threads start when the system has no more to give.
/// Cost      an idle thread looks for work for some microseconds, then sleeps. run() returns when
///           the items are done, whether or not every thread was awake in time to help: a machine
///           busy with other work costs the help, not the wait.
/// Threads   run() from one thread at a time, and not from inside a task. What the caller wrote
///           before run() is seen by the items, and what they wrote by the caller after it.
class WorkerPool {
 public:
  using Work = std::function<void(std::size_t item, std::size_t thread)>;

  /// `threads` counts the caller's: 1 starts none, and so does 0.
  explicit WorkerPool(std::size_t threads);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  std::size_t threads() const { return others_.size() + 1; }

  /// Calls work(item, thread) once for every item in [0, items), thread in [0, threads()), and
  /// returns when all have returned. Allocates nothing itself.
  void run(std::size_t items, const Work& work);

 private:
  void serve(std::size_t thread);
  void work_off(std::size_t thread);
  bool has_items() const;
  bool is_done() const;

  // The run's number in the upper half, how many items nobody has taken yet in the lower: one
  // word, so that a thread that comes late cannot take an item of a run that is over.
  std::atomic<std::uint64_t> open_{0};
  // Of the current run. Written while no item is taken, read by those who hold one.
  std::atomic<std::size_t> items_{0};
  std::atomic<const Work*> work_{nullptr};
  std::atomic<std::size_t> done_{0};
  std::atomic<bool> running_{false};

  std::atomic<bool> stopping_{false};
  std::mutex mutex_;  // holds no data: a sleeper checks and sleeps under it, so no call is missed
  std::condition_variable begun_;
  std::condition_variable finished_;
  int spins_ = 0;
  std::vector<std::thread> others_;
};

}  // namespace anomalyd

#include "base/worker_pool.h"

#include <algorithm>
#include <system_error>

#include "base/check.h"

namespace anomalyd {
namespace {

constexpr std::uint64_t kLeftMask = 0xffffffffU;
constexpr std::uint64_t kRunStep = kLeftMask + 1;
// Some ten microseconds: longer than the gap between two steps of one batch, shorter than what a
// neighbour on the same core would notice.
constexpr int kSpins = 256;

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// What a task throws has nowhere to go: the other threads are still at work on its data.
void call(const WorkerPool::Work& work, std::size_t item, std::size_t thread) noexcept {
  work(item, thread);
}

}  // namespace

WorkerPool::WorkerPool(std::size_t threads) {
  // Where threads outnumber cores, one that spins keeps from its core the one it waits for.
  const std::size_t cores = std::thread::hardware_concurrency();
  spins_ = threads <= cores ? kSpins : 0;
  if (threads < 2) return;
  others_.reserve(threads - 1);
  try {
    for (std::size_t thread = 1; thread < threads; ++thread) {
      others_.emplace_back([this, thread] { serve(thread); });
    }
  } catch (const std::system_error&) {
    // The system gives no more threads; the work is the same with those there are.
  }
}

WorkerPool::~WorkerPool() {
  stopping_.store(true);
  { const std::lock_guard lock(mutex_); }
  begun_.notify_all();
  for (std::thread& other : others_) other.join();
}

void WorkerPool::run(std::size_t items, const Work& work) {
  ANOMALYD_CHECK(items <= kLeftMask, "worker_pool: more items than can be counted");
  ANOMALYD_CHECK(!running_.exchange(true), "worker_pool: run() inside a task or from two threads");
  if (items < 2 || others_.empty()) {
    for (std::size_t item = 0; item < items; ++item) call(work, item, 0);
    running_.store(false);
    return;
  }
  items_.store(items, std::memory_order_relaxed);
  work_.store(&work, std::memory_order_relaxed);
  done_.store(0, std::memory_order_relaxed);
  const std::uint64_t run = (open_.load(std::memory_order_relaxed) & ~kLeftMask) + kRunStep;
  open_.store(run | items, std::memory_order_release);
  { const std::lock_guard lock(mutex_); }
  for (std::size_t i = std::min(items - 1, others_.size()); i > 0; --i) begun_.notify_one();

  work_off(0);
  for (int spin = 0; spin < spins_ && !is_done(); ++spin) pause();
  if (!is_done()) {
    std::unique_lock lock(mutex_);
    finished_.wait(lock, [this] { return is_done(); });
  }
  running_.store(false);
}

bool WorkerPool::has_items() const {
  return (open_.load(std::memory_order_acquire) & kLeftMask) != 0;
}

bool WorkerPool::is_done() const {
  return done_.load(std::memory_order_acquire) == items_.load(std::memory_order_relaxed);
}

void WorkerPool::work_off(std::size_t thread) {
  std::uint64_t open = open_.load(std::memory_order_acquire);
  while ((open & kLeftMask) != 0) {
    if (!open_.compare_exchange_weak(open, open - 1, std::memory_order_acq_rel,
                                     std::memory_order_acquire)) {
      continue;
    }
    // This item is not done yet, so the run is not over and these are its own.
    const std::size_t items = items_.load(std::memory_order_relaxed);
    const Work& work = *work_.load(std::memory_order_relaxed);
    call(work, items - static_cast<std::size_t>(open & kLeftMask), thread);
    const bool last = done_.fetch_add(1, std::memory_order_acq_rel) + 1 == items;
    if (last && thread != 0) {
      { const std::lock_guard lock(mutex_); }
      finished_.notify_one();
    }
    open = open_.load(std::memory_order_acquire);
  }
}

void WorkerPool::serve(std::size_t thread) {
  while (!stopping_.load()) {
    work_off(thread);
    for (int spin = 0; spin < spins_ && !has_items() && !stopping_.load(); ++spin) pause();
    if (has_items()) continue;
    std::unique_lock lock(mutex_);
    begun_.wait(lock, [this] { return has_items() || stopping_.load(); });
  }
}

}  // namespace anomalyd

#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

namespace anomalyd {

/// A first-in first-out queue that never holds more than `capacity` units of work. An item
/// weighs what its pusher says, one by default.
///
/// Threads   safe from any number of threads.
template <class T>
class BoundedQueue {
 public:
  explicit BoundedQueue(std::size_t capacity) : capacity_(capacity) {}

  /// False, and the item is left as it was, when it does not fit or the queue is closed. An item
  /// heavier than the capacity fits into an empty queue, so that it can pass at all.
  bool try_push(T&& item, std::size_t weight = 1) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_ || (weight_ > 0 && weight_ + weight > capacity_)) return false;
      items_.emplace_back(std::move(item), weight);
      weight_ += weight;
    }
    pushed_.notify_one();
    return true;
  }

  /// Like try_push(), for what must not be refused: it takes the item beyond the capacity.
  /// For rare messages whose number is bounded elsewhere. False only when closed.
  bool push_urgent(T&& item) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return false;
      items_.emplace_back(std::move(item), 0);
    }
    pushed_.notify_one();
    return true;
  }

  /// Waits for room. False when closed.
  bool push(T&& item, std::size_t weight = 1) {
    {
      std::unique_lock lock(mutex_);
      popped_.wait(lock, [&] { return closed_ || weight_ == 0 || weight_ + weight <= capacity_; });
      if (closed_) return false;
      items_.emplace_back(std::move(item), weight);
      weight_ += weight;
    }
    pushed_.notify_one();
    return true;
  }

  /// The oldest item; nothing after `timeout`, or when closed and empty.
  std::optional<T> pop(std::chrono::nanoseconds timeout) {
    std::unique_lock lock(mutex_);
    if (!pushed_.wait_for(lock, timeout, [&] { return closed_ || !items_.empty(); })) return {};
    if (items_.empty()) return {};
    std::pair<T, std::size_t> front = std::move(items_.front());
    items_.pop_front();
    weight_ -= front.second;
    lock.unlock();
    popped_.notify_all();
    return std::move(front.first);
  }

  /// No more pushes; what is in it can still be popped.
  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    pushed_.notify_all();
    popped_.notify_all();
  }

  bool fits(std::size_t weight) const {
    const std::lock_guard lock(mutex_);
    return !closed_ && (weight_ == 0 || weight_ + weight <= capacity_);
  }
  bool drained() const {
    const std::lock_guard lock(mutex_);
    return closed_ && items_.empty();
  }
  /// Units of work waiting.
  std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return weight_;
  }
  std::size_t capacity() const { return capacity_; }

 private:
  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::condition_variable pushed_;
  std::condition_variable popped_;
  std::deque<std::pair<T, std::size_t>> items_;
  std::size_t weight_ = 0;
  bool closed_ = false;
};

}  // namespace anomalyd

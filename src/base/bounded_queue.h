#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>

namespace anomalyd {

/// A first-in first-out queue that never holds more than `capacity` units of work. An item
/// weighs what its pusher says, one by default. Urgent items are a queue of their own, served
/// first.
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

  /// Takes room for an item that comes later, by the rules of try_push(). push_reserved() or
  /// release() follows, with the same weight.
  bool try_reserve(std::size_t weight = 1) {
    const std::lock_guard lock(mutex_);
    if (closed_ || (weight_ > 0 && weight_ + weight > capacity_)) return false;
    weight_ += weight;
    return true;
  }
  void release(std::size_t weight = 1) {
    {
      const std::lock_guard lock(mutex_);
      weight_ -= weight;
    }
    popped_.notify_all();
  }
  /// False, and the item is left as it was, only when closed; the room is given back then.
  bool push_reserved(T&& item, std::size_t weight = 1) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) {
        weight_ -= weight;
        return false;
      }
      items_.emplace_back(std::move(item), weight);
    }
    pushed_.notify_one();
    return true;
  }

  /// Puts the item before all that is not urgent, behind what is. It has no weight and is not
  /// held to the capacity, but to `most` urgent items at a time. False, and the item is left as it
  /// was, when there are as many, or when closed.
  bool push_urgent(T&& item, std::size_t most = std::numeric_limits<std::size_t>::max()) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_ || urgent_.size() >= most) return false;
      urgent_.push_back(std::move(item));
    }
    pushed_.notify_one();
    return true;
  }

  enum class Pushed { kYes, kNoRoom, kClosed };
  /// Waits for room, at most for `timeout`. Unless kYes, the item is left as it was.
  Pushed push(T&& item, std::chrono::nanoseconds timeout, std::size_t weight = 1) {
    {
      std::unique_lock lock(mutex_);
      const bool in_time = popped_.wait_for(
          lock, timeout, [&] { return closed_ || weight_ == 0 || weight_ + weight <= capacity_; });
      if (closed_) return Pushed::kClosed;
      if (!in_time) return Pushed::kNoRoom;
      items_.emplace_back(std::move(item), weight);
      weight_ += weight;
    }
    pushed_.notify_one();
    return Pushed::kYes;
  }

  /// The oldest urgent item, else the oldest; nothing after `timeout`, or when closed and empty.
  std::optional<T> pop(std::chrono::nanoseconds timeout) {
    std::unique_lock lock(mutex_);
    pushed_.wait_for(lock, timeout, [&] { return closed_ || !urgent_.empty() || !items_.empty(); });
    if (!urgent_.empty()) {
      T first = std::move(urgent_.front());
      urgent_.pop_front();
      return first;
    }
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

  bool drained() const {
    const std::lock_guard lock(mutex_);
    return closed_ && urgent_.empty() && items_.empty();
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
  std::deque<T> urgent_;
  std::deque<std::pair<T, std::size_t>> items_;
  std::size_t weight_ = 0;
  bool closed_ = false;
};

}  // namespace anomalyd

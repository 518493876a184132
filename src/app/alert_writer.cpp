#include "app/alert_writer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/time.h"

namespace anomalyd::app {
namespace {

constexpr std::size_t kBatch = 100;
constexpr std::size_t kPruneStep = 500;
/// Several to a turn of the watchdog, which is half a second or longer.
constexpr std::chrono::milliseconds kWaitSlice{100};
constexpr std::chrono::milliseconds kIdleTurn{500};
constexpr std::chrono::milliseconds kFirstRetry{100};
constexpr std::chrono::milliseconds kLastRetry{5000};

}  // namespace

AlertWriter::AlertWriter(store::Database& database, std::size_t capacity)
    : database_(database), queue_(capacity) {}

AlertWriter::~AlertWriter() {
  if (thread_.joinable()) stop(std::chrono::milliseconds(0));
}

void AlertWriter::start() {
  thread_ = std::thread([this] { run(); });
}

void AlertWriter::put(alert::Alert alert, const std::function<void()>& while_waiting) {
  push({std::move(alert)}, while_waiting);
}

void AlertWriter::remove(std::string id, const std::function<void()>& while_waiting) {
  push({store::RemovedAlert{std::move(id)}}, while_waiting);
}

bool AlertWriter::checkpoint(const store::ShardCheckpoint& checkpoint,
                             std::function<void(bool)> done) {
  using Pushed = BoundedQueue<Item>::Pushed;
  return queue_.push({checkpoint, std::move(done)}, kWaitSlice) == Pushed::kYes;
}

void AlertWriter::push(Item item, const std::function<void()>& while_waiting) {
  using Pushed = BoundedQueue<Item>::Pushed;
  Pushed pushed = queue_.push(std::move(item), kWaitSlice);
  if (pushed == Pushed::kNoRoom) {
    ++waiting_;
    do {
      while_waiting();
      pushed = queue_.push(std::move(item), kWaitSlice);
    } while (pushed == Pushed::kNoRoom);
    --waiting_;
  }
  if (pushed == Pushed::kClosed) ++unwritten_;
}

void AlertWriter::prune(TimeNs time) { prune_before_ = time; }

void AlertWriter::run() {
  while (!queue_.drained()) {
    collect();
    if (!changes_.empty()) write_out();
    prune_step();
  }
  ended_ = true;
}

void AlertWriter::collect() {
  changes_.clear();
  done_.clear();
  const bool prunes = prune_before_ != kNothing;
  std::optional<Item> item = queue_.pop(prunes ? std::chrono::milliseconds(0) : kIdleTurn);
  while (item) {
    changes_.push_back(std::move(item->change));
    if (item->done) done_.push_back(std::move(item->done));
    if (changes_.size() == kBatch) break;
    item = queue_.pop(std::chrono::milliseconds(0));
  }
}

void AlertWriter::write_out() {
  auto retry = kFirstRetry;
  bool is_written = false;
  while (!abandon_ && !is_written) {
    is_written = write();
    const auto until = system_clock().elapsed() + retry;
    while (!is_written && !abandon_ && system_clock().elapsed() < until) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    retry = std::min(retry * 2, kLastRetry);
  }
  if (!is_written) unwritten_ += changes_.size() - done_.size();
  for (const auto& done : done_) done(is_written);
}

void AlertWriter::prune_step() {
  TimeNs before = prune_before_;
  if (before == kNothing || abandon_) return;
  const auto pruned = database_.prune(before, kPruneStep);
  if (pruned.ok()) pruned_ += pruned.value();
  if (pruned.ok() && pruned.value() == kPruneStep) return;
  if (!pruned.ok()) {
    log::warn("old alerts could not be deleted", {{"error", pruned.error().message}});
  }
  if (pruned_ > 0) log::info("old alerts deleted", {{"alerts", std::to_string(pruned_)}});
  pruned_ = 0;
  // A later time that came meanwhile stays.
  prune_before_.compare_exchange_strong(before, kNothing);
}

bool AlertWriter::write() {
  const Status status = database_.write(changes_);
  if (status.ok()) {
    if (failing_.exchange(false)) log::info("the alert database takes writes again");
    writes_ += changes_.size() - done_.size();
    return true;
  }
  ++failures_;
  if (!failing_.exchange(true)) {
    log::error("alerts cannot be written; they are kept and tried again",
               {{"error", status.error().message}});
  }
  return false;
}

std::size_t AlertWriter::stop(std::chrono::milliseconds bound) {
  queue_.close();
  const auto deadline = system_clock().elapsed() + bound;
  // Not until the queue is empty: the last of it may still be being written then.
  while (!ended_ && thread_.joinable() && system_clock().elapsed() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  abandon_ = true;
  if (thread_.joinable()) thread_.join();
  return unwritten_;
}

}  // namespace anomalyd::app

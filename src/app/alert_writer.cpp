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
  push(Item(std::move(alert)), while_waiting);
}

void AlertWriter::remove(std::string id, const std::function<void()>& while_waiting) {
  push(Item(Remove{std::move(id)}), while_waiting);
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
  std::vector<Item> items;
  while (!queue_.drained()) {
    collect(items);
    if (!items.empty()) write_out(items);
    prune_step();
  }
  ended_ = true;
}

void AlertWriter::collect(std::vector<Item>& items) {
  items.clear();
  const bool prunes = prune_before_ != kNothing;
  std::optional<Item> item = queue_.pop(prunes ? std::chrono::milliseconds(0) : kIdleTurn);
  while (item) {
    items.push_back(std::move(*item));
    if (items.size() == kBatch) break;
    item = queue_.pop(std::chrono::milliseconds(0));
  }
}

void AlertWriter::write_out(const std::vector<Item>& items) {
  auto retry = kFirstRetry;
  while (!abandon_) {
    if (write(items)) return;
    const auto until = system_clock().elapsed() + retry;
    while (!abandon_ && system_clock().elapsed() < until) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    retry = std::min(retry * 2, kLastRetry);
  }
  unwritten_ += items.size();
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

bool AlertWriter::write(const std::vector<Item>& items) {
  std::vector<alert::Alert> alerts;
  Status status = Done{};
  // Runs of puts are one transaction; a remove ends a run, so that the order stays.
  const auto put_run = [&] {
    if (!alerts.empty() && status.ok()) status = database_.put(alerts);
    alerts.clear();
  };
  for (const Item& item : items) {
    if (const auto* alert = std::get_if<alert::Alert>(&item)) {
      alerts.push_back(*alert);
      continue;
    }
    put_run();
    if (status.ok()) status = database_.remove(std::get<Remove>(item).id);
  }
  put_run();
  if (status.ok()) {
    if (failing_.exchange(false)) log::info("the alert database takes writes again");
    writes_ += items.size();
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

#include "app/alert_writer.h"

#include <utility>
#include <vector>

#include "base/log.h"
#include "base/time.h"

namespace anomalyd::app {
namespace {

constexpr std::size_t kBatch = 100;
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

void AlertWriter::put(alert::Alert alert) { queue_.push(Item(std::move(alert))); }

void AlertWriter::remove(std::string id) { queue_.push(Item(Remove{std::move(id)})); }

void AlertWriter::run() {
  std::vector<Item> items;
  while (!queue_.drained()) {
    items.clear();
    std::optional<Item> item = queue_.pop(std::chrono::milliseconds(500));
    while (item) {
      items.push_back(std::move(*item));
      if (items.size() == kBatch) break;
      item = queue_.pop(std::chrono::milliseconds(0));
    }
    if (items.empty()) continue;
    auto retry = kFirstRetry;
    while (!write(items)) {
      const auto until = system_clock().elapsed() + retry;
      while (!abandon_ && system_clock().elapsed() < until) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
      if (abandon_) {
        unwritten_ += items.size();
        break;
      }
      retry = std::min(retry * 2, kLastRetry);
    }
  }
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
  while ((!queue_.drained() || failing_) && system_clock().elapsed() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  abandon_ = true;
  if (thread_.joinable()) thread_.join();
  return unwritten_;
}

}  // namespace anomalyd::app

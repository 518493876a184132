#include "stream/shard.h"

#include <prometheus/histogram.h>

#include <utility>

#include "base/check.h"

namespace anomalyd::stream {
namespace {

double seconds(std::chrono::nanoseconds span) {
  return std::chrono::duration<double>(span).count();
}

}  // namespace

Shard::Shard(ShardStreams::Limits limits, ShardStreams::Share share,
             std::shared_ptr<const DomainSet> domains, Observer& observer,
             std::size_t queue_samples, const Clock& clock, ShardTimers timers)
    : streams_(limits, share, std::move(domains), observer),
      queue_(queue_samples),
      clock_(clock),
      timers_(timers) {}

Shard::~Shard() { stop(); }

ShardStreams& Shard::stopped_streams() {
  ANOMALYD_CHECK(!thread_.joinable(), "a shard's streams are its thread's while that runs");
  return streams_;
}

void Shard::start() {
  ANOMALYD_CHECK(!thread_.joinable(), "a shard is started once");
  publish();
  thread_ = std::thread([this] { run(); });
}

bool Shard::offer(Delivery delivery) {
  const std::size_t weight = delivery.batch->samples();
  return queue_.push_reserved(Item(std::move(delivery)), weight);
}

bool Shard::ask(std::function<void(const ShardStreams&)> question) {
  return queue_.push_urgent(Item(Question(std::move(question))), kMostQuestions);
}

bool Shard::between(std::function<void(ShardStreams&)> task) {
  return queue_.push_urgent(Item(Question(std::move(task))));
}

void Shard::apply(std::shared_ptr<const DomainSet> domains) {
  queue_.push_urgent(
      Item(Question([set = std::move(domains)](ShardStreams& streams) { streams.apply(set); })));
}

void Shard::run() {
  while (!queue_.drained()) {
    // The time-out only keeps the heartbeat going while there is nothing to do.
    std::optional<Item> item = queue_.pop(std::chrono::milliseconds(100));
    beat();
    if (!item) continue;
    if (auto* question = std::get_if<Question>(&*item)) {
      (*question)(streams_);
      publish();
      continue;
    }
    const Delivery& delivery = std::get<Delivery>(*item);
    if (abandon_.load(std::memory_order_relaxed)) {
      undone_ += delivery.batch->samples();
      continue;
    }
    const auto begin = clock_.elapsed();
    streams_.process(*delivery.batch, delivery.position);
    const auto end = clock_.elapsed();
    if (timers_.score_seconds != nullptr) timers_.score_seconds->Observe(seconds(end - begin));
    if (timers_.accepted_to_scored_seconds != nullptr) {
      timers_.accepted_to_scored_seconds->Observe(seconds(end - delivery.accepted));
    }
    publish();
  }
  ended_.store(true, std::memory_order_release);
}

void Shard::publish() {
  const auto set = [](auto& to, auto value) { to.store(value, std::memory_order_relaxed); };
  set(published_.position, streams_.position());
  const DropCounts& drops = streams_.drops();
  set(published_.samples, streams_.samples());
  set(published_.no_domain, drops.no_domain);
  set(published_.too_many_streams, drops.too_many_streams);
  set(published_.duplicate, drops.duplicate);
  set(published_.late, drops.late);
  set(published_.excess, drops.excess);
  set(published_.time_range, drops.time_range);
  set(published_.streams, streams_.streams().size());
  set(published_.newest, streams_.newest());
}

ShardFigures Shard::figures() const {
  const auto get = [](const auto& from) { return from.load(std::memory_order_relaxed); };
  ShardFigures figures;
  figures.samples = get(published_.samples);
  figures.drops.no_domain = get(published_.no_domain);
  figures.drops.too_many_streams = get(published_.too_many_streams);
  figures.drops.duplicate = get(published_.duplicate);
  figures.drops.late = get(published_.late);
  figures.drops.excess = get(published_.excess);
  figures.drops.time_range = get(published_.time_range);
  figures.streams = get(published_.streams);
  figures.newest = get(published_.newest);
  figures.position = get(published_.position);
  figures.queued_samples = queue_.size();
  figures.queue_capacity = queue_.capacity();
  figures.heartbeat = get(heartbeat_);
  return figures;
}

bool Shard::drain(std::chrono::milliseconds bound) {
  queue_.close();
  if (!thread_.joinable()) return true;
  const auto deadline = clock_.elapsed() + bound;
  // Not until the queue is empty: the last batch may still be under way then.
  while (!ended_.load(std::memory_order_acquire)) {
    if (clock_.elapsed() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

std::size_t Shard::stop() {
  queue_.close();
  abandon_.store(true, std::memory_order_relaxed);
  if (thread_.joinable()) thread_.join();
  return undone_;
}

}  // namespace anomalyd::stream

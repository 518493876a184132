#include "stream/intake.h"

#include <string>
#include <utility>

#include "base/check.h"

namespace anomalyd::stream {

Result<std::uint64_t> Intake::accept(SampleBatch batch) {
  const std::size_t samples = batch.samples();
  const auto shared = std::make_shared<const SampleBatch>(std::move(batch));
  const std::lock_guard lock(mutex_);
  for (const Shard* shard : shards_) {
    if (!shard->fits(samples)) {
      const ShardFigures figures = shard->figures();
      return Error{ErrorCode::kExhausted,
                   "a shard's queue is full: " + std::to_string(figures.queued_samples) + " of " +
                       std::to_string(figures.queue_capacity) + " samples wait"};
    }
  }
  const Delivery delivery{shared, ++position_, clock_.elapsed()};
  for (Shard* shard : shards_) {
    // Nobody else pushes batches, so there still is room, unless the shard is being stopped.
    if (!shard->offer(delivery)) {
      return Error{ErrorCode::kUnavailable, "the daemon is stopping"};
    }
  }
  return position_;
}

}  // namespace anomalyd::stream

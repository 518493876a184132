#include "stream/dispatcher.h"

#include <string>

namespace anomalyd::stream {

Status Dispatcher::reserve(std::size_t samples) {
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    if (shards_[i]->reserve(samples)) continue;
    for (std::size_t taken = 0; taken < i; ++taken) shards_[taken]->release(samples);
    const ShardFigures figures = shards_[i]->figures();
    return Error{ErrorCode::kExhausted,
                 "a shard's queue is full: " + std::to_string(figures.queued_samples) + " of " +
                     std::to_string(figures.queue_capacity) + " samples wait"};
  }
  return Done{};
}

void Dispatcher::release(std::size_t samples) {
  for (Shard* shard : shards_) shard->release(samples);
}

void Dispatcher::dispatch(const std::shared_ptr<const SampleBatch>& batch, std::uint64_t position) {
  const auto now = clock_.elapsed();
  // A shard that is being stopped takes none: it is in the journal, and read again at a start.
  for (Shard* shard : shards_) static_cast<void>(shard->offer({batch, position, now}));
}

}  // namespace anomalyd::stream

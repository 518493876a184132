#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "base/sample_batch.h"
#include "stream/shard.h"

namespace anomalyd::stream {

/// The one step between a codec and the shards: append to the journal, then dispatch. Today the
/// journal is memory: a batch is held by the queues until every shard has passed it, so that an
/// accepted sample survives overload but not a crash. Positions are given in the order of
/// appending, and every shard sees the batches in that order.
///
/// Errors    kExhausted when a shard has no room for the batch: then no shard got it.
/// Threads   safe from any thread.
class Intake {
 public:
  Intake(std::vector<Shard*> shards, const Clock& clock)
      : shards_(std::move(shards)), clock_(clock) {}

  /// The position of the batch in the journal. After this the sender may be told that the samples
  /// are accepted.
  Result<std::uint64_t> accept(SampleBatch batch);

 private:
  const std::vector<Shard*> shards_;
  const Clock& clock_;
  std::mutex mutex_;
  std::uint64_t position_ = 0;
};

}  // namespace anomalyd::stream

#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "base/sample_batch.h"
#include "stream/shard.h"

namespace anomalyd::stream {

/// Hands batches to all shards, each of which takes what is its own. Room is taken before a batch
/// goes into the journal, so that none that is in there, and so will be read again after a crash,
/// is refused afterwards.
///
/// Threads   reserve() and release() from any thread; dispatch() from one at a time.
class Dispatcher {
 public:
  Dispatcher(std::vector<Shard*> shards, const Clock& clock)
      : shards_(std::move(shards)), clock_(clock) {}

  /// Takes room for that many samples in every shard's queue; dispatch() or release() follows.
  /// Errors   kExhausted when a shard has no room, then none is taken.
  Status reserve(std::size_t samples);
  void release(std::size_t samples);
  /// Puts a batch in the room reserved for it. Every shard sees batches in the order of the calls,
  /// which is to be that of the positions.
  void dispatch(const std::shared_ptr<const SampleBatch>& batch, std::uint64_t position);

 private:
  const std::vector<Shard*> shards_;
  const Clock& clock_;
};

}  // namespace anomalyd::stream

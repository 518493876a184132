#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/database.h"
#include "store/journal.h"
#include "stream/dispatcher.h"
#include "stream/shard.h"

namespace anomalyd::app {

// What a start does to go on where the daemon last ended, however it ended. In this order, between
// making the shards and taking samples.

struct Restored {
  std::uint64_t first = 0;   ///< the least position of a shard: a replay begins behind it
  std::uint64_t last = 0;    ///< the largest position of a shard or a stream
  std::size_t streams = 0;   ///< that go on
  std::size_t anew = 0;      ///< whose detector or windows have changed
  std::size_t damaged = 0;   ///< whose state is damaged: they begin anew
  std::size_t too_many = 0;  ///< over stream.max_streams
};

/// Gives the shards, which do not run yet, what the last checkpoints have of their streams.
/// Errors   kUnsupported for the state of a newer version; the database's.
Result<Restored> restore_streams(store::Database& database,
                                 const std::vector<stream::Shard*>& shards);

struct Replayed {
  std::uint64_t records = 0;
  std::uint64_t samples = 0;
  std::uint64_t unreadable = 0;  ///< records that hold no batch: passed over
};

/// Gives the running shards what the journal has behind `after`, and waits until they have scored
/// it. Errors   the journal's; kUnsupported for a batch of a newer version.
Result<Replayed> replay_journal(store::Journal& journal, std::uint64_t after,
                                stream::Dispatcher& dispatcher,
                                const std::vector<stream::Shard*>& shards);

/// Resolves alerts that are open in the database and in no stream: what they belonged to is lost.
/// Returns how many. Errors   the database's; kUnavailable when a shard does not answer.
Result<std::size_t> close_lost_alerts(store::Database& database,
                                      const std::vector<stream::Shard*>& shards);

}  // namespace anomalyd::app

#include "app/recovery.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <memory>
#include <thread>
#include <utility>

#include "app/systemd.h"
#include "base/log.h"
#include "base/stream_key.h"
#include "store/batch_codec.h"

namespace anomalyd::app {
namespace {

constexpr std::chrono::milliseconds kPoll{1};
constexpr std::chrono::seconds kAnswer{30};
constexpr std::chrono::seconds kTellEvery{1};
constexpr std::chrono::seconds kMoreTime{30};

/// The figures of damaged rows are counted anew, and told.
Status restore_figures(stream::ShardStreams& streams, const store::ShardCheckpoint& row) {
  Status done = streams.restore_counters(row.state);
  if (done.ok() || done.error().code == ErrorCode::kUnsupported) return done;
  log::error("a shard's figures are damaged and are counted anew",
             {{"shard", std::to_string(row.shard)}, {"error", done.error().message}});
  return Done{};
}

/// Where the shards begin, and their figures.
Status restore_positions(store::Database& database, const std::vector<stream::Shard*>& shards,
                         Restored& restored) {
  const auto rows = database.shard_checkpoints();
  if (!rows.ok()) return rows.error();
  // Shards write their rows one after the other: from the first start on each must have one, or a
  // crash between two of them would look like another number of shards.
  if (!rows.value().empty()) restored.first = rows.value().front().position;
  for (const store::ShardCheckpoint& row : rows.value()) {
    restored.first = std::min(restored.first, row.position);
    restored.last = std::max(restored.last, row.position);
  }
  // A shard that was added has no row, and one that was taken away leaves one behind.
  bool is_same = rows.value().size() == shards.size();
  for (std::size_t i = 0; is_same && i < shards.size(); ++i) is_same = rows.value()[i].shard == i;
  for (std::size_t i = 0; i < rows.value().size(); ++i) {
    stream::ShardStreams& streams = shards[i % shards.size()]->stopped_streams();
    const store::ShardCheckpoint& row = rows.value()[i];
    if (is_same) streams.resume_at(row.position);
    if (Status done = restore_figures(streams, row); !done.ok()) return done;
  }
  if (is_same) return Done{};
  std::vector<store::ShardCheckpoint> placed(shards.size());
  for (std::size_t i = 0; i < shards.size(); ++i) {
    stream::ShardStreams& streams = shards[i]->stopped_streams();
    streams.resume_at(restored.first);
    placed[i].shard = static_cast<std::uint32_t>(i);
    placed[i].position = restored.first;
    placed[i].state = streams.save_counters();
  }
  return database.replace_shards(placed);
}

/// Keeps the service manager from ending a start that goes on.
class Progress {
 public:
  explicit Progress(std::string_view what) : what_(what) {}
  void tell(std::uint64_t done) {
    const auto now = std::chrono::steady_clock::now();
    if (now < next_) return;
    next_ = now + kTellEvery;
    notify_starting(std::string(what_) + ": " + std::to_string(done), kMoreTime);
  }

 private:
  std::string_view what_;
  std::chrono::steady_clock::time_point next_ = std::chrono::steady_clock::now() + kTellEvery;
};

/// Every open alert of a shard.
std::vector<std::string> open_alerts(const stream::ShardStreams& streams) {
  std::vector<std::string> ids;
  for (const stream::Stream& stream : streams.streams()) {
    if (stream.open != nullptr) ids.push_back(stream.open->id);
  }
  return ids;
}

}  // namespace

Result<Restored> restore_streams(store::Database& database,
                                 const std::vector<stream::Shard*>& shards) {
  Restored restored;
  Status status = restore_positions(database, shards, restored);
  if (!status.ok()) return status.error();
  Progress progress("reads the states of streams");
  status = database.each_stream_checkpoint([&](const store::StreamCheckpoint& row) -> Status {
    progress.tell(restored.streams);
    restored.last = std::max(restored.last, row.position);
    const std::size_t shard = stream::shard_of(hash_bytes(row.stream), shards.size());
    const auto done = shards[shard]->stopped_streams().restore(row.stream, row.position, row.state);
    if (done.ok()) {
      ++(done.value() == stream::Restored::kWhole ? restored.streams : restored.anew);
      return Done{};
    }
    if (done.error().code == ErrorCode::kUnsupported) return done.error();
    if (done.error().code == ErrorCode::kExhausted) {
      ++restored.too_many;
      return Done{};
    }
    if (++restored.damaged == 1) {
      log::error("a stream's state is damaged: it begins to learn anew",
                 {{"error", done.error().message}});
    }
    return Done{};
  });
  if (!status.ok()) return status.error();
  return restored;
}

Result<Replayed> replay_journal(store::Journal& journal, std::uint64_t after,
                                stream::Dispatcher& dispatcher,
                                const std::vector<stream::Shard*>& shards) {
  Replayed replayed;
  Progress progress("scores again what came since the last checkpoint, batch");
  std::uint64_t last = 0;
  const Status status =
      journal.replay(after, [&](std::uint64_t position, std::string_view payload) -> Status {
        auto batch = store::decode_batch(payload);
        if (!batch.ok()) {
          const std::string what =
              "journal: record " + std::to_string(position) + ": " + batch.error().message;
          if (batch.error().code == ErrorCode::kUnsupported) {
            return Error{ErrorCode::kUnsupported, what};
          }
          ++replayed.unreadable;
          log::error("a record of the journal holds no batch", {{"error", what}});
          return Done{};
        }
        const auto shared = std::make_shared<const SampleBatch>(std::move(batch).value());
        while (!dispatcher.reserve(shared->samples()).ok()) {
          progress.tell(replayed.records);
          std::this_thread::sleep_for(kPoll);
        }
        progress.tell(replayed.records);
        dispatcher.dispatch(shared, position);
        ++replayed.records;
        replayed.samples += shared->samples();
        last = position;
        return Done{};
      });
  if (!status.ok()) return status.error();
  for (const stream::Shard* shard : shards) {
    while (shard->figures().position < last) {
      progress.tell(replayed.records);
      std::this_thread::sleep_for(kPoll);
    }
  }
  return replayed;
}

Result<std::size_t> close_lost_alerts(store::Database& database,
                                      const std::vector<stream::Shard*>& shards) {
  std::vector<std::string> kept;
  for (stream::Shard* shard : shards) {
    auto promise = std::make_shared<std::promise<std::vector<std::string>>>();
    auto future = promise->get_future();
    const bool is_asked = shard->ask([promise](const stream::ShardStreams& streams) {
      promise->set_value(open_alerts(streams));
    });
    if (!is_asked || future.wait_for(kAnswer) != std::future_status::ready) {
      return Error{ErrorCode::kUnavailable, "a shard does not say which alerts are open"};
    }
    const std::vector<std::string> ids = future.get();
    kept.insert(kept.end(), ids.begin(), ids.end());
  }
  return database.close_open_alerts("restart", kept);
}

}  // namespace anomalyd::app

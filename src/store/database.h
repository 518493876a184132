#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "alert/alert.h"
#include "base/result.h"
#include "base/time.h"

namespace anomalyd::store {

struct AlertQuery {
  std::optional<alert::AlertState> state = {};
  std::string stream = {};                   ///< a key's text form; empty: all
  std::vector<Label> labels = {};            ///< all must match exactly; at most kMaxLabels
  std::optional<TimeNs> from = {}, to = {};  ///< overlaps [from, to); what is still open has no end
  std::string cursor = {};                   ///< AlertPage::next of the page before
  std::size_t limit = 100;                   ///< 1 to kMaxLimit
  static constexpr std::size_t kMaxLimit = 1000;
};

struct AlertPage {
  std::vector<alert::Alert> alerts;  ///< newest start first (then by id), without their contexts
  std::string next;                  ///< empty on the last page
};

/// The state of one stream, as of a position of the journal. The bytes are the shard's.
struct StreamCheckpoint {
  std::string stream;  ///< its key's text form
  std::uint64_t position = 0;
  std::vector<std::byte> state;
};

/// What a shard has passed.
struct ShardCheckpoint {
  std::uint32_t shard = 0;
  std::uint64_t position = 0;             ///< of the last batch that was taken in
  std::vector<std::byte> state;           ///< the shard's own figures
  std::vector<StreamCheckpoint> streams;  ///< those that changed since the one before
};

struct RemovedAlert {
  std::string id;
};

/// One thing to be written.
using Change = std::variant<alert::Alert, RemovedAlert, ShardCheckpoint>;

/// The SQLite database of alerts and checkpoints, in WAL mode.
///
/// A checkpoint goes into the transaction of the alerts that came before it, so that the two never
/// tell of different positions: a shard that goes on from it makes the alerts that came after
/// again, with the same ids.
///
/// Errors    kUnavailable when the disk does not take it (a later call works again once it does),
///           kCorrupt when the file is none of ours or is damaged, kUnsupported when a newer
///           version wrote it, kInvalidArgument for a query that cannot be: cursor, limit, from
///           not before to. Each message has the path.
/// Cost      open() checks the structure of the whole file. Queries by any mix of state, stream
///           and labels walk one index in the order of the answer; put() syncs once a call.
/// Threads   safe from any thread: one connection to write, one to read, each behind a mutex, so
///           that a read never waits for a write.
class Database {
 public:
  /// Opens or makes it, folder included. A file that is none of ours is left as it is.
  static Result<std::unique_ptr<Database>> open(const std::filesystem::path& path);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  /// In order and in one transaction: after an error, none. An alert is inserted or replaced by
  /// its id, removing what is not there is no error, a checkpoint replaces its shard's row and
  /// those of its streams.
  Status write(std::span<const Change> changes);
  /// The same of alerts alone.
  Status put(std::span<const alert::Alert> alerts);

  /// The shards' rows in order, without streams; none before the first checkpoint.
  Result<std::vector<ShardCheckpoint>> shard_checkpoints() const;
  /// Hands on every stream's row, one at a time, until one is refused: that error comes back.
  Status each_stream_checkpoint(const std::function<Status(StreamCheckpoint)>& take) const;
  /// Makes these the only shards' rows, when their number is another than it was. Streams' rows
  /// stay: each has its position.
  Status replace_shards(std::span<const ShardCheckpoint> shards);

  /// Paging on is not disturbed by alerts that come or go meanwhile.
  Result<AlertPage> find(const AlertQuery& query) const;
  /// With its context. Nothing when there is none of this id.
  Result<std::optional<alert::Alert>> get(const std::string& id) const;
  /// Alerts that are pending are deleted, firing ones become resolved with this reason, at their
  /// end: for a start after a crash, when the states they belonged to are gone. Those in `kept`
  /// stay as they are: their states are there. Returns how many were resolved.
  Result<std::size_t> close_open_alerts(const std::string& reason,
                                        std::span<const std::string> kept = {});
  /// Removing what is not there is no error.
  Status remove(const std::string& id);
  /// Deletes resolved alerts that ended before `time`, at most `most`; returns how many. In steps,
  /// so that a writer need not wait for all of it. The file keeps its size and the space is used
  /// again.
  Result<std::size_t> prune(TimeNs time,
                            std::size_t most = std::numeric_limits<std::size_t>::max());
  Result<std::size_t> count() const;

 private:
  struct Impl;
  explicit Database(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace anomalyd::store

#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
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

/// The SQLite database of alerts, in WAL mode.
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

  /// Inserts or replaces by id, all of them in one transaction: after an error, none.
  Status put(std::span<const alert::Alert> alerts);
  /// Paging on is not disturbed by alerts that come or go meanwhile.
  Result<AlertPage> find(const AlertQuery& query) const;
  /// With its context. Nothing when there is none of this id.
  Result<std::optional<alert::Alert>> get(const std::string& id) const;
  /// Alerts that are pending are deleted, firing ones become resolved with this reason, at their
  /// end: for a start after a crash, when the states they belonged to are gone. Returns how many
  /// were resolved.
  Result<std::size_t> close_open_alerts(const std::string& reason);
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

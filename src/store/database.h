#pragma once

#include <cstdint>
#include <filesystem>
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
  std::optional<alert::AlertState> state;
  std::string stream;                       ///< a key's text form; empty: all
  std::vector<Label> labels;                ///< all must match
  std::optional<TimeNs> from, to;           ///< overlaps [from, to)
  std::string cursor;                       ///< AlertPage::next of the page before
  std::size_t limit = 100;                  ///< 1 to 1000
};

struct AlertPage {
  std::vector<alert::Alert> alerts;  ///< newest start first, without their contexts
  std::string next;                  ///< empty on the last page
};

/// The SQLite database of alerts, in WAL mode.
///
/// Errors    kUnavailable when the disk does not take it, kCorrupt when the file is none of ours,
///           kUnsupported when a newer version wrote it, kInvalidArgument for a bad cursor.
/// Threads   safe from any thread: one connection to write, one to read, each behind a mutex, so
///           that a read never waits for a write.
class Database {
 public:
  /// Opens or makes it, folder included.
  static Result<std::unique_ptr<Database>> open(const std::filesystem::path& path);
  ~Database();

  /// Inserts or replaces by id, all of them in one transaction.
  Status put(std::span<const alert::Alert> alerts);
  Result<AlertPage> find(const AlertQuery& query) const;
  Result<std::optional<alert::Alert>> get(const std::string& id) const;
  /// Alerts that are pending are deleted, firing ones become resolved with this reason, at their
  /// end: for a start after a crash, when the states they belonged to are gone. Returns how many
  /// were resolved.
  Result<std::size_t> close_open_alerts(const std::string& reason);
  Status remove(const std::string& id);
  /// Deletes resolved alerts that ended before `time`; returns how many.
  Result<std::size_t> prune(TimeNs time);
  Result<std::size_t> count() const;

 private:
  struct Impl;
  explicit Database(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace anomalyd::store

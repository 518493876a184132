#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "store/file_system.h"

namespace anomalyd::store {

/// When a record counts as kept, and so may be acknowledged.
enum class Sync : std::uint8_t {
  kAlways,    ///< once it is synced; a sync begins at once, for all that wait then
  kInterval,  ///< once it is synced; a sync begins `interval` after the first record that waits
  kNever,     ///< once it is written: it outlives the process, not the machine
};

std::string_view to_text(Sync sync);  ///< "always", "interval", "never"

struct JournalOptions {
  std::filesystem::path folder;
  Sync sync = Sync::kInterval;
  std::chrono::milliseconds interval{10};
  std::size_t segment_bytes = 64UL << 20U;     ///< a segment is left for a new one at that size
  std::uint64_t max_bytes = 4UL << 30U;        ///< of all segments
  std::chrono::nanoseconds retention{};        ///< how long passed segments are kept
  std::size_t queue_bytes = 64UL << 20U;       ///< of records that wait to be written
  std::chrono::milliseconds retry_every{500};  ///< while the disk takes nothing
};

/// What was amiss in the files, since open().
struct JournalDamage {
  std::uint64_t torn_bytes = 0;     ///< cut off at the end of the newest segment
  std::uint64_t damaged = 0;        ///< places that were passed over
  std::uint64_t damaged_bytes = 0;  ///< in them
  std::uint64_t missing = 0;        ///< positions that no record has
};

struct JournalFigures {
  std::uint64_t position = 0;      ///< of the last record that is kept
  std::uint64_t records = 0;       ///< kept since start()
  std::uint64_t commits = 0;       ///< groups in which they were
  double commit_seconds = 0;       ///< spent on writing and syncing them
  std::uint64_t failures = 0;      ///< writes and syncs that the disk refused
  std::uint64_t bytes = 0;         ///< of all segments
  std::uint64_t needed_bytes = 0;  ///< of segments with records that have not passed
  std::uint64_t max_bytes = 0;
  std::size_t segments = 0;
  std::size_t queued_bytes = 0;  ///< waiting to be written
  std::size_t queue_capacity = 0;
  JournalDamage damage;
};

/// Records in segment files, each with a position, one more than the one before it. JOURNAL.md
/// has the format. Used in this order: open, replay*, start, append*, stop.
///
/// Errors   kUnavailable (the disk fails, or is behind) and kExhausted (the disk, or max_bytes, is
///          full) pass: the journal tries again by itself. What was refused is not acknowledged,
///          and is not read again unless the disk that failed keeps it all the same. kCorrupt and
///          kUnsupported are of open() and replay(). Messages have the path.
/// Cost     one thread; a commit is one write and one fdatasync(2) for all that wait.
/// Threads  append(), passed(), trouble() and figures() from any thread; the rest from one.
class Journal {
 public:
  /// Makes the folder, reads the newest segment, cuts off what a crash has left half written.
  static Result<std::unique_ptr<Journal>> open(FileSystem& files, JournalOptions options,
                                               const Clock& clock);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  /// Hands over, in order, all records behind `after`. Damage is passed over, counted and logged;
  /// an error of the visitor ends it and is returned.
  using Visitor = std::function<Status(std::uint64_t position, std::string_view payload)>;
  Status replay(std::uint64_t after, const Visitor& visit);

  /// Begins to take records. Positions go on behind the last one in the files, or behind
  /// `at_least`, if that is more: where the shards are.
  void start(std::uint64_t at_least);

  /// Told, on the journal's thread and in the order of positions, where the record is, or why it
  /// is not kept.
  using Kept = std::function<void(const Result<std::uint64_t>&)>;
  /// Takes what begin_record() began and the payload was appended to. After an error `kept` is not
  /// called; kInvalidArgument for a payload over kMaxPayloadBytes.
  Status append(std::string record, Kept kept);

  /// Every shard's checkpoint is at `position` or behind it: segments that end there may go.
  void passed(std::uint64_t position);

  /// Why it takes nothing now; nothing when it does.
  std::optional<Error> trouble() const;
  JournalFigures figures() const;
  std::uint64_t last_position() const { return figures().position; }

  /// Writes what waits and ends the thread. A disk that does not answer is waited for.
  void stop();

 private:
  class Impl;
  explicit Journal(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace anomalyd::store

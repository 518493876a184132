#pragma once

// Of this module only: the segment files under a journal, without its thread.

#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "store/file_system.h"
#include "store/journal.h"

namespace anomalyd::store {

/// The segments of a folder, of which the newest may be open to be written.
///
/// Errors   as Journal's.
/// Threads  one at a time.
class SegmentFiles {
 public:
  SegmentFiles(FileSystem& files, const JournalOptions& options, const Clock& clock)
      : files_(files), options_(options), clock_(clock) {}

  /// Finds the segments, and cuts the newest after its last good record.
  Status open();
  Status replay(std::uint64_t after, const Journal::Visitor& visit);

  /// Writes numbered records, the first of which has position `first`, and syncs them as the
  /// options say. After an error the segment is left for good: what of them is in it is void.
  Status commit(std::uint64_t first, const std::vector<std::string_view>& records);
  /// Whether commit() of that much would find its place.
  Status probe(std::uint64_t first, std::uint64_t bytes);
  /// Removes segments that end at `passed` or before it: those past the retention, and with
  /// `force` all.
  void prune(std::uint64_t passed, bool force);
  /// Leaves the segment in hand.
  void close() { current_.reset(); }

  std::uint64_t last() const { return last_; }  ///< position found by open()
  std::uint64_t bytes() const;
  /// Of the segments with records after this position.
  std::uint64_t bytes_after(std::uint64_t position) const;
  std::size_t count() const { return segments_.size(); }
  const JournalDamage& damage() const { return damage_; }

 private:
  struct Segment {
    std::uint64_t first = 0;
    std::uint64_t bytes = 0;
    TimeNs created = 0;
  };

  std::filesystem::path path_of(std::uint64_t first) const;
  Status find_segments();
  Status cut_newest();
  Status replay_segment(std::size_t index, std::uint64_t after, std::uint64_t& expected,
                        const Journal::Visitor& visit);
  Status check_limit(std::uint64_t bytes) const;
  Status begin_segment(std::uint64_t first);
  Status write_all(AppendFile& file, std::string_view bytes) const;
  Status write_records(const std::vector<std::string_view>& records);
  /// Nothing that is in the open segment behind its confirmed bytes counts.
  void abandon();

  FileSystem& files_;
  const JournalOptions& options_;
  const Clock& clock_;
  std::deque<Segment> segments_;
  std::unique_ptr<AppendFile> current_;  ///< of segments_.back()
  std::string buffer_;
  std::uint64_t last_ = 0;
  JournalDamage damage_;
};

}  // namespace anomalyd::store

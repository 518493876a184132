#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace anomalyd::store {

// The bytes of a segment file, as JOURNAL.md has them: a header, then records.

inline constexpr std::uint32_t kJournalVersion = 1;
inline constexpr std::size_t kSegmentHeaderBytes = 32;
inline constexpr std::size_t kRecordHeaderBytes = 24;
/// A longer payload is refused: what a record says of its length is bounded too.
inline constexpr std::size_t kMaxPayloadBytes = 512UL << 20U;

/// What a segment says of itself.
struct SegmentHeader {
  std::uint64_t first = 0;  ///< the position that its first record has
  TimeNs created = 0;       ///< wall clock
};
std::string encode_segment_header(const SegmentHeader& header);

/// "00000000000000000042.journal": names sort as positions do.
std::string segment_name(std::uint64_t first);
/// Nothing for the name of another file.
std::optional<std::uint64_t> position_in_name(std::string_view name);

/// A record under way: room for the header, then the payload, which the caller appends.
std::string begin_record();
/// Pads it, and fills in all of the header but the position. Cost: a pass over the payload.
void seal_record(std::string& record);
/// Gives a sealed record its position.
void number_record(std::string& record, std::uint64_t position);

struct RecordView {
  std::uint64_t position = 0;
  std::string_view payload;
};

/// Goes over the good records of a segment, in the order of their positions. What is damaged is
/// passed over to the next good record.
///
/// Errors   open(): kUnsupported for a whole header of a newer version; kCorrupt for one of an
///          older version or of another file. A damaged header is no error, but counts as damage.
/// Cost     linear in the bytes, whatever they hold.
/// Threads  one at a time; `bytes` must outlive it.
class SegmentReader {
 public:
  static Result<SegmentReader> open(std::string_view bytes);

  std::optional<RecordView> next();

  /// Nothing when the header is damaged.
  const std::optional<SegmentHeader>& header() const { return header_; }
  /// The end of the last good record, or of the header.
  std::size_t good_end() const { return good_end_; }
  /// Damaged places before the last good record, and the bytes of all of them.
  std::size_t damaged() const { return damaged_; }
  std::size_t damaged_bytes() const { return damaged_bytes_; }
  /// The offset of the first of them.
  std::size_t first_damage() const { return first_damage_; }

 private:
  explicit SegmentReader(std::string_view bytes) : bytes_(bytes) {}

  std::string_view bytes_;
  std::optional<SegmentHeader> header_;
  std::size_t at_ = 0;
  std::size_t good_end_ = 0;
  std::size_t damaged_ = 0;
  std::size_t damaged_bytes_ = 0;
  std::size_t first_damage_ = 0;
  std::uint64_t last_position_ = 0;
};

}  // namespace anomalyd::store

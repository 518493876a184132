#include "store/journal_segment.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "store/crc32c.h"
#include "store/little_endian.h"

namespace anomalyd::store {
namespace {

constexpr std::string_view kMagic = "anomjrnl";
constexpr std::uint32_t kRecordMagic = 0x4352'6a61;  // "ajRC"
constexpr std::string_view kSuffix = ".journal";
constexpr std::size_t kNameDigits = 20;
constexpr std::size_t kAlign = 8;

// Of a segment's header.
constexpr std::size_t kVersionAt = 8;
constexpr std::size_t kFirstAt = 12;
constexpr std::size_t kCreatedAt = 20;
constexpr std::size_t kSegmentCrcAt = 28;

// Of a record's.
constexpr std::size_t kLengthAt = 4;
constexpr std::size_t kPositionAt = 8;
constexpr std::size_t kPayloadCrcAt = 16;
constexpr std::size_t kHeaderCrcAt = 20;

std::size_t padded(std::size_t size) { return (size + kAlign - 1) / kAlign * kAlign; }

}  // namespace

std::string encode_segment_header(const SegmentHeader& header) {
  std::string bytes(kSegmentHeaderBytes, '\0');
  kMagic.copy(bytes.data(), kMagic.size());
  put(bytes.data() + kVersionAt, kJournalVersion);
  put(bytes.data() + kFirstAt, header.first);
  put(bytes.data() + kCreatedAt, header.created);
  put(bytes.data() + kSegmentCrcAt, crc32c(std::string_view(bytes).substr(0, kSegmentCrcAt)));
  return bytes;
}

std::string segment_name(std::uint64_t first) {
  const std::string digits = std::to_string(first);
  return std::string(kNameDigits - digits.size(), '0') + digits + std::string(kSuffix);
}

std::optional<std::uint64_t> position_in_name(std::string_view name) {
  if (name.size() != kNameDigits + kSuffix.size() || !name.ends_with(kSuffix)) return {};
  std::uint64_t first = 0;
  const char* end = name.data() + kNameDigits;
  const auto [stopped, failure] = std::from_chars(name.data(), end, first);
  if (failure != std::errc() || stopped != end) return {};
  return first;
}

std::string begin_record() { return std::string(kRecordHeaderBytes, '\0'); }

void seal_record(std::string& record) {
  const std::size_t size = record.size() - kRecordHeaderBytes;
  ANOMALYD_CHECK(size <= kMaxPayloadBytes, "a record's payload is too long");
  put(record.data(), kRecordMagic);
  put(record.data() + kLengthAt, static_cast<std::uint32_t>(size));
  put(record.data() + kPayloadCrcAt, crc32c(std::string_view(record).substr(kRecordHeaderBytes)));
  record.resize(padded(record.size()));
}

void number_record(std::string& record, std::uint64_t position) {
  put(record.data() + kPositionAt, position);
  put(record.data() + kHeaderCrcAt, crc32c(std::string_view(record).substr(0, kHeaderCrcAt)));
}

Result<SegmentReader> SegmentReader::open(std::string_view bytes) {
  SegmentReader reader(bytes);
  const bool is_whole =
      bytes.size() >= kSegmentHeaderBytes &&
      get<std::uint32_t>(bytes, kSegmentCrcAt) == crc32c(bytes.substr(0, kSegmentCrcAt));
  if (!is_whole) return reader;  // next() looks for records from the first byte on
  if (!bytes.starts_with(kMagic)) return Error{ErrorCode::kCorrupt, "not a segment of a journal"};
  const auto version = get<std::uint32_t>(bytes, kVersionAt);
  if (version != kJournalVersion) {
    return Error{version > kJournalVersion ? ErrorCode::kUnsupported : ErrorCode::kCorrupt,
                 "a journal of version " + std::to_string(version) + ", expected " +
                     std::to_string(kJournalVersion)};
  }
  reader.header_ = {get<std::uint64_t>(bytes, kFirstAt), get<TimeNs>(bytes, kCreatedAt)};
  reader.at_ = reader.good_end_ = kSegmentHeaderBytes;
  return reader;
}

std::optional<RecordView> SegmentReader::next() {
  while (bytes_.size() - at_ >= kRecordHeaderBytes) {
    const std::string_view header = bytes_.substr(at_, kRecordHeaderBytes);
    const auto length = get<std::uint32_t>(header, kLengthAt);
    if (get<std::uint32_t>(header, 0) != kRecordMagic || length > kMaxPayloadBytes ||
        get<std::uint32_t>(header, kHeaderCrcAt) != crc32c(header.substr(0, kHeaderCrcAt)) ||
        length > bytes_.size() - at_ - kRecordHeaderBytes) {
      at_ += std::min(kAlign, bytes_.size() - at_);
      continue;
    }
    // The header is whole, so that it can be told where the next record is, even when the payload
    // is not: this keeps the cost linear.
    const std::string_view payload = bytes_.substr(at_ + kRecordHeaderBytes, length);
    const std::size_t end = std::min(bytes_.size(), at_ + padded(kRecordHeaderBytes + length));
    const auto position = get<std::uint64_t>(header, kPositionAt);
    const bool is_good =
        position > last_position_ && get<std::uint32_t>(header, kPayloadCrcAt) == crc32c(payload);
    if (!is_good) {
      at_ = end;
      continue;
    }
    if (at_ > good_end_) {
      if (damaged_ == 0) first_damage_ = good_end_;
      ++damaged_;
      damaged_bytes_ += at_ - good_end_;
    }
    at_ = good_end_ = end;
    last_position_ = position;
    return RecordView{position, payload};
  }
  return {};
}

}  // namespace anomalyd::store

#include "store/journal_files.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "store/journal_segment.h"

namespace anomalyd::store {
namespace {

constexpr std::string_view kUnfinished = "segment.tmp";
// Smaller records are gathered, so that a commit of many is one write.
constexpr std::size_t kGatherBytes = 256UL << 10U;
// Free space at which a full disk is tried again.
constexpr std::uint64_t kLeastFree = 1UL << 20U;

Error at_path(const std::filesystem::path& path, const Error& error) {
  return {error.code, path.string() + ": " + error.message};
}

}  // namespace

std::filesystem::path SegmentFiles::path_of(std::uint64_t first) const {
  return options_.folder / segment_name(first);
}

std::uint64_t SegmentFiles::bytes() const {
  std::uint64_t total = 0;
  for (const Segment& segment : segments_) total += segment.bytes;
  return total;
}

std::uint64_t SegmentFiles::bytes_after(std::uint64_t position) const {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    const bool has_passed = i + 1 < segments_.size() && segments_[i + 1].first <= position + 1;
    if (!has_passed) total += segments_[i].bytes;
  }
  return total;
}

Status SegmentFiles::open() {
  Status status = files_.make_folder(options_.folder);
  if (status.ok()) status = find_segments();
  if (status.ok() && !segments_.empty()) status = cut_newest();
  return status;
}

Status SegmentFiles::find_segments() {
  auto names = files_.list(options_.folder);
  if (!names.ok()) return names.error();
  for (const std::string& name : names.value()) {
    if (name == kUnfinished) {
      // A segment that a crash interrupted in the making; a failure shows when the next is made.
      static_cast<void>(files_.remove(options_.folder / name));
      continue;
    }
    const auto first = position_in_name(name);
    if (!first) continue;
    const std::filesystem::path path = path_of(*first);
    const auto size = files_.size(path);
    if (!size.ok()) return size.error();
    const auto head = files_.read(path, kSegmentHeaderBytes);
    if (!head.ok()) return head.error();
    auto reader = SegmentReader::open(head.value());
    if (!reader.ok()) return at_path(path, reader.error());
    const auto& header = reader.value().header();
    if (header && header->first != *first) {
      return Error{ErrorCode::kCorrupt, path.string() + ": begins at position " +
                                            std::to_string(header->first) +
                                            ", expected what its name says"};
    }
    segments_.push_back({*first, size.value(), header ? header->created : clock_.now()});
  }
  return Done{};
}

Status SegmentFiles::cut_newest() {
  Segment& newest = segments_.back();
  const std::filesystem::path path = path_of(newest.first);
  last_ = newest.first == 0 ? 0 : newest.first - 1;
  const auto bytes = files_.read(path);
  if (!bytes.ok()) return bytes.error();
  auto reader = SegmentReader::open(bytes.value());
  if (!reader.ok()) return at_path(path, reader.error());
  while (const auto record = reader.value().next()) last_ = record->position;
  auto file = files_.open(path);
  if (!file.ok()) return file.error();
  if (const std::size_t end = reader.value().good_end(); end < bytes.value().size()) {
    damage_.torn_bytes = bytes.value().size() - end;
    log::warn("journal: the end of a segment was half written and is cut off",
              {{"file", path.string()},
               {"offset", std::to_string(end)},
               {"bytes", std::to_string(damage_.torn_bytes)}});
    if (Status cut = file.value()->truncate(end); !cut.ok()) return cut;
    newest.bytes = end;
  }
  // What is good may yet be in memory only: it was written, but the crash came before the sync.
  return file.value()->sync();
}

Status SegmentFiles::replay(std::uint64_t after, const Journal::Visitor& visit) {
  // Without a checkpoint nobody knows what came before the first segment.
  std::uint64_t expected = after + 1;
  if (after == 0 && !segments_.empty()) expected = std::max(expected, segments_.front().first);
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    const bool is_passed = i + 1 < segments_.size() && segments_[i + 1].first <= after + 1;
    if (is_passed) continue;
    if (Status status = replay_segment(i, after, expected, visit); !status.ok()) return status;
  }
  return Done{};
}

Status SegmentFiles::replay_segment(std::size_t index, std::uint64_t after, std::uint64_t& expected,
                                    const Journal::Visitor& visit) {
  const std::filesystem::path path = path_of(segments_[index].first);
  const auto bytes = files_.read(path);
  if (!bytes.ok()) return bytes.error();
  auto opened = SegmentReader::open(bytes.value());
  if (!opened.ok()) return at_path(path, opened.error());
  SegmentReader& reader = opened.value();
  const bool is_newest = index + 1 == segments_.size();
  std::size_t damaged = 0;
  std::size_t damaged_bytes = 0;
  const auto note_missing = [&](std::uint64_t until) {
    if (until <= expected) return;
    damage_.missing += until - expected;
    log::error("journal: records are missing", {{"file", path.string()},
                                                {"from", std::to_string(expected)},
                                                {"to", std::to_string(until - 1)}});
    expected = until;
  };
  while (const auto record = reader.next()) {
    // Where the next segment begins, this one was left: its disk failed, and what it was given
    // last was written anew there, or refused.
    if (!is_newest && record->position >= segments_[index + 1].first) break;
    damaged = reader.damaged();
    damaged_bytes = reader.damaged_bytes();
    if (record->position <= after) continue;
    note_missing(record->position);
    expected = record->position + 1;
    if (Status status = visit(record->position, record->payload); !status.ok()) return status;
  }
  if (!is_newest) note_missing(segments_[index + 1].first);
  if (damaged > 0 || !reader.header()) {
    damage_.damaged += std::max<std::size_t>(1, damaged);
    damage_.damaged_bytes += damaged_bytes;
    log::error("journal: a segment is damaged; what could not be read was passed over",
               {{"file", path.string()},
                {"offset", std::to_string(reader.first_damage())},
                {"places", std::to_string(damaged)},
                {"bytes", std::to_string(damaged_bytes)}});
  }
  return Done{};
}

Status SegmentFiles::check_limit(std::uint64_t bytes) const {
  if (segments_.empty() || this->bytes() + bytes <= options_.max_bytes) return Done{};
  return Error{ErrorCode::kExhausted, options_.folder.string() + ": " +
                                          std::to_string(this->bytes()) +
                                          " bytes that no checkpoint has passed, at most " +
                                          std::to_string(options_.max_bytes) + " are allowed"};
}

Status SegmentFiles::write_all(AppendFile& file, std::string_view bytes) const {
  while (!bytes.empty()) {
    const auto written = file.write(bytes);
    if (!written.ok()) return written.error();
    bytes.remove_prefix(written.value());
  }
  return Done{};
}

Status SegmentFiles::begin_segment(std::uint64_t first) {
  current_.reset();
  const std::filesystem::path unfinished = options_.folder / kUnfinished;
  const TimeNs now = clock_.now();
  auto file = files_.create(unfinished);
  if (!file.ok()) return file.error();
  Status status = write_all(*file.value(), encode_segment_header({first, now}));
  if (status.ok()) status = file.value()->sync();
  // One of that name holds nothing that counts: it was left before anything in it was confirmed.
  if (status.ok()) status = files_.rename(unfinished, path_of(first));
  if (status.ok()) status = files_.sync_folder(options_.folder);
  if (!status.ok()) return status;
  if (!segments_.empty() && segments_.back().first == first) segments_.pop_back();
  segments_.push_back({first, kSegmentHeaderBytes, now});
  current_ = std::move(file).value();
  return Done{};
}

Status SegmentFiles::write_records(const std::vector<std::string_view>& records) {
  buffer_.clear();
  for (const std::string_view record : records) {
    if (!buffer_.empty() && buffer_.size() + record.size() > kGatherBytes) {
      if (Status status = write_all(*current_, buffer_); !status.ok()) return status;
      buffer_.clear();
    }
    if (record.size() > kGatherBytes) {
      if (Status status = write_all(*current_, record); !status.ok()) return status;
    } else {
      buffer_ += record;
    }
  }
  if (Status status = write_all(*current_, buffer_); !status.ok()) return status;
  return options_.sync == Sync::kNever ? Status(Done{}) : current_->sync();
}

Status SegmentFiles::commit(std::uint64_t first, const std::vector<std::string_view>& records) {
  std::uint64_t size = 0;
  for (const std::string_view record : records) size += record.size();
  if (Status status = check_limit(size); !status.ok()) return status;
  const bool is_full = current_ != nullptr && segments_.back().bytes > kSegmentHeaderBytes &&
                       segments_.back().bytes + size > options_.segment_bytes;
  if (current_ == nullptr || is_full) {
    if (Status status = begin_segment(first); !status.ok()) return status;
  }
  if (Status status = write_records(records); !status.ok()) {
    abandon();
    return status;
  }
  segments_.back().bytes += size;
  return Done{};
}

void SegmentFiles::abandon() {
  // Frees what was half written, where the disk lets it. It does not matter if not: a reader takes
  // nothing from here that is behind the next segment's beginning.
  static_cast<void>(current_->truncate(segments_.back().bytes));
  current_.reset();
}

Status SegmentFiles::probe(std::uint64_t first, std::uint64_t bytes) {
  if (Status status = check_limit(bytes); !status.ok()) return status;
  const auto free = files_.free_bytes(options_.folder);
  if (!free.ok()) return free.error();
  const std::uint64_t wanted = std::max(bytes, kLeastFree);
  if (free.value() < wanted) {
    return Error{ErrorCode::kExhausted, options_.folder.string() + ": " +
                                            std::to_string(free.value()) +
                                            " bytes are free, expected " + std::to_string(wanted)};
  }
  return begin_segment(first);
}

void SegmentFiles::prune(std::uint64_t passed, bool force) {
  const TimeNs oldest = clock_.now() - options_.retention.count();
  while (segments_.size() > 1 && segments_[1].first <= passed + 1) {
    const Segment& segment = segments_.front();
    const bool is_over = bytes() + options_.segment_bytes > options_.max_bytes;
    if (!force && !is_over && segment.created > oldest) return;
    const std::filesystem::path path = path_of(segment.first);
    if (Status status = files_.remove(path);
        !status.ok() && status.error().code != ErrorCode::kNotFound) {
      log::warn("journal: a segment could not be removed", {{"error", status.error().message}});
      return;
    }
    segments_.pop_front();
  }
}

}  // namespace anomalyd::store

#include "evaluate/text_table.h"

#include <algorithm>
#include <cfloat>
#include <charconv>
#include <cmath>
#include <fstream>
#include <limits>

namespace anomalyd::evaluate {
namespace {

constexpr std::uintmax_t kMaxFileBytes = std::uintmax_t{1} << 30U;
// What a message shows of a cell that is wrong.
constexpr std::size_t kMaxShown = 40;
constexpr double kMaxSeconds = 4e9;  // the year 2096; int64 nanoseconds hold it

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::string_view unquoted(std::string_view cell) {
  cell = trimmed(cell);
  if (cell.size() >= 2 && cell.front() == '"' && cell.back() == '"') {
    cell = cell.substr(1, cell.size() - 2);
  }
  return cell;
}

std::string shown(std::string_view cell) {
  std::string text(cell.substr(0, kMaxShown));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return "'" + text + (cell.size() > kMaxShown ? "...'" : "'");
}

bool is_missing(std::string_view cell) { return cell.empty() || cell == "nan" || cell == "NaN"; }

}  // namespace

Result<std::string> read_whole(const std::filesystem::path& path) {
  std::error_code failed;
  const std::uintmax_t bytes = std::filesystem::file_size(path, failed);
  if (failed) return Error{ErrorCode::kNotFound, path.string() + ": " + failed.message()};
  if (bytes > kMaxFileBytes) {
    return Error{ErrorCode::kExhausted, path.string() + ": " + std::to_string(bytes) +
                                            " bytes, expected at most " +
                                            std::to_string(kMaxFileBytes)};
  }
  std::ifstream file(path, std::ios::binary);
  std::string text(static_cast<std::size_t>(bytes), '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file) return Error{ErrorCode::kNotFound, path.string() + ": cannot be read"};
  return text;
}

std::optional<double> parse_number(std::string_view text) {
  text = trimmed(text);
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

std::optional<TimeNs> parse_time(std::string_view text) {
  text = trimmed(text);
  if (const std::optional<double> seconds = parse_number(text)) {
    if (std::abs(*seconds) > kMaxSeconds) return std::nullopt;
    return static_cast<TimeNs>(std::llround(*seconds * static_cast<double>(kNsPerSecond)));
  }
  std::string stamp(text);
  if (stamp.size() < 19 || stamp.size() > 40) return std::nullopt;
  if (stamp[10] == ' ') stamp[10] = 'T';
  if (stamp.find_first_of("Zz+-", 11) == std::string::npos) stamp += 'Z';
  const Result<TimeNs> time = parse_rfc3339(stamp);
  if (!time.ok()) return std::nullopt;
  return time.value();
}

Result<TextTable> TextTable::open(const std::filesystem::path& path) {
  Result<std::string> text = read_whole(path);
  if (!text.ok()) return text.error();
  return parse(std::move(text).value(), path.string());
}

Result<TextTable> TextTable::parse(std::string text, std::string name) {
  TextTable table;
  table.path_ = std::move(name);
  table.text_ = std::move(text);
  std::string_view header;
  if (table.text_.starts_with("\xEF\xBB\xBF")) table.at_ = 3;
  if (!table.next_line(header) || trimmed(header).empty()) {
    return table.bad("expected a header that names the columns, got nothing");
  }
  std::ptrdiff_t most = 0;
  for (const char candidate : {',', ';', '\t'}) {
    const auto count = std::count(header.begin(), header.end(), candidate);
    if (count > most) {
      most = count;
      table.separator_ = candidate;
    }
  }
  if (static_cast<std::size_t>(most) >= kMaxColumns) {
    return table.bad(std::to_string(most + 1) + " columns, expected at most " +
                     std::to_string(kMaxColumns));
  }
  table.split(header);
  for (const std::string_view cell : table.cells_) {
    if (table.find(cell)) return table.bad("the column " + shown(cell) + " occurs twice");
    table.columns_.emplace_back(cell);
  }
  return table;
}

bool TextTable::next_line(std::string_view& line) {
  if (at_ >= text_.size()) return false;
  const std::size_t end = std::min(text_.find('\n', at_), text_.size());
  line = std::string_view(text_).substr(at_, end - at_);
  at_ = end + 1;
  ++line_;
  return true;
}

void TextTable::split(std::string_view line) {
  cells_.clear();
  while (true) {
    const std::size_t end = line.find(separator_);
    cells_.push_back(unquoted(line.substr(0, end)));
    if (end == std::string_view::npos) return;
    line.remove_prefix(end + 1);
  }
}

std::optional<std::size_t> TextTable::find(std::string_view column) const {
  const auto found = std::find(columns_.begin(), columns_.end(), column);
  if (found == columns_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - columns_.begin());
}

Result<std::size_t> TextTable::need(std::string_view column) const {
  if (const auto found = find(column)) return *found;
  return Error{ErrorCode::kInvalidArgument,
               path_ + ":1: expected a column '" + std::string(column) + "', there is none"};
}

Result<bool> TextTable::next() {
  std::string_view line;
  do {
    if (!next_line(line)) return false;
  } while (trimmed(line).empty());
  split(line);
  if (cells_.size() != columns_.size()) {
    return bad(std::to_string(cells_.size()) + " cells, expected " +
               std::to_string(columns_.size()) + " as in the header");
  }
  return true;
}

Result<float> TextTable::number(std::size_t column) const {
  const std::string_view text = cells_[column];
  if (is_missing(text)) return std::numeric_limits<float>::quiet_NaN();
  const std::optional<double> value = parse_number(text);
  if (!value || std::abs(*value) > static_cast<double>(FLT_MAX)) {
    return bad("column '" + columns_[column] + "': expected a number, got " + shown(text));
  }
  return static_cast<float>(*value);
}

Result<bool> TextTable::flag(std::size_t column) const {
  const std::optional<double> value = parse_number(cells_[column]);
  if (!value || (*value != 0 && *value != 1)) {
    return bad("column '" + columns_[column] + "': expected 0 or 1, got " + shown(cells_[column]));
  }
  return *value == 1;
}

Result<TimeNs> TextTable::time(std::size_t column) const {
  if (const auto time = parse_time(cells_[column])) return *time;
  return bad("column '" + columns_[column] + "': expected a time, got " + shown(cells_[column]));
}

Error TextTable::bad(const std::string& what) const {
  return Error{ErrorCode::kInvalidArgument, path_ + ":" + std::to_string(line_) + ": " + what};
}

}  // namespace anomalyd::evaluate

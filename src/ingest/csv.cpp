#include "ingest/csv.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <system_error>

#include "base/sample_batch.h"
#include "base/stream_key.h"
#include "ingest/number.h"
#include "ingest/reject.h"

namespace anomalyd::ingest {
namespace {

using std::string_view;

constexpr std::size_t kBufferBytes = 256UL * 1024;
constexpr std::size_t kMaxRecordBytes = 1UL << 20U;

string_view trimmed(string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) {
    text.remove_suffix(1);
  }
  return text;
}

std::string lower(string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

bool is_one_of(string_view text, std::initializer_list<string_view> names) {
  return std::find(names.begin(), names.end(), text) != names.end();
}

bool is_number(string_view text) {
  double value = 0;
  return !text.empty() &&
         read_number(text.data(), text.data() + text.size(), value) == text.data() + text.size();
}

TimeNs ns_per(TimeUnit unit) {
  switch (unit) {
    case TimeUnit::kMilliseconds:
      return 1'000'000;
    case TimeUnit::kMicroseconds:
      return 1'000;
    case TimeUnit::kNanoseconds:
      return 1;
    default:
      return kNsPerSecond;
  }
}

bool is_date_time(string_view text) {
  return text.size() > 10 && text.find('-', 1) != string_view::npos &&
         text.find(':') != string_view::npos;
}

std::optional<TimeNs> read_date_time(string_view text) {
  std::string full(text);
  const bool has_zone = text.size() > 19 && text.find_first_of("Zz+-", 19) != string_view::npos;
  if (!has_zone) full += 'Z';
  const auto time = parse_rfc3339(full);
  if (!time.ok()) return std::nullopt;
  return time.value();
}

/// A count of units to nanoseconds, exactly, rounded half away from zero where it is finer.
std::optional<TimeNs> read_count(string_view text, TimeNs unit) {
  const char* p = text.data();
  const char* const end = p + text.size();
  const bool negative = p < end && *p == '-';
  if (negative) ++p;
  std::uint64_t whole = 0;
  const auto [stop, error] = std::from_chars(p, end, whole);
  if (error != std::errc()) return std::nullopt;
  __extension__ using Wide = __int128;
  Wide total = static_cast<Wide>(whole) * unit;
  p = stop;
  if (p < end && *p == '.') {
    Wide fraction = 0;
    Wide scale = 1;
    for (++p; p < end && *p >= '0' && *p <= '9'; ++p) {
      if (scale >= static_cast<Wide>(1'000'000'000'000'000'000)) continue;  // below 1e-9 ns
      fraction = fraction * 10 + (*p - '0');
      scale *= 10;
    }
    total += (fraction * unit * 2 + scale) / (scale * 2);
  }
  if (p < end && (*p == 'e' || *p == 'E')) {
    // As some tools write large numbers; no more exact than a double.
    double count = 0;
    if (read_number(text.data(), end, count) != end) return std::nullopt;
    const double ns = count * static_cast<double>(unit);
    if (!(std::abs(ns) < 9.2e18)) return std::nullopt;
    return std::llround(ns);
  }
  if (p != end || total > std::numeric_limits<TimeNs>::max()) return std::nullopt;
  const auto time = static_cast<TimeNs>(total);
  return negative ? -time : time;
}

std::optional<TimeNs> read_time(string_view text, TimeUnit unit) {
  if (unit == TimeUnit::kRfc3339) return read_date_time(text);
  if (unit == TimeUnit::kAuto && is_date_time(text)) return read_date_time(text);
  return read_count(text, ns_per(unit));
}

string_view expected_time(TimeUnit unit) {
  switch (unit) {
    case TimeUnit::kAuto:
      return "a date and time, or seconds since 1970";
    case TimeUnit::kRfc3339:
      return "a date and time (2026-11-22T04:05:06Z)";
    case TimeUnit::kSeconds:
      return "seconds since 1970";
    case TimeUnit::kMilliseconds:
      return "milliseconds since 1970";
    case TimeUnit::kMicroseconds:
      return "microseconds since 1970";
    case TimeUnit::kNanoseconds:
      return "nanoseconds since 1970";
  }
  return "a time";
}

string_view without_return(string_view line) {
  return line.ends_with('\r') ? line.substr(0, line.size() - 1) : line;
}

bool has_odd_quotes(string_view text) {
  return text.find('"') != string_view::npos && std::count(text.begin(), text.end(), '"') % 2 != 0;
}

/// The separator the header has most of, outside quotes.
char separator_of(string_view header) {
  std::array<std::size_t, 3> counts{};
  constexpr string_view kSeparators = ",;\t";
  bool quoted = false;
  for (const char c : header) {
    if (c == '"') quoted = !quoted;
    const std::size_t which = kSeparators.find(c);
    if (!quoted && which != string_view::npos) ++counts[which];
  }
  const auto most = std::max_element(counts.begin(), counts.end()) - counts.begin();
  return kSeparators[static_cast<std::size_t>(most)];
}

}  // namespace

Result<TimeUnit> parse_time_unit(string_view text) {
  if (text == "auto") return TimeUnit::kAuto;
  if (text == "s") return TimeUnit::kSeconds;
  if (text == "ms") return TimeUnit::kMilliseconds;
  if (text == "us") return TimeUnit::kMicroseconds;
  if (text == "ns") return TimeUnit::kNanoseconds;
  if (text == "rfc3339") return TimeUnit::kRfc3339;
  return Error{ErrorCode::kInvalidArgument, "not a time unit (auto, s, ms, us, ns, rfc3339): '" +
                                                std::string(shown(text)) + "'"};
}

CsvReader::CsvReader(std::unique_ptr<std::istream> input, std::string name,
                     const CsvOptions& options)
    : input_(std::move(input)), name_(std::move(name)), options_(options) {}

Result<CsvReader> CsvReader::open(const std::string& path, const CsvOptions& options) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    return Error{ErrorCode::kInvalidArgument, path + ": expected a file, got a directory"};
  }
  auto file = std::make_unique<std::ifstream>(path, std::ios::binary);
  if (!*file) {
    return Error{ErrorCode::kNotFound,
                 path + ": cannot open: " + std::generic_category().message(errno)};
  }
  return read(std::move(file), path, options);
}

Result<CsvReader> CsvReader::read(std::unique_ptr<std::istream> input, std::string name,
                                  const CsvOptions& options) {
  if (options.rate_hz != 0 && !(options.rate_hz > 0 && options.rate_hz <= 1e9)) {
    return Error{ErrorCode::kInvalidArgument,
                 name + ": rate_hz: expected above 0 and at most 1e9, got " +
                     std::to_string(options.rate_hz)};
  }
  if (options.rate_hz != 0 && !options.time_column.empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 name + ": expected a time column or a rate, got both ('" + options.time_column +
                     "' and rate_hz)"};
  }
  CsvReader reader(std::move(input), std::move(name), options);
  for (const auto step :
       {&CsvReader::read_header, &CsvReader::choose_time, &CsvReader::choose_channels}) {
    const Status status = (reader.*step)();
    if (!status.ok()) return status.error();
  }
  return reader;
}

Error CsvReader::bad(const std::string& what) const {
  return Error{ErrorCode::kInvalidArgument,
               name_ + ":" + std::to_string(std::max<std::size_t>(1, record_line_)) + ": " + what};
}

void CsvReader::fill() {
  buffer_.erase(0, at_);
  at_ = 0;
  const std::size_t kept = buffer_.size();
  buffer_.resize(kept + kBufferBytes);
  input_->read(buffer_.data() + kept, static_cast<std::streamsize>(kBufferBytes));
  buffer_.resize(kept + static_cast<std::size_t>(input_->gcount()));
  at_end_ = !*input_;
}

/// The next line that is not empty; a quoted cell may hold newlines. It stays until the next call.
Result<bool> CsvReader::next_record(string_view& record) {
  std::size_t looked = 0;  // bytes behind at_ that are known to hold no end of the record
  bool quoted = false;
  std::size_t newlines = 0;
  for (;;) {
    const string_view rest = string_view(buffer_).substr(at_);
    const std::size_t newline = rest.find('\n', looked);
    if (newline == string_view::npos && !at_end_ && rest.size() <= kMaxRecordBytes) {
      fill();
      continue;
    }
    const std::size_t stop = std::min(newline, rest.size());
    const string_view piece = rest.substr(looked, std::max(stop, looked) - looked);
    if (has_odd_quotes(piece)) quoted = !quoted;
    newlines += newline != string_view::npos ? 1 : 0;
    if (stop <= kMaxRecordBytes && quoted && newline != string_view::npos) {
      looked = newline + 1;
      continue;
    }
    if (rest.empty()) return false;
    record_line_ = line_ + 1;
    line_ += newlines + (newline == string_view::npos ? 1 : 0);
    if (quoted || stop > kMaxRecordBytes) {
      buffer_.clear();  // what follows cannot be told from this row: there is nothing more
      at_ = 0;
      at_end_ = true;
      return bad(quoted ? "a quote is not closed"
                        : "a row of more than " + std::to_string(kMaxRecordBytes) + " bytes");
    }
    at_ += std::min(stop + 1, rest.size());
    record = without_return(rest.substr(0, stop));
    if (!record.empty()) return true;
    looked = 0;
    newlines = 0;
  }
}

/// Takes a cell and the separator behind it off the front. False when there is none left.
bool CsvReader::next_cell(const char*& p, const char* end, string_view& cell) {
  if (p > end || p == nullptr) return false;
  const char* const begin = p;
  const char* stop = begin;
  while (stop < end && *stop != separator_ && *stop != '"') ++stop;
  if (stop < end && *stop == '"') {
    bool quoted = false;
    for (stop = begin; stop < end && (quoted || *stop != separator_); ++stop) {
      if (*stop == '"') quoted = !quoted;
    }
    cell = trimmed({begin, static_cast<std::size_t>(stop - begin)});
    if (cell.size() >= 2 && cell.front() == '"' && cell.back() == '"') {
      unquoted_.clear();
      cell = cell.substr(1, cell.size() - 2);
      for (std::size_t i = 0; i < cell.size(); ++i) {
        unquoted_ += cell[i];
        if (cell[i] == '"') ++i;  // a doubled quote
      }
      cell = trimmed(unquoted_);
    }
  } else {
    cell = trimmed({begin, static_cast<std::size_t>(stop - begin)});
  }
  p = stop < end ? stop + 1 : nullptr;
  return true;
}

Status CsvReader::read_header() {
  string_view record;
  const auto found = next_record(record);
  if (!found.ok()) return found.error();
  if (!found.value()) return bad("expected a header with column names, got an empty file");
  if (record.starts_with("\xef\xbb\xbf")) record.remove_prefix(3);
  separator_ = separator_of(record);
  const char* p = record.data();
  bool all_numbers = true;
  for (string_view cell; next_cell(p, record.data() + record.size(), cell);) {
    all_numbers = all_numbers && is_number(cell);
    columns_.push_back({std::string(cell), -1, false});
  }
  if (all_numbers) {
    return bad("expected a header with column names, got the numbers '" +
               std::string(shown(record)) + "'");
  }
  return Done{};
}

Status CsvReader::choose_time() {
  const std::string& wanted = options_.time_column;
  for (const string_view name : {"time", "timestamp", "datetime", "ts", "date"}) {
    for (Column& column : columns_) {
      if (has_time_ || (wanted.empty() ? lower(column.name) != name : column.name != wanted)) {
        continue;
      }
      column.is_time = true;
      has_time_ = true;
    }
  }
  if (has_time_ || options_.rate_hz > 0) return Done{};
  if (!wanted.empty()) return bad("no column '" + wanted + "' for the time");
  return bad(
      "expected a column named time, timestamp, datetime, ts or date, or the name of the time "
      "column, or a rate");
}

Status CsvReader::add_channel(std::size_t column) {
  const std::string& name = columns_[column].name;
  if (!name_is_valid(name)) {
    return bad("column " + std::to_string(column + 1) + ": '" + std::string(shown(name)) +
               "' cannot name a channel");
  }
  if (columns_[column].channel >= 0 ||
      std::find(channels_.begin(), channels_.end(), name) != channels_.end()) {
    return bad("column '" + name + "' is there twice");
  }
  if (channels_.size() == kMaxChannels) {
    return bad("more than " + std::to_string(kMaxChannels) + " channels");
  }
  columns_[column].channel = static_cast<int>(channels_.size());
  channels_.push_back(name);
  return Done{};
}

Status CsvReader::choose_channels() {
  for (const std::string& wanted : options_.channels) {
    const auto found = std::find_if(columns_.begin(), columns_.end(), [&](const Column& column) {
      return column.name == wanted && !column.is_time;
    });
    if (found == columns_.end()) {
      std::string known;
      for (const Column& column : columns_) known += (known.empty() ? "" : ", ") + column.name;
      return bad("no column '" + wanted + "' for a channel; the file has " +
                 std::string(known.substr(0, 256)));
    }
    Status added = add_channel(static_cast<std::size_t>(found - columns_.begin()));
    if (!added.ok()) return added;
  }
  for (std::size_t i = 0; options_.channels.empty() && i < columns_.size(); ++i) {
    if (columns_[i].is_time ||
        is_one_of(lower(columns_[i].name), {"label", "anomaly", "changepoint"})) {
      continue;
    }
    Status added = add_channel(i);
    if (!added.ok()) return added;
  }
  if (channels_.empty()) return bad("expected at least one column with values");
  return Done{};
}

Status CsvReader::read_row(string_view record, TimeNs& time, std::span<float> values) {
  const char* p = record.data();
  const char* const end = p + record.size();
  std::size_t index = 0;
  string_view cell;
  for (; next_cell(p, end, cell); ++index) {
    if (index >= columns_.size()) continue;  // counted for the message
    const Column& column = columns_[index];
    if (column.channel >= 0) {
      float& value = values[static_cast<std::size_t>(column.channel)];
      double wide = 0;
      const char* const stop = cell.data() + cell.size();
      if (cell.empty() || (cell.size() == 3 && lower(cell) == "nan")) {
        value = std::numeric_limits<float>::quiet_NaN();
      } else if (read_number(cell.data(), stop, wide) == stop && fits_float(wide)) {
        value = static_cast<float>(wide);
      } else {
        return bad("column '" + column.name + "': expected a number, got '" +
                   std::string(shown(cell)) + "'");
      }
    } else if (column.is_time && options_.rate_hz == 0) {
      const auto read = read_time(cell, options_.time_unit);
      if (!read) {
        return bad("column '" + column.name + "': expected " +
                   std::string(expected_time(options_.time_unit)) + ", got '" +
                   std::string(shown(cell)) + "'");
      }
      time = *read;
    }
  }
  if (index != columns_.size()) {
    return bad("expected " + std::to_string(columns_.size()) + " columns, got " +
               std::to_string(index));
  }
  return Done{};
}

Result<bool> CsvReader::next(TimeNs& time, std::span<float> values) {
  ANOMALYD_CHECK(values.size() == channels_.size(), "csv: one value a channel");
  for (;;) {
    string_view record;
    const auto found = next_record(record);
    if (found.ok() && !found.value()) return false;
    if (!found.ok()) return found.error();
    Status read = read_row(record, time, values);
    if (read.ok() && options_.rate_hz > 0) {
      const long double offset =
          static_cast<long double>(row_) * 1e9L / static_cast<long double>(options_.rate_hz);
      if (offset > 9.2e18L || __builtin_add_overflow(options_.start, std::llround(offset), &time)) {
        read = bad("row " + std::to_string(row_) + " at this rate is beyond the year 2262");
      }
    }
    ++row_;  // also a bad row takes its time
    if (read.ok()) return true;
    if (!options_.skip_bad_rows) return read.error();
    if (skipped_++ == 0) first_skipped_ = read.error().message;
  }
}

}  // namespace anomalyd::ingest

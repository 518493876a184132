#pragma once

#include <cstddef>
#include <cstdint>
#include <istream>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace anomalyd::ingest {

/// What the numbers of a time column count. kAuto: a date and time is one, a number is seconds.
enum class TimeUnit { kAuto, kSeconds, kMilliseconds, kMicroseconds, kNanoseconds, kRfc3339 };

/// "auto", "s", "ms", "us", "ns" or "rfc3339".
Result<TimeUnit> parse_time_unit(std::string_view text);

struct CsvOptions {
  /// Empty: the first of time, timestamp, datetime, ts and date that the header has.
  std::string time_column;
  TimeUnit time_unit = TimeUnit::kAuto;
  /// Above 0: row i is at start + i / rate_hz, and a time column is only looked over.
  double rate_hz = 0;
  TimeNs start = 0;
  /// Empty: all columns but the time and those named label, anomaly or changepoint.
  std::vector<std::string> channels;
  bool skip_bad_rows = false;
};

/// Reads a recording row by row: a header that names the columns, then numbers. The separator
/// (comma, semicolon or tab) is what the header has most of; cells may be quoted; an empty cell
/// or "nan" is a missing value; an empty line is none.
///
/// Units     times as TimeNs: whole and decimal numbers are exact, a date and time without a
///           zone is UTC; values in the file's own units.
/// Errors    open(): kNotFound, or kInvalidArgument for a header that does not fit the options.
///           next(): kInvalidArgument "file:line: column 'x': expected a number, got 'y'";
///           the row is dropped and the next call goes on behind it. A quote that is never
///           closed and a row over 1 MiB end the file, also with skip_bad_rows.
/// Cost      holds one buffer of the file and one row, at most 1 MiB, whatever the file's size.
/// Threads   none of its own.
class CsvReader {
 public:
  static Result<CsvReader> open(const std::string& path, const CsvOptions& options);
  /// The same from any stream; `name` is for messages.
  static Result<CsvReader> read(std::unique_ptr<std::istream> input, std::string name,
                                const CsvOptions& options);

  const std::vector<std::string>& channels() const { return channels_; }
  /// Reads the next row into `values`, one for each channel. False at the end.
  Result<bool> next(TimeNs& time, std::span<float> values);

  /// Lines read, the header among them.
  std::size_t line() const { return line_; }
  /// Bad rows left out, and what was wrong with the first of them.
  std::size_t skipped() const { return skipped_; }
  const std::string& first_skipped() const { return first_skipped_; }

 private:
  struct Column {
    std::string name;
    int channel = -1;  // where its number goes
    bool is_time = false;
  };

  CsvReader(std::unique_ptr<std::istream> input, std::string name, const CsvOptions& options);
  Status read_header();
  Status choose_time();
  Status choose_channels();
  Status add_channel(std::size_t column);

  Result<bool> next_record(std::string_view& record);
  void fill();
  bool next_cell(const char*& p, const char* end, std::string_view& cell);
  Status read_row(std::string_view record, TimeNs& time, std::span<float> values);
  Error bad(const std::string& what) const;

  std::unique_ptr<std::istream> input_;
  std::string name_;
  CsvOptions options_;
  char separator_ = ',';
  std::vector<Column> columns_;
  std::vector<std::string> channels_;
  bool has_time_ = false;

  std::string buffer_;
  std::size_t at_ = 0;   // first byte not yet read
  bool at_end_ = false;  // of the file: buffer_ has the rest
  std::string unquoted_;
  std::size_t line_ = 0;         // lines taken from the buffer
  std::size_t record_line_ = 0;  // where the record began
  std::uint64_t row_ = 0;        // data rows given or skipped
  std::size_t skipped_ = 0;
  std::string first_skipped_;
};

}  // namespace anomalyd::ingest

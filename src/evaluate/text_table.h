#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace anomalyd::evaluate {

/// The bytes of a file, at most 1 GiB.  Errors  kNotFound, kExhausted, naming the file.
Result<std::string> read_whole(const std::filesystem::path& path);

/// A delimited text file, whole in memory, read row by row.
///
/// Errors    open(): read_whole()'s, kInvalidArgument for a file without a header, a column named
///           twice, more than kMaxColumns. next() and the others: kInvalidArgument
///           "file:line: column 'x': expected a number, got 'y'".
/// Threads   one at a time.
class TextTable {
 public:
  static constexpr std::size_t kMaxColumns = 1024;

  /// The separator (comma, semicolon or tab) is what the header has most of. Cells may be quoted
  /// as a whole; a separator within quotes is not understood and makes too many cells.
  static Result<TextTable> open(const std::filesystem::path& path);
  /// The same of text that is there already; `name` is for messages.
  static Result<TextTable> parse(std::string text, std::string name);

  const std::vector<std::string>& columns() const { return columns_; }
  std::optional<std::size_t> find(std::string_view column) const;
  /// The column of this name.  Errors  kInvalidArgument with the header's line.
  Result<std::size_t> need(std::string_view column) const;

  /// Goes to the next row that is not empty; false at the end.
  Result<bool> next();
  /// A finite float; NaN for an empty cell, "nan" and "NaN".
  Result<float> number(std::size_t column) const;
  /// 0 or 1, also as "0.0" and "1.0".
  Result<bool> flag(std::size_t column) const;
  /// A number of seconds, or a date and time, UTC where it has no zone.
  Result<TimeNs> time(std::size_t column) const;

  Error bad(const std::string& what) const;

 private:
  bool next_line(std::string_view& line);
  void split(std::string_view line);

  std::string path_;
  std::string text_;
  std::size_t at_ = 0;
  std::size_t line_ = 0;
  char separator_ = ',';
  std::vector<std::string> columns_;
  std::vector<std::string_view> cells_;
};

/// "2020-03-09 10:14:33.5", with 'T' or a zone too, or a number of seconds. Nothing: not a time.
std::optional<TimeNs> parse_time(std::string_view text);

/// The whole text as a finite number. Nothing: it is none.
std::optional<double> parse_number(std::string_view text);

}  // namespace anomalyd::evaluate

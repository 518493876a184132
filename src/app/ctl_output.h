#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace anomalyd::app::ctl {

/// Exit status of anomalyctl, for scripts.
enum Exit : int {
  kOk = 0,
  kFailed = 1,       ///< bad data, bad file, or the server refused
  kUsage = 2,        ///< the command line is wrong
  kUnreachable = 3,  ///< no server there
};

/// Where a command prints: results to `out`, progress and errors to `err`.
struct Console {
  std::ostream& out;
  std::ostream& err;
  bool err_is_tty = false;
};

/// "anomalyctl: message" on `err`; gives `exit` back.
int fail(Console& console, const Error& error, Exit exit = kFailed);

/// Rows of cells as plain text: columns padded to their widest cell, two spaces between them,
/// numbers may be right-aligned. Widths count UTF-8 code points.
class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  /// As many cells as there are columns.
  void add(std::vector<std::string> cells);
  std::size_t rows() const { return rows_.size(); }
  /// Titles first; no titles when all of them are empty. No trailing spaces.
  void print(std::ostream& out) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// One line that says how far a command is: rewritten in place on a terminal, otherwise a new line
/// every few seconds, so that a log stays short.
class Progress {
 public:
  explicit Progress(Console& console, const Clock& clock = system_clock());
  /// Asks for the text only when it is time to show it.
  void update(const std::function<std::string()>& text);
  /// Ends the line on a terminal; nothing elsewhere.
  void finish();

 private:
  Console& console_;
  const Clock& clock_;
  std::chrono::nanoseconds next_;
  std::size_t shown_ = 0;  // width of the line on the terminal
};

/// "[##########..........]  50 %" for a share in [0, 1].
std::string progress_bar(double share);
/// "42 s", "3 min 5 s", "2 h 10 min".
std::string duration_text(double seconds);

/// Nine significant digits, as printf's %.9g in the C locale: every float32 survives.
void append_float(std::string& out, float value);
/// The shortest digits that read back as the same double; "null" when it is not finite.
std::string json_number(double value);
/// A JSON string with its quotes. Bytes that are no UTF-8 are replaced.
std::string json_string(std::string_view text);
/// printf's %.*g.
std::string short_number(double value, int digits);

}  // namespace anomalyd::app::ctl

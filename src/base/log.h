#pragma once

#include <atomic>
#include <chrono>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace anomalyd::log {

/// DEBUG for developers; INFO for changes that an operator wants in a timeline; WARN for what
/// will need attention; ERROR for degraded results while we go on; FATAL just before exit.
enum class Level { kDebug, kInfo, kWarn, kError, kFatal };
enum class Format { kLogfmt, kJson };

/// A line is a message and fields: `level=info msg="detector loaded" name=bearing version=3`.
using Field = std::pair<std::string_view, std::string>;
using Fields = std::initializer_list<Field>;

/// "debug", "info", "warn", "error", "fatal"; "logfmt", "json".
std::string_view to_text(Level level);
std::string_view to_text(Format format);

/// To stderr. `journald` puts the "<6>" priority before each line, as sd-daemon(3) has it.
/// Threads   call it before threads start; it may be called again for level and format.
void configure(Level level, Format format, bool journald);

void write(Level level, std::string_view message, Fields fields = {});
inline void debug(std::string_view message, Fields fields = {}) {
  write(Level::kDebug, message, fields);
}
inline void info(std::string_view message, Fields fields = {}) {
  write(Level::kInfo, message, fields);
}
inline void warn(std::string_view message, Fields fields = {}) {
  write(Level::kWarn, message, fields);
}
inline void error(std::string_view message, Fields fields = {}) {
  write(Level::kError, message, fields);
}

/// Lets one line through per period and counts what it swallows, for lines that bad input can
/// cause. One object a place.
/// Threads   safe from any thread.
class Throttle {
 public:
  explicit Throttle(std::chrono::seconds period = std::chrono::seconds(10)) : period_(period) {}
  /// True when a line may be written now; then `suppressed` is how many were not since the last.
  bool allow(unsigned& suppressed);

 private:
  const std::chrono::seconds period_;
  std::atomic<std::int64_t> next_{0};
  std::atomic<unsigned> swallowed_{0};
};

}  // namespace anomalyd::log

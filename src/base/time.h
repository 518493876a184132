#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace anomalyd {

/// Event time: nanoseconds since the Unix epoch, UTC, leap seconds not counted.
using TimeNs = std::int64_t;

inline constexpr TimeNs kNsPerSecond = 1'000'000'000;

/// "2026-11-22T04:05:06.123456789Z": UTC, fraction only as long as it needs to be.
std::string to_rfc3339(TimeNs time);

/// RFC 3339 date-time with any offset and at most nine fractional digits.
/// Errors   kInvalidArgument when it is no such time or lies outside int64 nanoseconds
///          (1677-09-21 to 2262-04-11).
Result<TimeNs> parse_rfc3339(std::string_view text);

/// "250ms", "30s", "5m", "2h", "1d", "1w" (a whole or decimal number and one unit).
Result<std::chrono::nanoseconds> parse_duration(std::string_view text);

/// Where time comes from. An argument, so that tests can set it.
/// Threads   both are safe to call from any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Wall clock, for time stamps that a person or another machine reads.
  virtual TimeNs now() const = 0;
  /// Monotonic clock, for durations and time-outs.
  virtual std::chrono::nanoseconds elapsed() const = 0;
};

/// The operating system's clocks.
const Clock& system_clock();

}  // namespace anomalyd

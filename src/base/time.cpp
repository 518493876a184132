#include "base/time.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <ctime>

namespace anomalyd {
namespace {

class SystemClock final : public Clock {
 public:
  TimeNs now() const override {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
  std::chrono::nanoseconds elapsed() const override {
    return std::chrono::steady_clock::now().time_since_epoch();
  }
};

Error not_a_time(std::string_view text) {
  return Error{ErrorCode::kInvalidArgument, "not an RFC 3339 time (2026-11-22T04:05:06.5Z): '" +
                                                std::string(text.substr(0, 64)) + "'"};
}

/// Reads exactly `digits` decimal digits at `at`; -1 when they are not there.
int read_digits(std::string_view text, std::size_t at, std::size_t digits) {
  if (at + digits > text.size()) return -1;
  int value = 0;
  for (std::size_t i = at; i < at + digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return -1;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

std::string to_rfc3339(TimeNs time) {
  TimeNs seconds = time / kNsPerSecond;
  TimeNs fraction = time % kNsPerSecond;
  if (fraction < 0) {
    fraction += kNsPerSecond;
    --seconds;
  }
  const std::time_t whole = seconds;
  std::tm parts{};
  gmtime_r(&whole, &parts);
  std::array<char, 64> buffer{};
  const std::size_t size = std::strftime(buffer.data(), buffer.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::string text(buffer.data(), size);
  if (fraction != 0) {
    std::array<char, 16> digits{};
    std::snprintf(digits.data(), digits.size(), ".%09lld", static_cast<long long>(fraction));
    text += digits.data();
    while (text.back() == '0') text.pop_back();
  }
  return text + "Z";
}

Result<TimeNs> parse_rfc3339(std::string_view text) {
  const int year = read_digits(text, 0, 4);
  const int month = read_digits(text, 5, 2);
  const int day = read_digits(text, 8, 2);
  const int hour = read_digits(text, 11, 2);
  const int minute = read_digits(text, 14, 2);
  const int second = read_digits(text, 17, 2);
  if (year < 0 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 ||
      minute < 0 || minute > 59 || second < 0 || second > 60 || text[4] != '-' || text[7] != '-' ||
      (text[10] != 'T' && text[10] != 't' && text[10] != ' ') || text[13] != ':' ||
      text[16] != ':') {
    return not_a_time(text);
  }
  std::size_t at = 19;
  std::int64_t fraction = 0;
  if (at < text.size() && text[at] == '.') {
    const std::size_t first = ++at;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
      if (at - first >= 9) return not_a_time(text);
      fraction = fraction * 10 + (text[at++] - '0');
    }
    if (at == first) return not_a_time(text);
    for (std::size_t digits = at - first; digits < 9; ++digits) fraction *= 10;
  }
  std::int64_t offset_seconds = 0;
  if (at + 1 == text.size() && (text[at] == 'Z' || text[at] == 'z')) {
    ++at;
  } else {
    const int offset_hours = read_digits(text, at + 1, 2);
    const int offset_minutes = read_digits(text, at + 4, 2);
    if (at + 6 != text.size() || (text[at] != '+' && text[at] != '-') || text[at + 3] != ':' ||
        offset_hours < 0 || offset_hours > 23 || offset_minutes < 0 || offset_minutes > 59) {
      return not_a_time(text);
    }
    offset_seconds = (offset_hours * 60 + offset_minutes) * 60;
    if (text[at] == '-') offset_seconds = -offset_seconds;
  }
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return not_a_time(text);
  const std::int64_t seconds =
      std::int64_t{std::chrono::sys_days(date).time_since_epoch().count()} * 86400 + hour * 3600 +
      minute * 60 + second - offset_seconds;
  TimeNs result = 0;
  if (__builtin_mul_overflow(seconds, kNsPerSecond, &result) ||
      __builtin_add_overflow(result, fraction, &result)) {
    return not_a_time(text);
  }
  return result;
}

Result<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  double number = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  double scale = 0;
  if (unit == "ns") scale = 1;
  if (unit == "us") scale = 1e3;
  if (unit == "ms") scale = 1e6;
  if (unit == "s") scale = 1e9;
  if (unit == "m") scale = 60e9;
  if (unit == "h") scale = 3600e9;
  if (unit == "d") scale = 86400e9;
  if (unit == "w") scale = 7 * 86400e9;
  const double total = number * scale;
  if (ec != std::errc() || scale == 0 || !(total >= 0) || total > 9e18) {
    return Error{ErrorCode::kInvalidArgument, "not a duration (30s, 250ms, 5m, 2h, 1d): '" +
                                                  std::string(text.substr(0, 64)) + "'"};
  }
  return std::chrono::nanoseconds(std::llround(total));
}

}  // namespace anomalyd

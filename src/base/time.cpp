#include "base/time.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <optional>

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

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Reads exactly `digits` decimal digits at `at`; -1 when they are not there.
int read_digits(std::string_view text, std::size_t at, std::size_t digits) {
  if (at + digits > text.size()) return -1;
  int value = 0;
  for (std::size_t i = at; i < at + digits; ++i) {
    if (!is_digit(text[i])) return -1;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

constexpr std::size_t kDateAndTimeSize = 19;

/// Seconds since the epoch of "2026-11-22T04:05:06", all of `text`.
std::optional<std::int64_t> read_date_and_time(std::string_view text) {
  if (text.size() != kDateAndTimeSize || text[4] != '-' || text[7] != '-' ||
      std::string_view("Tt ").find(text[10]) == std::string_view::npos || text[13] != ':' ||
      text[16] != ':') {
    return std::nullopt;
  }
  const int year = read_digits(text, 0, 4);
  const int month = read_digits(text, 5, 2);
  const int day = read_digits(text, 8, 2);
  const int hour = read_digits(text, 11, 2);
  const int minute = read_digits(text, 14, 2);
  const int second = read_digits(text, 17, 2);
  if (std::min({year, month, day, hour, minute, second}) < 0 || hour > 23 || minute > 59 ||
      second > 60) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  return std::int64_t{std::chrono::sys_days(date).time_since_epoch().count()} * 86400 +
         std::int64_t{hour} * 3600 + std::int64_t{minute} * 60 + second;
}

/// Nanoseconds of ".5", taken off the front of `text`; 0 when it has none.
std::optional<std::int64_t> take_fraction(std::string_view& text) {
  if (text.empty() || text.front() != '.') return 0;
  text.remove_prefix(1);
  std::int64_t fraction = 0;
  std::size_t digits = 0;
  for (; digits < text.size() && is_digit(text[digits]); ++digits) {
    if (digits >= 9) return std::nullopt;
    fraction = fraction * 10 + (text[digits] - '0');
  }
  if (digits == 0) return std::nullopt;
  text.remove_prefix(digits);
  for (; digits < 9; ++digits) fraction *= 10;
  return fraction;
}

/// Seconds east of Greenwich of "Z" or "+01:00", all of `text`.
std::optional<std::int64_t> read_offset(std::string_view text) {
  if (text == "Z" || text == "z") return 0;
  if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') return std::nullopt;
  const int hours = read_digits(text, 1, 2);
  const int minutes = read_digits(text, 4, 2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return std::nullopt;
  const std::int64_t seconds = (std::int64_t{hours} * 60 + minutes) * 60;
  return text[0] == '-' ? -seconds : seconds;
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
  const auto day_seconds = read_date_and_time(text.substr(0, kDateAndTimeSize));
  std::string_view rest = text.substr(std::min(text.size(), kDateAndTimeSize));
  const auto fraction = take_fraction(rest);
  const auto offset = read_offset(rest);
  TimeNs result = 0;
  if (!day_seconds || !fraction || !offset ||
      __builtin_mul_overflow(*day_seconds - *offset, kNsPerSecond, &result) ||
      __builtin_add_overflow(result, *fraction, &result)) {
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

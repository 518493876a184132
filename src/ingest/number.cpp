#include "ingest/number.h"

#include <charconv>
#include <limits>
#include <system_error>

namespace anomalyd::ingest {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Reads the exponent "e-12" at `p`, 0 when there is none; bounded, however many digits it has.
long long exponent_at(const char* p, const char* end) {
  if (p == end) return 0;
  ++p;  // the e
  const bool negative = p < end && *p == '-';
  if (p < end && (*p == '-' || *p == '+')) ++p;
  long long exponent = 0;
  for (; p < end && is_digit(*p) && exponent < std::numeric_limits<int>::max(); ++p) {
    exponent = exponent * 10 + (*p - '0');
  }
  return negative ? -exponent : exponent;
}

/// True when the decimal number [p, end), whose size a double cannot hold, is below 1.
bool is_tiny(const char* p, const char* end) {
  if (p < end && *p == '-') ++p;
  const char* point = nullptr;
  const char* leading = nullptr;  // the first digit that is not zero
  for (; p < end && (is_digit(*p) || *p == '.'); ++p) {
    if (*p == '.') {
      point = p;
    } else if (leading == nullptr && *p != '0') {
      leading = p;
    }
  }
  if (point == nullptr) point = p;
  // 9 is at 1 place, 90 at 2, 0.9 at 0, 0.09 at -1.
  const long long places =
      leading == nullptr ? 0 : (leading < point ? point - leading : point - leading + 1);
  return places + exponent_at(p, end) <= 0;
}

}  // namespace

const char* read_number_slowly(const char* begin, const char* end, double& value) {
  const char* const digits = begin < end && *begin == '-' ? begin + 1 : begin;
  if (digits >= end || (!is_digit(*digits) && *digits != '.')) return nullptr;  // "inf", "nan"
  const auto [stop, error] = std::from_chars(begin, end, value);
  if (error == std::errc::invalid_argument) return nullptr;
  if (error == std::errc::result_out_of_range) {
    value = is_tiny(begin, stop) ? 0.0 : std::numeric_limits<double>::infinity();
    if (*begin == '-') value = -value;
  }
  return stop;
}

}  // namespace anomalyd::ingest

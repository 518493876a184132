#include "ingest/number.h"

#include <charconv>
#include <limits>
#include <system_error>

namespace anomalyd::ingest {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// True when the decimal number [p, end), whose size a double cannot hold, is below 1.
bool is_tiny(const char* p, const char* end) {
  if (p < end && *p == '-') ++p;
  long long places = 0;  // of the first digit that is not zero, before (> 0) the point
  bool leading = true;
  bool fraction = false;
  for (; p < end && (is_digit(*p) || *p == '.'); ++p) {
    if (*p == '.') {
      fraction = true;
    } else if (leading && *p == '0') {
      if (fraction) --places;
    } else {
      leading = false;
      if (!fraction) ++places;
    }
  }
  long long exponent = 0;
  if (p < end) {
    ++p;  // the e
    const bool negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+')) ++p;
    for (; p < end && is_digit(*p); ++p) {
      if (exponent < std::numeric_limits<int>::max()) exponent = exponent * 10 + (*p - '0');
    }
    if (negative) exponent = -exponent;
  }
  return places + exponent <= 0;
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

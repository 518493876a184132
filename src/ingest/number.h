#pragma once

#include <array>
#include <cfloat>
#include <cmath>
#include <cstdint>

namespace anomalyd::ingest {

/// from_chars() with the cases that read_number() does not do itself.
const char* read_number_slowly(const char* begin, const char* end, double& value);

/// Reads a decimal number at `begin`: where it ends, or null when none is there.
///
/// Numerics  the nearest double, to the bit what std::from_chars gives: up to 15 digits are
///           an exact integer over an exact power of ten, which IEEE rounds once; the rest is
///           left to from_chars. Beyond a double's range: infinite; too small for it: zero.
///           "nan" and "inf" are no numbers.
inline const char* read_number(const char* begin, const char* end, double& value) {
  constexpr std::array<double, 16> kPowers = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                              1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
  const char* p = begin;
  const bool negative = p < end && *p == '-';
  if (negative) ++p;
  std::uint64_t digits = 0;
  const char* const first = p;
  const auto digit_at = [end](const char* at) {
    return at < end ? static_cast<unsigned>(*at) - '0' : 10U;
  };
  for (unsigned digit = digit_at(p); digit < 10; digit = digit_at(++p))
    digits = digits * 10 + digit;
  auto count = p - first;
  std::ptrdiff_t decimals = 0;
  if (p < end && *p == '.') {
    const char* const point = p++;
    for (unsigned digit = digit_at(p); digit < 10; digit = digit_at(++p)) {
      digits = digits * 10 + digit;
    }
    decimals = p - point - 1;
    count += decimals;
  }
  if (count == 0 || count > 15 || (p < end && (*p == 'e' || *p == 'E'))) {
    return read_number_slowly(begin, end, value);
  }
  value = static_cast<double>(digits) / kPowers[static_cast<std::size_t>(decimals)];
  if (negative) value = -value;
  return p;
}

/// True when the value can be a sample: finite as float32.
inline bool fits_float(double value) { return std::abs(value) <= static_cast<double>(FLT_MAX); }

}  // namespace anomalyd::ingest

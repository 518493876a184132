#include "ingest/number.h"

#include <bit>
#include <charconv>
#include <random>
#include <string>

#include "support/catch.h"

namespace anomalyd::ingest {
namespace {

double value_of(const std::string& text) {
  double value = -77;
  const char* const end = text.data() + text.size();
  CHECK(read_number(text.data(), end, value) == end);
  return value;
}

TEST_CASE("Numbers are read to the bit as std::from_chars does", "[ingest][number]") {
  std::mt19937_64 bits(7);
  const auto below = [&bits](std::uint64_t bound) { return bits() % bound; };
  for (int i = 0; i < 300000; ++i) {
    std::string text = below(2) == 0 ? "-" : "";
    for (std::uint64_t n = below(12); n > 0; --n) text += static_cast<char>('0' + below(10));
    if (below(3) != 0) text += '.';
    for (std::uint64_t n = below(12); n > 0; --n) text += static_cast<char>('0' + below(10));
    if (below(4) == 0) text += "e" + std::to_string(static_cast<int>(below(60)) - 30);
    if (below(8) == 0) text += "x";
    double mine = 0;
    double theirs = 0;
    const char* const end = text.data() + text.size();
    const char* const stop = read_number(text.data(), end, mine);
    const auto expected = std::from_chars(text.data(), end, theirs);
    INFO(text);
    REQUIRE((stop == nullptr) == (expected.ec == std::errc::invalid_argument));
    if (stop == nullptr) continue;
    REQUIRE(stop == expected.ptr);
    REQUIRE(std::bit_cast<std::uint64_t>(mine) == std::bit_cast<std::uint64_t>(theirs));
  }
}

TEST_CASE("Numbers beyond a double are infinite, and those too small are zero",
          "[ingest][number]") {
  CHECK(std::isinf(value_of("1e400")));
  CHECK(value_of("-1e400") < 0);
  CHECK(value_of("1e-400") == 0);
  CHECK(value_of("0.0000000001e-330") == 0);
  CHECK(value_of("1e-99999999999999999999") == 0);
  CHECK(std::isinf(value_of("1e99999999999999999999")));
  CHECK(value_of(std::string("0.") + std::string(400, '0') + "1") == 0);
  CHECK(std::isinf(value_of(std::string(400, '9'))));
  CHECK(std::signbit(value_of("-0")));
  CHECK_FALSE(fits_float(value_of("3.5e38")));
  CHECK(fits_float(value_of("-3.4e38")));
  CHECK_FALSE(fits_float(std::nan("")));
}

TEST_CASE("What is no decimal number is none", "[ingest][number][errors]") {
  for (const char* text :
       {"", "-", ".", "-.", "nan", "inf", "-inf", "NaN", "+1", "--1", "e5", "x"}) {
    INFO(text);
    double value = 0;
    CHECK(read_number(text, text + std::char_traits<char>::length(text), value) == nullptr);
  }
}

}  // namespace
}  // namespace anomalyd::ingest

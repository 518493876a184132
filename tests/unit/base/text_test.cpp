#include "base/text.h"

#include <cstddef>
#include <cstdint>
#include <string>

#include "support/catch.h"

namespace anomalyd {
namespace {

/// The plain encoding of a code point, in as many bytes as `length` says.
std::string encoded(std::uint32_t code, std::size_t length) {
  constexpr unsigned char kMark[] = {0, 0, 0xc0, 0xe0, 0xf0};
  std::string out(length, '\0');
  for (std::size_t i = length - 1; i > 0; --i) {
    out[i] = static_cast<char>(0x80U | (code & 0x3fU));
    code >>= 6U;
  }
  out[0] = static_cast<char>(kMark[length] | code);
  return out;
}

TEST_CASE("Every code point in its shortest form is UTF-8, and in no longer one", "[base][text]") {
  constexpr std::uint32_t kEnd[] = {0, 0x80, 0x800, 0x10000, 0x110000};
  constexpr std::uint32_t kFits[] = {0, 0x80, 0x800, 0x10000, 0x200000};
  std::uint32_t wrong = 0;
  for (std::size_t length = 1; length <= 4; ++length) {
    // The planes above the first differ in nothing but their number.
    for (std::uint32_t code = 0; code < kFits[length]; code += code < 0x11000 ? 1 : 0x3f) {
      const bool is_surrogate = code >= 0xd800 && code < 0xe000;
      const bool is_good = code >= kEnd[length - 1] && code < kEnd[length] && !is_surrogate;
      if (is_utf8(encoded(code, length)) != is_good) ++wrong;
    }
  }
  CHECK(wrong == 0);
  CHECK(is_utf8("\xf4\x8f\xbf\xbf"));
  CHECK_FALSE(is_utf8("\xf4\x90\x80\x80"));
}

TEST_CASE("Cut, stray and unknown bytes are no UTF-8, wherever they stand",
          "[base][text][errors]") {
  CHECK(is_utf8(""));
  CHECK(is_utf8("plain, \xc3\xa4, \xe2\x82\xac, \xf0\x9f\x94\xa7 and plain"));
  for (const std::string bad :
       {"\xc3", "\xe2\x82", "\xf0\x9f\x94", "\x80", "\xff", "\xf5\x80\x80\x80", "\xc3\x28",
        "\xe2\x28\xa1", "\xe2\x82\x28", "\xf0\x9f\x94\x28", "\xc3\xa4\xa4"}) {
    CHECK_FALSE(is_utf8(bad));
    CHECK_FALSE(is_utf8("a" + bad));
    CHECK_FALSE(is_utf8(bad + "a"));
    CHECK_FALSE(is_utf8("\xc3\xa4" + bad + "\xc3\xa4"));
  }
}

TEST_CASE("Control characters are those of ASCII", "[base][text]") {
  for (int byte = 0; byte < 256; ++byte) {
    CHECK(is_control(static_cast<char>(byte)) == (byte < 32 || byte == 127));
  }
  CHECK(has_control("a\x1bz"));
  CHECK_FALSE(has_control("a z~\xc3\xa4"));
  CHECK_FALSE(has_control(""));
}

TEST_CASE("Case is that of ASCII letters alone", "[base][text]") {
  for (int byte = 0; byte < 256; ++byte) {
    const int lower = byte >= 'A' && byte <= 'Z' ? byte - 'A' + 'a' : byte;
    CHECK(to_lower(static_cast<char>(byte)) == static_cast<char>(lower));
  }
  CHECK(equals_any_case("Retry-After", "retry-aFTER"));
  CHECK_FALSE(equals_any_case("Retry-After", "Retry-Afte"));
  CHECK_FALSE(equals_any_case("[", "{"));
  CHECK_FALSE(equals_any_case("@", "`"));
}

}  // namespace
}  // namespace anomalyd

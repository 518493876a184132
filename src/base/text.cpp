#include "base/text.h"

#include <algorithm>
#include <cstddef>

namespace anomalyd {
namespace {

/// The length of a sequence that starts with `lead`, and where its second byte must lie: that is
/// what keeps out longer forms than needed, surrogates and code points above U+10FFFF.
struct Sequence {
  std::size_t length = 0;  ///< 0: no sequence starts so
  unsigned char least = 0x80;
  unsigned char most = 0xbf;
};

Sequence sequence_of(unsigned char lead) {
  if (lead < 0x80) return {1};
  if (lead < 0xc2) return {};
  if (lead < 0xe0) return {2};
  if (lead == 0xe0) return {3, 0xa0, 0xbf};
  if (lead == 0xed) return {3, 0x80, 0x9f};
  if (lead < 0xf0) return {3};
  if (lead == 0xf0) return {4, 0x90, 0xbf};
  if (lead < 0xf4) return {4};
  if (lead == 0xf4) return {4, 0x80, 0x8f};
  return {};
}

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xc0U) == 0x80; }

}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const auto lead = static_cast<unsigned char>(text.front());
    const Sequence sequence = sequence_of(lead);
    if (sequence.length == 0 || sequence.length > text.size()) return false;
    if (sequence.length > 1) {
      const auto second = static_cast<unsigned char>(text[1]);
      if (second < sequence.least || second > sequence.most) return false;
      const std::string_view rest = text.substr(2, sequence.length - 2);
      if (!std::all_of(rest.begin(), rest.end(), continues)) return false;
    }
    text.remove_prefix(sequence.length);
  }
  return true;
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), is_control);
}

bool equals_any_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return to_lower(x) == to_lower(y); });
}

}  // namespace anomalyd

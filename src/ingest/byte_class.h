#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace anomalyd::ingest {

/// What a byte may be, in one look-up. A plain byte is printable ASCII that has no meaning in
/// line protocol nor in a key: most names have no others, and only the others need care.
inline constexpr std::uint8_t kEndsToken = 1;  ///< ends a run of plain bytes in line protocol
inline constexpr std::uint8_t kNeedsCare = 2;  ///< not known to be good in a name: look closer

inline constexpr std::array<std::uint8_t, 256> kByteClass = [] {
  std::array<std::uint8_t, 256> table{};
  for (std::size_t byte = 0; byte < table.size(); ++byte) {
    if (byte < 0x20 || byte >= 0x7f) table[byte] = kEndsToken | kNeedsCare;
  }
  for (const char c : {'{', '}', '"', '\\', '=', ','}) {
    table[static_cast<unsigned char>(c)] = kEndsToken | kNeedsCare;
  }
  table[static_cast<unsigned char>(' ')] = kEndsToken;  // a name may hold a space
  return table;
}();

inline std::uint8_t byte_class(char c) { return kByteClass[static_cast<unsigned char>(c)]; }

/// The first byte at or after `p` that ends a token. One must be there: the newline.
inline const char* token_end(const char* p) {
  while ((byte_class(*p) & kEndsToken) == 0) ++p;
  return p;
}

/// True when every byte is good in a name and in a label's value. Says nothing of the length.
inline bool is_careless(std::string_view text) {
  std::uint8_t any = 0;
  for (const char c : text) any = static_cast<std::uint8_t>(any | byte_class(c));
  return (any & kNeedsCare) == 0;
}

}  // namespace anomalyd::ingest

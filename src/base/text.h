#pragma once

#include <string_view>

namespace anomalyd {

/// True for well-formed UTF-8 (RFC 3629): shortest forms only, no surrogates, nothing above
/// U+10FFFF. Empty text is UTF-8.
bool is_utf8(std::string_view text);

/// ASCII's control characters, DEL among them: what can break a line or drive a terminal.
inline bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

bool has_control(std::string_view text);

/// ASCII's capitals in lower case, whatever the locale; other bytes as they are.
inline char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
/// Equal but for ASCII's case, as header names are.
bool equals_any_case(std::string_view a, std::string_view b);

}  // namespace anomalyd

#pragma once

#include <string_view>

namespace anomalyd {

/// True for well-formed UTF-8 (RFC 3629): shortest forms only, no surrogates, nothing above
/// U+10FFFF. Empty text is UTF-8.
bool is_utf8(std::string_view text);

/// ASCII's control characters, DEL among them: what can break a line or drive a terminal.
inline bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

bool has_control(std::string_view text);

}  // namespace anomalyd

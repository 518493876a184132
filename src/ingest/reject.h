#pragma once

#include <cstddef>
#include <initializer_list>
#include <string_view>

#include "ingest/codec.h"

namespace anomalyd::ingest {

/// The longest text of a sender that a message repeats.
inline constexpr std::size_t kShownBytes = 64;
inline std::string_view shown(std::string_view text) { return text.substr(0, kShownBytes); }

/// Counts a refusal and, while there is room, keeps it; the message is the parts joined.
/// Cost   no allocation once kMaxRejects are kept, so that a body of nothing but bad lines is
///        as quick to refuse as a good one is to take.
void add_reject(Decoded& out, std::size_t line, Reason reason,
                std::initializer_list<std::string_view> message, std::string_view text);

}  // namespace anomalyd::ingest

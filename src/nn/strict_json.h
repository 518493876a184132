#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

// For the .cpp files of nn, detect and evaluate only: nlohmann stays out of public headers.

namespace anomalyd::nn {

/// Parses JSON from outside: a key that occurs twice and nesting deeper than `max_depth` are
/// refused, so that no two readers can see different documents and no recursion runs away.
/// Errors   kCorrupt with the byte and the reason.
Result<nlohmann::json> parse_strict(std::string_view text, int max_depth);

/// A member of a JSON object as a whole number in [low, high], or nothing.
std::optional<std::uint64_t> whole_number(const nlohmann::json& object, const char* key,
                                          std::uint64_t low, std::uint64_t high);

/// A JSON object's key that is not among `known`, or nothing.
std::optional<std::string> unknown_key(const nlohmann::json& object,
                                       std::initializer_list<std::string_view> known);

}  // namespace anomalyd::nn

#include "nn/strict_json.h"

#include <algorithm>
#include <set>
#include <vector>

namespace anomalyd::nn {

Result<nlohmann::json> parse_strict(std::string_view text, int max_depth) {
  std::vector<std::set<std::string, std::less<>>> keys;
  std::string refusal;
  const auto watch = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    using Event = nlohmann::json::parse_event_t;
    if (!refusal.empty()) return false;
    if (depth > max_depth) {
      refusal = "nested deeper than " + std::to_string(max_depth);
      return false;
    }
    if (event == Event::object_start) {
      keys.emplace_back();
    } else if (event == Event::object_end) {
      keys.pop_back();
    } else if (event == Event::key) {
      if (!keys.back().insert(parsed.get<std::string>()).second) {
        refusal = "the key \"" + parsed.get<std::string>() + "\" occurs twice";
        return false;
      }
    }
    return true;
  };
  try {
    nlohmann::json document = nlohmann::json::parse(text, watch);
    if (!refusal.empty()) return Error{ErrorCode::kCorrupt, refusal};
    return document;
  } catch (const nlohmann::json::exception& e) {
    if (!refusal.empty()) return Error{ErrorCode::kCorrupt, refusal};
    return Error{ErrorCode::kCorrupt, std::string("not JSON: ") + e.what()};
  }
}

std::optional<std::uint64_t> whole_number(const nlohmann::json& object, const char* key,
                                          std::uint64_t low, std::uint64_t high) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned()) return std::nullopt;
  const auto value = found->get<std::uint64_t>();
  if (value < low || value > high) return std::nullopt;
  return value;
}

std::optional<std::string> unknown_key(const nlohmann::json& object,
                                       std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), std::string_view(key)) == known.end()) return key;
  }
  return std::nullopt;
}

}  // namespace anomalyd::nn

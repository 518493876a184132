#include "http/target.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "http/client.h"

namespace anomalyd::http {
namespace {

constexpr std::string_view kHexDigits = "0123456789ABCDEF";

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Error refuse(std::string message) { return {ErrorCode::kInvalidArgument, std::move(message)}; }

/// Printable, so that an error about a control character does not carry it.
std::string byte_name(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return {'0', 'x', kHexDigits[byte >> 4U], kHexDigits[byte & 0x0fU]};
}

bool starts_with_http(std::string_view target) {
  constexpr std::string_view kScheme = "http://";
  return equals_any_case(target.substr(0, kScheme.size()), kScheme);
}

}  // namespace

Result<Target> split_target(std::string_view target) {
  if (starts_with_http(target)) {
    const std::size_t authority = std::string_view("http://").size();
    const std::size_t end = target.find_first_of("/?#", authority);
    if (end == authority) return refuse("request target: no host in the absolute form");
    target.remove_prefix(std::min(end, target.size()));
    if (target.empty()) return Target{"/", {}};
    if (target.front() == '?') return Target{"/", target.substr(1)};
  }
  if (target.empty() || target.front() != '/') {
    return refuse("request target: expected '/' first");
  }
  if (target.find('#') != std::string_view::npos) {
    return refuse("request target: '#' must be sent as %23");
  }
  const std::size_t mark = target.find('?');
  if (mark == std::string_view::npos) return Target{target, {}};
  return Target{target.substr(0, mark), target.substr(mark + 1)};
}

Status percent_decode(std::string_view raw, bool plus_is_space, std::string& out) {
  const std::size_t kept = out.size();
  bool ascii = true;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    char c = raw[i];
    if (c == '%') {
      const int high = i + 2 < raw.size() ? hex_value(raw[i + 1]) : -1;
      const int low = i + 2 < raw.size() ? hex_value(raw[i + 2]) : -1;
      if (high < 0 || low < 0) {
        out.resize(kept);
        return refuse("'%' at byte " + std::to_string(i) + ": expected two hex digits behind it");
      }
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    if (is_control(c)) {
      out.resize(kept);
      return refuse("control character " + byte_name(c) + " at byte " + std::to_string(i));
    }
    if (static_cast<unsigned char>(c) >= 0x80) ascii = false;
    out += c;
  }
  if (!ascii && !is_utf8(std::string_view(out).substr(kept))) {
    out.resize(kept);
    return refuse("decoded text is not UTF-8");
  }
  return Done{};
}

Status parse_query(std::string_view raw, std::vector<Parameter>& out) {
  while (!raw.empty()) {
    const std::size_t end = std::min(raw.find('&'), raw.size());
    const std::string_view pair = raw.substr(0, end);
    raw.remove_prefix(std::min(end + 1, raw.size()));
    if (pair.empty()) continue;
    const std::size_t equals = std::min(pair.find('='), pair.size());
    Parameter parameter;
    if (auto name = percent_decode(pair.substr(0, equals), true, parameter.name); !name.ok()) {
      return refuse("query: parameter " + std::to_string(out.size() + 1) +
                    ": name: " + name.error().message);
    }
    if (parameter.name.empty()) {
      return refuse("query: parameter " + std::to_string(out.size() + 1) + ": no name before '='");
    }
    if (equals < pair.size()) {
      if (auto value = percent_decode(pair.substr(equals + 1), true, parameter.value);
          !value.ok()) {
        return refuse("query: " + parameter.name + ": " + value.error().message);
      }
    }
    out.push_back(std::move(parameter));
  }
  return Done{};
}

std::string percent_encode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                            (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
    if (unreserved) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += kHexDigits[byte >> 4U];
      out += kHexDigits[byte & 0x0fU];
    }
  }
  return out;
}

}  // namespace anomalyd::http

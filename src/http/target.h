#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "http/message.h"

namespace anomalyd::http {

/// The two halves of a request target, as sent: neither is decoded.
struct Target {
  std::string_view path;
  std::string_view query;  ///< without the '?'
};

/// Splits a request target: "/path?query", or "http://host/path?query" as a proxy sends it.
/// Errors   kInvalidArgument for any other form, and for a '#'.
Result<Target> split_target(std::string_view target);

/// Appends `raw` to `out` with its escapes decoded. What it lets through is UTF-8 without
/// control characters, so that a handler may put it into JSON, a log line or a key.
/// Errors   kInvalidArgument for a '%' without two hex digits, for a control character and for
///          what is not UTF-8; `out` is then as before.
Status percent_decode(std::string_view raw, bool plus_is_space, std::string& out);

/// Appends the parameters of "a=1&b=x+y&c" to `out`, in order; c has an empty value.
/// Errors   as percent_decode(), and kInvalidArgument for a value without a name; `out` then
///          holds what came before.
Status parse_query(std::string_view raw, std::vector<Parameter>& out);

}  // namespace anomalyd::http

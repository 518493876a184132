#include "http/message.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "http/response_head.h"

namespace anomalyd::http {
namespace {

/// `text` as a JSON string; what is not UTF-8 in it becomes U+FFFD, which never throws.
std::string json_string(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

const std::string* Request::parameter(std::string_view name) const {
  const auto found = std::find_if(query.begin(), query.end(),
                                  [&](const Parameter& one) { return one.name == name; });
  return found == query.end() ? nullptr : &found->value;
}

const std::string& Request::capture(std::string_view name) const {
  const auto found = std::find_if(captures.begin(), captures.end(),
                                  [&](const Parameter& one) { return one.name == name; });
  ANOMALYD_CHECK(found != captures.end(), "capture() of a name that the route does not have");
  return found->value;
}

Response json_response(int status, std::string body) {
  return {status, "application/json", std::move(body), {}};
}

Response problem(int status, std::string_view detail, std::string_view errors) {
  std::string body = "{\"type\":\"about:blank\",\"title\":" + json_string(status_phrase(status)) +
                     ",\"status\":" + std::to_string(status) + ",\"detail\":" + json_string(detail);
  if (!errors.empty()) {
    body += ",\"errors\":";
    body += errors;
  }
  body += "}\n";
  return {status, "application/problem+json", std::move(body), {}};
}

}  // namespace anomalyd::http

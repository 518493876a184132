#include "ingest/reject_body.h"

#include <nlohmann/json.hpp>

#include "base/check.h"

namespace anomalyd::ingest {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) {
  // The replacing handler is what keeps dump() from throwing on bytes that are no UTF-8.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// "line 2<mark>: why; line 5<mark>: why", and before it what the sender may not bring.
std::string listed(const Decoded& decoded, const char* mark) {
  ANOMALYD_CHECK(decoded.rejected + decoded.denied > 0, "a body about refusals needs one");
  std::string text;
  if (decoded.denied > 0) {
    text = decoded.denied_message + " (" + std::to_string(decoded.denied) + " samples)";
  }
  for (const Reject& reject : decoded.rejects) {
    if (!text.empty()) text += "; ";
    text += "line " + std::to_string(reject.line) + mark + ": " + reject.message;
  }
  const std::size_t more = decoded.rejected - decoded.rejects.size();
  if (more > 0) text += "; and " + std::to_string(more) + " more";
  return text;
}

}  // namespace

std::string influx_v1_body(const Decoded& decoded) {
  Json body;
  body["error"] = "partial write: " + listed(decoded, "") +
                  " dropped=" + std::to_string(decoded.rejected + decoded.denied);
  return dump(body);
}

std::string influx_v2_body(const Decoded& decoded) {
  Json body;
  body["code"] = "invalid";
  body["message"] = "partial write: " + std::to_string(decoded.rejected + decoded.denied) +
                    " lines refused: " + listed(decoded, " (1-based)");
  if (!decoded.rejects.empty()) body["line"] = decoded.rejects.front().line;
  return dump(body);
}

std::string influx_v3_body(const Decoded& decoded) {
  ANOMALYD_CHECK(!decoded.rejects.empty(), "a body about refusals needs one");
  Json body;
  body["error"] = "partial write of line protocol occurred";
  Json& data = body["data"] = Json::array();
  for (const Reject& reject : decoded.rejects) {
    data.push_back({{"error_message", reject.message},
                    {"line_number", reject.line},
                    {"original_line", reject.text}});
  }
  return dump(body);
}

std::string problem_errors(const Decoded& decoded) {
  Json errors = Json::array();
  for (const Reject& reject : decoded.rejects) {
    errors.push_back({{"line", reject.line},
                      {"reason", to_string(reject.reason)},
                      {"detail", reject.message},
                      {"text", reject.text}});
  }
  return dump(errors);
}

}  // namespace anomalyd::ingest

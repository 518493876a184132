#include "http/response_head.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/text.h"

namespace anomalyd::http {
namespace {

struct Phrase {
  int status;
  std::string_view text;
};
constexpr std::array<Phrase, 35> kPhrases{{
    {100, "Continue"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {507, "Insufficient Storage"},
}};

bool is_token(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  for (const char c : value) {
    out += is_control(c) ? ' ' : c;
  }
  out += "\r\n";
}

}  // namespace

std::string status_phrase(int status) {
  for (const Phrase& known : kPhrases) {
    if (known.status == status) return std::string(known.text);
  }
  return "Status " + std::to_string(status);
}

std::string http_date(std::time_t time) {
  std::tm parts{};
  gmtime_r(&time, &parts);
  std::array<char, 64> text{};
  const std::size_t size =
      std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return {text.data(), size};
}

bool may_have_body(int status) { return status >= 200 && status != 204 && status != 304; }

void append_response_head(std::string& out, const Response& response, std::string_view date,
                          bool keep_alive) {
  ANOMALYD_CHECK(response.status >= 100 && response.status <= 599, "a handler's response status");
  out += "HTTP/1.1 ";
  out += std::to_string(response.status);
  out += ' ';
  out += status_phrase(response.status);
  out += "\r\nServer: anomalyd\r\nDate: ";
  out += date;
  // 1.0 clients need to be told to keep the connection, 1.1 clients to close it: say either.
  out += keep_alive ? "\r\nConnection: keep-alive\r\n" : "\r\nConnection: close\r\n";
  if (may_have_body(response.status)) {
    if (!response.content_type.empty()) append_field(out, "Content-Type", response.content_type);
    out += "Content-Length: ";
    out += std::to_string(response.body.size());
    out += "\r\n";
  }
  for (const Parameter& header : response.headers) {
    ANOMALYD_CHECK(is_token(header.name), "a handler's header name");
    append_field(out, header.name, header.value);
  }
  out += "\r\n";
}

}  // namespace anomalyd::http

#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace anomalyd::http {

struct Token;

/// One name=value of a query string, decoded.
struct Parameter {
  std::string name;
  std::string value;
};

/// A parsed request, with nothing of the library that read it.
struct Request {
  std::string method;               ///< "GET"
  std::string path;                 ///< decoded, without the query: "/api/v1/streams/pump"
  std::vector<Parameter> query;     ///< decoded, in order
  std::vector<Parameter> captures;  ///< of the route: {key} -> value, decoded
  std::string content_type;         ///< lower case, without parameters
  std::string content_encoding;     ///< lower case
  std::string accept;
  std::string authorization;
  /// The caller's; null when the server asks for none or the route is open to all.
  std::shared_ptr<const Token> token;
  std::string body;  ///< as sent (still gzip), with kBodyPadding readable bytes beyond its end

  /// The first value of a query parameter; nullptr when it is not there.
  const std::string* parameter(std::string_view name) const;
  const std::string& capture(std::string_view name) const;
};

/// Bytes of capacity that the server keeps free behind a request's body: parsers may read them.
inline constexpr std::size_t kBodyPadding = 64;

struct Later;

struct Response {
  int status = 200;
  std::string content_type;  ///< empty with an empty body
  std::string body;
  std::vector<Parameter> headers;     ///< further ones: {"Retry-After", "1"}
  std::shared_ptr<Later> later = {};  ///< set: this is not the answer yet, that gives it
};

/// An answer that waits for something else while the connection's thread serves others.
struct Later {
  /// Called once, on the connection's thread. Calls `done` once, from any thread, now or later.
  std::function<void(std::function<void()> done)> start;
  /// Called after that, on the connection's thread, also when nobody wants the answer any more.
  /// What it gives is the answer: without another `later`.
  std::function<Response()> finish;
};

Response json_response(int status, std::string body);

/// An `application/problem+json` body (RFC 9457): type is about:blank, title the status' phrase.
/// `errors` is a JSON array text, or empty.
Response problem(int status, std::string_view detail, std::string_view errors = {});

}  // namespace anomalyd::http

#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "http/message.h"
#include "http/tls.h"

namespace anomalyd::http {

struct ClientOptions {
  std::chrono::milliseconds timeout{30'000};
  std::string token;   ///< sent with each request; empty: none
  ClientTlsFiles tls;  ///< for https
};

/// A blocking HTTP/1.1 client of one server, that keeps its connection. Of an https server it
/// verifies the certificate and that it is for the URL's host.
/// Errors    kInvalidArgument for a URL that is not http[s]://host[:port] and for files that do not
///           do; kUnavailable when the server is away, is not who it should be or does not answer
///           in time.
/// Threads   one at a time.
class Client {
 public:
  static Result<std::unique_ptr<Client>> make(std::string_view url,
                                              std::chrono::milliseconds timeout);
  static Result<std::unique_ptr<Client>> make(std::string_view url, ClientOptions options);
  virtual ~Client() = default;
  /// `target` is the path with its query, already encoded.
  virtual Result<Response> send(std::string_view method, std::string_view target,
                                std::string_view body, std::string_view content_type,
                                const std::vector<Parameter>& headers = {}) = 0;
};

/// Percent-encodes one path segment or query value.
std::string percent_encode(std::string_view text);

}  // namespace anomalyd::http

#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "http/message.h"

namespace anomalyd::http {

/// A blocking HTTP/1.1 client of one server, that keeps its connection.
/// Errors    kInvalidArgument for a URL that is not http://host[:port]; kUnavailable when the
///           server is away or does not answer in time.
/// Threads   one at a time.
class Client {
 public:
  static Result<std::unique_ptr<Client>> make(std::string_view url,
                                              std::chrono::milliseconds timeout);
  virtual ~Client() = default;
  /// `target` is the path with its query, already encoded.
  virtual Result<Response> send(std::string_view method, std::string_view target,
                                std::string_view body, std::string_view content_type,
                                const std::vector<Parameter>& headers = {}) = 0;
};

/// Percent-encodes one path segment or query value.
std::string percent_encode(std::string_view text);

}  // namespace anomalyd::http

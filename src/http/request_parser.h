#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "http/message.h"
#include "http/server.h"

namespace anomalyd::http {

/// Reads the requests of one connection, one after the other, from bytes that come in pieces.
/// Hides Beast.
/// Threads   one at a time.
class RequestParser {
 public:
  enum class State {
    kMore,     ///< the request is not complete: come again with what was not used and more
    kHead,     ///< the header is complete and good; a body follows
    kDone,     ///< the request is complete
    kRefused,  ///< see refusal_status(); the connection cannot go on
  };

  explicit RequestParser(const Limits& limits);
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  /// Clears `request`, whose strings keep their memory, and makes it the one that is written to.
  void begin(Request& request);

  /// Takes from the front of `bytes`, and tells in `used` how much. First read_head() until it
  /// no longer says kMore; then, when it says kHead and is_chunked(), read_chunks(). A body of
  /// content_length() bytes is the caller's to read: it need not be copied through here.
  State read_head(std::string_view bytes, std::size_t& used);
  State read_chunks(std::string_view bytes, std::size_t& used);

  bool is_chunked() const;
  std::size_t content_length() const;  ///< 0 when chunked
  bool keep_alive() const;
  bool expects_continue() const;
  /// As sent, with its query.
  const std::string& target() const;
  int refusal_status() const;
  const std::string& refusal_detail() const;

 private:
  class Reader;
  State refuse(int status, std::string detail);

  const Limits limits_;
  std::unique_ptr<Reader> reader_;  // one a request: Beast cannot reset its parser
  std::string target_;
  std::size_t head_bytes_ = 0;
  int refusal_status_ = 0;
  std::string refusal_detail_;
};

}  // namespace anomalyd::http

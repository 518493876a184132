#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "http/router.h"
#include "http/tls.h"
#include "http/tokens.h"

namespace prometheus {
class Registry;
}

namespace anomalyd::http {

struct Limits {
  std::size_t max_body_bytes = 16UL << 20U;    ///< 413
  std::size_t max_header_bytes = 16UL << 10U;  ///< 431
  std::size_t max_target_bytes = 8UL << 10U;   ///< 414
  std::size_t max_connections = 1024;          ///< 503 and close
  std::chrono::seconds request_timeout{30};    ///< from first byte to last of a request
  std::chrono::seconds idle_timeout{120};      ///< between two requests
  /// Requests on one connection; the answer to the last says `Connection: close`.
  std::size_t max_connection_requests = 100'000;
};

/// Who may come in.
struct Access {
  std::shared_ptr<const TokenSet> tokens;  ///< null: everybody may do everything
  std::shared_ptr<const TlsContext> tls;   ///< null: plain HTTP
};

struct ServerOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 8420;  ///< 0: any free one
  std::size_t threads = 1;    ///< each with its own io_context
  std::size_t workers = 2;    ///< threads for Where::kWorker handlers
  Limits limits;
  Access access;
};

/// An HTTP/1.1 server. Everything of Beast is behind it.
///
/// Errors    what is no good request is answered with a problem (400, 404, 405, 408, 413, 414, 417,
///           431, 501) and counted; 503 when connections or waiting requests are too many (with
///           TLS such a connection is closed without a word: a handshake costs too much). Without
///           a token that is known and has the route's scope 401 and 403, before a body is read;
///           nor is the body read of a request that has no route, or more than a few KiB of one
///           whose route is open.
///           A handler that throws ends the process: it is our bug.
/// Metrics   anomalyd_http_requests_total{route,code}, _request_duration_seconds{route},
///           _connections, _connections_total, _connections_refused_total,
///           _connections_cut_total{reason}, _requests_denied_total{reason},
///           _tls_handshakes_failed_total, _tls_certificate_expiry_timestamp_seconds,
///           _received_bytes_total, _sent_bytes_total; route is a pattern or "other".
/// Threads   start() and stop() from one thread; handlers run as their route says.
class Server {
 public:
  /// Binds; says the address in the error. Metrics anomalyd_http_* go to `registry`.
  static Result<std::unique_ptr<Server>> start(ServerOptions options, Router router,
                                               prometheus::Registry& registry);
  virtual ~Server() = default;
  virtual std::uint16_t port() const = 0;
  /// From now on requests are judged by these tokens, and new connections get this certificate.
  /// With another context of TLS, connections that began under the old one end: the idle at once,
  /// the others after their answer. Whether there is TLS at all stays as it was started: else it
  /// is a bug, checked.
  virtual void use(Access access) = 0;
  /// No new connections; requests in hand are answered (`Connection: close`), at most for
  /// `bound`; then all are closed, and handlers that have not begun never do. Returns when every
  /// thread has ended: a handler that still runs is waited for, as it may use what the caller
  /// frees next, so a handler must end. A second call does nothing; the destructor stops at once.
  virtual void stop(std::chrono::milliseconds bound) = 0;
};

}  // namespace anomalyd::http

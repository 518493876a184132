#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "http/router.h"
#include "http/tls.h"

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
class Registry;
template <class T>
class Family;
}  // namespace prometheus

namespace anomalyd::http {

/// The anomalyd_http_* metrics of one server.
///
/// Cost     one atomic load and the counters' own cost a request: a series is looked up in its
///          family only when a route answers with a status for the first time.
/// Threads  safe from any thread.
class ServerMetrics {
 public:
  /// The series of one route. `registry` outlives them.
  class Of {
   public:
    Of(prometheus::Family<prometheus::Counter>& requests,
       prometheus::Family<prometheus::Histogram>& durations, std::string route);
    void count(int status);
    void observe(double seconds);

   private:
    prometheus::Family<prometheus::Counter>* requests_;
    prometheus::Histogram* duration_;
    std::string route_;
    std::array<std::atomic<prometheus::Counter*>, 500> codes_{};  ///< from 100 on; null: none yet
  };

  ServerMetrics(prometheus::Registry& registry, const Router& router);

  void count_denied(Denial why);

  /// Why a connection was ended that had not come to its end: too slow in its handshake, request
  /// or reading of the answer, or silent before its first request or its next.
  enum class Cut : std::uint8_t { kHandshake, kRequest, kResponse, kIdle, kCuts };
  void count_cut(Cut why);

  /// When the server's certificate ends; null, for no TLS, is 0.
  void tell_certificate(const TlsContext* tls);

  /// Of a route of the router that this was made with; null is "other".
  Of& of(const Route* route);

  prometheus::Gauge& connections;
  prometheus::Counter& connections_total;
  prometheus::Counter& connections_refused;
  prometheus::Counter& handshakes_failed;
  prometheus::Counter& received_bytes;
  prometheus::Counter& sent_bytes;

 private:
  std::array<prometheus::Counter*, static_cast<std::size_t>(Denial::kDenials)> denied_{};
  std::array<prometheus::Counter*, static_cast<std::size_t>(Cut::kCuts)> cut_{};
  prometheus::Gauge* certificate_expiry_;
  const Route* first_;                       ///< the router's routes, to find an index
  std::vector<std::unique_ptr<Of>> routes_;  ///< one a pattern; the last is "other"
  std::vector<std::size_t> index_;           ///< of routes_, for each route of the router
};

}  // namespace anomalyd::http

#pragma once

#include <prometheus/registry.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/client.h"
#include "http/server.h"
#include "raw_socket.h"

namespace anomalyd::http::testing {

inline Response text_response(std::string body) { return {200, "text/plain", std::move(body), {}}; }

/// What the tests share: /hello, an /echo on either kind of thread, and what it was asked.
inline Router make_router() {
  Router router;
  router.add(
      {"GET", "/hello", Where::kConnection, [](Request&) { return text_response("hello"); }});
  const auto echo = [](Request& request) { return text_response(request.body); };
  router.add({"POST", "/echo", Where::kConnection, echo});
  router.add({"POST", "/worker/echo", Where::kWorker, echo});
  router.add({"GET", "/keys/{key}", Where::kWorker, [](Request& request) {
                std::string text =
                    request.method + " " + request.path + " " + request.capture("key");
                for (const auto& [name, value] : request.query) text += " " + name + "=" + value;
                return text_response(text);
              }});
  router.add({"DELETE", "/keys/{key}", Where::kWorker, [](Request&) {
                return Response{204, "", "", {}};
              }});
  return router;
}

/// A server on a free port of 127.0.0.1, with short time-outs unless told otherwise.
struct TestServer {
  explicit TestServer(ServerOptions options = {}, Router router = make_router()) {
    options.port = 0;
    server = Server::start(std::move(options), std::move(router), registry).value();
  }
  std::uint16_t port() const { return server->port(); }
  std::unique_ptr<Client> client(
      std::chrono::milliseconds timeout = std::chrono::seconds(30)) const {
    return Client::make("http://127.0.0.1:" + std::to_string(port()), timeout).value();
  }
  /// The value of one series; a histogram's is its count. -1 when there is none.
  double metric(std::string_view name, const std::vector<Parameter>& labels = {}) const {
    for (const auto& family : registry.Collect()) {
      if (family.name != name) continue;
      for (const auto& series : family.metric) {
        const bool fits = std::all_of(labels.begin(), labels.end(), [&](const Parameter& wanted) {
          return std::any_of(series.label.begin(), series.label.end(), [&](const auto& label) {
            return label.name == wanted.name && label.value == wanted.value;
          });
        });
        if (!fits) continue;
        switch (family.type) {
          case prometheus::MetricType::Counter:
            return series.counter.value;
          case prometheus::MetricType::Gauge:
            return series.gauge.value;
          default:
            return static_cast<double>(series.histogram.sample_count);
        }
      }
    }
    return -1;
  }

  prometheus::Registry registry;
  std::unique_ptr<Server> server;
};

}  // namespace anomalyd::http::testing

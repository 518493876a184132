#include "http/server_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <map>

#include "base/check.h"

namespace anomalyd::http {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;

prometheus::Counter& counter(prometheus::Registry& registry, const char* name, const char* help) {
  return BuildCounter().Name(name).Help(help).Register(registry).Add({});
}

constexpr std::array<double, 7> kSeconds{0.0005, 0.0025, 0.01, 0.05, 0.25, 1, 5};

}  // namespace

ServerMetrics::Of::Of(prometheus::Family<prometheus::Counter>& requests,
                      prometheus::Family<prometheus::Histogram>& durations, std::string route)
    : requests_(&requests),
      duration_(&durations.Add({{"route", route}}, prometheus::Histogram::BucketBoundaries(
                                                       kSeconds.begin(), kSeconds.end()))),
      route_(std::move(route)) {}

void ServerMetrics::Of::count(int status) {
  ANOMALYD_CHECK(status >= 100 && status < 600, "a response's status");
  auto& slot = codes_[static_cast<std::size_t>(status - 100)];
  prometheus::Counter* series = slot.load(std::memory_order_acquire);
  if (series == nullptr) {
    // Two threads may both add it: the family gives both the same object.
    series = &requests_->Add({{"route", route_}, {"code", std::to_string(status)}});
    slot.store(series, std::memory_order_release);
  }
  series->Increment();
}

void ServerMetrics::Of::observe(double seconds) { duration_->Observe(seconds); }

ServerMetrics::ServerMetrics(prometheus::Registry& registry, const Router& router)
    : connections(BuildGauge()
                      .Name("anomalyd_http_connections")
                      .Help("Open HTTP connections.")
                      .Register(registry)
                      .Add({})),
      connections_total(counter(registry, "anomalyd_http_connections_total",
                                "HTTP connections accepted and served.")),
      connections_refused(counter(registry, "anomalyd_http_connections_refused_total",
                                  "HTTP connections refused because too many were open.")),
      handshakes_failed(counter(registry, "anomalyd_http_tls_handshakes_failed_total",
                                "TLS connections that did not come to an agreement.")),
      received_bytes(counter(registry, "anomalyd_http_received_bytes_total",
                             "Bytes read from HTTP connections.")),
      sent_bytes(counter(registry, "anomalyd_http_sent_bytes_total",
                         "Bytes written to HTTP connections.")),
      first_(router.routes().data()) {
  auto& requests = BuildCounter()
                       .Name("anomalyd_http_requests_total")
                       .Help("HTTP requests answered, by route pattern and status code.")
                       .Register(registry);
  auto& durations = BuildHistogram()
                        .Name("anomalyd_http_request_duration_seconds")
                        .Help("Time from a request read to its answer ready, by route pattern.")
                        .Register(registry);
  auto& denied = BuildCounter()
                     .Name("anomalyd_http_requests_denied_total")
                     .Help("Requests without a token that may make them, by reason.")
                     .Register(registry);
  for (std::size_t i = 1; i < denied_.size(); ++i) {
    denied_[i] = &denied.Add({{"reason", std::string(to_text(static_cast<Denial>(i)))}});
  }
  auto& cut = BuildCounter()
                  .Name("anomalyd_http_connections_cut_total")
                  .Help("Connections ended because the client was too slow, by what it was at.")
                  .Register(registry);
  constexpr std::array<const char*, static_cast<std::size_t>(Cut::kCuts)> kCuts{
      "handshake", "request", "response", "idle"};
  for (std::size_t i = 0; i < kCuts.size(); ++i) cut_[i] = &cut.Add({{"reason", kCuts[i]}});
  certificate_expiry_ =
      &BuildGauge()
           .Name("anomalyd_http_tls_certificate_expiry_timestamp_seconds")
           .Help("When the TLS certificate ends, since the Unix epoch; 0: no TLS.")
           .Register(registry)
           .Add({});
  std::map<std::string, std::size_t> by_pattern;
  for (const Route& route : router.routes()) {
    const auto [found, is_new] = by_pattern.emplace(route.pattern, routes_.size());
    if (is_new) routes_.push_back(std::make_unique<Of>(requests, durations, route.pattern));
    index_.push_back(found->second);
  }
  routes_.push_back(std::make_unique<Of>(requests, durations, "other"));
}

void ServerMetrics::count_denied(Denial why) {
  denied_[static_cast<std::size_t>(why)]->Increment();
}

void ServerMetrics::count_cut(Cut why) { cut_[static_cast<std::size_t>(why)]->Increment(); }

void ServerMetrics::tell_certificate(const TlsContext* tls) {
  certificate_expiry_->Set(tls == nullptr ? 0 : static_cast<double>(tls->not_after()));
}

ServerMetrics::Of& ServerMetrics::of(const Route* route) {
  if (route == nullptr) return *routes_.back();
  return *routes_[index_[static_cast<std::size_t>(route - first_)]];
}

}  // namespace anomalyd::http

#include "app/metrics.h"

#include "app/version.h"

namespace anomalyd::app {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Registry;

prometheus::Gauge& gauge(Registry& registry, const std::string& name, const std::string& help) {
  return BuildGauge().Name(name).Help(help).Register(registry).Add({});
}

}  // namespace

Metrics::Metrics(Registry& registry)
    : line_protocol_(make_protocol(registry, "line_protocol")),
      json_(make_protocol(registry, "json")) {
  auto& refused = BuildCounter()
                      .Name("anomalyd_ingest_requests_refused_total")
                      .Help("Ingest requests refused whole, by reason.")
                      .Register(registry);
  constexpr std::array<const char*, static_cast<std::size_t>(Refusal::kRefusals)> kWhy{
      "queue_full", "too_large", "encoding", "not_ready", "disk_full", "journal"};
  for (std::size_t i = 0; i < kWhy.size(); ++i) refused_[i] = &refused.Add({{"reason", kWhy[i]}});

  auto& denied = BuildCounter()
                     .Name("anomalyd_ingest_samples_denied_total")
                     .Help("Samples refused because of the sender's token, by reason.")
                     .Register(registry);
  denied_foreign_ = &denied.Add({{"reason", "streams"}});
  denied_excess_ = &denied.Add({{"reason", "max_streams"}});
  windows_scored_ = &BuildCounter()
                         .Name("anomalyd_stream_windows_scored_total")
                         .Help("Windows scored, by domain.")
                         .Register(registry);
  windows_invalid_ = &BuildCounter()
                          .Name("anomalyd_stream_windows_invalid_total")
                          .Help("Windows whose score was not a finite number, by domain.")
                          .Register(registry);
  alert_transitions_ = &BuildCounter()
                            .Name("anomalyd_alert_transitions_total")
                            .Help("Alerts that entered a state, by domain and state.")
                            .Register(registry);
  score_seconds_ = &BuildHistogram()
                        .Name("anomalyd_stream_score_duration_seconds")
                        .Help("From taking a batch to the last of its windows judged.")
                        .Register(registry)
                        .Add({}, prometheus::Histogram::BucketBoundaries{
                                     1e-5, 1e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 0.1, 1});
  accepted_to_scored_seconds_ =
      &BuildHistogram()
           .Name("anomalyd_stream_accepted_to_scored_seconds")
           .Help("From accepting a batch to the last of its windows judged.")
           .Register(registry)
           .Add({}, prometheus::Histogram::BucketBoundaries{1e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2e-2,
                                                            5e-2, 0.1, 0.25, 1, 5});
  reload_successful_ = &gauge(registry, "anomalyd_config_last_reload_successful",
                              "Whether the last load of the configuration went through.");
  reload_time_ = &gauge(registry, "anomalyd_config_last_reload_success_timestamp_seconds",
                        "When the configuration was last loaded, since the Unix epoch.");
  ready_ = &gauge(registry, "anomalyd_ready", "Whether the daemon takes samples.");
  BuildGauge()
      .Name("anomalyd_build_info")
      .Help("Always 1; the labels tell what is running.")
      .Register(registry)
      .Add({{"version", std::string(kVersion)}, {"revision", std::string(kRevision)}})
      .Set(1);
}

Metrics::Protocol Metrics::make_protocol(Registry& registry, const std::string& name) {
  const prometheus::Labels labels{{"protocol", name}};
  Protocol made{};
  made.samples = &BuildCounter()
                      .Name("anomalyd_ingest_samples_total")
                      .Help("Samples accepted, by protocol.")
                      .Register(registry)
                      .Add(labels);
  made.requests = &BuildCounter()
                       .Name("anomalyd_ingest_requests_total")
                       .Help("Ingest requests, by protocol.")
                       .Register(registry)
                       .Add(labels);
  made.skipped_fields = &BuildCounter()
                             .Name("anomalyd_ingest_fields_skipped_total")
                             .Help("Text fields left out because they are no numbers.")
                             .Register(registry)
                             .Add(labels);
  auto& rejected = BuildCounter()
                       .Name("anomalyd_ingest_rejected_total")
                       .Help("Lines or objects refused, by protocol and reason.")
                       .Register(registry);
  for (std::size_t i = 0; i < made.rejected.size(); ++i) {
    made.rejected[i] = &rejected.Add(
        {{"protocol", name}, {"reason", std::string(to_string(static_cast<ingest::Reason>(i)))}});
  }
  return made;
}

prometheus::Counter& Metrics::windows_scored(std::string_view domain) {
  return windows_scored_->Add({{"domain", std::string(domain)}});
}

prometheus::Counter& Metrics::windows_invalid(std::string_view domain) {
  return windows_invalid_->Add({{"domain", std::string(domain)}});
}

prometheus::Counter& Metrics::alert_transitions(std::string_view domain, std::string_view state) {
  return alert_transitions_->Add({{"domain", std::string(domain)}, {"state", std::string(state)}});
}

void Metrics::reloaded(bool successful, TimeNs now) {
  reload_successful_->Set(successful ? 1 : 0);
  const TimeNs now_ms = now / 1'000'000;
  if (successful) reload_time_->Set(static_cast<double>(now_ms) / 1000);
}

}  // namespace anomalyd::app

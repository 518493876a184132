#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include "base/time.h"
#include "ingest/codec.h"

namespace anomalyd::app {

/// Every metric that the app itself counts, made once; names in docs/metrics.md.
/// Threads   safe from any thread.
class Metrics {
 public:
  explicit Metrics(prometheus::Registry& registry);

  /// Of one way in: "line_protocol" or "json".
  struct Protocol {
    prometheus::Counter* samples;
    prometheus::Counter* requests;
    prometheus::Counter* skipped_fields;
    std::array<prometheus::Counter*, static_cast<std::size_t>(ingest::Reason::kReasons)> rejected;
  };
  const Protocol& line_protocol() const { return line_protocol_; }
  const Protocol& json() const { return json_; }

  /// Requests that were refused whole.
  enum class Refusal : std::uint8_t {
    kQueueFull,
    kTooLarge,
    kEncoding,
    kNotReady,
    kDiskFull,
    kJournal,
    kRefusals
  };
  void count_refused(Refusal why) const { refused_[static_cast<std::size_t>(why)]->Increment(); }

  /// Samples of streams that a token may not bring, or too many of them.
  void count_denied(std::size_t foreign, std::size_t excess) const {
    denied_foreign_->Increment(static_cast<double>(foreign));
    denied_excess_->Increment(static_cast<double>(excess));
  }

  prometheus::Counter& windows_scored(std::string_view domain);
  prometheus::Counter& windows_invalid(std::string_view domain);
  prometheus::Counter& alert_transitions(std::string_view domain, std::string_view state);
  prometheus::Histogram& score_seconds() { return *score_seconds_; }
  prometheus::Histogram& accepted_to_scored_seconds() { return *accepted_to_scored_seconds_; }

  void reloaded(bool successful, TimeNs now);
  void set_ready(bool ready) { ready_->Set(ready ? 1 : 0); }

 private:
  Protocol make_protocol(prometheus::Registry& registry, const std::string& name);

  Protocol line_protocol_;
  Protocol json_;
  std::array<prometheus::Counter*, static_cast<std::size_t>(Refusal::kRefusals)> refused_{};
  prometheus::Counter* denied_foreign_;
  prometheus::Counter* denied_excess_;
  prometheus::Family<prometheus::Counter>* windows_scored_;
  prometheus::Family<prometheus::Counter>* windows_invalid_;
  prometheus::Family<prometheus::Counter>* alert_transitions_;
  prometheus::Histogram* score_seconds_;
  prometheus::Histogram* accepted_to_scored_seconds_;
  prometheus::Gauge* reload_successful_;
  prometheus::Gauge* reload_time_;
  prometheus::Gauge* ready_;
};

}  // namespace anomalyd::app

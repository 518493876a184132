#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/archive.h"
#include "base/result.h"
#include "base/stream_key.h"
#include "base/time.h"

namespace anomalyd::alert {

enum class AlertState : std::uint8_t { kPending, kFiring, kResolved };
std::string_view to_string(AlertState state);
/// Errors   kInvalidArgument for an unknown name, listing the known ones.
Result<AlertState> parse_state(std::string_view name);

/// What normal would have looked like beside what came, at the alert's peak window.
struct Context {
  TimeNs start = 0;  ///< event time of the window's first sample
  double rate_hz = 0;
  std::vector<std::string> channels;  ///< names, in the order of the columns below
  std::vector<float> actual;          ///< (samples, channels), sensor units
  std::vector<float> expected;        ///< the same shape
};

struct Contribution {
  std::string channel;
  double share = 0;  ///< of the score; all shares of an alert sum to 1
};

/// One period in which a stream was anomalous. `id` is a function of (stream, start, detector),
/// so that writing the same alert twice is writing it once.
struct Alert {
  std::string id;
  StreamKey stream;
  std::string domain;
  std::string detector;
  std::string detector_version;
  AlertState state = AlertState::kPending;
  TimeNs start = 0;        ///< event time of the first anomalous window's start
  TimeNs end = 0;          ///< last anomalous window's end; moves while the alert is open
  TimeNs fired_at = 0;     ///< event time at which it fired; 0 while pending
  TimeNs resolved_at = 0;  ///< event time at which it resolved; 0 while open
  std::string end_reason;  ///< "cleared", "gap", "restart", "shutdown"...; empty while open
  double threshold_p = 0;  ///< the p-value at which it fires
  double peak_score = 0;
  double peak_p = 1;
  TimeNs peak_time = 0;                     ///< start of the peak window
  std::vector<Contribution> contributions;  ///< at the peak, largest first
  Context context;                          ///< at the peak
};

/// Walks what an open alert has beyond its stream, its id and its state, which follow from the
/// stream and its machine.
void archive_open(Archive& archive, Alert& alert);

/// 16 hex digits, the same for the same three on every machine.
std::string alert_id(std::string_view stream, TimeNs start, std::string_view detector);

}  // namespace anomalyd::alert

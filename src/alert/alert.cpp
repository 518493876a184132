#include "alert/alert.h"

#include <cinttypes>
#include <cstdio>

#include "base/sample_batch.h"

namespace anomalyd::alert {

std::string_view to_string(AlertState state) {
  switch (state) {
    case AlertState::kPending:
      return "pending";
    case AlertState::kFiring:
      return "firing";
    case AlertState::kResolved:
      return "resolved";
  }
  return "unknown";
}

Result<AlertState> parse_state(std::string_view name) {
  for (const AlertState state :
       {AlertState::kPending, AlertState::kFiring, AlertState::kResolved}) {
    if (name == to_string(state)) return state;
  }
  return Error{ErrorCode::kInvalidArgument, "unknown alert state '" +
                                                std::string(name.substr(0, 64)) +
                                                "', expected pending, firing or resolved"};
}

void archive_open(Archive& archive, Alert& alert) {
  constexpr std::size_t kMostName = 4096;
  constexpr std::size_t kMostValues = std::size_t{1} << 26U;
  archive.text(alert.domain, kMostName, "letters of a domain's name");
  archive.text(alert.detector, kMostName, "letters of a detector's name");
  archive.text(alert.detector_version, kMostName, "letters of a version");
  archive(alert.start, alert.end, alert.fired_at, alert.threshold_p);
  archive(alert.peak_score, alert.peak_p, alert.peak_time);
  archive.list(alert.contributions, kMaxChannels, sizeof(std::uint32_t) + sizeof(double),
               "contributions", [](Archive& a, Contribution& contribution) {
                 a.text(contribution.channel, kMostName, "letters of a channel's name");
                 a(contribution.share);
               });
  archive(alert.context.start, alert.context.rate_hz);
  archive.list(alert.context.channels, kMaxChannels, sizeof(std::uint32_t), "channels",
               [](Archive& a, std::string& name) {
                 a.text(name, kMostName, "letters of a channel's name");
               });
  archive.list(alert.context.actual, 0, kMostValues, "values of a window");
  archive.list(alert.context.expected, 0, kMostValues, "values of a window");
}

std::string alert_id(std::string_view stream, TimeNs start, std::string_view detector) {
  // The stream's length comes first and digits end at the colon, so that no two triples join to
  // the same bytes.
  std::string joined = std::to_string(stream.size()) + ":";
  joined += stream;
  joined += std::to_string(start) + ":";
  joined += detector;
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016" PRIx64, hash_bytes(joined));
  return digits;
}

}  // namespace anomalyd::alert

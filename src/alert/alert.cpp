#include "alert/alert.h"

#include <cinttypes>
#include <cstdio>

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

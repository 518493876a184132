#include "ingest/reject.h"

namespace anomalyd::ingest {

std::string_view to_string(Reason reason) {
  switch (reason) {
    case Reason::kSyntax:
      return "syntax";
    case Reason::kKey:
      return "key";
    case Reason::kTime:
      return "time";
    case Reason::kValue:
      return "value";
    case Reason::kTooMany:
      return "too_many";
    case Reason::kReasons:
      break;
  }
  return "unknown";
}

void add_reject(Decoded& out, std::size_t line, Reason reason,
                std::initializer_list<std::string_view> message, std::string_view text) {
  constexpr std::size_t kTextBytes = 256;
  ++out.rejected;
  ++out.rejected_by_reason[static_cast<std::size_t>(reason)];
  if (out.rejects.size() >= kMaxRejects) return;
  Reject reject{line, reason, {}, std::string(text.substr(0, kTextBytes))};
  for (const std::string_view part : message) reject.message += part;
  out.rejects.push_back(std::move(reject));
}

}  // namespace anomalyd::ingest

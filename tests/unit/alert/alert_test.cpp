#include "alert/alert.h"

#include <set>

#include "support/catch.h"

namespace anomalyd::alert {
namespace {

TEST_CASE("Alert states have names that read back", "[alert][state]") {
  for (const auto& [state, name] :
       {std::pair{AlertState::kPending, "pending"}, std::pair{AlertState::kFiring, "firing"},
        std::pair{AlertState::kResolved, "resolved"}}) {
    CHECK(to_string(state) == name);
    CHECK(parse_state(name).value() == state);
  }
}

TEST_CASE("An unknown alert state is refused and the known ones are listed",
          "[alert][state][errors]") {
  for (const char* name : {"", "Firing", "firing ", "open"}) {
    const auto refused = parse_state(name);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == ErrorCode::kInvalidArgument);
    CHECK(refused.error().message.find("'" + std::string(name) + "'") != std::string::npos);
    CHECK(refused.error().message.find("pending, firing or resolved") != std::string::npos);
  }
}

TEST_CASE("An alert's id is the same for the same stream, start and detector", "[alert][id]") {
  const std::string id = alert_id("pump{site=\"a\"}", 1795320306'500'000'000, "bearing");
  // XXH3 (64 bits) of `14:pump{site="a"}1795320306500000000:bearing`, as libxxhash gives it:
  // ids are in databases and in other people's systems, so they may not change.
  CHECK(id == "1ffec26664ae044d");
  CHECK(id.size() == 16);
  CHECK(id.find_first_not_of("0123456789abcdef") == std::string::npos);
}

TEST_CASE("Alerts that differ anywhere have different ids", "[alert][id]") {
  std::set<std::string> ids;
  std::size_t made = 0;
  // Among them triples that a plain joining would confuse.
  for (const char* stream : {"a", "a1", "a1:", "a:1", ":", "1", "", "11"}) {
    for (const TimeNs start : {TimeNs{0}, TimeNs{1}, TimeNs{11}, TimeNs{-1}, TimeNs{111}}) {
      for (const char* detector : {"", "b", "1:b", ":b", "1", "11"}) {
        ids.insert(alert_id(stream, start, detector));
        ++made;
      }
    }
  }
  CHECK(ids.size() == made);
}

}  // namespace
}  // namespace anomalyd::alert

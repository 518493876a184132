#include "base/time.h"

#include <limits>

#include "support/catch.h"

namespace anomalyd {
namespace {

TEST_CASE("RFC 3339 times go both ways", "[base][time]") {
  CHECK(parse_rfc3339("1970-01-01T00:00:00Z").value() == 0);
  CHECK(parse_rfc3339("2026-11-22T04:05:06.5Z").value() == 1795320306'500'000'000);
  CHECK(parse_rfc3339("2026-11-22T05:05:06.5+01:00").value() == 1795320306'500'000'000);
  CHECK(to_rfc3339(1795320306'500'000'000) == "2026-11-22T04:05:06.5Z");
  CHECK(to_rfc3339(-1) == "1969-12-31T23:59:59.999999999Z");
  for (const TimeNs time : {TimeNs{0}, TimeNs{1}, TimeNs{-1}, TimeNs{1795320306123456789},
                            std::numeric_limits<TimeNs>::max()}) {
    CHECK(parse_rfc3339(to_rfc3339(time)).value() == time);
  }
}

TEST_CASE("Broken RFC 3339 times are refused", "[base][time][errors]") {
  for (const char* text :
       {"", "2026", "2026-11-22", "2026-11-22T04:05:06", "2026-13-22T04:05:06Z",
        "2026-02-30T04:05:06Z", "2026-11-22T24:05:06Z", "2026-11-22T04:05:06.Z",
        "2026-11-22T04:05:06.1234567890Z", "2026-11-22T04:05:06+1:00", "2026-11-22T04:05:06Zx",
        "9999-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "2026-11-22T04:05:06+0"}) {
    INFO(text);
    CHECK_FALSE(parse_rfc3339(text).ok());
  }
}

TEST_CASE("Durations carry a unit", "[base][time]") {
  using std::chrono::nanoseconds;
  CHECK(parse_duration("250ms").value() == nanoseconds(250'000'000));
  CHECK(parse_duration("1.5s").value() == nanoseconds(1'500'000'000));
  CHECK(parse_duration("1w").value() == std::chrono::hours(168));
  for (const char* text : {"", "5", "s", "-1s", "1 s", "nans", "infs", "1e30w"}) {
    INFO(text);
    CHECK_FALSE(parse_duration(text).ok());
  }
}

}  // namespace
}  // namespace anomalyd

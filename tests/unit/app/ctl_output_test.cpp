#include "app/ctl_output.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <sstream>

#include "ingest/number.h"
#include "support/catch.h"

namespace anomalyd::app::ctl {
namespace {

class ManualClock final : public Clock {
 public:
  TimeNs now() const override { return 0; }
  std::chrono::nanoseconds elapsed() const override { return time; }
  std::chrono::nanoseconds time{0};
};

TEST_CASE("A table pads its columns and leaves no trailing space", "[app][ctl]") {
  Table table({{"NAME"}, {"N", Table::Align::kRight}, {"END"}});
  table.add({"pump", "7", "x"});
  table.add({"fän", "1200", ""});
  std::ostringstream out;
  table.print(out);
  CHECK(out.str() ==
        "NAME     N  END\n"
        "pump     7  x\n"
        "fän   1200\n");
}

TEST_CASE("A table without titles has no title row", "[app][ctl]") {
  Table table({{""}, {""}});
  table.add({"a", "b"});
  std::ostringstream out;
  table.print(out);
  CHECK(out.str() == "a  b\n");
}

TEST_CASE("Every float32 survives its nine digits and a double", "[app][ctl]") {
  std::mt19937 bits(1);
  for (int i = 0; i < 200'000; ++i) {
    const auto word = static_cast<std::uint32_t>(bits());
    float value = 0;
    std::memcpy(&value, &word, sizeof value);
    if (!std::isfinite(value)) continue;
    std::string text;
    append_float(text, value);
    double read = 0;
    REQUIRE(ingest::read_number(text.data(), text.data() + text.size(), read) ==
            text.data() + text.size());
    const float back = static_cast<float>(read);
    REQUIRE(std::memcmp(&back, &value, sizeof value) == 0);
  }
}

TEST_CASE("A float is written as printf's %.9g", "[app][ctl]") {
  for (const float value : {0.0F, -0.0F, 1.0F, 0.1F, 1e-20F, 3.4e38F, -123456.7F, 1e-45F}) {
    char expected[40];
    std::snprintf(expected, sizeof expected, "%.9g", static_cast<double>(value));
    std::string text;
    append_float(text, value);
    CHECK(text == expected);
  }
}

TEST_CASE("JSON numbers are exact, and null when there is none", "[app][ctl]") {
  CHECK(json_number(0.1) == "0.1");
  CHECK(json_number(std::numeric_limits<double>::quiet_NaN()) == "null");
  CHECK(json_number(std::numeric_limits<double>::infinity()) == "null");
  CHECK(json_string("a\"\\\n\xff") == "\"a\\\"\\\\\\n\xEF\xBF\xBD\"");
}

TEST_CASE("Progress rewrites one line on a terminal", "[app][ctl]") {
  std::ostringstream out;
  std::ostringstream err;
  Console console{out, err, true};
  ManualClock clock;
  Progress progress(console, clock);
  progress.update([] { return std::string("long"); });
  progress.update([] { return std::string("too soon"); });
  clock.time = std::chrono::seconds(1);
  progress.update([] { return std::string("b"); });
  progress.finish();
  CHECK(err.str() == "\rlong\rb   \n");
  CHECK(out.str().empty());
}

TEST_CASE("Progress is a line every few seconds elsewhere", "[app][ctl]") {
  std::ostringstream out;
  std::ostringstream err;
  Console console{out, err, false};
  ManualClock clock;
  Progress progress(console, clock);
  for (int i = 0; i < 110; ++i) {
    clock.time = std::chrono::milliseconds(100 * i);
    progress.update([i] { return std::to_string(i); });
  }
  progress.finish();
  CHECK(err.str() == "50\n100\n");
}

TEST_CASE("A progress bar stays within its cells", "[app][ctl]") {
  CHECK(progress_bar(0) == "[....................]   0 %");
  CHECK(progress_bar(0.5) == "[##########..........]  50 %");
  CHECK(progress_bar(1.5) == "[####################] 100 %");
  CHECK(progress_bar(std::numeric_limits<double>::quiet_NaN()) == "[....................]   0 %");
}

TEST_CASE("Durations read as people say them", "[app][ctl]") {
  CHECK(duration_text(1.25) == "1.2 s");
  CHECK(duration_text(42) == "42 s");
  CHECK(duration_text(185) == "3 min 5 s");
  CHECK(duration_text(7800) == "2 h 10 min");
  CHECK(duration_text(-1) == "?");
}

}  // namespace
}  // namespace anomalyd::app::ctl

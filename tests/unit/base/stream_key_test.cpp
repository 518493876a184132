#include "base/stream_key.h"

#include <string>

#include "support/catch.h"

namespace anomalyd {
namespace {

TEST_CASE("StreamKey sorts its labels and escapes their values", "[base][stream_key]") {
  const auto key = StreamKey::make("pump", {{"unit", "7"}, {"site", "a\"b\\c"}});
  REQUIRE(key.ok());
  CHECK(key.value().text() == "pump{site=\"a\\\"b\\\\c\",unit=\"7\"}");
}

TEST_CASE("StreamKey parses what it writes", "[base][stream_key]") {
  for (const auto& labels : std::vector<std::vector<Label>>{
           {}, {{"a", ""}}, {{"a", "x,y=\"z\"}{"}, {"b", "\\"}}, {{"ä", "ö ü"}}}) {
    const auto key = StreamKey::make("m", labels).value();
    const auto again = StreamKey::parse(key.text());
    REQUIRE(again.ok());
    CHECK(again.value().text() == key.text());
    CHECK(again.value().labels() == labels);
  }
}

TEST_CASE("StreamKey refuses what could not be read back", "[base][stream_key][errors]") {
  CHECK_FALSE(StreamKey::make("", {}).ok());
  CHECK_FALSE(StreamKey::make("a{b", {}).ok());
  CHECK_FALSE(StreamKey::make("a\nb", {}).ok());
  CHECK_FALSE(StreamKey::make("a\xff", {}).ok());
  CHECK_FALSE(StreamKey::make("\xed\xa0\x80", {}).ok());  // a surrogate
  CHECK_FALSE(StreamKey::make("a", {{"l=", "v"}}).ok());
  CHECK_FALSE(StreamKey::make("a", {{"l", "v\x01"}}).ok());
  CHECK_FALSE(StreamKey::make("a", {{"l", "1"}, {"l", "2"}}).ok());
  CHECK_FALSE(StreamKey::make("a", std::vector<Label>(33, {"x", "y"})).ok());
  for (const char* text :
       {"a{", "a{}x", "a{b}", "a{b=\"c}", "a{b=\"c\"d=\"e\"}", "a{b=\"\\\"}", "{}"}) {
    INFO(text);
    CHECK_FALSE(StreamKey::parse(text).ok());
  }
  const auto twice = StreamKey::make("a", {{"l", "1"}, {"l", "2"}});
  CHECK(twice.error().message == "stream key: label l given twice");
}

}  // namespace
}  // namespace anomalyd

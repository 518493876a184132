#include "http/target.h"

#include <string>

#include "http/client.h"
#include "support/catch.h"

namespace anomalyd::http {
namespace {

std::string decoded(std::string_view raw, bool plus_is_space = false) {
  std::string out = "kept:";
  const auto status = percent_decode(raw, plus_is_space, out);
  return status.ok() ? out.substr(5) : (out == "kept:" ? "refused" : "touched");
}

TEST_CASE("A target is split at the first question mark", "[http][target]") {
  const auto plain = split_target("/a/b").value();
  CHECK(plain.path == "/a/b");
  CHECK(plain.query.empty());
  const auto queried = split_target("/a?b=1?2").value();
  CHECK(queried.path == "/a");
  CHECK(queried.query == "b=1?2");
}

TEST_CASE("A target may be absolute, as a proxy sends it", "[http][target]") {
  CHECK(split_target("http://h:1/a?b").value().path == "/a");
  CHECK(split_target("HTTP://h:1/a?b").value().query == "b");
  CHECK(split_target("http://h").value().path == "/");
  CHECK(split_target("http://h?q=1").value().path == "/");
  CHECK(split_target("http://h?q=1").value().query == "q=1");
}

TEST_CASE("Any other target is refused", "[http][target][errors]") {
  for (const char* target : {"", "*", "a/b", "?a", "http:///a", "https://h/a", "/a#b", "/a?b#c"}) {
    INFO(target);
    CHECK_FALSE(split_target(target).ok());
  }
}

TEST_CASE("Escapes are decoded, and a plus only where it means a space", "[http][target]") {
  CHECK(decoded("a%20b%2Fc%2fd") == "a b/c/d");
  CHECK(decoded("a+b") == "a+b");
  CHECK(decoded("a+b%2B", true) == "a b+");
  CHECK(decoded("%C3%A4\xc3\xb6") == "\xc3\xa4\xc3\xb6");
  CHECK(decoded("%25%34%31") == "%41");  // once, not again
}

TEST_CASE("Broken escapes, control characters and what is not UTF-8 are refused",
          "[http][target][errors]") {
  for (const char* raw : {"%",      "%4",        "a%zz",         "%4g",       "%-1",
                          "% 1",    "%00",       "a%0Ab",        "%0d",       "%1f",
                          "%7F",    "\x01",      "%ff",          "%c3",       "%c3%41",
                          "%c0%80", "%ed%a0%80", "%f4%90%80%80", "%e0%80%80", "\xf0\x80\x80\x80"}) {
    INFO(raw);
    CHECK(decoded(raw) == "refused");
  }
  std::string out;
  CHECK(percent_decode("ab%zz", false, out).error().message ==
        "'%' at byte 2: expected two hex digits behind it");
  CHECK(percent_decode("ab%0a", false, out).error().message == "control character 0x0A at byte 4");
}

TEST_CASE("A query gives its parameters in order", "[http][target]") {
  std::vector<Parameter> out;
  REQUIRE(parse_query("a=1&b=x+y%26z&&a=2&c&d=e=f&", out).ok());
  REQUIRE(out.size() == 5);
  CHECK(out[0].name == "a");
  CHECK(out[0].value == "1");
  CHECK(out[1].value == "x y&z");
  CHECK(out[2].value == "2");
  CHECK(out[3].name == "c");
  CHECK(out[3].value.empty());
  CHECK(out[4].value == "e=f");
}

TEST_CASE("A query says which parameter is broken", "[http][target][errors]") {
  std::vector<Parameter> out;
  CHECK(parse_query("a=1&from=%0g", out).error().message ==
        "query: from: '%' at byte 0: expected two hex digits behind it");
  CHECK(out.size() == 1);
  CHECK(parse_query("=1", out).error().message == "query: parameter 2: no name before '='");
  CHECK_FALSE(parse_query("%00=1", out).ok());
}

TEST_CASE("What is percent-encoded decodes to itself", "[http][target]") {
  const std::string text = "pump{site=\"a b/c\",unit=\"7\"}~-._+%&?\xc3\xa4";
  const std::string encoded = percent_encode(text);
  CHECK(encoded.find_first_of("{}\"/ +&?=,") == std::string::npos);
  CHECK(decoded(encoded) == text);
  CHECK(decoded(encoded, true) == text);
  CHECK(percent_encode("a/b") == "a%2Fb");
}

}  // namespace
}  // namespace anomalyd::http

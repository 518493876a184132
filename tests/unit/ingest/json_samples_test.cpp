#include <cmath>
#include <limits>
#include <string>

#include "ingest/codec.h"
#include "support/catch.h"

namespace anomalyd::ingest {
namespace {

constexpr TimeNs kNow = 42;

Decoded decode_padded(std::string body, char padding, const CodecLimits& limits = {}) {
  const std::size_t size = body.size();
  body.append(64, padding);
  Decoded out;
  decode_json(std::string_view(body).substr(0, size), kNow, limits, out);
  return out;
}

Decoded decode(const std::string& body, const CodecLimits& limits = {}) {
  return decode_padded(body, ']', limits);  // the padding may hold anything, also this
}

Decoded decode_lines(std::string body) {
  const std::size_t size = body.size();
  body.append(64, '}');
  Decoded out;
  decode_ndjson(std::string_view(body).substr(0, size), kNow, CodecLimits{}, out);
  return out;
}

const std::string kGood = R"({"stream":"ok","values":{"v":1}})";

/// The message of the one refusal, between two elements that are kept.
std::string only_refusal(const std::string& element, Reason reason) {
  INFO(element);
  const Decoded decoded = decode("[" + kGood + "," + element + "," + kGood + "]");
  CHECK(decoded.batch.samples() == 2);
  CHECK(decoded.rejected == 1);
  REQUIRE(decoded.rejects.size() == 1);
  CHECK(decoded.rejects[0].line == 2);
  CHECK(to_string(decoded.rejects[0].reason) == to_string(reason));
  CHECK(decoded.rejects[0].text == element.substr(0, 256));
  // The same element alone, and as a line of NDJSON between two good ones.
  if (element.front() == '{') {
    CHECK(decode(element).rejected == 1);
    const Decoded lines = decode_lines(kGood + "\n" + element + "\n" + kGood);
    CHECK(lines.batch.samples() == 2);
    REQUIRE(lines.rejects.size() == 1);
    CHECK(lines.rejects[0].line == 2);
  }
  return decoded.rejects[0].message;
}

TEST_CASE("A JSON row becomes a sample", "[ingest][json]") {
  const Decoded decoded =
      decode(R"({"values":{"ax":0.1,"ay":null,"az":-3},"time":"2026-11-22T04:05:06.5Z",)"
             R"("labels":{"unit":"7","site":"a\"b"},"str\u0065am":"pump"})");
  CHECK(decoded.rejected == 0);
  REQUIRE(decoded.batch.samples() == 1);
  const Run& run = decoded.batch.runs()[0];
  CHECK(decoded.batch.key(run) == R"(pump{site="a\"b",unit="7"})");
  CHECK(decoded.batch.times(run)[0] == 1795320306'500'000'000);
  CHECK(decoded.batch.schema_of(run).channels == std::vector<std::string>{"ax", "ay", "az"});
  CHECK(decoded.batch.values(run)[0] == 0.1F);
  CHECK(std::isnan(decoded.batch.values(run)[1]));
  CHECK(decoded.batch.values(run)[2] == -3.0F);
}

TEST_CASE("JSON times are text, integer nanoseconds, or now", "[ingest][json]") {
  const Decoded decoded =
      decode(R"([{"stream":"a","time":7,"values":{"v":1}},{"stream":"a","values":{"v":2}}])");
  REQUIRE(decoded.batch.runs().size() == 1);
  const auto times = decoded.batch.times(decoded.batch.runs()[0]);
  CHECK(times[0] == 7);
  CHECK(times[1] == kNow);
}

TEST_CASE("A JSON time before 1970 or after 2116 is refused", "[ingest][json][errors]") {
  const Decoded decoded = decode(
      R"([{"stream":"a","time":-1,"values":{"v":1}},
          {"stream":"a","time":4611686018427387903,"values":{"v":1}},
          {"stream":"a","time":"2116-02-21T00:00:00Z","values":{"v":1}},
          {"stream":"a","start":4611686018427387903,"rate_hz":1e9,"channels":{"v":[1]}},
          {"stream":"a","start":4611686018427387903,"rate_hz":1e9,"channels":{"v":[1,2]}},
          {"stream":"a","start":-1,"rate_hz":1e9,"channels":{"v":[1,2]}}])");
  const auto says = [](const std::string& message, const std::string& part) {
    INFO(message);
    CHECK(message.find(part) != std::string::npos);
  };
  CHECK(decoded.batch.samples() == 2);
  REQUIRE(decoded.rejects.size() == 4);
  CHECK(decoded.rejected_by_reason[static_cast<std::size_t>(Reason::kTime)] == 4);
  says(decoded.rejects[0].message, "/0/time: 1969-12-31T23:59:59.999999999Z is before 1970");
  says(decoded.rejects[1].message,
       "/2/time: 2116-02-21T00:00:00Z is after 2116-02-20: expected a time from 1970");
  says(decoded.rejects[2].message, "/4/rate_hz: 2116-02-20T23:53:38.427387904Z is after");
  says(decoded.rejects[3].message, "/5/start: ");
}

TEST_CASE("One row at the smallest rate there is has its start for its time", "[ingest][json]") {
  const Decoded decoded =
      decode(R"({"stream":"a","start":7,"rate_hz":5e-324,"channels":{"v":[1]}})");
  REQUIRE(decoded.batch.samples() == 1);
  CHECK(decoded.batch.times(decoded.batch.runs()[0])[0] == 7);
}

TEST_CASE("A JSON time too far in the future is refused, where there is a limit",
          "[ingest][json][errors]") {
  CodecLimits limits;
  limits.max_future_ns = kNsPerSecond;
  const Decoded decoded = decode(
      R"([{"stream":"a","time":"1970-01-01T00:00:02Z","values":{"x":1}},
          {"stream":"a","time":42,"values":{"x":1}},
          {"stream":"a","start":0,"rate_hz":1,"channels":{"x":[1,2]}},
          {"stream":"a","start":0,"rate_hz":1,"channels":{"x":[1,2,3]}}])",
      limits);
  CHECK(decoded.batch.samples() == 3);
  CHECK(decoded.rejected_by_reason[static_cast<std::size_t>(Reason::kTime)] == 2);
}

TEST_CASE("A JSON time too far in the past is refused, where there is a limit",
          "[ingest][json][errors]") {
  CodecLimits limits;
  limits.max_past_ns = 10;
  const Decoded decoded = decode(
      R"([{"stream":"a","time":31,"values":{"x":1}},
          {"stream":"a","time":32,"values":{"x":1}},
          {"stream":"a","start":31,"rate_hz":1,"channels":{"x":[1,2]}}])",
      limits);
  CHECK(decoded.batch.samples() == 1);
  CHECK(decoded.rejected_by_reason[static_cast<std::size_t>(Reason::kTime)] == 2);
}

TEST_CASE("JSON columns become a block on an even grid", "[ingest][json]") {
  const Decoded decoded = decode(
      R"({"stream":"fast","start":1000,"rate_hz":25600,"channels":{"ax":[1,2,null],"ay":[4,5,6]}})");
  CHECK(decoded.rejected == 0);
  REQUIRE(decoded.batch.samples() == 3);
  const Run& run = decoded.batch.runs()[0];
  CHECK(decoded.batch.times(run)[1] == 1000 + 39063);  // 39062.5 rounded
  CHECK(decoded.batch.times(run)[2] == 1000 + 78125);
  const auto values = decoded.batch.values(run);
  CHECK(values[0] == 1.0F);
  CHECK(values[1] == 4.0F);
  CHECK(values[2] == 2.0F);
  CHECK(values[3] == 5.0F);
  CHECK(std::isnan(values[4]));
  CHECK(values[5] == 6.0F);
}

TEST_CASE("Column times do not drift", "[ingest][json]") {
  const auto last_time = [](const char* rate, std::size_t rows) {
    std::string body = R"({"stream":"f","start":"1970-01-01T00:00:00Z","rate_hz":)";
    body += std::string(rate) + R"(,"channels":{"v":[0)";
    for (std::size_t i = 1; i < rows; ++i) body += ",0";
    const Decoded decoded = decode(body + "]}}");
    REQUIRE(decoded.batch.samples() == rows);
    return decoded.batch.times(decoded.batch.runs()[0])[rows - 1];
  };
  CHECK(last_time("3", 300001) == 100'000'000'000'000);  // 300000 / 3 s
  CHECK(last_time("25600", 300001) == 11'718'750'000);   // 300000 / 25600 s
  CHECK(last_time("1000", 300001) == 300'000'000'000);
  CHECK(last_time("0.25", 3) == 8'000'000'000);
  CHECK(last_time("7", 299994) == 42'856'142'857'143);  // 299993 / 7 s, rounded
}

TEST_CASE("A refused JSON element leaves the others and names the place",
          "[ingest][json][errors]") {
  const auto says = [](const std::string& message, const std::string& part) {
    INFO(message);
    CHECK(message.find(part) != std::string::npos);
  };
  says(only_refusal("7", Reason::kSyntax), "/1: expected an object, got a number 7");
  says(only_refusal("[[]]", Reason::kSyntax), "/1: expected an object, got an array");
  says(only_refusal(R"({"values":{"v":1}})", Reason::kSyntax), "/1: expected a member 'stream'");
  says(only_refusal(R"({"stream":"a"})", Reason::kSyntax), "expected a member 'values'");
  says(only_refusal(R"({"stream":"a","start":1,"rate_hz":1})", Reason::kSyntax),
       "expected a member 'channels'");
  says(only_refusal(R"({"stream":"a","channels":{"v":[1]},"rate_hz":1})", Reason::kSyntax),
       "expected a member 'start'");
  says(only_refusal(R"({"stream":"a","valeus":{"v":1}})", Reason::kSyntax),
       "/1/valeus: expected one of stream, labels, time, values");
  says(only_refusal(R"({"stream":"a","stream":"b","values":{"v":1}})", Reason::kSyntax),
       "/1/stream: given twice");
  says(only_refusal(R"({"stream":"a","time":1,"channels":{"v":[1]}})", Reason::kSyntax),
       "belong to one form");
  says(only_refusal(R"({"stream":5,"values":{"v":1}})", Reason::kSyntax),
       "/1/stream: expected a string, got a number 5");
  says(only_refusal(R"({"stream":"a\q","values":{"v":1}})", Reason::kSyntax), "/1/stream");
  says(only_refusal(R"({"stream":"a","labels":{"n":5},"values":{"v":1}})", Reason::kSyntax),
       "/1/labels/n: expected a string, got a number 5");
  says(only_refusal(R"({"stream":"a","labels":["n"],"values":{"v":1}})", Reason::kSyntax),
       "/1/labels: expected an object of strings, got an array");
  says(only_refusal(R"({"stream":"a","labels":{"n":"1","n":"2"},"values":{"v":1}})", Reason::kKey),
       "label 'n' given twice");
  says(only_refusal(R"({"stream":"","values":{"v":1}})", Reason::kKey), "stream name ''");
  says(only_refusal(R"({"stream":"a","values":{"":1}})", Reason::kKey),
       "/1/values/: expected a name");
  says(only_refusal(R"({"stream":"a","values":{"v":1,"v":2}})", Reason::kKey),
       "/1/values/v: given twice");
  says(only_refusal(R"({"stream":"a","values":[1]})", Reason::kSyntax),
       "expected an object of numbers");
  says(only_refusal(R"({"stream":"a","values":{"v/w~":"1"}})", Reason::kValue),
       "/1/values/v~1w~0: expected a number that a float32 holds, or null, got a string \"1\"");
  says(only_refusal(R"({"stream":"a","values":{"v":true}})", Reason::kValue), "got a boolean");
  says(only_refusal(R"({"stream":"a","values":{"v":NaN}})", Reason::kValue),
       "got no JSON value NaN");
  says(only_refusal(R"({"stream":"a","values":{"v":-Infinity}})", Reason::kValue), "-Infinity");
  says(only_refusal(R"({"stream":"a","values":{"v":1e39}})", Reason::kValue), "float32");
  says(only_refusal(R"({"stream":"a","values":{"v":1e400}})", Reason::kValue), "float32");
  says(only_refusal(R"({"stream":"a","values":{"v":01}})", Reason::kValue), "float32");
  says(only_refusal(R"({"stream":"a","values":{"v":null}})", Reason::kValue),
       "at least one number");
  says(only_refusal(R"({"stream":"a","values":{}})", Reason::kValue), "at least one number");
  says(only_refusal(R"({"stream":"a","time":"now","values":{"v":1}})", Reason::kTime), "RFC 3339");
  says(only_refusal(R"({"stream":"a","time":1.5,"values":{"v":1}})", Reason::kTime),
       "integer nanoseconds");
  says(
      only_refusal(R"({"stream":"a","time":99999999999999999999,"values":{"v":1}})", Reason::kTime),
      "within 64 bits");
  says(only_refusal(R"({"stream":"a","time":null,"values":{"v":1}})", Reason::kTime), "got null");
  says(only_refusal(R"({"stream":"a","start":0,"rate_hz":1,"channels":{"x":[1,2],"y":[1]}})",
                    Reason::kSyntax),
       "/1/channels/y: expected as many values as channel 'x' has: 2, got 1");
  says(only_refusal(R"({"stream":"a","start":0,"rate_hz":1,"channels":{"x":1}})", Reason::kSyntax),
       "/1/channels/x: expected an array of numbers");
  says(only_refusal(R"({"stream":"a","start":0,"rate_hz":1,"channels":{"x":[1,"2"]}})",
                    Reason::kValue),
       "/1/channels/x: expected a number");
  says(only_refusal(R"({"stream":"a","start":0,"rate_hz":1,"channels":{"x":[]}})", Reason::kValue),
       "at least one number");
  for (const char* rate : {"0", "-1", "1e10", "\"5\"", "null", "1e400"}) {
    says(only_refusal(std::string(R"({"stream":"a","start":0,"rate_hz":)") + rate +
                          R"(,"channels":{"x":[1]}})",
                      Reason::kTime),
         "/1/rate_hz: expected a number above 0");
  }
  says(only_refusal(
           R"({"stream":"a","start":9223372036000000000,"rate_hz":1,"channels":{"x":[1,2]}})",
           Reason::kTime),
       "after 2116");
  says(only_refusal(R"({"stream":"a","start":0,"rate_hz":1e-300,"channels":{"x":[1,2]}})",
                    Reason::kTime),
       "beyond int64");
  says(only_refusal(
           R"({"stream":"a","values":{"v":)" + std::string(40, '[') + std::string(40, ']') + "}}",
           Reason::kTooMany),
       "nested deeper than 16");
  std::string many = R"({"stream":"a","values":{)";
  for (int i = 0; i <= 256; ++i) many += (i > 0 ? ",\"c" : "\"c") + std::to_string(i) + "\":1";
  says(only_refusal(many + "}}", Reason::kTooMany), "more than 256 channels");
}

TEST_CASE("A document that does not parse has one refusal that says where",
          "[ingest][json][errors]") {
  const auto one = [](const std::string& body, std::size_t kept) {
    INFO(body);
    const Decoded decoded = decode(body);
    CHECK(decoded.batch.samples() == kept);
    CHECK(decoded.rejected == 1);
    REQUIRE(decoded.rejects.size() == 1);
    CHECK(decoded.rejects[0].reason == Reason::kSyntax);
    return decoded.rejects[0];
  };
  CHECK(one("[" + kGood + "," + kGood + " " + kGood + "]", 2).message.find("near byte") !=
        std::string::npos);
  const Reject third = one("[" + kGood + "," + kGood + ",{\"stream\" \"x\"}]", 2);
  CHECK(third.line == 3);
  CHECK(third.message.find("/2: the object does not parse near byte") == 0);
  one("[" + kGood + "," + kGood, 0);  // seen to be cut off before its first element is read
  one(kGood.substr(0, kGood.size() - 1), 0);
  one(kGood + "x", 0);
  one(kGood + kGood, 1);
  one("[" + kGood + "][]", 1);
  one("", 0);
  one("  \n", 0);
  one("7", 0);
  one("\"text\"", 0);
  one("{", 0);
  one("[", 0);
  one("]", 0);
  one("[] 1]", 0);
  CHECK(decode_padded("[] 1]", ' ').rejects.at(0).line == 1);
  one("[" + kGood + ",]", 1);
  one("{\"stream\":\"a", 0);
  one("[" + kGood + R"(,{"stream":"a","values":{"v":}}])", 1);
  one("[" + kGood + R"(,{"stream":,"values":{"v":1}}])", 1);
  CHECK(one("[\n" + kGood + ",\n{\"stream\":\"\xff\"}]", 0).line == 3);
  CHECK(decode("[]").rejected == 0);
  CHECK(decode("\xef\xbb\xbf" + kGood).batch.samples() == 1);
}

TEST_CASE("A bad line of NDJSON does not stop the later ones", "[ingest][json][errors]") {
  const Decoded decoded = decode_lines(kGood + "\r\n\n{\"stream\nnothing\n" + kGood + "}\n[" +
                                       kGood + "]\n{\"stream\":\"\xff\"}\n  " + kGood + "  ");
  // The line with a brace too many is refused after its sample was taken.
  CHECK(decoded.batch.samples() == 3);
  CHECK(decoded.rejected == 5);
  REQUIRE(decoded.rejects.size() == 5);
  CHECK(decoded.rejects[0].line == 3);
  CHECK(decoded.rejects[4].line == 7);
  CHECK(decode_lines("").rejected == 0);
}

TEST_CASE("A line of NDJSON over the limit of bytes is refused, a document is not",
          "[ingest][json][errors]") {
  const std::string long_one = std::string(1UL << 20U, ' ') + kGood;
  const Decoded decoded = decode_lines(kGood + "\n" + long_one + "\n" + kGood);
  CHECK(decoded.batch.samples() == 2);
  CHECK(decoded.rejected_by_reason[static_cast<std::size_t>(Reason::kTooMany)] == 1);
  REQUIRE(decoded.rejects.size() == 1);
  CHECK(decoded.rejects[0].line == 2);
  CHECK(decoded.rejects[0].message.find("at most 1048576 are taken") != std::string::npos);
  CHECK(decode(long_one).batch.samples() == 1);
}

TEST_CASE("JSON keeps to the limits of a request", "[ingest][json][errors]") {
  CodecLimits limits;
  limits.max_rows = 2;
  const Decoded rows = decode("[" + kGood + "," + kGood + "," + kGood + "]", limits);
  CHECK(rows.batch.samples() == 2);
  CHECK(rows.rejected_by_reason[static_cast<std::size_t>(Reason::kTooMany)] == 1);
  const Decoded columns = decode(
      R"({"stream":"a","start":0,"rate_hz":1,"channels":{"x":[1,2,3],"y":[1,2,3]}})", limits);
  CHECK(columns.batch.empty());
  CHECK(columns.rejected_by_reason[static_cast<std::size_t>(Reason::kTooMany)] == 1);
}

}  // namespace
}  // namespace anomalyd::ingest

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <span>
#include <string>

#include "base/stream_key.h"
#include "ingest/codec.h"
#include "support/catch.h"

namespace anomalyd::ingest {
namespace {

constexpr TimeNs kNow = 42;

Decoded decode(const std::string& body, std::int64_t unit_ns = 1, const CodecLimits& limits = {}) {
  Decoded out;
  decode_line_protocol(body, unit_ns, kNow, limits, out);
  return out;
}

/// "key@time a=1 b=2" a sample, in order.
std::vector<std::string> rows(const Decoded& decoded) {
  std::vector<std::string> result;
  for (const Run& run : decoded.batch.runs()) {
    const auto& channels = decoded.batch.schema_of(run).channels;
    const auto values = decoded.batch.values(run);
    for (std::size_t row = 0; row < run.rows; ++row) {
      std::string text(decoded.batch.key(run));
      text += "@" + std::to_string(decoded.batch.times(run)[row]);
      for (std::size_t c = 0; c < channels.size(); ++c) {
        char number[64];
        std::snprintf(number, sizeof number, "%.9g",
                      static_cast<double>(values[row * channels.size() + c]));
        text += " " + channels[c] + "=" + number;
      }
      result.push_back(std::move(text));
    }
  }
  return result;
}

using Rows = std::vector<std::string>;

std::string only_refusal(const std::string& line, Reason reason) {
  // A good line on each side, so that a refusal is seen to stay with its own line.
  const Decoded decoded = decode("good v=1 1\n" + line + "\ngood v=2 2\n");
  INFO(line);
  CHECK(rows(decoded) == Rows{"good@1 v=1", "good@2 v=2"});
  REQUIRE(decoded.rejects.size() == 1);
  CHECK(decoded.rejected == 1);
  CHECK(decoded.rejects[0].line == 2);
  CHECK(to_string(decoded.rejects[0].reason) == to_string(reason));
  CHECK(decoded.rejected_by_reason[static_cast<std::size_t>(reason)] == 1);
  return decoded.rejects[0].message;
}

TEST_CASE("A line becomes a sample: tags sorted into the key, fields as channels",
          "[ingest][line_protocol]") {
  CHECK(rows(decode("vibration,plant=p1,line=l12,sensor=s1 x=1.25,y=-0.5,z=9 1700000000000000000\n"
                    "vibration,plant=p1,line=l12,sensor=s1 x=2,y=.5,z=1e2 1700000000000000001")) ==
        Rows{"vibration{line=\"l12\",plant=\"p1\",sensor=\"s1\"}@1700000000000000000 x=1.25 y=-0.5 "
             "z=9",
             "vibration{line=\"l12\",plant=\"p1\",sensor=\"s1\"}@1700000000000000001 x=2 y=0.5 "
             "z=100"});
  const Decoded decoded = decode("a v=1 1\na v=2 2\na,t=1 v=3 3\na w=4 4\n");
  CHECK(decoded.batch.runs().size() == 3);
  CHECK(decoded.batch.schemas() == 2);
}

TEST_CASE("Line protocol knows every kind of value", "[ingest][line_protocol]") {
  CHECK(
      rows(decode("m a=3i,b=5u,c=-7i,d=t,e=T,f=true,g=True,h=TRUE,i=f,j=F,k=false,l=False,m=FALSE,"
                  "n=1.5E-3,o=+2,p=18446744073709551615u 9")) ==
      Rows{"m@9 a=3 b=5 c=-7 d=1 e=1 f=1 g=1 h=1 i=0 j=0 k=0 l=0 m=0 n=0.00150000001 o=2 "
           "p=1.84467441e+19"});
  const Decoded texts = decode("m s=\"a, b=\\\"c\\\" \\\\\",v=1,t=\"two\nlines\" 5\nm v=2 6\n");
  CHECK(rows(texts) == Rows{"m@5 v=1", "m@6 v=2"});
  CHECK(texts.skipped_fields == 2);
  CHECK(texts.rejected == 0);
}

TEST_CASE("Line protocol escapes stand for the byte behind them", "[ingest][line_protocol]") {
  CHECK(rows(decode("my\\ pump,site\\ no=a\\,b\\=c\\ d\\e,q=\"x\" m\\ s=1 1")) ==
        Rows{"my pump{q=\"\\\"x\\\"\",site no=\"a,b=c d\\\\e\"}@1 m s=1"});
  CHECK(rows(decode("m,t={a} v=1 1\nm,ä=ö ü=2 2")) ==
        Rows{"m{t=\"{a}\"}@1 v=1", "m{ä=\"ö\"}@2 ü=2"});
}

TEST_CASE("Comments, blank lines, blanks and line ends of Windows are nothing",
          "[ingest][line_protocol]") {
  const Decoded decoded =
      decode("# a \"comment\n\n   \n\t\r\n  m  v=1   7  \r\nm v=2 8\r\n#\n  # x\nm v=3\n");
  CHECK(rows(decoded) == Rows{"m@7 v=1", "m@8 v=2", "m@42 v=3"});
  CHECK(decoded.rejected == 0);
  CHECK(decode("").rejected == 0);
}

TEST_CASE("Times are multiplied by the precision, and are of 1970 to 2116",
          "[ingest][line_protocol]") {
  CHECK(rows(decode("m v=1 1700000000", 1'000'000'000)) == Rows{"m@1700000000000000000 v=1"});
  CHECK(rows(decode("m v=1 5", 1000)) == Rows{"m@5000 v=1"});
  CHECK(rows(decode("m v=1 0\nm v=1 4611686018427387903")) ==
        Rows{"m@0 v=1", "m@4611686018427387903 v=1"});
  const Decoded outside = decode("m v=1 -1\nm v=1 4611686019\nm v=1 9223372037", 1'000'000'000);
  CHECK(outside.batch.empty());
  REQUIRE(outside.rejects.size() == 3);
  for (const Reject& reject : outside.rejects) {
    CHECK(reject.reason == Reason::kTime);
    CHECK(reject.message.find("expected a time from 1970 to 2116-02-20") != std::string::npos);
  }
  CHECK(outside.rejects[0].message.find("is 1969-12-31T23:59:59Z, before 1970") !=
        std::string::npos);
  CHECK(outside.rejects[1].message.find("after 2116-02-20") != std::string::npos);
  CHECK(decode("m v=1 4611686018427387904").rejected == 1);
}

TEST_CASE("A time too far in the future is refused, where there is a limit",
          "[ingest][line_protocol][errors]") {
  CodecLimits limits;
  limits.max_future_ns = 10;
  const Decoded decoded = decode("m v=1 52\nm v=2 53\nm v=3 9\n", 1, limits);
  CHECK(rows(decoded) == Rows{"m@52 v=1", "m@9 v=3"});
  REQUIRE(decoded.rejects.size() == 1);
  CHECK(decoded.rejects[0].line == 2);
  CHECK(decoded.rejects[0].reason == Reason::kTime);
  CHECK(decoded.rejects[0].message.find("too far in the future") != std::string::npos);
  CHECK(decode("m v=1 4000000000000000000").rejected == 0);
}

TEST_CASE("A time too far in the past is refused, where there is a limit",
          "[ingest][line_protocol][errors]") {
  CodecLimits limits;
  limits.max_past_ns = 10;
  const Decoded decoded = decode("m v=1 32\nm v=2 31\nm v=3 4000\n", 1, limits);
  CHECK(rows(decoded) == Rows{"m@32 v=1", "m@4000 v=3"});
  REQUIRE(decoded.rejects.size() == 1);
  CHECK(decoded.rejects[0].line == 2);
  CHECK(decoded.rejects[0].reason == Reason::kTime);
  CHECK(decoded.rejects[0].message.find("too far in the past") != std::string::npos);
}

TEST_CASE("A bad line is refused with its number and the others are kept",
          "[ingest][line_protocol][errors]") {
  const auto says = [](const std::string& message, const char* part) {
    INFO(message);
    CHECK(message.find(part) != std::string::npos);
  };
  says(only_refusal("justaname", Reason::kSyntax), "expected fields");
  says(only_refusal("m,t v=1", Reason::kSyntax), "tag 't': expected name=value");
  says(only_refusal("m,=x v=1", Reason::kSyntax), "expected name=value");
  says(only_refusal("m,t= v=1", Reason::kSyntax), "expected a value");
  says(only_refusal("m,t=a=b v=1", Reason::kSyntax), "backslash");
  says(only_refusal(",t=a v=1", Reason::kSyntax), "expected a measurement");
  says(only_refusal("m v", Reason::kSyntax), "expected name=value, got 'v'");
  says(only_refusal("m =1", Reason::kSyntax), "expected name=value");
  says(only_refusal("m v=1,", Reason::kSyntax), "expected name=value");
  says(only_refusal("m v=1, w=2", Reason::kSyntax), "expected name=value");
  says(only_refusal("m v=\"abc", Reason::kSyntax), "not closed");
  says(only_refusal("m v=1,s=\"abc\"x", Reason::kSyntax), "expected ',' or ' '");
  says(only_refusal("m{ v=1", Reason::kKey), "stream name 'm{'");
  says(only_refusal("_m v=1", Reason::kKey), "begin with _");
  says(only_refusal("m,_t=1 v=1", Reason::kKey), "tag '_t'");
  says(only_refusal("m _v=1", Reason::kKey), "field '_v'");
  says(only_refusal("m a\\=b=1", Reason::kKey), "field 'a=b'");
  says(only_refusal("m,t=\xff v=1", Reason::kKey), "value of label 't'");
  says(only_refusal("m \xff=1", Reason::kKey), "field '\xff'");
  says(only_refusal("m,t=1,t=2 v=1", Reason::kKey), "label 't' given twice");
  says(only_refusal("m v=1,w=3,v=2", Reason::kKey), "field 'v' given twice");
  says(only_refusal("m v=abc", Reason::kValue), "got 'abc'");
  says(only_refusal("m v=", Reason::kValue), "got ''");
  says(only_refusal("m v=1.5i", Reason::kValue), "got '1.5i'");
  says(only_refusal("m v=-1u", Reason::kValue), "got '-1u'");
  says(only_refusal("m v=9223372036854775808i", Reason::kValue), "got '9223372036854775808i'");
  says(only_refusal("m v=NaN", Reason::kValue), "got 'NaN'");
  says(only_refusal("m v=inf", Reason::kValue), "got 'inf'");
  says(only_refusal("m v=1e39", Reason::kValue), "float32");
  says(only_refusal("m v=1e400", Reason::kValue), "float32");
  says(only_refusal("m s=\"text\"", Reason::kValue), "at least one field");
  says(only_refusal("m v=1 yesterday", Reason::kTime), "got 'yesterday'");
  says(only_refusal("m v=1 1.5", Reason::kTime), "got '1.5'");
  says(only_refusal("m v=1 1 2", Reason::kTime), "got '1 2'");
  says(only_refusal("m v=1 99999999999999999999", Reason::kTime), "beyond int64");
  std::string many = "m ";
  for (int i = 0; i <= 256; ++i) many += (i > 0 ? ",f" : "f") + std::to_string(i) + "=1";
  says(only_refusal(many, Reason::kTooMany), "more than 256 fields");
  std::string labels = "m";
  for (int i = 0; i <= 32; ++i) labels += ",l" + std::to_string(i) + "=1";
  says(only_refusal(labels + " v=1", Reason::kTooMany), "more than 32 labels");
  says(only_refusal("m,a=" + std::string(500, 'x') + ",b=" + std::string(500, 'x') +
                        ",c=" + std::string(500, 'x') + " v=1",
                    Reason::kTooMany),
       "at most 1024");
}

TEST_CASE("A newline in a string does not end a line, also not a refused one",
          "[ingest][line_protocol][errors]") {
  // What the string holds would be a good line: it must not become one.
  const Decoded decoded = decode("m v=x,s=\"\nevil v=1 1\n\" 5\nm v=2 6\n");
  CHECK(rows(decoded) == Rows{"m@6 v=2"});
  REQUIRE(decoded.rejects.size() == 1);
  CHECK(decoded.rejects[0].line == 1);
  CHECK(decode("m s=\"a\nb\",v=1 1\nm v=x\n").rejects.at(0).line == 3);
}

TEST_CASE("A string that nothing closes costs its own line only",
          "[ingest][line_protocol][errors]") {
  const Decoded decoded = decode("m v=1 1\nm s=\"open\nm v=2 2\nm v=3 3");
  CHECK(rows(decoded) == Rows{"m@1 v=1", "m@2 v=2", "m@3 v=3"});
  REQUIRE(decoded.rejects.size() == 1);
  CHECK(decoded.rejects[0].line == 2);
  CHECK(decoded.rejects[0].text == "m s=\"open");
}

TEST_CASE("Refusals are counted all and kept to a bound", "[ingest][line_protocol][errors]") {
  std::string body;
  for (int i = 0; i < 500; ++i) body += "bad line\n";
  const Decoded decoded = decode(body + "m v=1 1\n" + std::string(600, 'x'));
  CHECK(decoded.rejected == 501);
  CHECK(decoded.rejects.size() == kMaxRejects);
  CHECK(decoded.batch.samples() == 1);
  CHECK(decode(std::string(600, 'x')).rejects.at(0).text.size() == 256);
}

TEST_CASE("Samples and lists of fields over the limit are refused",
          "[ingest][line_protocol][errors]") {
  CodecLimits limits;
  limits.max_rows = 2;
  const Decoded full = decode("m v=1 1\nm v=2 2\nm v=3 3\n# no sample\n", 1, limits);
  CHECK(full.batch.samples() == 2);
  CHECK(full.rejected_by_reason[static_cast<std::size_t>(Reason::kTooMany)] == 1);
  limits = {};
  limits.max_schemas = 2;
  const Decoded wide = decode("m a=1 1\nm b=2 2\nm c=3 3\nm a=4 4\n", 1, limits);
  CHECK(rows(wide) == Rows{"m@1 a=1", "m@2 b=2", "m@4 a=4"});
  CHECK(wide.batch.schemas() == 2);
  CHECK(wide.rejected == 1);
}

TEST_CASE("A line over the limit of bytes is refused, the others are kept",
          "[ingest][line_protocol][errors]") {
  CodecLimits limits;
  limits.max_line_bytes = 18;
  const Decoded decoded = decode(
      "m v=1 1\nm v=1,t=\"aaaaa\" 345\nm v=1,t=\"aaaa\" 345\r\n"
      "# a comment may be of any length\nm v=1,t=\"aa\naaa\" 34",
      1, limits);
  CHECK(rows(decoded) == Rows{"m@1 v=1", "m@345 v=1"});
  CHECK(decoded.rejected_by_reason[static_cast<std::size_t>(Reason::kTooMany)] == 2);
  CHECK(decoded.rejects.at(0).line == 2);
  CHECK(decoded.rejects.at(0).message == "a line of 19 bytes, at most 18 are taken");
  CHECK(decode("m v=1,t=\"" + std::string(1UL << 20U, 'a') + "\"").rejected == 1);
}

/// `text` as line protocol writes it, or with more backslashes than it needs to.
std::string escaped(const std::string& text, bool is_measurement) {
  std::string out;
  for (const char c : text) {
    if (c == ',' || c == ' ' || (c == '=' && !is_measurement)) out += '\\';
    out += c;
  }
  return out;
}

TEST_CASE("Any key that line protocol can write comes out as StreamKey writes it",
          "[ingest][line_protocol]") {
  std::mt19937_64 bits(3);
  const std::string alphabet = "abz019-.:/ {}\"=,";
  const auto text = [&](std::size_t longest, bool is_name) {
    std::string result(1, static_cast<char>('a' + bits() % 26));
    for (std::size_t n = bits() % longest; n > 0; --n) {
      const char c = alphabet[bits() % (bits() % 3 == 0 ? alphabet.size() : 10)];
      if (!is_name || std::string_view("{}\"=,").find(c) == std::string_view::npos) result += c;
    }
    return result;
  };
  std::string body;
  Rows expected;
  for (int i = 0; i < 5000; ++i) {
    std::string name = text(8, true);
    std::map<std::string, std::string> tags;
    for (std::size_t n = bits() % 6; n > 0; --n) tags[text(6, true)] = text(12, false);
    std::vector<Label> labels;
    for (const auto& [key, value] : tags) labels.push_back({key, value});
    expected.push_back(StreamKey::make(name, labels).value().text() + "@" + std::to_string(i) +
                       " v=1");
    std::shuffle(labels.begin(), labels.end(), bits);
    body += escaped(name, true);
    for (const Label& label : labels) {
      body += "," + escaped(label.name, false) + "=" + escaped(label.value, false);
    }
    body += " v=1 " + std::to_string(i) + "\n";
  }
  const Decoded decoded = decode(body);
  CHECK(decoded.rejected == 0);
  CHECK(rows(decoded) == expected);
}

}  // namespace
}  // namespace anomalyd::ingest

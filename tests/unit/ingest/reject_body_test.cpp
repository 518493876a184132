#include "ingest/reject_body.h"

#include <nlohmann/json.hpp>

#include "support/catch.h"

namespace anomalyd::ingest {
namespace {

Decoded decode(const std::string& body) {
  Decoded out;
  decode_line_protocol(body, 1, 0, {}, out);
  return out;
}

TEST_CASE("Partial writes are told in each of Influx's ways", "[ingest][reject_body]") {
  const Decoded decoded = decode("m v=1\nm v=x\nm w=2\n_m v=3\n");
  REQUIRE(decoded.rejected == 2);
  const auto v1 = nlohmann::json::parse(influx_v1_body(decoded));
  CHECK(v1["error"] ==
        "partial write: line 2: field 'v': expected a number, a boolean or a quoted string, got "
        "'x'; line 4: measurement '_m': names that begin with _ are reserved dropped=2");
  const auto v2 = nlohmann::json::parse(influx_v2_body(decoded));
  CHECK(v2["code"] == "invalid");
  CHECK(v2["line"] == 2);
  CHECK(v2["message"].get<std::string>().find("line 2 (1-based): field 'v'") != std::string::npos);
  CHECK(v2["message"].get<std::string>().find("line 4 (1-based)") != std::string::npos);
  const auto v3 = nlohmann::json::parse(influx_v3_body(decoded));
  CHECK(v3["error"] == "partial write of line protocol occurred");
  REQUIRE(v3["data"].size() == 2);
  CHECK(v3["data"][1]["line_number"] == 4);
  CHECK(v3["data"][1]["original_line"] == "_m v=3");
  CHECK(v3["data"][1]["error_message"].get<std::string>().find("'_m'") != std::string::npos);
  const auto problem = nlohmann::json::parse(problem_errors(decoded));
  REQUIRE(problem.size() == 2);
  CHECK(problem[0]["line"] == 2);
  CHECK(problem[0]["reason"] == "value");
  CHECK(problem[0]["text"] == "m v=x");
}

TEST_CASE("What a token may not bring is told as a partial write", "[ingest][reject_body]") {
  Decoded decoded = decode("m v=1\n");
  decoded.denied = 3;
  decoded.denied_message = "the token t may not bring the stream x";
  CHECK(nlohmann::json::parse(influx_v1_body(decoded))["error"] ==
        "partial write: the token t may not bring the stream x (3 samples) dropped=3");
  auto v2 = nlohmann::json::parse(influx_v2_body(decoded));
  CHECK(v2["code"] == "invalid");
  CHECK(v2["message"] ==
        "partial write: 3 lines refused: the token t may not bring the stream x (3 samples)");
  CHECK_FALSE(v2.contains("line"));
  Decoded both = decode("m v=1\nm v=x\n");
  both.denied = decoded.denied;
  both.denied_message = decoded.denied_message;
  v2 = nlohmann::json::parse(influx_v2_body(both));
  CHECK(v2["line"] == 2);
  CHECK(v2["message"].get<std::string>().find("(3 samples); line 2 (1-based): ") !=
        std::string::npos);
  CHECK(influx_v1_body(both).find("dropped=4") != std::string::npos);
}

TEST_CASE("Text that is no UTF-8 does not break the answer", "[ingest][reject_body][errors]") {
  const Decoded decoded = decode("m\xff v=\xc3\nm,\xed\xa0\x80=\"\x01 v=1\n");
  REQUIRE(decoded.rejected == 2);
  for (const std::string& body : {influx_v1_body(decoded), influx_v2_body(decoded),
                                  influx_v3_body(decoded), problem_errors(decoded)}) {
    CHECK(nlohmann::json::accept(body));
  }
}

TEST_CASE("At most a hundred refusals are listed", "[ingest][reject_body]") {
  std::string body;
  for (int i = 0; i < 300; ++i) body += "bad\n";
  const Decoded decoded = decode(body);
  CHECK(nlohmann::json::parse(influx_v3_body(decoded))["data"].size() == 100);
  const std::string v1 = influx_v1_body(decoded);
  CHECK(v1.find("and 200 more dropped=300") != std::string::npos);
}

}  // namespace
}  // namespace anomalyd::ingest

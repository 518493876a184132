#include "http/message.h"

#include <nlohmann/json.hpp>
#include <string>

#include "http/response_head.h"
#include "support/catch.h"

namespace anomalyd::http {
namespace {

TEST_CASE("problem() is an RFC 9457 body", "[http][message]") {
  const Response response = problem(404, "no stream \"a\\b\"\n", R"([{"pointer":"/a"}])");
  CHECK(response.status == 404);
  CHECK(response.content_type == "application/problem+json");
  const auto body = nlohmann::json::parse(response.body);
  CHECK(body.size() == 5);
  CHECK(body["type"] == "about:blank");
  CHECK(body["title"] == "Not Found");
  CHECK(body["status"] == 404);
  CHECK(body["detail"] == "no stream \"a\\b\"\n");
  CHECK(body["errors"][0]["pointer"] == "/a");
  CHECK_FALSE(nlohmann::json::parse(problem(500, "x").body).contains("errors"));
}

TEST_CASE("problem() takes any bytes", "[http][message]") {
  const auto body = nlohmann::json::parse(problem(400, std::string_view("a\xff\0b", 4)).body);
  CHECK(body["detail"] == std::string("a\xef\xbf\xbd\0b", 6));
}

TEST_CASE("A request gives the first parameter of a name and every capture", "[http][message]") {
  Request request;
  request.query = {{"a", "1"}, {"a", "2"}};
  request.captures = {{"key", "pump"}};
  CHECK(*request.parameter("a") == "1");
  CHECK(request.parameter("b") == nullptr);
  CHECK(request.capture("key") == "pump");
}

TEST_CASE("A response's head has its length, date and connection", "[http][message]") {
  std::string out;
  append_response_head(out, {201, "text/plain", "abc", {{"Location", "/a"}}},
                       http_date(1'795'322'000), false);
  CHECK(out ==
        "HTTP/1.1 201 Created\r\nServer: anomalyd\r\nDate: Sun, 22 Nov 2026 04:33:20 GMT\r\n"
        "Connection: close\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n"
        "Location: /a\r\n\r\n");
}

TEST_CASE("A status without a body says no length", "[http][message]") {
  for (const int status : {204, 304}) {
    std::string out;
    append_response_head(out, {status, "text/plain", "ignored", {}}, "d", true);
    CHECK(out.find("Content-") == std::string::npos);
    CHECK_FALSE(may_have_body(status));
  }
  std::string out;
  append_response_head(out, {200, "", "", {}}, "d", true);
  CHECK(out.find("Content-Length: 0\r\n") != std::string::npos);
  CHECK(out.find("Content-Type") == std::string::npos);
}

TEST_CASE("A header value cannot begin another header", "[http][message][errors]") {
  std::string out;
  append_response_head(out, {200, "", "", {{"X", "a\r\nSet-Cookie: b"}}}, "d", true);
  CHECK(out.find("X: a  Set-Cookie: b\r\n") != std::string::npos);
}

TEST_CASE("An unknown status still has a phrase", "[http][message]") {
  CHECK(status_phrase(413) == "Content Too Large");
  CHECK(status_phrase(299) == "Status 299");
}

}  // namespace
}  // namespace anomalyd::http

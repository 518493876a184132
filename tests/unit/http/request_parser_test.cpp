#include "http/request_parser.h"

#include <string>

#include "support/catch.h"

namespace anomalyd::http {
namespace {

using State = RequestParser::State;

Limits small_limits() {
  Limits limits;
  limits.max_header_bytes = 512;
  limits.max_target_bytes = 100;
  limits.max_body_bytes = 1000;
  return limits;
}

/// Feeds `text` in pieces of `step` bytes, as sockets do; what stays unused is offered again.
State feed(RequestParser& parser, std::string_view text, std::size_t step) {
  std::string pending;
  State state = State::kMore;
  bool in_body = false;
  for (std::size_t i = 0; i < text.size(); i += step) {
    pending += text.substr(i, step);
    for (bool again = true; again && !pending.empty();) {
      std::size_t used = 0;
      state = in_body ? parser.read_chunks(pending, used) : parser.read_head(pending, used);
      pending.erase(0, used);
      if (state == State::kDone || state == State::kRefused) return state;
      again = state == State::kHead;
      if (state == State::kHead && !parser.is_chunked()) return state;
      in_body = in_body || state == State::kHead;
    }
  }
  return state;
}

struct Outcome {
  State state;
  int status;
  std::string detail;
  Request request;
};
Outcome parse(std::string_view text, std::size_t step = 1U << 20U) {
  RequestParser parser(small_limits());
  Outcome outcome{};
  parser.begin(outcome.request);
  outcome.state = feed(parser, text, step);
  outcome.status = parser.refusal_status();
  outcome.detail = parser.refusal_detail();
  return outcome;
}

TEST_CASE("A request is the same however its bytes are cut", "[http][request_parser]") {
  const std::string text =
      "POST /a?b=c HTTP/1.1\r\nHost: h\r\nContent-Type: Application/JSON; charset=utf-8\r\n"
      "Content-Encoding: GZIP\r\nAccept: a/b\r\nAccept: c/d\r\nAuthorization: Token x\r\n"
      "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nTrailer: t\r\n\r\n";
  for (std::size_t step = 1; step <= text.size(); ++step) {
    INFO("pieces of " << step);
    const Outcome outcome = parse(text, step);
    REQUIRE(outcome.state == State::kDone);
    CHECK(outcome.request.method == "POST");
    CHECK(outcome.request.content_type == "application/json");
    CHECK(outcome.request.content_encoding == "gzip");
    CHECK(outcome.request.accept == "a/b, c/d");
    CHECK(outcome.request.authorization == "Token x");
    CHECK(outcome.request.body == "abcdefg");
  }
}

TEST_CASE("A second request leaves nothing of the first", "[http][request_parser]") {
  RequestParser parser(small_limits());
  Request request;
  parser.begin(request);
  REQUIRE(feed(parser,
               "POST /long HTTP/1.1\r\nHost: h\r\nContent-Type: x/y\r\nAccept: a\r\n"
               "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
               1000) == State::kDone);
  parser.begin(request);
  REQUIRE(feed(parser, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 1000) == State::kDone);
  CHECK(parser.target() == "/");
  CHECK(request.method == "GET");
  CHECK(request.content_type.empty());
  CHECK(request.accept.empty());
  CHECK(request.body.empty());
  CHECK(parser.keep_alive());
}

TEST_CASE("A length is left to the caller to read", "[http][request_parser]") {
  RequestParser parser(small_limits());
  Request request;
  parser.begin(request);
  const std::string text =
      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-Continue\r\n\r\nabc";
  std::size_t used = 0;
  CHECK(parser.read_head(text, used) == State::kHead);
  CHECK(used == text.size() - 3);
  CHECK(parser.content_length() == 3);
  CHECK(parser.expects_continue());
  CHECK_FALSE(parser.is_chunked());
}

TEST_CASE("A header is bounded in sum, also when it comes field by field",
          "[http][request_parser][errors]") {
  std::string text = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (int i = 0; i < 1000; ++i) text += "a: b\r\n";
  for (const std::size_t step : {std::size_t{1}, std::size_t{6}, text.size()}) {
    const Outcome outcome = parse(text, step);
    CHECK(outcome.state == State::kRefused);
    CHECK(outcome.status == 431);
  }
  CHECK(parse("GET / HTTP/1.1\r\nHost: h\r\na: " + std::string(600, 'b'), 7).status == 431);
}

TEST_CASE("A target is bounded whether or not it ends", "[http][request_parser][errors]") {
  CHECK(parse("GET /" + std::string(99, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n").state ==
        State::kDone);
  CHECK(parse("GET /" + std::string(100, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n").status == 414);
  CHECK(parse("GET /" + std::string(2000, 'a'), 10).status == 414);
}

TEST_CASE("A body is bounded by its claim and by its chunks", "[http][request_parser][errors]") {
  const std::string head = "POST / HTTP/1.1\r\nHost: h\r\n";
  CHECK(parse(head + "Content-Length: 1000\r\n\r\n").state == State::kHead);
  const Outcome claimed = parse(head + "Content-Length: 1001\r\n\r\n");
  CHECK(claimed.status == 413);
  CHECK(claimed.detail == "request body: 1001 bytes, allowed are 1000");
  const std::string chunked = head + "Transfer-Encoding: chunked\r\n\r\n";
  std::string many = chunked;
  for (int i = 0; i < 101; ++i) many += "a\r\n0123456789\r\n";
  CHECK(parse(many, 13).status == 413);
  CHECK(parse(chunked + "ffffffffffffffff\r\n").status == 413);
  CHECK(parse(chunked + "1;" + std::string(2000, 'x'), 100).status == 431);
  CHECK(parse(chunked + "0\r\na: " + std::string(2000, 'x'), 100).status == 431);
}

TEST_CASE("What is no HTTP, or could be read in two ways, is refused",
          "[http][request_parser][errors]") {
  const std::string get = "GET / HTTP/1.1\r\n";
  const std::string post = "POST / HTTP/1.1\r\nHost: h\r\n";
  const std::vector<std::pair<std::string, int>> cases{
      {"\r\n\r\n\r\n", 400},
      {"GET /\r\n\r\n", 400},
      {"GET / HTTP/3.0\r\nHost: h\r\n\r\n", 400},
      {"G\x01T / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {get + "\r\n", 400},                          // no host
      {get + "Host: a\r\nHost: b\r\n\r\n", 400},    // two
      {get + "Host: h\r\nbad field\r\n\r\n", 400},  // no colon
      {get + "Host: h\r\na : b\r\n\r\n", 400},      // space before the colon
      {get + "Host: h\r\nAccept: \xff\r\n\r\n", 400},
      {post + "Content-Type: a\r\nContent-Type: b\r\n\r\n", 400},
      {post + "Authorization: a\r\nAuthorization: b\r\n\r\n", 400},
      {post + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
      {post + "Content-Length: -1\r\n\r\n", 400},
      {post + "Content-Length: 99999999999999999999\r\n\r\n", 400},
      {post + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {post + "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400},
      {post + "Transfer-Encoding: gzip\r\n\r\n", 501},
      {post + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
      {post + "Transfer-Encoding: chunked, gzip\r\n\r\n", 501},
      {post + "Expect: a-miracle\r\n\r\n", 417},
      {post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
      {post + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", 400},
  };
  for (const auto& [text, status] : cases) {
    INFO(text);
    const Outcome outcome = parse(text);
    CHECK(outcome.state == State::kRefused);
    CHECK(outcome.status == status);
    CHECK_FALSE(outcome.detail.empty());
  }
}

TEST_CASE("HTTP/1.0 needs no host and keeps the connection when asked to",
          "[http][request_parser]") {
  RequestParser parser(small_limits());
  Request request;
  parser.begin(request);
  REQUIRE(feed(parser, "GET / HTTP/1.0\r\n\r\n", 100) == State::kDone);
  CHECK_FALSE(parser.keep_alive());
  parser.begin(request);
  REQUIRE(feed(parser, "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", 100) == State::kDone);
  CHECK(parser.keep_alive());
}

}  // namespace
}  // namespace anomalyd::http

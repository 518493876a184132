#include "app/ctl_query.h"

#include <deque>
#include <sstream>

#include "support/catch.h"

namespace anomalyd::app::ctl {
namespace {

class PageClient final : public http::Client {
 public:
  Result<http::Response> send(std::string_view method, std::string_view target, std::string_view,
                              std::string_view, const std::vector<http::Parameter>&) override {
    CHECK(method == "GET");
    targets.emplace_back(target);
    if (pages.empty()) return Error{ErrorCode::kUnavailable, "away"};
    http::Response response{200, "application/json", pages.front(), {}};
    pages.pop_front();
    return response;
  }
  std::deque<std::string> pages;
  std::vector<std::string> targets;
};

struct Fixture {
  PageClient client;
  std::ostringstream out;
  std::ostringstream err;
  Console console{out, err, false};
};

TEST_CASE("One page is printed as the server wrote it", "[app][ctl]") {
  Fixture f;
  f.client.pages = {R"({"streams": [ ],"next":null})"};
  StreamsOptions options;
  options.json = true;
  options.state = "normal";
  options.name = "a b&c";
  CHECK(streams(options, f.client, f.console) == kOk);
  CHECK(f.out.str() == "{\"streams\": [ ],\"next\":null}\n");
  CHECK(f.client.targets ==
        std::vector<std::string>{"/api/v1/streams?state=normal&name=a%20b%26c&limit=1000"});
}

TEST_CASE("Pages are followed up to the limit", "[app][ctl]") {
  Fixture f;
  f.client.pages = {R"({"alerts":[{"id":"1"},{"id":"2"}],"next":"c1"})",
                    R"({"alerts":[],"next":"c2"})", R"({"alerts":[{"id":"3"}],"next":"c3"})"};
  AlertsOptions options;
  options.json = true;
  options.limit = 3;
  options.labels = {"site=a", "unit=7"};
  CHECK(alerts(options, f.client, f.console) == kOk);
  CHECK(f.out.str() ==
        "{\"alerts\":[{\"id\":\"1\"},{\"id\":\"2\"},{\"id\":\"3\"}],\"next\":\"c3\"}\n");
  CHECK(f.client.targets ==
        std::vector<std::string>{"/api/v1/alerts?label=site%3Da&label=unit%3D7&limit=3",
                                 "/api/v1/alerts?label=site%3Da&label=unit%3D7&limit=1&cursor=c1",
                                 "/api/v1/alerts?label=site%3Da&label=unit%3D7&limit=1&cursor=c2"});
}

TEST_CASE("A server that gives the same cursor for ever is left", "[app][ctl]") {
  Fixture f;
  for (int i = 0; i < 10; ++i) f.client.pages.push_back(R"({"streams":[],"next":"c"})");
  CHECK(streams(StreamsOptions{}, f.client, f.console) == kOk);
  CHECK(f.client.targets.size() == 2);
}

TEST_CASE("Streams are a table whose cells cannot drive a terminal", "[app][ctl]") {
  Fixture f;
  f.client.pages = {
      R"({"streams":[{"key":"p\u001b[2J","state":"normal","progress":1,"domain":"d",)"
      R"("detector":{"name":"zscore","kind":"zscore","version":""},)"
      R"("last_time":"2026-01-01T00:00:00Z","last_score":0.123456789,"last_p_value":0.5,)"
      R"("alert":null},{"key":"q","state":"excluded"}],"next":"more"})"};
  StreamsOptions options;
  options.limit = 2;
  CHECK(streams(options, f.client, f.console) == kOk);
  CHECK(f.out.str() ==
        "STREAM  STATE     LEARNED  DOMAIN  DETECTOR  LAST WINDOW             SCORE  P-VALUE  "
        "ALERT\n"
        "p?[2J   normal      100 %  d       zscore    2026-01-01T00:00:00Z  0.12346      0.5  -\n"
        "q       excluded        -  -       -         -                           -        -  -\n");
  CHECK(f.err.str().find("--limit") != std::string::npos);
}

TEST_CASE("One alert is shown without its arrays", "[app][ctl]") {
  Fixture f;
  f.client.pages = {
      R"({"id":"a1","peak":{"score":2.5},"contributions":[{"channel":"ax","share":0.75}],)"
      R"("context":{"rate_hz":100,"actual":{"ax":[1,2,3]},"expected":{"ax":[1,2,3]}}})"};
  AlertsOptions options;
  options.id = "a1";
  CHECK(alerts(options, f.client, f.console) == kOk);
  CHECK(f.out.str() ==
        "id               a1\n"
        "peak.score       2.5\n"
        "contributions    ax 0.75\n"
        "context.rate_hz  100\n"
        "context.samples  3 actual and expected (see --json)\n");
  CHECK(f.client.targets == std::vector<std::string>{"/api/v1/alerts/a1"});
}

TEST_CASE("A stream's key is one segment of the path", "[app][ctl]") {
  Fixture f;
  f.client.pages = {"{}"};
  StreamsOptions options;
  options.key = "pump{site=\"a/b\"}";
  options.json = true;
  CHECK(streams(options, f.client, f.console) == kOk);
  CHECK(f.client.targets ==
        std::vector<std::string>{"/api/v1/streams/pump%7Bsite%3D%22a%2Fb%22%7D"});
}

TEST_CASE("Answers that are none are errors, and no server is another", "[app][ctl]") {
  Fixture f;
  f.client.pages = {"<html>", R"({"streams":7})"};
  CHECK(status(QueryOptions{}, f.client, f.console) == kFailed);
  CHECK(streams(StreamsOptions{}, f.client, f.console) == kFailed);
  CHECK(status(QueryOptions{}, f.client, f.console) == kUnreachable);
  CHECK(f.out.str().empty());
  QueryOptions options;
  options.url = "ftp://x";
  CHECK(status(options, f.console) == kUsage);
}

TEST_CASE("Status shows each shard", "[app][ctl]") {
  Fixture f;
  f.client.pages = {R"({"version":"1","shards":[{"streams":2},{"streams":3}]})"};
  CHECK(status(QueryOptions{}, f.client, f.console) == kOk);
  CHECK(f.out.str() == "version           1\nshards.0.streams  2\nshards.1.streams  3\n");
}

}  // namespace
}  // namespace anomalyd::app::ctl

#include "http/router.h"

#include <string>

#include "support/catch.h"

namespace anomalyd::http {
namespace {

Router make_router() {
  Router router;
  for (const auto& [method, pattern] :
       std::vector<std::pair<std::string, std::string>>{{"GET", "/"},
                                                        {"GET", "/alerts/{id}"},
                                                        {"GET", "/alerts/open"},
                                                        {"DELETE", "/alerts/{id}"},
                                                        {"POST", "/samples"},
                                                        {"GET", "/streams/{key}/scores"},
                                                        {"GET", "/{a}/x/{b}"}}) {
    router.add({method, pattern, Where::kWorker, [](Request&) { return Response{}; }});
  }
  return router;
}

std::string pattern_of(const Router::Match& match) {
  return match.route == nullptr ? "" : match.route->method + " " + match.route->pattern;
}

TEST_CASE("Router finds a route by method and path", "[http][router]") {
  const Router router = make_router();
  CHECK(pattern_of(router.find("GET", "/")) == "GET /");
  CHECK(pattern_of(router.find("POST", "/samples")) == "POST /samples");
  const auto match = router.find("GET", "/streams/pump/scores");
  CHECK(pattern_of(match) == "GET /streams/{key}/scores");
  REQUIRE(match.captures.size() == 1);
  CHECK(match.captures[0].name == "key");
  CHECK(match.captures[0].value == "pump");
}

TEST_CASE("Router prefers the literal segment, but only where the method fits", "[http][router]") {
  const Router router = make_router();
  CHECK(pattern_of(router.find("GET", "/alerts/open")) == "GET /alerts/open");
  CHECK(pattern_of(router.find("GET", "/alerts/7")) == "GET /alerts/{id}");
  CHECK(pattern_of(router.find("DELETE", "/alerts/open")) == "DELETE /alerts/{id}");
  CHECK(pattern_of(router.find("GET", "/streams/x/scores")) == "GET /streams/{key}/scores");
  CHECK(pattern_of(router.find("GET", "/streams/x/y")) == "GET /{a}/x/{b}");
}

TEST_CASE("Router lets GET answer HEAD unless HEAD has its own route", "[http][router]") {
  Router router = make_router();
  CHECK(pattern_of(router.find("HEAD", "/alerts/7")) == "GET /alerts/{id}");
  router.add({"HEAD", "/alerts/{id}", Where::kWorker, [](Request&) { return Response{}; }});
  CHECK(pattern_of(router.find("HEAD", "/alerts/7")) == "HEAD /alerts/{id}");
}

TEST_CASE("Router decodes a segment after it has split the path", "[http][router]") {
  const Router router = make_router();
  const auto match = router.find("GET", "/streams/a%2Fb%7Bc%3D%22d%22%7D/scores");
  REQUIRE(match.captures.size() == 1);
  CHECK(match.captures[0].value == "a/b{c=\"d\"}");
  CHECK(pattern_of(router.find("POST", "/s%61mples")) == "POST /samples");
  CHECK(router.find("GET", "/alerts%2F7").route == nullptr);
  CHECK(router.find("GET", "/streams/a+b/scores").captures.at(0).value == "a+b");
}

TEST_CASE("Router tells no such path from no such method", "[http][router]") {
  const Router router = make_router();
  CHECK(router.find("PUT", "/alerts/open").allow == "GET, HEAD, DELETE");
  CHECK(router.find("GET", "/samples").allow == "POST");
  for (const char* path : {"", "x", "/nothing", "/samples/", "//samples", "/alerts/", "/alerts",
                           "/streams//scores", "/alerts/%zz", "/a/b/c/d/e"}) {
    INFO(path);
    CHECK(router.find("GET", path).route == nullptr);
    CHECK(router.find("GET", path).allow.empty());
  }
  CHECK(router.find("GET", std::string(10000, '/')).route == nullptr);
}

}  // namespace
}  // namespace anomalyd::http

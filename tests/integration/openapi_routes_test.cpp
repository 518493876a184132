#include <map>
#include <set>
#include <string>

#include "app/api.h"
#include "app/ingest_api.h"
#include "app/openapi.h"
#include "http/router.h"
#include "running_engine.h"

namespace anomalyd::app {
namespace {

using testing::json;

TEST_CASE("Every route is in the API's description, and every path of it is served",
          "[integration][openapi][routes]") {
  const testing::TempDir dir;
  const auto engine = Engine::make(testing::make_config(dir), system_clock());
  http::Router router;
  add_ingest_routes(*engine, router);
  add_api_routes(*engine, router);
  std::set<std::string> served;
  std::map<std::string, http::Scope> scopes;
  for (const http::Route& route : router.routes()) {
    served.insert(route.method + " " + route.pattern);
    scopes[route.method + " " + route.pattern] = route.scope;
  }

  const json document = json::parse(openapi_document());
  CHECK(document.at("openapi") == "3.1.0");
  CHECK(openapi_document().size() < 65536);
  std::set<std::string> described;
  for (const auto& [path, item] : document.at("paths").items()) {
    for (const auto& [method, operation] : item.items()) {
      std::string upper = method;
      for (char& c : upper) c = static_cast<char>(c - 'a' + 'A');
      described.insert(upper + " " + path);
      INFO(method << " " << path);
      CHECK_FALSE(operation.at("operationId").get<std::string>().empty());
      CHECK(operation.at("responses").contains("default"));
      json security = json::array();
      if (const http::Scope scope = scopes[upper + " " + path]; scope != http::Scope::kOpen) {
        security.push_back({{"token", {to_text(scope)}}});
        security.push_back({{"basic", {to_text(scope)}}});
      }
      CHECK(operation.at("security") == security);
      CHECK(operation.at("responses").contains("401") == !security.empty());
      CHECK(operation.at("responses").contains("403") == !security.empty());
      // A path's captures are its path parameters.
      std::set<std::string> captures;
      for (std::size_t at = path.find('{'); at != std::string::npos; at = path.find('{', at + 1)) {
        captures.insert(path.substr(at + 1, path.find('}', at) - at - 1));
      }
      std::set<std::string> parameters;
      for (const json& parameter : operation.value("parameters", json::array())) {
        if (parameter.at("in") == "path")
          parameters.insert(parameter.at("name").get<std::string>());
      }
      CHECK(captures == parameters);
    }
  }
  CHECK(described == served);
}

TEST_CASE("Before the engine has started, what needs it is refused with Retry-After",
          "[integration][life][not-ready]") {
  const testing::TempDir dir;
  const auto engine = Engine::make(testing::make_config(dir), system_clock());
  http::Router router;
  add_ingest_routes(*engine, router);
  add_api_routes(*engine, router);
  const std::set<std::string> always{"/",        "/openapi.json", "/-/healthy",
                                     "/healthz", "/ping",         "/metrics"};
  for (const http::Route& route : router.routes()) {
    http::Request request;
    request.method = route.method;
    request.captures = {{"key", "pump"}, {"id", "0"}};
    request.body = "pump ax=1\n";
    const http::Response response = route.handler(request);
    INFO(route.method << " " << route.pattern);
    if (always.count(route.pattern) == 1) {
      CHECK(response.status / 100 == 2);
      if (route.pattern == "/metrics") {
        CHECK(response.body.find("\nanomalyd_ready 0\n") != std::string::npos);
        CHECK(response.body.find("anomalyd_stream_streams") == std::string::npos);
      }
      continue;
    }
    CHECK(response.status == 503);
    if (route.pattern == "/health") {
      CHECK(json::parse(response.body).at("status") == "fail");
      continue;
    }
    REQUIRE(response.headers.size() == 1);
    CHECK(response.headers[0].name == "Retry-After");
  }
}

}  // namespace
}  // namespace anomalyd::app

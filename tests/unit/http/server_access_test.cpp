#include <string>
#include <vector>

#include "http/server.h"
#include "support/catch.h"
#include "test_server.h"

namespace anomalyd::http {
namespace {

using namespace testing;

/// One route a scope, which tells whose token it was asked with.
Router scoped_router() {
  Router router;
  const auto who = [](Request& request) {
    return text_response(request.token == nullptr ? "nobody" : request.token->name);
  };
  router.add({"GET", "/open", Where::kConnection, who, Scope::kOpen});
  router.add({"GET", "/read", Where::kWorker, who, Scope::kRead});
  router.add({"POST", "/ingest", Where::kConnection,
              [](Request& request) { return text_response(request.body); }, Scope::kIngest});
  router.add({"GET", "/forgotten", Where::kConnection, who});
  return router;
}

struct Tokens {
  NewToken reader = make("reader", Scope::kRead);
  NewToken sensor = make("sensor", Scope::kIngest);
  NewToken owner = make("owner", Scope::kAdmin);

  static NewToken make(const std::string& name, Scope scope) {
    return make_token(name, std::vector<Scope>{scope}, {}, 0).value();
  }
  static std::shared_ptr<const TokenSet> set_of(const std::string& lines) {
    return TokenSet::parse(lines, "tokens").value();
  }
  std::shared_ptr<const TokenSet> set() const {
    return set_of(reader.line + "\n" + sensor.line + "\n" + owner.line + "\n");
  }
};

ServerOptions with(std::shared_ptr<const TokenSet> tokens) {
  ServerOptions options;
  options.access.tokens = std::move(tokens);
  return options;
}

Response get(Client& client, const std::string& target, const std::string& secret = {}) {
  std::vector<Parameter> headers;
  if (!secret.empty()) headers.push_back({"Authorization", "Bearer " + secret});
  auto response = client.send("GET", target, "", "", headers);
  INFO((response.ok() ? "" : response.error().message));
  REQUIRE(response.ok());
  return std::move(response).value();
}

TEST_CASE("A route answers who has its scope, and tells the others why not",
          "[http][server][access]") {
  const Tokens tokens;
  TestServer server(with(tokens.set()), scoped_router());
  auto client = server.client();
  CHECK(get(*client, "/open").body == "nobody");
  CHECK(get(*client, "/read", tokens.reader.secret).body == "reader");
  CHECK(get(*client, "/forgotten", tokens.owner.secret).body == "owner");

  const Response missing = get(*client, "/read");
  CHECK(missing.status == 401);
  CHECK(missing.content_type == "application/problem+json");
  CHECK(contains(missing.body, "scope read"));
  int challenges = 0;
  for (const Parameter& header : missing.headers) challenges += header.name == "WWW-Authenticate";
  CHECK(challenges == 2);
  CHECK(get(*client, "/read", "nonsense").status == 401);
  CHECK(get(*client, "/read", Tokens().reader.secret).status == 401);
  const Response wrong = get(*client, "/read", tokens.sensor.secret);
  CHECK(wrong.status == 403);
  CHECK(contains(wrong.body, "the token sensor does not have the scope read"));
  // A route whose scope was forgotten is the owner's.
  CHECK(get(*client, "/forgotten", tokens.reader.secret).status == 403);
  CHECK(get(*client, "/forgotten").status == 401);
  CHECK(get(*client, "/open", "nonsense").status == 200);
  CHECK(get(*client, "/none").status == 404);

  const auto denied = [&](const char* reason) {
    return server.metric("anomalyd_http_requests_denied_total", {{"reason", reason}});
  };
  CHECK(denied("missing") == 2);
  CHECK(denied("malformed") == 1);
  CHECK(denied("unknown") == 1);
  CHECK(denied("scope") == 2);
  CHECK(server.metric("anomalyd_http_requests_total", {{"route", "/read"}, {"code", "401"}}) == 3);
  // All on one connection: what has no body need not end it.
  CHECK(server.metric("anomalyd_http_connections_total") == 1);
}

TEST_CASE("Without tokens everybody may do everything", "[http][server][access]") {
  TestServer server({}, scoped_router());
  auto client = server.client();
  CHECK(get(*client, "/forgotten").body == "nobody");
  CHECK(get(*client, "/read", "nonsense").body == "nobody");
}

TEST_CASE("A body is not waited for from who may not send it", "[http][server][access]") {
  const Tokens tokens;
  TestServer server(with(tokens.set()), scoped_router());
  for (const std::string extra : {"Content-Length: 9000000\r\n", "Transfer-Encoding: chunked\r\n",
                                  "Content-Length: 5\r\nExpect: 100-continue\r\n"}) {
    RawSocket socket(server.port());
    REQUIRE(socket.send("POST /ingest HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " +
                        tokens.reader.secret + "\r\n" + extra + "\r\n"));
    const std::string response = socket.read_response();
    INFO(response);
    CHECK(status_of(response) == 403);
    CHECK(contains(response, "Connection: close\r\n"));
    CHECK_FALSE(contains(response, tokens.reader.secret));
  }
  auto client = server.client();
  const auto good = client->send("POST", "/ingest", "abc", "a/b",
                                 {{"Authorization", "Token " + tokens.sensor.secret}});
  CHECK(good.value().body == "abc");
}

TEST_CASE("A client with a token sends it by itself", "[http][client][access]") {
  const Tokens tokens;
  TestServer server(with(tokens.set()), scoped_router());
  ClientOptions options;
  options.token = tokens.reader.secret;
  auto client = Client::make("http://127.0.0.1:" + std::to_string(server.port()), options).value();
  CHECK(client->send("GET", "/read", "", "").value().body == "reader");
  options.token = "two words";
  CHECK_FALSE(Client::make("http://127.0.0.1:1", options).ok());
  options.token = "a\r\nX: y";
  CHECK_FALSE(Client::make("http://127.0.0.1:1", options).ok());
}

TEST_CASE("New tokens hold for connections that are open", "[http][server][access][reload]") {
  const Tokens tokens;
  ServerOptions options = with(tokens.set());
  options.threads = 2;
  TestServer server(options, scoped_router());
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(server.client());
    CHECK(get(*clients.back(), "/read", tokens.reader.secret).status == 200);
  }
  server.server->use({Tokens::set_of(tokens.sensor.line), nullptr});
  for (auto& client : clients) CHECK(get(*client, "/read", tokens.reader.secret).status == 401);
  server.server->use({tokens.set(), nullptr});
  for (auto& client : clients) {
    CHECK(get(*client, "/read", tokens.reader.secret).body == "reader");
  }
  CHECK(server.metric("anomalyd_http_connections_total") == 4);
}

TEST_CASE("A connection ends after its share of requests", "[http][server][limits]") {
  ServerOptions options;
  options.limits.max_connection_requests = 3;
  TestServer server(options);
  RawSocket socket(server.port());
  const std::string request = "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n";
  for (int i = 0; i < 3; ++i) {
    REQUIRE(socket.send(request));
    const std::string response = socket.read_response();
    CHECK(status_of(response) == 200);
    CHECK(contains(response, "Connection: close\r\n") == (i == 2));
  }
  CHECK(socket.read_to_end().empty());
  CHECK(socket.is_closed());
  // A client goes on with a new one.
  auto client = server.client();
  for (int i = 0; i < 7; ++i) CHECK(client->send("GET", "/hello", "", "").value().status == 200);
  CHECK(server.metric("anomalyd_http_connections_total") == 4);
}

}  // namespace
}  // namespace anomalyd::http

#include "http/server.h"

#include <atomic>
#include <nlohmann/json.hpp>
#include <string>

#include "support/catch.h"
#include "test_server.h"

namespace anomalyd::http {
namespace {

using namespace testing;

const std::string kGet = "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n";

TEST_CASE("Server answers a request and keeps the connection", "[http][server]") {
  TestServer server;
  RawSocket socket(server.port());
  for (int i = 0; i < 3; ++i) {
    REQUIRE(socket.send(kGet));
    const std::string response = socket.read_response();
    CHECK(status_of(response) == 200);
    CHECK(contains(response, "\r\nServer: anomalyd\r\n"));
    CHECK(contains(response, "\r\nDate: "));
    CHECK(contains(response, " GMT\r\n"));
    CHECK(contains(response, "\r\nContent-Length: 5\r\n"));
    CHECK(contains(response, "\r\nContent-Type: text/plain\r\n"));
    CHECK(response.substr(response.size() - 9) == "\r\n\r\nhello");
  }
  CHECK(server.metric("anomalyd_http_connections_total") == 1);
}

TEST_CASE("Server answers pipelined requests in their order", "[http][server]") {
  TestServer server;
  RawSocket socket(server.port());
  std::string all;
  for (int i = 0; i < 50; ++i) {
    all += "GET /keys/" + std::to_string(i) + " HTTP/1.1\r\nHost: h\r\n\r\n";
    all += "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n" + std::to_string(100 + i);
  }
  REQUIRE(socket.send(all));
  for (int i = 0; i < 50; ++i) {
    const std::string key = std::to_string(i);
    CHECK(contains(socket.read_response(), "\r\n\r\nGET /keys/" + key + " " + key));
    CHECK(contains(socket.read_response(), "\r\n\r\n" + std::to_string(100 + i)));
  }
}

TEST_CASE("Server answers HEAD as GET without the body", "[http][server]") {
  TestServer server;
  RawSocket socket(server.port());
  REQUIRE(socket.send("HEAD /hello HTTP/1.1\r\nHost: h\r\n\r\n" + kGet));
  const std::string head = socket.read_response(/*has_body=*/false);
  CHECK(status_of(head) == 200);
  CHECK(contains(head, "Content-Length: 5\r\n"));
  CHECK(contains(socket.read_response(), "\r\n\r\nhello"));  // nothing came between them
}

TEST_CASE("Server closes when the request or its version asks for it", "[http][server]") {
  TestServer server;
  for (const char* request : {"GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
                              "GET /hello HTTP/1.0\r\n\r\n"}) {
    RawSocket socket(server.port());
    REQUIRE(socket.send(request));
    const std::string all = socket.read_to_end();
    CHECK(socket.is_closed());
    CHECK(status_of(all) == 200);
    CHECK(contains(all, "Connection: close\r\n"));
  }
  RawSocket kept(server.port());
  REQUIRE(kept.send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
  CHECK(contains(kept.read_response(), "Connection: keep-alive\r\n"));
  REQUIRE(kept.send(kGet));
  CHECK(status_of(kept.read_response()) == 200);
}

TEST_CASE("Server says 404 and 405 as problems and keeps the connection", "[http][server]") {
  TestServer server;
  auto client = server.client();
  const auto missing = client->send("GET", "/no%22such", "", "").value();
  CHECK(missing.status == 404);
  CHECK(missing.content_type == "application/problem+json");
  CHECK(nlohmann::json::parse(missing.body)["detail"] == "no such path: /no\"such");
  const auto wrong = client->send("PUT", "/keys/a", "", "").value();
  CHECK(wrong.status == 405);
  const auto allow = std::find_if(wrong.headers.begin(), wrong.headers.end(),
                                  [](const Parameter& one) { return one.name == "Allow"; });
  REQUIRE(allow != wrong.headers.end());
  CHECK(allow->value == "GET, HEAD, DELETE");
  CHECK(client->send("DELETE", "/keys/a", "", "").value().status == 204);
  CHECK(server.metric("anomalyd_http_connections_total") == 1);
}

TEST_CASE("Nothing is read of a body that nobody takes, and little of one without a token",
          "[http][server][limits]") {
  Router router = make_router();
  router.add({"POST", "/open", Where::kConnection,
              [](Request& request) { return text_response(request.body); }, Scope::kOpen});
  TestServer server({}, std::move(router));
  const auto answer = [&](const std::string& line, const std::string& fields,
                          const std::string& body = {}) {
    RawSocket socket(server.port());
    REQUIRE(socket.send(line + " HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n" + body));
    const std::string heard = socket.read_to_end();  // the answer comes without the rest
    CHECK(socket.is_closed());
    CHECK(contains(heard, "Connection: close"));
    return status_of(heard);
  };
  const std::string claimed = "Content-Length: 10000000\r\n";
  const std::string chunked = "Transfer-Encoding: chunked\r\n";
  CHECK(answer("POST /none", claimed, "abc") == 404);
  CHECK(answer("PUT /none", chunked, "5\r\nab") == 404);
  CHECK(answer("PUT /hello", claimed) == 405);
  CHECK(answer("POST /open", claimed, "abc") == 413);
  CHECK(answer("POST /open", claimed + "Expect: 100-continue\r\n") == 413);
  CHECK(answer("POST /open", "Content-Length: 4097\r\n") == 413);
  CHECK(answer("POST /open", chunked, "2000\r\n" + std::string(5000, 'x')) == 413);
  CHECK(answer("POST /open", chunked, "1001\r\n" + std::string(4097, 'x') + "\r\n0\r\n\r\n") ==
        413);
  auto client = server.client();
  for (const std::size_t size : {0UL, 1UL, 4096UL}) {
    const std::string body(size, 'x');
    CHECK(client->send("POST", "/open", body, "").value().body == body);
  }
}

TEST_CASE("Server hands the decoded path, query and captures to the handler", "[http][server]") {
  TestServer server;
  auto client = server.client();
  CHECK(client->send("GET", "/keys/a%2Fb?x=1+2&y=%C3%A4&x=", "", "").value().body ==
        "GET /keys/a/b a/b x=1 2 y=\xc3\xa4 x=");
  CHECK(client->send("GET", "/keys/a%zz", "", "").value().status == 400);
  CHECK(client->send("GET", "/keys/a?b=%00", "", "").value().status == 400);
}

TEST_CASE("Server reads bodies of every size, whole or chunked", "[http][server]") {
  TestServer server;
  auto client = server.client(std::chrono::seconds(20));
  for (const std::size_t size : {0UL, 1UL, 15UL, 16UL, 9000UL, 16384UL, 300'000UL, 5'000'000UL}) {
    INFO(size);
    std::string body(size, 'x');
    for (std::size_t i = 0; i < size; i += 97) body[i] = static_cast<char>('a' + i % 26);
    for (const char* path : {"/echo", "/worker/echo"}) {
      const auto response = client->send("POST", path, body, "text/plain").value();
      CHECK(response.status == 200);
      CHECK((response.body == body));
    }
  }
  RawSocket socket(server.port());
  REQUIRE(
      socket.send("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "3\r\nabc\r\n"));
  REQUIRE(socket.send("10\r\n0123456789abcdef\r\n0\r\nX: y\r\n\r\n" + kGet));
  CHECK(contains(socket.read_response(), "\r\n\r\nabc0123456789abcdef"));
  CHECK(contains(socket.read_response(), "\r\n\r\nhello"));
}

TEST_CASE("A body has readable bytes behind its end", "[http][server]") {
  Router router;
  std::atomic<bool> is_padded{true};
  router.add({"POST", "/pad", Where::kConnection, [&](Request& request) {
                if (request.body.capacity() < request.body.size() + kBodyPadding) is_padded = false;
                const char* end = request.body.data() + request.body.size();
                for (std::size_t i = 0; i < kBodyPadding; ++i) {
                  if (end[i] != '\0') is_padded = false;  // and they are set: sanitizers would say
                }
                std::string taken = std::move(request.body);  // a handler may keep it
                return text_response(std::to_string(taken.size()));
              }});
  TestServer server({}, std::move(router));
  auto client = server.client();
  for (const std::size_t size : {0UL, 1UL, 100UL, 16320UL, 262144UL, 1048576UL, 20UL}) {
    CHECK(client->send("POST", "/pad", std::string(size, 'x'), "a/b").value().body ==
          std::to_string(size));
    CHECK(is_padded);
  }
}

TEST_CASE("Server invites a body that waits for it", "[http][server]") {
  TestServer server;
  RawSocket socket(server.port());
  REQUIRE(
      socket.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n"
                  "Expect: 100-continue\r\n\r\n"));
  CHECK(socket.read_until("\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n");
  REQUIRE(socket.send("abc"));
  CHECK(contains(socket.read_response(), "\r\n\r\nabc"));
  REQUIRE(
      socket.send("POST /none HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n"
                  "Expect: 100-continue\r\n\r\n"));
  CHECK(status_of(socket.read_to_end()) == 404);  // in place of the invitation
}

TEST_CASE("Server refuses what is too large, and says so before it closes", "[http][server]") {
  ServerOptions options;
  options.limits.max_body_bytes = 1000;
  options.limits.max_header_bytes = 2000;
  options.limits.max_target_bytes = 100;
  TestServer server(options);
  const auto answer = [&](const std::string& request) {
    RawSocket socket(server.port());
    socket.send(request);
    const std::string response = socket.read_to_end();
    CHECK(contains(response, "Connection: close\r\n"));
    CHECK(contains(response, "application/problem+json"));
    return status_of(response);
  };
  const std::string post = "POST /echo HTTP/1.1\r\nHost: h\r\n";
  CHECK(answer(post + "Content-Length: 1001\r\n\r\n") == 413);
  CHECK(answer(post + "Content-Length: 900000\r\n\r\n" + std::string(900'000, 'x')) == 413);
  CHECK(answer(post + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n") == 413);
  CHECK(answer(post + "Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n") == 413);
  CHECK(answer("GET /" + std::string(100, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n") == 414);
  CHECK(answer("GET /" + std::string(100'000, 'a')) == 414);
  CHECK(answer("GET / HTTP/1.1\r\nHost: h\r\nA: " + std::string(3000, 'b')) == 431);
  CHECK(answer("this is not HTTP\r\n\r\n") == 400);
  auto client = server.client();
  CHECK(client->send("POST", "/echo", std::string(1000, 'x'), "a/b").value().status == 200);
  CHECK(client->send("POST", "/echo", std::string(2'000'000, 'x'), "a/b").value().status == 413);
  CHECK(client->send("GET", "/hello", "", "").value().status == 200);
}

TEST_CASE("Server counts what it does", "[http][server][metrics]") {
  TestServer server;
  {
    auto client = server.client();
    for (int i = 0; i < 3; ++i) REQUIRE(client->send("GET", "/keys/a", "", "").ok());
    REQUIRE(client->send("GET", "/keys/b", "", "").ok());
    REQUIRE(client->send("PUT", "/keys/b", "", "").ok());
    REQUIRE(client->send("POST", "/echo", std::string(1000, 'x'), "a/b").ok());
    CHECK(server.metric("anomalyd_http_connections") == 1);
  }
  const auto requests = [&](const char* route, const char* code) {
    return server.metric("anomalyd_http_requests_total", {{"route", route}, {"code", code}});
  };
  CHECK(requests("/keys/{key}", "200") == 4);
  CHECK(requests("other", "405") == 1);
  CHECK(requests("/echo", "200") == 1);
  CHECK(requests("/hello", "200") == -1);
  CHECK(server.metric("anomalyd_http_request_duration_seconds", {{"route", "/keys/{key}"}}) == 4);
  CHECK(server.metric("anomalyd_http_received_bytes_total") > 1000);
  CHECK(server.metric("anomalyd_http_received_bytes_total") < 3000);
  server.server->stop(std::chrono::seconds(1));
  CHECK(server.metric("anomalyd_http_sent_bytes_total") > 1500);
  CHECK(server.metric("anomalyd_http_connections") == 0);
  CHECK(server.metric("anomalyd_http_connections_total") == 1);
}

TEST_CASE("Server listens on IPv6, and a client finds it", "[http][server]") {
  ServerOptions options;
  options.address = "::1";
  options.port = 0;
  prometheus::Registry registry;
  auto server = Server::start(options, make_router(), registry);
  if (!server.ok()) {
    // A machine without IPv6 cannot show it.
    CHECK(server.error().message.find("http: cannot listen on [::1]:0: ") == 0);
    return;
  }
  auto client = Client::make("http://[::1]:" + std::to_string(server.value()->port()),
                             std::chrono::seconds(5));
  CHECK(client.value()->send("GET", "/hello", "", "").value().body == "hello");
}

TEST_CASE("Server says where it cannot listen and why", "[http][server][errors]") {
  TestServer first;
  prometheus::Registry registry;
  ServerOptions options;
  options.port = first.port();
  const auto taken = Server::start(options, {}, registry);
  REQUIRE_FALSE(taken.ok());
  CHECK(taken.error().code == ErrorCode::kUnavailable);
  CHECK(taken.error().message == "http: cannot listen on 127.0.0.1:" +
                                     std::to_string(first.port()) + ": Address already in use");
  options.address = "localhost:1";
  const auto name = Server::start(options, {}, registry);
  CHECK(name.error().code == ErrorCode::kInvalidArgument);
  CHECK(name.error().message ==
        "http: listen address 'localhost:1': expected an IPv4 or IPv6 address");
  options.address = "127.0.0.1";
  options.threads = 0;
  CHECK(Server::start(options, {}, registry).error().message ==
        "http: threads: expected 1 to 256, got 0");
}

}  // namespace
}  // namespace anomalyd::http

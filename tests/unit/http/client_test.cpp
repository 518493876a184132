#include "http/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.h"
#include "test_server.h"

namespace anomalyd::http {
namespace {

using namespace testing;
using namespace std::chrono_literals;

/// A server that sends given bytes, one text a connection, once the request's header is there;
/// then it closes.
class Scripted {
 public:
  explicit Scripted(std::vector<std::string> answers)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(fd_, reinterpret_cast<const sockaddr*>(&address), size);
    ::listen(fd_, 8);
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, answers = std::move(answers)] {
      for (const std::string& answer : answers) {
        const int peer = ::accept(fd_, nullptr, nullptr);
        std::string request;
        std::array<char, 4096> bytes{};
        while (request.find("\r\n\r\n") == std::string::npos) {
          const ssize_t count = ::recv(peer, bytes.data(), bytes.size(), 0);
          if (count <= 0) break;
          request.append(bytes.data(), static_cast<std::size_t>(count));
        }
        if (::send(peer, answer.data(), answer.size(), MSG_NOSIGNAL) >= 0) ++answered_;
        ::close(peer);
      }
    });
  }
  ~Scripted() {
    thread_.join();
    ::close(fd_);
  }
  Scripted(const Scripted&) = delete;
  Scripted& operator=(const Scripted&) = delete;

  std::unique_ptr<Client> client(std::chrono::milliseconds timeout = 3s) const {
    return Client::make("http://127.0.0.1:" + std::to_string(port_), timeout).value();
  }
  int answered() const { return answered_; }

 private:
  int fd_;
  std::uint16_t port_ = 0;
  std::atomic<int> answered_{0};
  std::thread thread_;
};

TEST_CASE("Client takes http[s]://host[:port] and nothing else", "[http][client][errors]") {
  for (const char* url : {"http://a", "http://a:80/", "http://127.0.0.1:8420", "http://[::1]:1",
                          "http://[::1]", "https://a", "https://a:8443/"}) {
    INFO(url);
    CHECK(Client::make(url, 1s).ok());
  }
  for (const char* url :
       {"", "a:80", "httpss://a", "https://", "https:/a", "ftp://a", "http://", "http://:80",
        "http://a:", "http://a:0", "http://a:65536", "http://a:1x", "http://a/b", "http://a?b",
        "http://u@a", "http://[::1", "http://[]:1", "http://a b"}) {
    INFO(url);
    const auto client = Client::make(url, 1s);
    REQUIRE_FALSE(client.ok());
    CHECK(client.error().code == ErrorCode::kInvalidArgument);
    CHECK(client.error().message.find("url '" + std::string(url) + "'") == 0);
  }
}

TEST_CASE("Client refuses what would break the request apart", "[http][client][errors]") {
  TestServer server;
  auto client = server.client();
  CHECK_FALSE(client->send("GET", "/a b", "", "").ok());
  CHECK_FALSE(client->send("GET", "hello", "", "").ok());
  CHECK_FALSE(client->send("GET /x", "/hello", "", "").ok());
  CHECK_FALSE(client->send("GET", "/hello", "", "a\r\nb: c").ok());
  CHECK_FALSE(client->send("GET", "/hello", "", "", {{"A", "b\nC: d"}}).ok());
  CHECK_FALSE(client->send("GET", "/hello", "", "", {{"A:\r\n", "b"}}).ok());
  CHECK(client->send("GET", "/hello", "", "", {{"A", "b"}}).value().status == 200);
}

TEST_CASE("Client keeps its connection over bodies, HEAD and 204", "[http][client]") {
  TestServer server;
  auto client = server.client();
  const auto head = client->send("HEAD", "/hello", "", "").value();
  CHECK(head.status == 200);
  CHECK(head.body.empty());
  CHECK(client->send("DELETE", "/keys/a", "", "").value().status == 204);
  const auto get = client->send("GET", "/hello", "", "").value();
  CHECK(get.body == "hello");
  CHECK(get.content_type == "text/plain");
  CHECK(client->send("POST", "/echo", "", "").value().body.empty());
  CHECK(server.metric("anomalyd_http_connections_total") == 1);
}

TEST_CASE("Client connects again when the kept connection was closed", "[http][client]") {
  const std::string kept = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n";
  Scripted server({kept + "a", kept + "b", kept + "c"});
  auto client = server.client();
  for (const char* body : {"a", "b", "c"}) {
    CHECK(client->send("POST", "/", "x", "a/b").value().body == body);
    std::this_thread::sleep_for(20ms);
  }
  CHECK(server.answered() == 3);
}

TEST_CASE("Client does not send again once an answer has begun, or on a fresh connection",
          "[http][client][errors]") {
  const std::string whole = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
  Scripted server({"", whole, "HTTP/1.1 200 OK\r\nConte", whole});
  auto client = server.client();
  const auto closed = client->send("GET", "/", "", "");
  REQUIRE_FALSE(closed.ok());
  CHECK(closed.error().code == ErrorCode::kUnavailable);
  CHECK(closed.error().message.find("http://127.0.0.1:") == 0);
  CHECK(client->send("GET", "/", "", "").value().body == "a");
  CHECK_FALSE(client->send("GET", "/", "", "").ok());
  CHECK(client->send("GET", "/", "", "").value().body == "a");
}

TEST_CASE("Client reads chunked bodies, bodies without a length, and past a 100",
          "[http][client]") {
  Scripted server(
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
       "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
       "HTTP/1.1 200 OK\r\nContent-Type: x/y\r\n\r\nuntil the end",
       "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nX-A: b\r\n"
       "Content-Length: 2\r\n\r\nok"});
  auto client = server.client();
  CHECK(client->send("GET", "/", "", "").value().body == "abcde");
  CHECK(client->send("GET", "/", "", "").value().body == "until the end");
  const auto created = client->send("GET", "/", "", "").value();
  CHECK(created.status == 201);
  CHECK(created.body == "ok");
  REQUIRE_FALSE(created.headers.empty());
  CHECK(created.headers[0].name == "X-A");
  CHECK(created.headers[0].value == "b");
}

TEST_CASE("Client refuses an answer that is cut, too large or no HTTP", "[http][client][errors]") {
  Scripted server({"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
                   "HTTP/1.1 200 OK\r\nContent-Length: 67108865\r\n\r\n",
                   "HTTP/1.1 200 OK\r\nA: " + std::string(100'000, 'x'),
                   "SSH-2.0-OpenSSH\r\n\r\n"});
  auto client = server.client();
  for (int i = 0; i < 4; ++i) {
    const auto refused = client->send("GET", "/", "", "");
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == ErrorCode::kUnavailable);
  }
}

TEST_CASE("Client gives up at its time-out and says where", "[http][client][errors]") {
  Router router;
  router.add({"GET", "/slow", Where::kWorker, [](Request&) {
                std::this_thread::sleep_for(4s);
                return text_response("late");
              }});
  router.add({"GET", "/fast", Where::kWorker, [](Request&) { return text_response("fast"); }});
  TestServer server({}, std::move(router));
  auto client = server.client(1s);
  const auto begun = std::chrono::steady_clock::now();
  const auto late = client->send("GET", "/slow", "", "");
  CHECK(std::chrono::steady_clock::now() - begun < 3500ms);
  REQUIRE_FALSE(late.ok());
  CHECK(late.error().code == ErrorCode::kUnavailable);
  CHECK(contains(late.error().message, "timed out"));
  CHECK(client->send("GET", "/fast", "", "").value().body == "fast");  // not the late answer
  const std::uint16_t port = server.port();
  server.server->stop(1s);
  auto away = Client::make("http://127.0.0.1:" + std::to_string(port), 1s).value();
  const auto refused = away->send("GET", "/fast", "", "");
  REQUIRE_FALSE(refused.ok());
  CHECK(contains(refused.error().message, "Connection refused"));
}

}  // namespace
}  // namespace anomalyd::http

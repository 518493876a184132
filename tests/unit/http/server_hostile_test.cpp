#include <memory>
#include <random>
#include <string>
#include <vector>

#include "http/server.h"
#include "support/catch.h"
#include "test_server.h"

namespace anomalyd::http {
namespace {

using namespace testing;

std::string mutate(std::string text, std::mt19937_64& bits) {
  static constexpr std::string_view kTelling("\0\r\n\t :;,/?%&=+0fF\xff\xc3", 20);
  const auto below = [&](std::size_t bound) {
    return static_cast<std::size_t>(bits() % std::max<std::size_t>(bound, 1));
  };
  for (std::size_t edits = 1 + below(5); edits > 0; --edits) {
    const std::size_t at = below(text.size() + 1);
    switch (below(5)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(bits() & 0xffU);
        break;
      case 1:
        text.insert(at, 1, kTelling[below(kTelling.size())]);
        break;
      case 2:
        text.erase(at, 1 + below(6));
        break;
      case 3:
        text.insert(at, text.substr(below(text.size() + 1), 1 + below(200)));
        break;
      default:
        text.resize(at);
        break;
    }
  }
  return text;
}

TEST_CASE("10,000 broken requests do no harm, and good ones between them are answered",
          "[http][server][hostile]") {
  ServerOptions options;
  options.limits.max_header_bytes = 1024;
  options.limits.max_target_bytes = 256;
  options.limits.max_body_bytes = 4096;
  TestServer server(options);
  const std::vector<std::string> seeds{
      "GET /keys/a%2Fb?x=1&y=%C3%A4 HTTP/1.1\r\nHost: h\r\nAccept: a/b\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\n"
      "hello, world",
      "POST /worker/echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n7;a=b\r\n, world\r\n0\r\nT: u\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
      "HEAD /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /hello HTTP/1.1\r\nHost: "
      "h\r\n\r\n",
      "DELETE /keys/x HTTP/1.1\r\nHost: h\r\nConnection: close, upgrade\r\nUpgrade: h2c\r\n\r\n"};
  std::mt19937_64 bits(7);
  auto good = server.client();
  int refused = 0;
  for (int i = 0; i < 10'000; ++i) {
    RawSocket socket(server.port());
    REQUIRE(socket.is_connected());
    socket.send(mutate(seeds[bits() % seeds.size()], bits));
    socket.shut();
    const std::string response = socket.read_to_end();
    REQUIRE(socket.is_closed());
    const int status = status_of(response);
    CHECK((response.empty() || (status >= 100 && status < 500) || status == 501));
    if (status >= 400) ++refused;
    if (i % 100 == 99) {
      const auto response_to_good = good->send("POST", "/echo", "still here", "text/plain");
      REQUIRE(response_to_good.ok());
      REQUIRE(response_to_good.value().body == "still here");
    }
  }
  CHECK(refused > 3000);
  // The client's first connection lasted: nothing of the others reached it.
  CHECK(server.metric("anomalyd_http_connections_total") == 10'001);
}

}  // namespace
}  // namespace anomalyd::http

#include "http/tls.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <future>
#include <string>
#include <thread>

#include "certificates.h"
#include "http/server.h"
#include "support/catch.h"
#include "test_server.h"

namespace anomalyd::http {
namespace {

using namespace testing;
using namespace std::chrono_literals;

constexpr const char* kExpiry = "anomalyd_http_tls_certificate_expiry_timestamp_seconds";

/// An authority, a server that it vouches for, and clients that trust it.
struct Site {
  Folder folder;
  Identity authority{authority_wish()};
  Identity server{CertificateWish{}, &authority};
  TlsFiles files{folder.write("server.crt", server.certificate()),
                 folder.write("server.key", server.key()),
                 {}};
  std::filesystem::path ca = folder.write("ca.crt", authority.certificate());

  ServerOptions options() const {
    ServerOptions out;
    out.access.tls = TlsContext::server(files).value();
    return out;
  }
  Identity identity(const std::string& name) const {
    CertificateWish wish;
    wish.name = name;
    return Identity(wish, &authority);
  }
};

std::string url(const TestServer& server) {
  return "https://127.0.0.1:" + std::to_string(server.port());
}

std::unique_ptr<Client> client(const TestServer& server, const ClientTlsFiles& files) {
  ClientOptions options;
  options.tls = files;
  auto made = Client::make(url(server), options);
  INFO((made.ok() ? "" : made.error().message));
  REQUIRE(made.ok());
  return std::move(made).value();
}

bool await(const TestServer& server, const char* name, double value,
           const std::vector<Parameter>& labels = {}) {
  for (int i = 0; i < 3000 && server.metric(name, labels) < value; ++i) {
    std::this_thread::sleep_for(5ms);
  }
  return server.metric(name, labels) >= value;
}

/// What a bare OpenSSL client with these versions gets: the version, or nothing.
std::string version_agreed(std::uint16_t port, int least, int most) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_security_level(context, 0);  // so that it is the server who refuses
  SSL_CTX_set_min_proto_version(context, least);
  SSL_CTX_set_max_proto_version(context, most);
  BIO* connection = BIO_new_ssl_connect(context);
  BIO_set_conn_hostname(connection, ("127.0.0.1:" + std::to_string(port)).c_str());
  std::string version;
  if (BIO_do_connect(connection) == 1 && BIO_do_handshake(connection) == 1) {
    SSL* ssl = nullptr;
    BIO_get_ssl(connection, &ssl);
    version = SSL_get_version(ssl);
  }
  BIO_free_all(connection);
  SSL_CTX_free(context);
  return version;
}

TEST_CASE("Over TLS all is as without it", "[http][server][tls]") {
  const Site site;
  TestServer server(site.options());
  auto one = client(server, {site.ca, {}, {}});
  CHECK(one->send("GET", "/hello", "", "").value().body == "hello");
  for (const std::size_t size : {0UL, 1UL, 16384UL, 16385UL, 5UL << 20U}) {
    std::string body(size, 'x');
    for (std::size_t i = 0; i < size; i += 7) body[i] = static_cast<char>('a' + i % 26);
    for (const char* path : {"/echo", "/worker/echo"}) {
      const auto echoed = one->send("POST", path, body, "text/plain");
      REQUIRE(echoed.ok());
      CHECK(echoed.value().status == 200);
      CHECK(echoed.value().body == body);
    }
  }
  CHECK(one->send("HEAD", "/hello", "", "").value().status == 200);
  CHECK(one->send("GET", "/none", "", "").value().status == 404);
  CHECK(server.metric("anomalyd_http_connections_total") == 1);
  // What is refused with its body unread ends the connection, and the answer arrives.
  ServerOptions small = site.options();
  small.limits.max_body_bytes = 1000;
  TestServer strict(small);
  auto two = client(strict, {site.ca, {}, {}});
  for (int i = 0; i < 3; ++i) {
    const auto refused = two->send("POST", "/echo", std::string(2'000'000, 'x'), "");
    REQUIRE(refused.ok());
    CHECK(refused.value().status == 413);
  }
}

TEST_CASE("A client talks only to who it asked for", "[http][client][tls]") {
  const Site site;
  TestServer server(site.options());
  const auto error = [](Client& one) {
    const auto response = one.send("GET", "/hello", "", "");
    REQUIRE_FALSE(response.ok());
    CHECK(response.error().code == ErrorCode::kUnavailable);
    return response.error().message;
  };
  const auto other = site.folder.write("other.crt", Identity(authority_wish("x")).certificate());
  CHECK(contains(error(*client(server, {other, {}, {}})), "its certificate: "));
  CHECK(contains(error(*client(server, {})), "its certificate: "));  // the system's own

  CertificateWish wish;
  wish.name = "elsewhere";
  wish.alternatives = "DNS:elsewhere,IP:127.0.0.2";
  const Identity elsewhere(wish, &site.authority);
  TlsFiles files = site.files;
  files.certificate = site.folder.write("elsewhere.crt", elsewhere.certificate());
  files.key = site.folder.write("elsewhere.key", elsewhere.key());
  ServerOptions options;
  options.access.tls = TlsContext::server(files).value();
  TestServer stranger(options);
  CHECK(contains(error(*client(stranger, {site.ca, {}, {}})), "its certificate: "));

  TestServer plain;
  error(*client(plain, {site.ca, {}, {}}));
  ClientOptions unencrypted;
  auto made = Client::make("http://127.0.0.1:" + std::to_string(server.port()), unencrypted);
  error(*made.value());
  CHECK(await(server, "anomalyd_http_tls_handshakes_failed_total", 3));
}

TEST_CASE("Nothing older than TLS 1.2 is spoken", "[http][server][tls]") {
  const Site site;
  TestServer server(site.options());
  CHECK(version_agreed(server.port(), TLS1_3_VERSION, TLS1_3_VERSION) == "TLSv1.3");
  CHECK(version_agreed(server.port(), TLS1_2_VERSION, TLS1_2_VERSION) == "TLSv1.2");
  CHECK(version_agreed(server.port(), TLS1_1_VERSION, TLS1_1_VERSION).empty());
  CHECK(version_agreed(server.port(), TLS1_VERSION, TLS1_1_VERSION).empty());
}

TEST_CASE("With a client CA only clients that it vouches for come in", "[http][server][tls]") {
  const Site site;
  const Identity clients(authority_wish("clients"));
  const Identity good(CertificateWish{"sensor", "", -3600, 3600, false}, &clients);
  const Identity other = site.identity("sensor");
  ServerOptions options;
  TlsFiles files = site.files;
  files.client_ca = site.folder.write("clients.crt", clients.certificate());
  options.access.tls = TlsContext::server(files).value();
  TestServer server(options);

  const auto crt = site.folder.write("good.crt", good.certificate());
  const auto key = site.folder.write("good.key", good.key());
  for (int i = 0; i < 3; ++i) {
    auto welcome = client(server, {site.ca, crt, key});
    const auto response = welcome->send("GET", "/hello", "", "");
    INFO((response.ok() ? "" : response.error().message));
    REQUIRE(response.ok());
    CHECK(response.value().body == "hello");
  }
  CHECK_FALSE(client(server, {site.ca, {}, {}})->send("GET", "/hello", "", "").ok());
  const auto wrong = site.folder.write("wrong.crt", other.certificate());
  const auto wrong_key = site.folder.write("wrong.key", other.key());
  CHECK_FALSE(client(server, {site.ca, wrong, wrong_key})->send("GET", "/hello", "", "").ok());
  CHECK(await(server, "anomalyd_http_tls_handshakes_failed_total", 2));
  CHECK_FALSE(TlsContext::client({site.ca, crt, {}}).ok());
  CHECK_FALSE(TlsContext::client({site.ca, crt, wrong_key}).ok());
}

TEST_CASE("A client CA may be one that another has signed", "[http][server][tls]") {
  const Site site;
  const Identity root(authority_wish("root"));
  const Identity plant(authority_wish("plant"), &root);
  const Identity good(CertificateWish{"sensor", "", -3600, 3600, false}, &plant);
  const Identity other(CertificateWish{"sensor", "", -3600, 3600, false}, &root);
  ServerOptions options;
  TlsFiles files = site.files;
  files.client_ca = site.folder.write("plant.crt", plant.certificate());
  options.access.tls = TlsContext::server(files).value();
  TestServer server(options);
  const auto is_let_in = [&](const Identity& who) {
    return client(server, {site.ca, site.folder.write("who.crt", who.certificate()),
                           site.folder.write("who.key", who.key())})
        ->send("GET", "/hello", "", "")
        .ok();
  };
  CHECK(is_let_in(good));
  CHECK_FALSE(is_let_in(other));
}

TEST_CASE("A handshake that does not come and a request that drips are cut",
          "[http][server][tls][timeout]") {
  const Site site;
  ServerOptions options = site.options();
  options.limits.request_timeout = 1s;
  options.limits.idle_timeout = 1s;
  TestServer server(options);
  RawSocket silent(server.port());
  RawSocket half(server.port());
  REQUIRE(half.send(std::string_view("\x16\x03\x01\x02\x00\x01", 6)));
  RawSocket plain(server.port());
  REQUIRE(plain.send("GET /hello HTTP/1.1\r\nHost: h\r\n\r\n"));
  CHECK_FALSE(contains(plain.read_to_end(), "HTTP/1.1"));
  CHECK(plain.is_closed());
  silent.read_to_end();
  half.read_to_end();
  CHECK(silent.is_closed());
  CHECK(half.is_closed());
  CHECK(await(server, "anomalyd_http_tls_handshakes_failed_total", 3));
  CHECK(await(server, "anomalyd_http_connections_cut_total", 2, {{"reason", "handshake"}}));

  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  BIO* connection = BIO_new_ssl_connect(context);
  BIO_set_conn_hostname(connection, ("127.0.0.1:" + std::to_string(server.port())).c_str());
  REQUIRE(BIO_do_connect(connection) == 1);
  const std::string begin = "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\nabc";
  REQUIRE(BIO_write(connection, begin.data(), static_cast<int>(begin.size())) > 0);
  std::string answer(4096, '\0');
  const int count = BIO_read(connection, answer.data(), static_cast<int>(answer.size()));
  REQUIRE(count > 0);
  CHECK(status_of(answer) == 408);
  BIO_free_all(connection);
  SSL_CTX_free(context);
  CHECK(await(server, "anomalyd_http_connections_cut_total", 1, {{"reason", "request"}}));
  CHECK(client(server, {site.ca, {}, {}})->send("GET", "/hello", "", "").value().status == 200);
}

TEST_CASE("A new certificate is for new connections", "[http][server][tls][reload]") {
  const Site site;
  TestServer server(site.options());
  CHECK(server.metric(kExpiry) == Approx(std::time(nullptr) + 3600).margin(60));
  auto open = client(server, {site.ca, {}, {}});
  REQUIRE(open->send("GET", "/hello", "", "").value().status == 200);

  const Identity next_authority(authority_wish("next"));
  const Identity next(CertificateWish{}, &next_authority);
  TlsFiles files = site.files;
  files.certificate = site.folder.write("next.crt", next.certificate());
  files.key = site.folder.write("next.key", next.key());
  server.server->use({nullptr, TlsContext::server(files).value()});
  const auto next_ca = site.folder.write("next-ca.crt", next_authority.certificate());
  CHECK(client(server, {next_ca, {}, {}})->send("GET", "/hello", "", "").ok());
  CHECK_FALSE(client(server, {site.ca, {}, {}})->send("GET", "/hello", "", "").ok());
  // The one that was open has ended, and its client trusts no other.
  CHECK_FALSE(open->send("GET", "/hello", "", "").ok());
}

TEST_CASE("What began under older settings of TLS ends with the answer in hand",
          "[http][server][tls][reload]") {
  const Site site;
  Router router = make_router();
  std::promise<void> begun;
  std::promise<void> release;
  router.add({"GET", "/slow", Where::kWorker, [&](Request&) {
                begun.set_value();
                release.get_future().wait();
                return text_response("done");
              }});
  TestServer server(site.options(), std::move(router));
  auto one = client(server, {site.ca, {}, {}});
  auto answer = std::async(std::launch::async, [&] { return one->send("GET", "/slow", "", ""); });
  begun.get_future().wait();

  const Identity next(CertificateWish{}, &site.authority);
  TlsFiles files = site.files;
  files.certificate = site.folder.write("next.crt", next.certificate());
  files.key = site.folder.write("next.key", next.key());
  const auto first = TlsContext::server(site.files).value();
  const auto second = TlsContext::server(files).value();
  CHECK(first->is_same_as(*TlsContext::server(site.files).value()));
  CHECK_FALSE(first->is_same_as(*second));
  server.server->use({nullptr, second});
  CHECK(client(server, {site.ca, {}, {}})->send("GET", "/hello", "", "").ok());
  release.set_value();
  const auto response = answer.get();
  REQUIRE(response.ok());
  CHECK(response.value().body == "done");
  CHECK(std::any_of(response.value().headers.begin(), response.value().headers.end(),
                    [](const Parameter& header) {
                      return header.name == "Connection" && header.value == "close";
                    }));
}

TEST_CASE("Connections too many are closed, and stop ends those that are open",
          "[http][server][tls][limits][stop]") {
  const Site site;
  ServerOptions options = site.options();
  options.limits.max_connections = 2;
  TestServer server(options);
  auto one = client(server, {site.ca, {}, {}});
  REQUIRE(one->send("GET", "/hello", "", "").ok());
  RawSocket in_handshake(server.port());
  CHECK(await(server, "anomalyd_http_connections", 2));
  CHECK_FALSE(client(server, {site.ca, {}, {}})->send("GET", "/hello", "", "").ok());
  CHECK(server.metric("anomalyd_http_connections_refused_total") >= 1);
  server.server->stop(10s);
  in_handshake.read_to_end();
  CHECK(in_handshake.is_closed());
  CHECK_FALSE(one->send("GET", "/hello", "", "").ok());
}

TEST_CASE("What is wrong with a certificate or a key is said with its file",
          "[http][tls][errors]") {
  const Site site;
  const Folder& folder = site.folder;
  const auto refusal = [&](const TlsFiles& files) {
    const auto refused = TlsContext::server(files);
    REQUIRE_FALSE(refused.ok());
    return refused.error().message;
  };
  const auto with = [&](const std::string& certificate, const std::string& key) {
    return refusal({folder.write("a.crt", certificate), folder.write("a.key", key), {}});
  };
  const std::string crt = site.server.certificate();
  const std::string key = site.server.key();
  CHECK(contains(refusal({folder.path() / "none.crt", site.files.key, {}}), "none.crt: no such"));
  CHECK(contains(refusal({site.files.certificate, folder.path() / "none.key", {}}), "none.key: "));
  CHECK(contains(with("nonsense", key), "a.crt: no certificate in it"));
  CHECK(contains(with("", key), "a.crt: no certificate in it"));
  CHECK(contains(with(key, key), "a.crt: no certificate in it"));
  CHECK(contains(with(crt.substr(0, crt.size() / 2), key), "a.crt: "));
  CHECK(contains(with(crt + crt.substr(0, crt.size() / 2), key), "a.crt: "));
  CHECK(contains(with(crt, "nonsense"), "a.key: no private key in it"));
  CHECK(contains(with(crt, site.identity("x").key()), "a.key: not the key of the certificate"));
  CHECK(contains(with(crt, site.server.key("password")), "a.key: the key has a password"));
  const Identity over(CertificateWish{"a", "", -7200, -3600, false}, &site.authority);
  const Identity early(CertificateWish{"a", "", 3600, 7200, false}, &site.authority);
  // A server starts with those all the same, and says so; a client does not.
  const auto problem = [&](const Identity& identity) {
    const TlsFiles files{
        folder.write("b.crt", identity.certificate()), folder.write("b.key", identity.key()), {}};
    const auto client_too = TlsContext::client({{}, files.certificate, files.key});
    const std::string found =
        TlsContext::server(files).value()->validity_problem(std::time(nullptr));
    CHECK(client_too.ok() == found.empty());
    return found;
  };
  CHECK(contains(problem(over), "the certificate is over since 20"));
  CHECK(contains(problem(early), "not valid yet, only from 20"));
  CHECK(problem(site.server).empty());
  TlsFiles files = site.files;
  files.client_ca = folder.write("none", "nonsense");
  CHECK(contains(refusal(files), "none: no certificate in it"));
  CHECK_FALSE(contains(with(crt, key.substr(0, key.size() / 2)), key.substr(40, 20)));
  // A chain: the server's, then the authority's.
  CHECK(TlsContext::server(
            {folder.write("chain", crt + site.authority.certificate()), site.files.key, {}})
            .ok());
}

}  // namespace
}  // namespace anomalyd::http

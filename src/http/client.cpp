#include "http/client.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/version.hpp>
#include <charconv>
#include <optional>

#include "base/check.h"
#include "base/text.h"
#include "http/read_buffer.h"

namespace anomalyd::http {
namespace {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace beast_http = boost::beast::http;
using net::ip::tcp;
using Failure = boost::system::error_code;

constexpr std::size_t kReadBytes = 64UL << 10U;
constexpr std::size_t kMaxHeaderBytes = 64UL << 10U;
constexpr std::uint64_t kMaxBodyBytes = 64ULL << 20U;

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

/// Beast's parser without its message: it writes straight into a Response.
class ResponseReader final : public beast_http::basic_parser<false> {
 public:
  explicit ResponseReader(Response& response) : response_(&response) {
    response = {};
    eager(true);
    header_limit(kMaxHeaderBytes);
    body_limit(kMaxBodyBytes);
  }

 private:
  void on_response_impl(int status, beast::string_view, int, Failure&) override {
    response_->status = status;
  }
  void on_field_impl(beast_http::field name, beast::string_view text, beast::string_view value,
                     Failure&) override {
    if (is_header_done()) return;  // a trailer
    if (name == beast_http::field::content_type) {
      response_->content_type.assign(view(value));
    } else {
      response_->headers.push_back({std::string(view(text)), std::string(view(value))});
    }
  }
  void on_header_impl(Failure&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, Failure&) override {}
  std::size_t on_body_impl(beast::string_view body, Failure&) override {
    response_->body.append(view(body));
    return body.size();
  }
  void on_chunk_header_impl(std::uint64_t, beast::string_view, Failure&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view body, Failure&) override {
    response_->body.append(view(body));
    return body.size();
  }
  void on_finish_impl(Failure&) override {}
  void on_request_impl(beast_http::verb, beast::string_view, beast::string_view, int,
                       Failure&) override {}
#if BOOST_BEAST_VERSION >= 359
  void on_trailer_field_impl(beast_http::field, beast::string_view, beast::string_view,
                             Failure&) override {}
#endif

  Response* response_;
};

/// Where a URL points to.
struct Origin {
  std::string host;       ///< a name or an address, without brackets
  std::string port;       ///< digits
  std::string authority;  ///< as in the Host field
  bool is_tls = false;
  std::string url() const { return (is_tls ? "https://" : "http://") + authority; }
};

Result<Origin> parse_url(std::string_view url) {
  const auto refuse = [&](const std::string& what) {
    return Error{ErrorCode::kInvalidArgument, "url '" + std::string(url) + "': " + what};
  };
  constexpr std::string_view kPlain = "http://";
  constexpr std::string_view kTls = "https://";
  Origin origin;
  origin.is_tls = url.starts_with(kTls);
  if (!origin.is_tls && !url.starts_with(kPlain)) {
    return refuse("expected http://host[:port] or https://host[:port]");
  }
  std::string_view rest = url.substr(origin.is_tls ? kTls.size() : kPlain.size());
  if (!rest.empty() && rest.back() == '/') rest.remove_suffix(1);
  const bool is_plain = std::all_of(rest.begin(), rest.end(), [](char c) {
    return c > ' ' && c < 0x7f && std::string_view("/?#@\\\"<>").find(c) == std::string_view::npos;
  });
  if (!is_plain) return refuse("expected http://host[:port] and nothing behind it");

  origin.port = origin.is_tls ? "443" : "80";
  origin.authority = std::string(rest);
  std::string_view port;
  if (!rest.empty() && rest.front() == '[') {
    const std::size_t end = rest.find(']');
    if (end == std::string_view::npos) return refuse("'[' without ']'");
    origin.host = std::string(rest.substr(1, end - 1));
    port = rest.substr(end + 1);
  } else {
    const std::size_t colon = std::min(rest.find(':'), rest.size());
    origin.host = std::string(rest.substr(0, colon));
    port = rest.substr(colon);
  }
  if (origin.host.empty()) return refuse("no host");
  if (port.empty()) return origin;
  port.remove_prefix(1);
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || number < 1 || number > 65535) {
    return refuse("expected a port from 1 to 65535");
  }
  origin.port = std::string(port);
  return origin;
}

bool is_header_text(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return is_control(c) && c != '\t'; });
}

class ClientImpl final : public Client {
 public:
  ClientImpl(Origin origin, ClientOptions options, std::shared_ptr<const TlsContext> tls)
      : origin_(std::move(origin)),
        options_(std::move(options)),
        tls_(std::move(tls)),
        resolver_(io_),
        socket_(io_) {}

  Result<Response> send(std::string_view method, std::string_view target, std::string_view body,
                        std::string_view content_type,
                        const std::vector<Parameter>& headers) override;

 private:
  /// Waits for what `start` began with the handler that it is given.
  template <class Start>
  Failure wait(const Start& start);
  Failure connect();
  /// Agrees on TLS with the server that the socket is connected to, and that it is the right one.
  Failure shake_hands();
  template <class Buffers, class Handler>
  void write(const Buffers& buffers, Handler handler);
  template <class Handler>
  void read(net::mutable_buffer room, Handler handler);
  /// One request and its answer. `has_answer` tells whether any byte of an answer came.
  Failure exchange(std::string_view head, std::string_view body, bool is_head, Response& response,
                   bool& has_answer);
  void close();

  const Origin origin_;
  const ClientOptions options_;
  const std::shared_ptr<const TlsContext> tls_;  // null: plain HTTP
  net::io_context io_;
  tcp::resolver resolver_;
  tcp::socket socket_;
  std::optional<net::ssl::stream<tcp::socket&>> secure_;  // over socket_, once connected
  std::string refusal_;                                   // why the last handshake did not do
  ReadBuffer buffer_;
  std::chrono::steady_clock::time_point deadline_;
};

template <class Start>
Failure ClientImpl::wait(const Start& start) {
  std::optional<Failure> result;
  start([&result](const Failure& failure, const auto&...) { result = failure; });
  io_.restart();
  while (!result && io_.run_one_until(deadline_) > 0) {
  }
  if (result) return *result;
  resolver_.cancel();
  close();
  // The handler refers to this frame. A look-up by name cannot be broken off: it is waited for.
  while (!result && io_.run_one() > 0) {
  }
  return net::error::timed_out;
}

void ClientImpl::close() {
  Failure ignored;
  socket_.close(ignored);
  buffer_ = {};
}

Failure ClientImpl::shake_hands() {
  SSL* ssl = SSL_new(tls_->native());
  ANOMALYD_CHECK(ssl != nullptr, "memory for a TLS connection");
  secure_.emplace(socket_, ssl);
  Failure no_address;
  net::ip::make_address(origin_.host, no_address);
  if (no_address) {
    // What the macro SSL_set_tlsext_host_name() stands for, without its C cast.
    SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
             const_cast<char*>(origin_.host.c_str()));
    SSL_set1_host(ssl, origin_.host.c_str());
  } else {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), origin_.host.c_str());
  }
  const Failure failure =
      wait([&](auto handler) { secure_->async_handshake(net::ssl::stream_base::client, handler); });
  if (const long verified = SSL_get_verify_result(ssl); failure && verified != X509_V_OK) {
    refusal_ = std::string("its certificate: ") + X509_verify_cert_error_string(verified);
  }
  return failure;
}

template <class Buffers, class Handler>
void ClientImpl::write(const Buffers& buffers, Handler handler) {
  if (secure_) {
    net::async_write(*secure_, buffers, handler);
  } else {
    net::async_write(socket_, buffers, handler);
  }
}

template <class Handler>
void ClientImpl::read(net::mutable_buffer room, Handler handler) {
  if (secure_) {
    secure_->async_read_some(room, handler);
  } else {
    socket_.async_read_some(room, handler);
  }
}

Failure ClientImpl::connect() {
  close();
  secure_.reset();
  refusal_.clear();
  tcp::resolver::results_type found;
  if (const Failure failure = wait([&](auto handler) {
        resolver_.async_resolve(
            origin_.host, origin_.port,
            [&found, handler](const Failure& resolved, tcp::resolver::results_type results) {
              found = std::move(results);
              handler(resolved);
            });
      })) {
    return failure;
  }
  const Failure failure = wait([&](auto handler) { net::async_connect(socket_, found, handler); });
  if (!failure) {
    Failure ignored;
    socket_.set_option(tcp::no_delay(true), ignored);
  }
  return failure || tls_ == nullptr ? failure : shake_hands();
}

Failure ClientImpl::exchange(std::string_view head, std::string_view body, bool is_head,
                             Response& response, bool& has_answer) {
  const std::array<net::const_buffer, 2> out{net::buffer(head.data(), head.size()),
                                             net::buffer(body.data(), body.size())};
  const Failure sent = wait([&](auto handler) { write(out, handler); });
  if (sent == net::error::timed_out || !socket_.is_open()) return sent;
  // A server that refuses a body answers before it has all of it and closes: so read in any case.
  for (;;) {
    ResponseReader reader(response);
    if (is_head) reader.skip(true);
    while (!reader.is_done()) {
      Failure failure;
      if (!buffer_.empty()) {
        const std::string_view bytes = buffer_.data();
        buffer_.consume(reader.put(net::const_buffer(bytes.data(), bytes.size()), failure));
        if (failure && failure != beast_http::error::need_more) return failure;
        if (reader.is_done()) break;
        if (buffer_.data().size() > kMaxHeaderBytes) return beast_http::error::header_limit;
      }
      const auto room = buffer_.prepare(kReadBytes);
      std::size_t count = 0;
      failure = wait([&](auto handler) {
        read(net::buffer(room.data(), room.size()),
             [&count, handler](const Failure& done, std::size_t size) {
               count = size;
               handler(done);
             });
      });
      const bool is_end =
          failure == net::error::eof || failure == net::ssl::error::stream_truncated;
      if (is_end && reader.got_some()) {
        reader.put_eof(failure);
        if (failure) return failure;
        close();
        break;
      }
      if (failure) return sent ? sent : failure;
      buffer_.commit(count);
      has_answer = true;
    }
    if (response.status / 100 == 1) continue;  // 100 Continue and the like go before the answer
    // Whatever follows an answer that nobody asked for cannot be trusted.
    if (sent || !reader.keep_alive() || !buffer_.empty()) close();
    return {};
  }
}

Result<Response> ClientImpl::send(std::string_view method, std::string_view target,
                                  std::string_view body, std::string_view content_type,
                                  const std::vector<Parameter>& headers) {
  const auto refuse = [&](const std::string& what) {
    return Error{ErrorCode::kInvalidArgument, "http client: " + what};
  };
  const auto is_word = [](std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
      return static_cast<unsigned char>(c) > ' ' && c != 0x7f;
    });
  };
  if (!is_word(method)) return refuse("method: expected a word");
  if (!is_word(target) || target.front() != '/') {
    return refuse("target: expected '/' first and no space or control character");
  }
  std::string head(method);
  head += ' ';
  head += target;
  head += " HTTP/1.1\r\nHost: " + origin_.authority + "\r\nUser-Agent: anomalyd\r\n";
  if (!content_type.empty()) {
    if (!is_header_text(content_type)) return refuse("content type: control character");
    head += "Content-Type: ";
    head += content_type;
    head += "\r\n";
  }
  if (!options_.token.empty()) head += "Authorization: Bearer " + options_.token + "\r\n";
  for (const Parameter& header : headers) {
    if (!is_word(header.name) || !is_header_text(header.value)) {
      return refuse("header " + header.name + ": control character");
    }
    head += header.name + ": " + header.value + "\r\n";
  }
  if (!body.empty() || (method != "GET" && method != "HEAD" && method != "DELETE")) {
    head += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  }
  head += "\r\n";

  deadline_ = std::chrono::steady_clock::now() + options_.timeout;
  for (bool is_again = false;; is_again = true) {
    const bool is_kept = socket_.is_open();
    Failure failure;
    if (!is_kept) failure = connect();
    Response response;
    bool has_answer = false;
    if (!failure) failure = exchange(head, body, method == "HEAD", response, has_answer);
    if (!failure) return response;
    close();
    // The server closed the connection while it was idle, as it may: that is no answer.
    const bool was_closed = failure == net::error::eof || failure == net::error::connection_reset ||
                            failure == net::error::broken_pipe ||
                            failure == net::ssl::error::stream_truncated;
    if (is_kept && !has_answer && was_closed && !is_again) continue;
    return Error{ErrorCode::kUnavailable,
                 origin_.url() + ": " + (refusal_.empty() ? failure.message() : refusal_)};
  }
}

}  // namespace

Result<std::unique_ptr<Client>> Client::make(std::string_view url,
                                             std::chrono::milliseconds timeout) {
  ClientOptions options;
  options.timeout = timeout;
  return make(url, std::move(options));
}

Result<std::unique_ptr<Client>> Client::make(std::string_view url, ClientOptions options) {
  auto origin = parse_url(url);
  if (!origin.ok()) return origin.error();
  if (options.timeout.count() < 1) {
    return Error{ErrorCode::kInvalidArgument,
                 "http client: time-out: expected at least 1 ms, got " +
                     std::to_string(options.timeout.count())};
  }
  const bool is_word = std::all_of(options.token.begin(), options.token.end(),
                                   [](char c) { return c > ' ' && c < 0x7f; });
  if (!is_word) {
    return Error{ErrorCode::kInvalidArgument,
                 "http client: token: expected no blank and no control character"};
  }
  std::shared_ptr<const TlsContext> tls;
  if (origin.value().is_tls) {
    auto made = TlsContext::client(options.tls);
    if (!made.ok()) return made.error();
    tls = std::move(made).value();
  }
  return std::unique_ptr<Client>(
      std::make_unique<ClientImpl>(std::move(origin).value(), std::move(options), std::move(tls)));
}

}  // namespace anomalyd::http

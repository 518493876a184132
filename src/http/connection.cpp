#include "http/connection.h"

#include <prometheus/counter.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/stream_base.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "http/response_head.h"
#include "http/target.h"

namespace anomalyd::http {
namespace {

namespace net = boost::asio;
using Failure = boost::system::error_code;
using UseAwaitable = net::use_awaitable_t<Executor>;
constexpr auto kToken = net::as_tuple(UseAwaitable{});

constexpr std::size_t kReadBytes = 16UL << 10U;
constexpr std::size_t kBodyStepBytes = 256UL << 10U;  // what a claimed length alone may allocate
constexpr std::size_t kKeptBodyBytes = 1UL << 20U;    // a connection keeps no larger body buffer
constexpr std::size_t kOpenBodyBytes = 4UL << 10U;    // of a request that needs no token
constexpr std::size_t kMaxWaitingRequests = 256;      // for a worker
constexpr std::chrono::seconds kLinger{1};
constexpr auto kNever = SteadyClock::time_point::max();

/// Why the client's certificate was not good; empty when that is not what went wrong.
std::string client_refusal(SSL* ssl) {
  const long verified = SSL_get_verify_result(ssl);
  return verified == X509_V_OK ? "" : X509_verify_cert_error_string(verified);
}

Socket& lowest(Socket& socket) { return socket; }
Socket& lowest(TlsStream& stream) { return stream.next_layer(); }

}  // namespace

Loop::Loop(const ServerOptions& options)
    : io(1),
      sweeper(io),
      sweep_period(std::clamp<std::chrono::milliseconds>(
          std::chrono::milliseconds(
              std::min(options.limits.request_timeout, options.limits.idle_timeout)) /
              4,
          std::chrono::milliseconds(50), std::chrono::milliseconds(1000))),
      access(options.access) {}

void Loop::sweep() {
  const auto now = SteadyClock::now();
  for (AnyConnection* connection : connections) {
    if (connection->deadline() < now) connection->cancel();
  }
  sweeper.expires_after(sweep_period);
  sweeper.async_wait([this](const Failure& failure) {
    if (!failure && !is_finished) sweep();
  });
}

void Loop::begin_stop() {
  is_stopping = true;
  for (AnyConnection* connection : connections) {
    if (connection->is_idle()) connection->close();
  }
}

void Loop::use(const Access& given) {
  access = given;
  for (AnyConnection* connection : connections) {
    if (connection->is_idle() && connection->is_outdated()) connection->close();
  }
}

void Loop::close_all() {
  for (AnyConnection* connection : connections) connection->close();
}

void Loop::finish() {
  is_finished = true;
  sweeper.cancel();
}

std::string_view Loop::date() {
  if (const std::time_t now = std::time(nullptr); now != date_time) {
    date_time = now;
    date_text = http_date(now);
  }
  return date_text;
}

template <class Stream>
Connection<Stream>::Connection(Shared& shared, Loop& loop, Stream stream)
    : shared_(shared),
      loop_(loop),
      stream_(std::move(stream)),
      place_(loop.connections.insert(loop.connections.end(), this)),
      parser_(shared.options.limits) {}

template <class Stream>
Connection<Stream>::~Connection() {
  loop_.connections.erase(place_);
}

template <class Stream>
void Connection<Stream>::close() {
  Failure ignored;
  stream_.lowest_layer().close(ignored);
}

template <class Stream>
void Connection<Stream>::cancel() {
  Failure ignored;
  stream_.lowest_layer().cancel(ignored);
}

template <class Stream>
bool Connection<Stream>::is_outdated() const {
  if constexpr (kIsTls) {
    // The stream holds its own reference, so that no newer context can be at the same address.
    auto* ssl = const_cast<TlsStream&>(stream_).native_handle();
    return SSL_get_SSL_CTX(ssl) != loop_.access.tls->native();
  }
  return false;
}

template <class Stream>
typename Connection<Stream>::Step Connection<Stream>::refuse_with(int status,
                                                                  std::string_view detail) {
  response_ = problem(status, detail);
  return Step::kRefuse;
}

template <class Stream>
typename Connection<Stream>::Step Connection<Stream>::refuse_by_parser() {
  return refuse_with(parser_.refusal_status(), parser_.refusal_detail());
}

template <class Stream>
typename Connection<Stream>::Step Connection<Stream>::gone_or_late(std::string_view what) {
  if (shared_.is_aborting || SteadyClock::now() < deadline_) return Step::kGone;
  shared_.metrics.count_cut(ServerMetrics::Cut::kRequest);
  return refuse_with(408, std::string(what) + ": not complete in time");
}

template <class Stream>
void Connection<Stream>::say_unrouted() {
  if (match_.allow.empty()) {
    response_ = problem(404, "no such path: " + request_.path);
  } else {
    response_ = problem(405, "this path answers " + match_.allow);
    response_.headers.push_back({"Allow", match_.allow});
  }
}

template <class Stream>
void Connection<Stream>::say_busy(std::string_view why) {
  response_ = problem(503, why);
  response_.headers.push_back({"Retry-After", "1"});
}

// In all coroutines here the result of co_await first becomes a variable: of one that stood in an
// `if`, g++ 12 made a frame whose layout its two halves did not agree on.

template <class Stream>
Task<bool> Connection<Stream>::read_some() {
  const auto room = buffer_.prepare(kReadBytes);
  const auto [failure, count] =
      co_await stream_.async_read_some(net::buffer(room.data(), room.size()), kToken);
  buffer_.commit(count);
  shared_.metrics.received_bytes.Increment(static_cast<double>(count));
  co_return !failure;
}

template <class Stream>
typename Connection<Stream>::Step Connection<Stream>::route_request() {
  const auto target = split_target(parser_.target());
  if (!target.ok()) return refuse_with(400, target.error().message);
  if (auto path = percent_decode(target.value().path, false, request_.path); !path.ok()) {
    return refuse_with(400, "request path: " + path.error().message);
  }
  if (auto query = parse_query(target.value().query, request_.query); !query.ok()) {
    return refuse_with(400, query.error().message);
  }
  match_ = shared_.router.find(request_.method, target.value().path);
  request_.captures = std::move(match_.captures);
  return Step::kGood;
}

template <class Stream>
bool Connection<Stream>::judge() {
  const TokenSet* tokens = loop_.access.tokens.get();
  if (tokens == nullptr || match_.route == nullptr || match_.route->scope == Scope::kOpen) {
    return true;
  }
  const Scope needed = match_.route->scope;
  const TokenSet::Verdict verdict = tokens->judge(request_.authorization, needed);
  if (verdict.denial == Denial::kNone) {
    // Shares the ownership of the whole set, which a reload may take away meanwhile.
    request_.token = {loop_.access.tokens, verdict.token};
    return true;
  }
  shared_.metrics.count_denied(verdict.denial);
  const std::string scope(to_text(needed));
  if (verdict.denial == Denial::kScope) {
    response_ = problem(403, "the token " + verdict.token->name + " does not have the scope " +
                                 scope + ", which this route needs");
  } else {
    response_ = problem(
        401, verdict.denial == Denial::kMissing
                 ? "expected a token with the scope " + scope + ": Authorization: Bearer TOKEN"
             : verdict.denial == Denial::kMalformed
                 ? "Authorization: expected Bearer and a token of this server"
                 : "Authorization: not a token of this server");
    response_.headers.push_back({"WWW-Authenticate", "Bearer realm=\"anomalyd\""});
    response_.headers.push_back({"WWW-Authenticate", "Basic realm=\"anomalyd\""});
  }
  if (unsigned suppressed = 0; shared_.denials.allow(suppressed)) {
    Failure ignored;
    const auto peer = stream_.lowest_layer().remote_endpoint(ignored).address();
    log::warn("http: a request without the right token",
              {{"route", match_.route->pattern},
               {"peer", peer.to_string()},
               {"reason", std::string(to_text(verdict.denial))},
               {"token", verdict.token == nullptr ? "" : verdict.token->name},
               {"suppressed", std::to_string(suppressed)}});
  }
  return false;
}

template <class Stream>
typename Connection<Stream>::Step Connection<Stream>::refuse_open_body() {
  return refuse_with(413, "a body of more than " + std::to_string(kOpenBodyBytes) +
                              " bytes, expected none for this path");
}

template <class Stream>
typename Connection<Stream>::Step Connection<Stream>::judge_body() {
  // Whoever has no token must not have memory here, nor make a client send what is not wanted:
  // the answer also goes out in place of a 100.
  if (is_denied_) return Step::kRefuse;
  if (match_.route == nullptr) {
    say_unrouted();
    return Step::kRefuse;
  }
  if (match_.route->scope == Scope::kOpen && parser_.content_length() > kOpenBodyBytes) {
    return refuse_open_body();
  }
  return Step::kGood;
}

template <class Stream>
Task<typename Connection<Stream>::Step> Connection<Stream>::read_request() {
  parser_.begin(request_);
  auto state = RequestParser::State::kMore;
  for (;;) {
    std::size_t used = 0;
    state = parser_.read_head(buffer_.data(), used);
    buffer_.consume(used);
    if (state != RequestParser::State::kMore) break;
    const bool has_more = co_await read_some();
    if (!has_more) co_return gone_or_late("request header");
  }
  if (state == RequestParser::State::kRefused) co_return refuse_by_parser();
  if (const Step step = route_request(); step != Step::kGood) co_return step;
  is_denied_ = !judge();
  if (state == RequestParser::State::kDone) co_return Step::kGood;
  if (const Step step = judge_body(); step != Step::kGood) co_return step;

  if (parser_.expects_continue() && buffer_.empty()) {
    const Step step = co_await send_continue();
    if (step != Step::kGood) co_return step;
  }
  if (parser_.is_chunked()) co_return co_await read_chunks();
  co_return co_await read_body();
}

template <class Stream>
Task<typename Connection<Stream>::Step> Connection<Stream>::send_continue() {
  static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  const auto [failure, count] =
      co_await net::async_write(stream_, net::buffer(kContinue.data(), kContinue.size()), kToken);
  shared_.metrics.sent_bytes.Increment(static_cast<double>(count));
  co_return failure ? Step::kGone : Step::kGood;
}

template <class Stream>
Task<typename Connection<Stream>::Step> Connection<Stream>::read_body() {
  std::string& body = request_.body;
  const std::size_t length = parser_.content_length();
  const std::string_view here = buffer_.data().substr(0, length);
  body.reserve(std::min(length, kBodyStepBytes) + kBodyPadding);
  body.assign(here);
  std::size_t filled = here.size();
  buffer_.consume(filled);
  // The rest goes from the socket into its place; the string grows as bytes come, not by claim.
  while (filled < length) {
    if (filled == body.size()) {
      body.resize(std::min(length, filled + std::max(kBodyStepBytes, filled)));
    }
    const auto [failure, count] = co_await stream_.async_read_some(
        net::buffer(body.data() + filled, body.size() - filled), kToken);
    shared_.metrics.received_bytes.Increment(static_cast<double>(count));
    filled += count;
    if (failure) co_return gone_or_late("request body");
  }
  co_return Step::kGood;
}

template <class Stream>
Task<typename Connection<Stream>::Step> Connection<Stream>::read_chunks() {
  for (;;) {
    std::size_t used = 0;
    const auto state = parser_.read_chunks(buffer_.data(), used);
    buffer_.consume(used);
    if (state == RequestParser::State::kRefused) co_return refuse_by_parser();
    if (match_.route->scope == Scope::kOpen && request_.body.size() > kOpenBodyBytes) {
      co_return refuse_open_body();
    }
    if (state == RequestParser::State::kDone) co_return Step::kGood;
    const bool has_more = co_await read_some();
    if (!has_more) co_return gone_or_late("request body");
  }
}

template <class Stream>
Task<> Connection<Stream>::run_on_worker(const Handler& handler) {
  // The resumption is posted to this very thread, so it cannot overtake the suspension.
  auto start = [this, &handler](auto resume) {
    net::post(shared_.workers, [this, &handler, resume = std::move(resume),
                                alive = net::make_work_guard(loop_.io)]() mutable {
      --shared_.waiting_requests;
      if (!shared_.is_aborting) response_ = handler(request_);
      net::post(loop_.io.get_executor(), std::move(resume));
    });
  };
  UseAwaitable token;
  co_await net::async_initiate<UseAwaitable, void()>(start, token);
}

template <class Stream>
Task<> Connection<Stream>::wait_for_answer() {
  const std::shared_ptr<Later> later = std::move(response_.later);
  auto start = [this, &later](auto resume) {
    auto kept = std::make_shared<decltype(resume)>(std::move(resume));
    later->start([this, kept = std::move(kept), alive = net::make_work_guard(loop_.io)]() {
      net::post(loop_.io.get_executor(), [kept] { (*kept)(); });
    });
  };
  UseAwaitable token;
  co_await net::async_initiate<UseAwaitable, void()>(start, token);
  response_ = later->finish();
}

template <class Stream>
Task<bool> Connection<Stream>::write(bool keep_alive) {
  shared_.metrics.of(match_.route).count(response_.status);
  head_.clear();
  append_response_head(head_, response_, loop_.date(), keep_alive);
  const bool has_body = may_have_body(response_.status) && request_.method != "HEAD";
  std::string_view body = has_body ? std::string_view(response_.body) : std::string_view();
  if (kIsTls && body.size() <= kReadBytes) {
    // A TLS stream takes one buffer at a time, each a record and a packet of its own.
    head_ += body;
    body = {};
  }
  const std::array<net::const_buffer, 2> out{net::buffer(head_),
                                             net::buffer(body.data(), body.size())};
  const auto [failure, count] = co_await net::async_write(stream_, out, kToken);
  shared_.metrics.sent_bytes.Increment(static_cast<double>(count));
  if (failure && !shared_.is_aborting && SteadyClock::now() >= deadline_) {
    shared_.metrics.count_cut(ServerMetrics::Cut::kResponse);
  }
  co_return !failure;
}

template <class Stream>
Task<> Connection<Stream>::linger() {
  // Closing with unread input makes the kernel send a reset, which may overtake our answer and
  // delete it unread on the other side. So say that we are done, and read on for a moment.
  if (loop_.is_stopping) co_return;
  deadline_ = SteadyClock::now() + kLinger;
  is_idle_ = true;
  Socket& socket = lowest(stream_);
  if constexpr (kIsTls) {
    const auto [unused] = co_await stream_.async_shutdown(kToken);
    static_cast<void>(unused);
  }
  Failure ignored;
  socket.shutdown(net::socket_base::shutdown_send, ignored);
  while (SteadyClock::now() < deadline_) {
    buffer_.consume(buffer_.data().size());
    const auto room = buffer_.prepare(kReadBytes);
    const auto [failure, count] =
        co_await socket.async_read_some(net::buffer(room.data(), room.size()), kToken);
    shared_.metrics.received_bytes.Increment(static_cast<double>(count));
    if (failure) break;
  }
}

template <class Stream>
Task<> Connection<Stream>::refuse() {
  say_busy("too many connections");
  deadline_ = SteadyClock::now() + kLinger;
  const bool is_sent = co_await write(false);
  if (is_sent) co_await linger();
}

template <class Stream>
Task<bool> Connection<Stream>::wait_for_request() {
  if (!buffer_.empty()) co_return true;  // it was pipelined
  if (loop_.is_stopping || is_outdated()) co_return false;
  deadline_ = SteadyClock::now() + shared_.options.limits.idle_timeout;
  is_idle_ = true;
  const bool is_here = co_await read_some();
  is_idle_ = false;
  if (!is_here && !shared_.is_aborting && SteadyClock::now() >= deadline_) {
    shared_.metrics.count_cut(ServerMetrics::Cut::kIdle);
  }
  co_return is_here;
}

template <class Stream>
Task<> Connection<Stream>::handle() {
  if (match_.route == nullptr) {
    say_unrouted();
    co_return;
  }
  if (is_denied_) co_return;
  deadline_ = kNever;
  request_.body.resize(request_.body.size() + kBodyPadding);  // so that the padding is set
  request_.body.resize(request_.body.size() - kBodyPadding);
  if (match_.route->where == Where::kConnection) {
    response_ = match_.route->handler(request_);
    if (response_.later != nullptr) co_await wait_for_answer();
  } else if (++shared_.waiting_requests > kMaxWaitingRequests) {
    --shared_.waiting_requests;
    say_busy("too many requests wait for a worker");
  } else {
    co_await run_on_worker(match_.route->handler);
  }
}

template <class Stream>
Task<bool> Connection<Stream>::shake_hands() {
  if constexpr (kIsTls) {
    deadline_ = SteadyClock::now() + shared_.options.limits.request_timeout;
    is_idle_ = true;
    const auto [failure] = co_await stream_.async_handshake(net::ssl::stream_base::server, kToken);
    is_idle_ = false;
    if (!failure) co_return true;
    if (shared_.is_aborting || loop_.is_stopping || is_outdated()) co_return false;
    shared_.metrics.handshakes_failed.Increment();
    if (SteadyClock::now() >= deadline_) {
      shared_.metrics.count_cut(ServerMetrics::Cut::kHandshake);
    }
    if (unsigned suppressed = 0; shared_.failed_handshakes.allow(suppressed)) {
      Failure ignored;
      const auto peer = stream_.lowest_layer().remote_endpoint(ignored).address();
      SSL* ssl = stream_.native_handle();
      log::info("http: no TLS connection", {{"peer", peer.to_string()},
                                            {"error", failure.message()},
                                            {"certificate", client_refusal(ssl)},
                                            {"suppressed", std::to_string(suppressed)}});
    }
    co_return false;
  }
  co_return true;
}

template <class Stream>
Task<> Connection<Stream>::serve() {
  const bool has_agreed = co_await shake_hands();
  if (has_agreed) co_await serve_requests();
}

template <class Stream>
Task<> Connection<Stream>::serve_requests() {
  for (;;) {
    const bool is_here = co_await wait_for_request();
    if (!is_here) break;
    deadline_ = SteadyClock::now() + shared_.options.limits.request_timeout;
    match_ = {};
    response_ = {};
    is_denied_ = false;
    const Step step = co_await read_request();
    if (step == Step::kGone) co_return;

    bool keep_alive = false;
    const auto begun = SteadyClock::now();
    if (step == Step::kRefuse) {
      deadline_ = begun + kLinger;
    } else {
      co_await handle();
      if (shared_.is_aborting) co_return;
      const auto answered = SteadyClock::now();
      shared_.metrics.of(match_.route)
          .observe(std::chrono::duration<double>(answered - begun).count());
      deadline_ = answered + shared_.options.limits.request_timeout;
      ++requests_;
      keep_alive = parser_.keep_alive() && !loop_.is_stopping && !is_outdated() &&
                   requests_ < shared_.options.limits.max_connection_requests;
    }
    const bool is_sent = co_await write(keep_alive);
    if (!is_sent) co_return;
    if (!keep_alive) {
      if (kIsTls || step == Step::kRefuse || !buffer_.empty()) co_await linger();
      co_return;
    }
    if (request_.body.capacity() > kKeptBodyBytes) request_.body = std::string();
  }
}

template class Connection<Socket>;
template class Connection<TlsStream>;

}  // namespace anomalyd::http

#include "http/server.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <optional>
#include <thread>

#include "base/check.h"
#include "base/log.h"
#include "http/connection.h"

namespace anomalyd::http {
namespace {

namespace net = boost::asio;
using net::ip::tcp;
using Failure = boost::system::error_code;
using Acceptor = net::basic_socket_acceptor<tcp, Executor>;
constexpr auto kToken = net::as_tuple(net::use_awaitable_t<Executor>{});

constexpr std::size_t kMaxRefusing = 64;  // connections that are being told 503

class ServerImpl final : public Server {
 public:
  ServerImpl(ServerOptions options, Router router, prometheus::Registry& registry)
      : shared_(std::move(options), std::move(router), registry) {
    for (std::size_t i = 0; i < shared_.options.threads; ++i) {
      loops_.push_back(std::make_unique<Loop>(shared_.options));
    }
    shared_.metrics.tell_certificate(shared_.options.access.tls.get());
    acceptor_.emplace(loops_.front()->io);
  }
  // Only a broken mutex or thread could throw in it, and then ending the process is right.
  // NOLINTNEXTLINE(bugprone-exception-escape)
  ~ServerImpl() override { stop(std::chrono::milliseconds(0)); }
  ServerImpl(const ServerImpl&) = delete;
  ServerImpl& operator=(const ServerImpl&) = delete;

  Status listen();
  void run();
  std::uint16_t port() const override { return port_; }
  void stop(std::chrono::milliseconds bound) override;
  void use(Access access) override;

 private:
  Task<> accept();
  template <class Stream>
  Task<> connection(Loop& loop, Stream stream, bool is_refused);
  void closed();

  Shared shared_;
  std::vector<std::unique_ptr<Loop>> loops_;
  std::optional<Acceptor> acceptor_;  // on the first loop
  std::vector<std::thread> threads_;
  std::uint16_t port_ = 0;
  bool is_stopped_ = false;
};

TlsStream make_tls(Socket socket, const TlsContext& tls) {
  SSL* ssl = SSL_new(tls.native());
  ANOMALYD_CHECK(ssl != nullptr, "memory for a TLS connection");
  return {std::move(socket), ssl};
}

/// A handler's exception is our bug, and running out of memory has no cure here: co_spawn hands
/// them over, and what leaves a thread ends the process.
void rethrow(const std::exception_ptr& exception) {
  if (exception) std::rethrow_exception(exception);
}

Status ServerImpl::listen() {
  const ServerOptions& options = shared_.options;
  Failure error;
  const net::ip::address address = net::ip::make_address(options.address, error);
  if (error) {
    return Error{ErrorCode::kInvalidArgument, "http: listen address '" + options.address +
                                                  "': expected an IPv4 or IPv6 address"};
  }
  const tcp::endpoint endpoint(address, options.port);
  acceptor_->open(endpoint.protocol(), error);
  if (!error) acceptor_->set_option(net::socket_base::reuse_address(true), error);
  if (!error) acceptor_->bind(endpoint, error);
  if (!error) acceptor_->listen(1024, error);
  if (!error) port_ = acceptor_->local_endpoint(error).port();
  if (error) {
    const std::string host = address.is_v6() ? "[" + options.address + "]" : options.address;
    return Error{ErrorCode::kUnavailable, "http: cannot listen on " + host + ":" +
                                              std::to_string(options.port) + ": " +
                                              error.message()};
  }
  return Done{};
}

void ServerImpl::run() {
  net::co_spawn(loops_.front()->io.get_executor(), accept(), rethrow);
  for (auto& loop : loops_) {
    loop->sweep();
    threads_.emplace_back([&loop = *loop] { loop.io.run(); });
  }
}

Task<> ServerImpl::accept() {
  Loop& first = *loops_.front();
  Timer pause(first.io);
  log::Throttle throttle;
  std::size_t next = 0;
  const std::size_t refusing_limit = shared_.options.limits.max_connections + kMaxRefusing;
  while (!first.is_stopping) {
    Loop& loop = *loops_[next % loops_.size()];
    auto [failure, socket] = co_await acceptor_->async_accept(loop.io, kToken);
    if (first.is_stopping) break;
    if (failure) {
      if (failure == net::error::connection_aborted) continue;
      // Out of file descriptors, as a rule: without a pause this would spin.
      if (unsigned suppressed = 0; throttle.allow(suppressed)) {
        log::warn("http: cannot accept a connection",
                  {{"error", failure.message()}, {"suppressed", std::to_string(suppressed)}});
      }
      pause.expires_after(std::chrono::milliseconds(100));
      co_await pause.async_wait(kToken);
      continue;
    }
    Failure ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    bool is_refused = false;
    {
      const std::lock_guard lock(shared_.mutex);
      is_refused = shared_.open >= shared_.options.limits.max_connections;
      if (shared_.open < refusing_limit) {
        ++shared_.open;
      } else {
        socket.close(ignored);
      }
    }
    if (is_refused) shared_.metrics.connections_refused.Increment();
    if (!socket.is_open()) continue;
    ++next;
    const auto executor = loop.io.get_executor();
    // Of the first loop, whose thread this is: the certificate may not be read across threads.
    const TlsContext* tls = first.access.tls.get();
    if (tls == nullptr) {
      net::co_spawn(executor, connection(loop, std::move(socket), is_refused), rethrow);
    } else {
      net::co_spawn(executor, connection(loop, make_tls(std::move(socket), *tls), is_refused),
                    rethrow);
    }
  }
}

template <class Stream>
Task<> ServerImpl::connection(Loop& loop, Stream stream, bool is_refused) {
  {
    Connection<Stream> one(shared_, loop, std::move(stream));
    if (shared_.is_aborting || (is_refused && std::is_same_v<Stream, TlsStream>)) {
      one.close();
    } else if (is_refused) {
      co_await one.refuse();
    } else {
      shared_.metrics.connections_total.Increment();
      shared_.metrics.connections.Increment();
      co_await one.serve();
      shared_.metrics.connections.Decrement();
    }
  }
  closed();
}

void ServerImpl::use(Access access) {
  ANOMALYD_CHECK((access.tls == nullptr) == (shared_.options.access.tls == nullptr),
                 "a server keeps its TLS, or its lack of it");
  shared_.metrics.tell_certificate(access.tls.get());
  for (auto& loop : loops_) {
    net::post(loop->io, [&loop = *loop, access] { loop.use(access); });
  }
}

void ServerImpl::closed() {
  const std::lock_guard lock(shared_.mutex);
  --shared_.open;
  if (shared_.open == 0) shared_.all_closed.notify_all();
}

void ServerImpl::stop(std::chrono::milliseconds bound) {
  if (is_stopped_) return;
  is_stopped_ = true;
  Loop& first = *loops_.front();
  for (auto& loop : loops_) {
    net::post(loop->io, [&loop = *loop] { loop.begin_stop(); });
  }
  net::post(first.io, [this] {
    Failure ignored;
    acceptor_->close(ignored);
  });
  {
    std::unique_lock lock(shared_.mutex);
    shared_.all_closed.wait_for(lock, bound, [this] { return shared_.open == 0; });
  }
  shared_.is_aborting = true;
  for (auto& loop : loops_) {
    net::post(loop->io, [&loop = *loop] { loop.close_all(); });
  }
  // The first loop ends before the others may: it is where their connections come from.
  // A handler that still runs is waited for, as it may use what the caller frees next.
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    net::post(loops_[i]->io, [&loop = *loops_[i]] { loop.finish(); });
    threads_[i].join();
  }
  shared_.workers.join();
}

}  // namespace

Result<std::unique_ptr<Server>> Server::start(ServerOptions options, Router router,
                                              prometheus::Registry& registry) {
  const Limits& limits = options.limits;
  const auto refuse = [](const std::string& what) {
    return Error{ErrorCode::kInvalidArgument, "http: " + what};
  };
  if (options.threads < 1 || options.threads > 256) {
    return refuse("threads: expected 1 to 256, got " + std::to_string(options.threads));
  }
  if (options.workers < 1 || options.workers > 256) {
    return refuse("workers: expected 1 to 256, got " + std::to_string(options.workers));
  }
  if (limits.max_connections < 1) return refuse("max_connections: expected at least 1, got 0");
  if (limits.max_connection_requests < 1) {
    return refuse("max_connection_requests: expected at least 1, got 0");
  }
  if (limits.max_header_bytes < 256 || limits.max_header_bytes > (1UL << 20U)) {
    return refuse("max_header_bytes: expected 256 to 1048576, got " +
                  std::to_string(limits.max_header_bytes));
  }
  if (limits.request_timeout.count() < 1 || limits.idle_timeout.count() < 1) {
    return refuse("time-outs: expected at least 1 s");
  }
  auto server = std::make_unique<ServerImpl>(std::move(options), std::move(router), registry);
  if (auto listening = server->listen(); !listening.ok()) return listening.error();
  server->run();
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace anomalyd::http

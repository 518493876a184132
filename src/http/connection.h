#pragma once

// Of this module only: the Asio side of the server.

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/log.h"
#include "http/read_buffer.h"
#include "http/request_parser.h"
#include "http/router.h"
#include "http/server.h"
#include "http/server_metrics.h"

namespace anomalyd::http {

using SteadyClock = std::chrono::steady_clock;

// The io_context's own executor type instead of any_io_executor, and no timer an operation: each
// is worth a fifth of the request rate.
using Executor = boost::asio::io_context::executor_type;
template <class T = void>
using Task = boost::asio::awaitable<T, Executor>;
using Socket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, Executor>;
using Timer =
    boost::asio::basic_waitable_timer<SteadyClock, boost::asio::wait_traits<SteadyClock>, Executor>;

using TlsStream = boost::asio::ssl::stream<Socket>;

/// What all threads of a server share.
struct Shared {
  Shared(ServerOptions given_options, Router given_router, prometheus::Registry& registry)
      : options(std::move(given_options)),
        router(std::move(given_router)),
        metrics(registry, router),
        workers(options.workers) {}

  /// `options.access` is what the server started with: each loop has its own, which may be newer.
  const ServerOptions options;
  const Router router;
  ServerMetrics metrics;
  boost::asio::thread_pool workers;
  std::atomic<std::size_t> waiting_requests{0};  ///< for a worker
  std::atomic<bool> is_aborting{false};          ///< stop()'s bound has passed
  log::Throttle denials;
  log::Throttle failed_handshakes;

  std::mutex mutex;
  std::condition_variable all_closed;
  std::size_t open = 0;  ///< connections; guarded by mutex
};

/// What a loop needs to know of a connection, whatever its stream is.
/// Threads   on its loop's thread.
class AnyConnection {
 public:
  virtual ~AnyConnection() = default;
  virtual void close() = 0;
  /// Ends the operation in hand, so that serve() can still say 408.
  virtual void cancel() = 0;

  /// True when closing it now loses nothing: no request has begun, or its answer is out.
  bool is_idle() const { return is_idle_; }
  /// True when it began under settings of TLS that a reload has replaced since: it may have come in
  /// by what is no longer trusted.
  virtual bool is_outdated() const = 0;
  SteadyClock::time_point deadline() const { return deadline_; }

 protected:
  SteadyClock::time_point deadline_ = SteadyClock::time_point::max();
  bool is_idle_ = false;
};

/// One thread's io_context and the connections that live on it.
/// Threads   all but the constructor on the thread that runs `io`.
struct Loop {
  explicit Loop(const ServerOptions& options);

  /// Ends what is past its deadline, now and each sweep_period.
  void sweep();
  /// Closes idle connections; the others close after their answer.
  void begin_stop();
  /// New requests are judged by `given`. Connections with other settings of TLS end as in
  /// begin_stop().
  void use(const Access& given);
  void close_all();
  /// Lets `io` run out of work once the connections have ended.
  void finish();
  /// Now, for the Date field.
  std::string_view date();

  boost::asio::io_context io;
  Timer sweeper;
  const std::chrono::milliseconds sweep_period;
  std::list<AnyConnection*> connections;
  Access access;
  bool is_stopping = false;
  bool is_finished = false;
  std::time_t date_time = 0;
  std::string date_text;
};

/// A stream and what is used again from one request to the next. `Stream` is Socket or TlsStream:
/// a type each, not one behind an interface, so that plain connections do not pay for the other.
/// Threads   on its loop's thread.
template <class Stream>
class Connection final : public AnyConnection {
 public:
  Connection(Shared& shared, Loop& loop, Stream stream);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Reads and answers requests until either side has enough.
  Task<> serve();
  /// Says 503, for a connection too many.
  Task<> refuse();

  void close() override;
  void cancel() override;
  bool is_outdated() const override;

 private:
  static constexpr bool kIsTls = std::is_same_v<Stream, TlsStream>;
  enum class Step { kGood, kGone, kRefuse };

  Task<bool> shake_hands();
  Task<> serve_requests();
  /// False when there will be none.
  Task<bool> wait_for_request();
  Task<bool> read_some();
  Task<Step> read_request();
  Task<Step> read_body();
  Task<Step> read_chunks();
  Task<Step> send_continue();
  Task<> handle();
  Task<> run_on_worker(const Handler& handler);
  Task<> wait_for_answer();
  Task<bool> write(bool keep_alive);
  /// Tells the other side that nothing more comes, and reads on for a moment.
  Task<> linger();
  Step route_request();
  /// Whether the caller may do what it asks for; else response_ says why not.
  bool judge();
  /// kRefuse when a body that follows would be read for nothing.
  Step judge_body();
  Step refuse_open_body();
  Step refuse_with(int status, std::string_view detail);
  Step refuse_by_parser();
  /// After a read that failed.
  Step gone_or_late(std::string_view what);
  void say_unrouted();
  void say_busy(std::string_view why);

  Shared& shared_;
  Loop& loop_;
  Stream stream_;
  std::list<AnyConnection*>::iterator place_;
  std::size_t requests_ = 0;
  bool is_denied_ = false;  ///< the request in hand

  ReadBuffer buffer_;
  RequestParser parser_;
  Request request_;
  Router::Match match_;
  Response response_;
  std::string head_;
};

}  // namespace anomalyd::http

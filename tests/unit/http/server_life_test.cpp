#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "http/server.h"
#include "support/catch.h"
#include "test_server.h"

namespace anomalyd::http {
namespace {

using namespace testing;
using namespace std::chrono_literals;
using SteadyClock = std::chrono::steady_clock;

const std::string kGet = "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n";

/// Holds handlers until it is opened.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return is_open_; });
  }
  bool await(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 30s, [&] { return arrived_ >= count; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    is_open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
  bool is_open_ = false;
};

Router gated_router(Gate& gate) {
  Router router = make_router();
  router.add({"GET", "/gate", Where::kWorker, [&gate](Request&) {
                gate.pass();
                return text_response("passed");
              }});
  return router;
}

ServerOptions short_timeouts() {
  ServerOptions options;
  options.limits.request_timeout = 1s;
  options.limits.idle_timeout = 1s;
  return options;
}

TEST_CASE("A slow request is closed with 408, however it drips", "[http][server][timeout]") {
  TestServer server(short_timeouts());
  const std::vector<std::string> begins{
      "GET /hello HT", "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nab"};
  std::vector<std::unique_ptr<RawSocket>> sockets;
  const auto begun = SteadyClock::now();
  for (const std::string& begin : begins) {
    sockets.push_back(std::make_unique<RawSocket>(server.port()));
    REQUIRE(sockets.back()->send(begin));
  }
  std::atomic<bool> is_over{false};
  std::thread drip([&] {  // a byte now and then, so that no single read is late
    while (!is_over && SteadyClock::now() - begun < 30s) {
      for (auto& socket : sockets) socket->send("a");
      std::this_thread::sleep_for(50ms);
    }
  });
  std::vector<std::string> responses;
  for (auto& socket : sockets) responses.push_back(socket->read_until("\r\n\r\n"));
  const auto taken = SteadyClock::now() - begun;
  is_over = true;
  drip.join();
  for (const std::string& response : responses) CHECK(status_of(response) == 408);
  CHECK(taken > 900ms);
  CHECK(taken < 20s);
  CHECK(server.client()->send("GET", "/hello", "", "").value().status == 200);
}

TEST_CASE("An idle connection is closed without a word", "[http][server][timeout]") {
  TestServer server(short_timeouts());
  RawSocket fresh(server.port());
  RawSocket used(server.port());
  REQUIRE(used.send(kGet));
  CHECK(status_of(used.read_response()) == 200);
  const auto begun = SteadyClock::now();
  CHECK(used.read_to_end().empty());
  CHECK(fresh.read_to_end().empty());
  CHECK(used.is_closed());
  CHECK(fresh.is_closed());
  CHECK(SteadyClock::now() - begun < 20s);
  const std::vector<Parameter> idle{{"reason", "idle"}};
  for (int i = 0; i < 1000 && server.metric("anomalyd_http_connections") > 0; ++i) {
    std::this_thread::sleep_for(5ms);
  }
  CHECK(server.metric("anomalyd_http_connections_cut_total", idle) == 2);
  RawSocket leaves(server.port());
  leaves.shut();
  leaves.read_to_end();
  CHECK(leaves.is_closed());
  CHECK(server.metric("anomalyd_http_connections_cut_total", idle) == 2);
}

TEST_CASE("A client that does not read its answer is closed", "[http][server][timeout]") {
  Router router;
  router.add({"GET", "/large", Where::kConnection,
              [](Request&) { return text_response(std::string(32UL << 20U, 'x')); }});
  TestServer server(short_timeouts(), std::move(router));
  RawSocket socket(server.port(), /*receive_buffer=*/4096);
  REQUIRE(socket.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n"));
  const auto await_connections = [&](double count) {
    for (int i = 0; i < 6000 && server.metric("anomalyd_http_connections") != count; ++i) {
      std::this_thread::sleep_for(5ms);
    }
    return server.metric("anomalyd_http_connections") == count;
  };
  CHECK(await_connections(1));  // none is what it says before it has accepted, too
  CHECK(await_connections(0));
}

TEST_CASE("A connection too many is told 503 and counted", "[http][server][limits]") {
  ServerOptions options;
  options.limits.max_connections = 2;
  TestServer server(options);
  auto first = std::make_unique<RawSocket>(server.port());
  RawSocket second(server.port());
  REQUIRE(first->send(kGet));
  REQUIRE(status_of(first->read_response()) == 200);
  REQUIRE(second.send(kGet));
  REQUIRE(status_of(second.read_response()) == 200);
  RawSocket third(server.port());
  const std::string refused = third.read_until("}\n");
  CHECK(status_of(refused) == 503);
  CHECK(contains(refused, "Retry-After: 1\r\n"));
  third.shut();
  third.read_to_end();
  CHECK(third.is_closed());
  CHECK(server.metric("anomalyd_http_connections_refused_total") == 1);
  CHECK(server.metric("anomalyd_http_connections") == 2);
  first.reset();
  for (int i = 0; i < 100 && server.metric("anomalyd_http_connections") != 1; ++i) {
    std::this_thread::sleep_for(10ms);
  }
  RawSocket fourth(server.port());
  REQUIRE(fourth.send(kGet));
  CHECK(status_of(fourth.read_response()) == 200);
}

TEST_CASE("A handler on a worker does not hold up the connections' thread", "[http][server]") {
  Gate gate;
  ServerOptions options;
  options.workers = 1;
  TestServer server(options, gated_router(gate));
  RawSocket waiting(server.port());
  REQUIRE(waiting.send("GET /gate HTTP/1.1\r\nHost: h\r\n\r\n"));
  REQUIRE(gate.await(1));
  auto client = server.client();
  CHECK(client->send("GET", "/hello", "", "").value().body == "hello");
  CHECK(client->send("POST", "/echo", "abc", "a/b").value().body == "abc");
  gate.open();
  CHECK(contains(waiting.read_response(), "\r\n\r\npassed"));
}

TEST_CASE("An answer that comes later holds up no other connection, and comes in turn",
          "[http][server]") {
  std::mutex mutex;
  std::vector<std::function<void()>> waiting;
  const auto count = [&] {
    const std::lock_guard lock(mutex);
    return waiting.size();
  };
  Router router = make_router();
  router.add({"POST", "/later", Where::kConnection, [&](Request& request) {
                Response response;
                response.later = std::make_shared<Later>();
                response.later->start = [&](std::function<void()> done) {
                  const std::lock_guard lock(mutex);
                  waiting.push_back(std::move(done));
                };
                response.later->finish = [body = request.body] { return text_response(body); };
                return response;
              }});
  router.add({"POST", "/at-once", Where::kConnection, [](Request&) {
                Response response;
                response.later = std::make_shared<Later>();
                response.later->start = [](const std::function<void()>& done) { done(); };
                response.later->finish = [] { return text_response("at once"); };
                return response;
              }});
  TestServer test({}, std::move(router));
  std::vector<std::thread> senders;
  std::atomic<int> right{0};
  for (int i = 0; i < 8; ++i) {
    senders.emplace_back([&, i] {
      const auto client = test.client();
      for (int k = 0; k < 3; ++k) {
        const std::string body = std::to_string(i) + "." + std::to_string(k);
        const auto answer = client->send("POST", "/later", body, "text/plain", {});
        if (answer.ok() && answer.value().status == 200 && answer.value().body == body) ++right;
      }
    });
  }
  const auto end = SteadyClock::now() + 30s;
  for (int round = 0; round < 3; ++round) {
    while (count() < 8 && SteadyClock::now() < end) std::this_thread::sleep_for(1ms);
    CHECK(test.client()->send("POST", "/at-once", {}, {}, {}).value().body == "at once");
    std::vector<std::function<void()>> due;
    {
      const std::lock_guard lock(mutex);
      due.swap(waiting);
    }
    for (const auto& done : due) done();
  }
  for (std::thread& sender : senders) sender.join();
  CHECK(right == 24);
}

TEST_CASE("Only so many requests wait for a worker", "[http][server][limits]") {
  Gate gate;
  ServerOptions options;
  options.workers = 1;
  TestServer server(options, gated_router(gate));
  const std::string request = "GET /gate HTTP/1.1\r\nHost: h\r\n\r\n";
  RawSocket running(server.port());
  REQUIRE(running.send(request));
  REQUIRE(gate.await(1));
  std::vector<std::unique_ptr<RawSocket>> sockets;
  for (int i = 0; i < 260; ++i) {
    sockets.push_back(std::make_unique<RawSocket>(server.port()));
    REQUIRE(sockets.back()->send(request));
  }
  const auto refused = [&] {
    return server.metric("anomalyd_http_requests_total", {{"route", "/gate"}, {"code", "503"}});
  };
  for (int i = 0; i < 500 && refused() < 4; ++i) std::this_thread::sleep_for(10ms);
  CHECK(refused() == 4);  // 256 wait, one runs
  gate.open();
  int good = 0;
  int bad = 0;
  for (auto& socket : sockets) {
    const std::string response = socket->read_response();
    if (status_of(response) == 200) ++good;
    if (status_of(response) == 503 && contains(response, "Retry-After: 1\r\n")) ++bad;
  }
  CHECK(good == 256);
  CHECK(bad == 4);
  CHECK(status_of(running.read_response()) == 200);
}

TEST_CASE("Stop finishes the request in hand and closes the idle", "[http][server][stop]") {
  Gate gate;
  TestServer server({}, gated_router(gate));
  RawSocket idle(server.port());
  REQUIRE(idle.send(kGet));
  REQUIRE(status_of(idle.read_response()) == 200);
  RawSocket busy(server.port());
  REQUIRE(busy.send("GET /gate HTTP/1.1\r\nHost: h\r\n\r\n"));
  REQUIRE(gate.await(1));
  RawSocket half(server.port());
  REQUIRE(half.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na"));
  std::this_thread::sleep_for(50ms);

  const auto begun = SteadyClock::now();
  std::thread stopping([&] { server.server->stop(10s); });
  CHECK(idle.read_to_end().empty());
  CHECK(idle.is_closed());
  for (int i = 0; i < 100 && RawSocket(server.port()).is_connected(); ++i) {
    std::this_thread::sleep_for(10ms);
  }
  CHECK_FALSE(RawSocket(server.port()).is_connected());
  REQUIRE(half.send("bc"));
  const std::string echoed = half.read_to_end();
  CHECK(contains(echoed, "Connection: close\r\n"));
  CHECK(contains(echoed, "\r\n\r\nabc"));
  gate.open();
  const std::string answer = busy.read_to_end();
  CHECK(status_of(answer) == 200);
  CHECK(contains(answer, "Connection: close\r\n"));
  CHECK(contains(answer, "\r\n\r\npassed"));
  stopping.join();
  CHECK(SteadyClock::now() - begun < 30s);
  server.server->stop(10s);  // again does nothing
}

TEST_CASE("Stop closes what is not done at its bound", "[http][server][stop]") {
  Gate gate;
  ServerOptions options;
  options.threads = 2;
  options.workers = 1;
  TestServer server(options, gated_router(gate));
  RawSocket stuck(server.port());  // its handler does not end
  REQUIRE(stuck.send("GET /gate HTTP/1.1\r\nHost: h\r\n\r\n"));
  REQUIRE(gate.await(1));
  RawSocket queued(server.port());  // its handler does not begin
  REQUIRE(queued.send("GET /gate HTTP/1.1\r\nHost: h\r\n\r\n"));
  RawSocket half(server.port());
  REQUIRE(half.send("GET /hel"));
  std::this_thread::sleep_for(50ms);

  const auto begun = SteadyClock::now();
  std::atomic<bool> has_stopped{false};
  std::thread stopping([&] {
    server.server->stop(200ms);
    has_stopped = true;
  });
  CHECK(stuck.read_to_end().empty());
  CHECK(half.read_to_end().empty());
  CHECK(queued.read_to_end().empty());
  CHECK(stuck.is_closed());
  CHECK(half.is_closed());
  CHECK(queued.is_closed());
  CHECK(SteadyClock::now() - begun >= 200ms);
  CHECK(SteadyClock::now() - begun < 20s);
  CHECK_FALSE(has_stopped);  // the handler may use what the caller frees next
  gate.open();
  stopping.join();
  CHECK(has_stopped);
}

TEST_CASE("Servers come and go under load without a trace", "[http][server][stop]") {
  for (int round = 0; round < 10; ++round) {
    ServerOptions options;
    options.threads = 2;
    auto server = std::make_unique<TestServer>(options);
    std::atomic<bool> is_over{false};
    std::vector<std::thread> load;
    for (int i = 0; i < 3; ++i) {
      load.emplace_back([&, port = server->port()] {
        auto client = Client::make("http://127.0.0.1:" + std::to_string(port), 2s).value();
        while (!is_over) {
          if (!client->send("POST", "/worker/echo", "abc", "a/b").ok()) return;
          if (!client->send("GET", "/hello", "", "").ok()) return;
        }
      });
    }
    std::this_thread::sleep_for(20ms);
    if (round % 2 == 0) server->server->stop(std::chrono::milliseconds(round * 10));
    server.reset();
    is_over = true;
    for (std::thread& thread : load) thread.join();
  }
  SUCCEED();  // what it shows, the sanitizers see
}

}  // namespace
}  // namespace anomalyd::http

#include <fstream>
#include <future>
#include <set>

#include "ingest/gzip.h"
#include "running_engine.h"

namespace anomalyd::app {
namespace {

using testing::json;
using testing::make_config;
using testing::RunningEngine;
using testing::TempDir;

const char* const kJson = "application/json";
const char* const kNdjson = "application/x-ndjson";
const std::vector<http::Parameter> kGzip{{"Content-Encoding", "gzip"}};

std::string packed(const std::string& body) { return ingest::gzip(body).value(); }

TEST_CASE("Samples come in by every protocol and are listed as streams",
          "[integration][ingest][protocols]") {
  const TempDir dir;
  RunningEngine daemon(make_config(dir));
  const auto taken = [&](const std::string& target, const std::string& body, const char* type,
                         const std::vector<http::Parameter>& headers = {}) {
    const http::Response response = daemon.send("POST", target, body, type, headers);
    INFO(target << ": " << response.status << " " << response.body);
    CHECK(response.status == (target == "/api/v1/samples" ? 200 : 204));
    return response.body;
  };

  const std::string row =
      R"({"stream":"row","labels":{"site":"a"},"time":"2023-11-15T00:00:00Z","values":{"ax":1,"ay":null}})";
  CHECK(taken("/api/v1/samples", row, kJson) == R"({"accepted":1})");
  CHECK(taken("/api/v1/samples",
              R"([{"stream":"array","time":1700000000000000000,"values":{"ax":1}},
                  {"stream":"array","time":1700000000010000000,"values":{"ax":2}}])",
              kJson) == R"({"accepted":2})");
  CHECK(
      taken(
          "/api/v1/samples",
          R"({"stream":"columns","start":1700000000000000000,"rate_hz":100,"channels":{"ax":[1,2,3],"ay":[4,null,6]}})",
          kJson) == R"({"accepted":3})");
  CHECK(taken("/api/v1/samples",
              "{\"stream\":\"ndjson\",\"time\":1700000000000000000,\"values\":{\"ax\":1}}\n"
              "{\"stream\":\"ndjson\",\"time\":1700000000010000000,\"values\":{\"ax\":1}}\n",
              kNdjson) == R"({"accepted":2})");
  CHECK(taken("/api/v1/samples", packed(R"({"stream":"gzip","values":{"ax":1}})"), kJson, kGzip) ==
        R"({"accepted":1})");
  taken("/write?db=x&precision=ms", "v1,site=a ax=1,ay=2 1700000000000\n", "text/plain");
  taken("/api/v2/write?org=o&bucket=b&precision=s", "v2 ax=1i 1700000000\nv2 ax=2i 1700000001\n",
        "text/plain; charset=utf-8");
  taken("/api/v2/write", packed("v2gzip ax=1 1700000000000000000\n"), "text/plain", kGzip);

  CHECK(daemon.await_received("row{site=\"a\"}", 1));
  CHECK(daemon.await_received("array", 2));
  CHECK(daemon.await_received("columns", 3));
  CHECK(daemon.await_received("ndjson", 2));
  CHECK(daemon.await_received("gzip", 1));
  CHECK(daemon.await_received("v1{site=\"a\"}", 1));
  CHECK(daemon.await_received("v2", 2));
  CHECK(daemon.await_received("v2gzip", 1));
  std::set<std::string> keys;
  const json page = daemon.get_json("/api/v1/streams");
  for (const json& stream : page.at("streams")) {
    keys.insert(stream.at("key").get<std::string>());
    CHECK(stream.at("state") == "learning");
    CHECK(stream.at("domain") == "machines");
  }
  CHECK(keys == std::set<std::string>{"array", "columns", "gzip", "ndjson", "row{site=\"a\"}",
                                      "v1{site=\"a\"}", "v2", "v2gzip"});
  CHECK(daemon.get_json("/api/v1/streams/v1%7Bsite%3D%22a%22%7D").at("newest_time") ==
        daemon.get_json("/api/v1/streams/v2gzip").at("newest_time"));
  CHECK(daemon.metric("anomalyd_ingest_samples_total{protocol=\"json\"}") == 9);
  CHECK(daemon.metric("anomalyd_ingest_samples_total{protocol=\"line_protocol\"}") == 4);
}

TEST_CASE("The good lines of a broken request are kept, and the sender is told of the others",
          "[integration][ingest][partial]") {
  const TempDir dir;
  RunningEngine daemon(make_config(dir));
  const std::string lines =
      "partial ax=1 1700000000000000000\npartial ax=oops 1700000000010000000\n"
      "partial ax=2 1700000000020000000\n_bad ax=1 1\n";

  const http::Response v1 = daemon.send("POST", "/write?db=x", lines, "text/plain");
  CHECK(v1.status == 400);
  CHECK(v1.content_type == "application/json");
  const std::string error = json::parse(v1.body).at("error");
  CHECK(error.starts_with("partial write: line 2: "));
  CHECK(error.ends_with(" dropped=2"));
  CHECK(daemon.await_received("partial", 2));

  const http::Response v2 = daemon.send("POST", "/api/v2/write", lines, "text/plain");
  CHECK(v2.status == 400);
  const json refused = json::parse(v2.body);
  CHECK(refused.at("code") == "invalid");
  CHECK(refused.at("line") == 2);
  CHECK(refused.at("message").get<std::string>().find("partial write: 2 lines refused") == 0);
  CHECK(daemon.await_received("partial", 4));

  const http::Response array =
      daemon.send("POST", "/api/v1/samples",
                  R"([{"stream":"kept","values":{"ax":1}},{"stream":"kept","values":{"ax":"1"}},7,)"
                  R"({"stream":"kept","time":1,"values":{"ax":2}}])",
                  kJson);
  CHECK(array.status == 400);
  CHECK(array.content_type == "application/problem+json");
  const json problem = json::parse(array.body);
  CHECK(problem.at("detail") == "2 refused, 2 samples accepted");
  REQUIRE(problem.at("errors").size() == 2);
  CHECK(problem["errors"][0].at("line") == 2);
  CHECK(problem["errors"][0].at("reason") == "value");
  CHECK(problem["errors"][1].at("line") == 3);
  CHECK(daemon.await_received("kept", 2));

  const http::Response ndjson =
      daemon.send("POST", "/api/v1/samples",
                  "{\"stream\":\"kept\",\"values\":{\"ax\":1}}\n{\"stream\":\n"
                  "{\"stream\":\"kept\",\"time\":7,\"values\":{\"ax\":2}}\n",
                  kNdjson);
  CHECK(ndjson.status == 400);
  CHECK(json::parse(ndjson.body).at("errors").at(0).at("line") == 2);
  CHECK(daemon.await_received("kept", 4));

  CHECK(daemon.metric(
            "anomalyd_ingest_rejected_total{protocol=\"line_protocol\",reason=\"value\"}") == 2);
  CHECK(daemon.metric(
            "anomalyd_ingest_rejected_total{protocol=\"line_protocol\",reason=\"key\"}") == 2);
  CHECK(daemon.metric("anomalyd_ingest_rejected_total{protocol=\"json\",reason=\"value\"}") == 1);
  CHECK(daemon.metric("anomalyd_ingest_rejected_total{protocol=\"json\",reason=\"syntax\"}") == 2);
}

TEST_CASE("A request that cannot be read at all is refused with the status senders act on",
          "[integration][ingest][errors]") {
  const TempDir dir;
  RunningEngine daemon(make_config(
      dir, "[ingest]\nmax_rows = 10\nmax_decompressed_bytes = 1024\n[stream]\nshards = 2\n"));
  const auto status = [&](const std::string& target, const std::string& body, const char* type,
                          const std::vector<http::Parameter>& headers = {}) {
    const http::Response response = daemon.send("POST", target, body, type, headers);
    INFO(response.body);
    CHECK(response.content_type == "application/problem+json");
    CHECK(json::parse(response.body).at("status") == response.status);
    return response.status;
  };
  const std::string good = R"({"stream":"s","values":{"ax":1}})";
  CHECK(status("/api/v1/samples", good, "text/html") == 415);
  CHECK(status("/api/v1/samples", good, kJson, {{"Content-Encoding", "br"}}) == 415);
  CHECK(status("/api/v1/samples", "no gzip", kJson, kGzip) == 400);
  CHECK(status("/api/v2/write", packed(std::string(4000, ' ')), "text/plain", kGzip) == 413);
  CHECK(status("/write?precision=d", "s ax=1", "text/plain") == 400);
  CHECK(status("/api/v2/write?precision=h", "s ax=1", "text/plain") == 400);
  // Over the limit of rows nothing is kept: the sender halves the batch and sends it again.
  testing::Machine many("s");
  CHECK(status("/api/v2/write", many.lines(11), "text/plain") == 413);
  std::string eleven = good;
  for (int i = 0; i < 10; ++i) eleven += "," + good;
  CHECK(status("/api/v1/samples", "[" + eleven + "]", kJson) == 413);
  CHECK(status("/api/v1/samples",
               R"({"stream":"s","start":0,"rate_hz":1,"channels":{"x":[1,2,3,4,5,6,7,8,9,0,1]}})",
               kJson) == 413);
  CHECK(daemon.metric("anomalyd_ingest_requests_refused_total{reason=\"encoding\"}") == 3);
  CHECK(daemon.metric("anomalyd_ingest_requests_refused_total{reason=\"too_large\"}") == 4);

  daemon.write(testing::Machine("s").lines(10));
  CHECK(daemon.await_received("s", 10));
  CHECK(daemon.received("s") == 10);
}

TEST_CASE("A request that the queue has no room for uses up nothing of its token's quota",
          "[integration][ingest][overload][quota]") {
  const TempDir dir;
  const http::NewToken made =
      http::make_token("t", std::vector<http::Scope>{http::Scope::kIngest, http::Scope::kRead},
                       std::vector<std::string>{"busy*"}, 2)
          .value();
  std::ofstream(dir.path() / "tokens") << made.line << "\n";
  Config config = make_config(dir, "[stream]\nqueue_samples = 1024\n");
  config.tokens = dir.path() / "tokens";
  RunningEngine daemon(std::move(config));
  const auto write = [&](const std::string& lines) {
    return daemon
        .send("POST", "/write", lines, "text/plain", {{"Authorization", "Bearer " + made.secret}})
        .status;
  };
  const auto lines_of = [](const std::string& name, int count) {
    std::string lines;
    for (int i = 0; i < count; ++i) lines += name + " ax=1 " + std::to_string(i + 1) + "\n";
    return lines;
  };
  REQUIRE(write("busy ax=1 1\n") == 204);

  std::promise<void> held;
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  auto asked = std::async(std::launch::async, [&] {
    daemon.engine().ask<int>(0, [&held, released](const stream::ShardStreams&) {
      held.set_value();
      released.wait();
      return 1;
    });
  });
  held.get_future().wait();
  while (write(lines_of("busy", 300)) == 204) {
  }
  CHECK(write(lines_of("busy1", 1000) + "foreign ax=1 1\n") == 503);
  release.set_value();
  asked.wait();
  // The place in the quota is free for another stream, and nothing was counted as denied.
  CHECK(testing::await([&] { return write("busy2 ax=1 1\n") == 204; }));
  CHECK(write("busy1 ax=1 1\nforeign ax=1 1\nforeign ax=1 2\n") == 400);
  const std::string text = daemon.engine().scrape();
  const std::string denied = "anomalyd_ingest_samples_denied_total";
  CHECK(text.find(denied + "{reason=\"streams\"} 2\n") != std::string::npos);
  CHECK(text.find(denied + "{reason=\"max_streams\"} 1\n") != std::string::npos);
}

TEST_CASE("A full queue refuses whole requests with Retry-After, and nothing acknowledged is lost",
          "[integration][ingest][overload]") {
  const TempDir dir;
  RunningEngine daemon(make_config(dir, "[stream]\nqueue_samples = 1024\n"));
  testing::Machine machine("busy");
  daemon.write(machine.lines(10));
  REQUIRE(daemon.await_received("busy", 10));

  // The shard is held on its own thread until told to go on.
  std::promise<void> held;
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  auto asked = std::async(std::launch::async, [&] {
    daemon.engine().ask<int>(0, [&held, released](const stream::ShardStreams&) {
      held.set_value();
      released.wait();
      return 1;
    });
  });
  held.get_future().wait();

  long acknowledged = 10;
  int refused = 0;
  for (int i = 0; i < 8; ++i) {
    const http::Response response =
        daemon.send("POST", "/api/v2/write", machine.lines(200), "text/plain");
    if (response.status == 204) {
      acknowledged += 200;
      CHECK(refused == 0);
      continue;
    }
    ++refused;
    CHECK(response.status == 503);
    CHECK(std::any_of(response.headers.begin(), response.headers.end(), [](const auto& header) {
      return header.name == "Retry-After" && header.value == "1";
    }));
  }
  release.set_value();
  asked.wait();

  CHECK(acknowledged == 10 + 5 * 200);
  CHECK(refused == 3);
  CHECK(daemon.await_received("busy", acknowledged));
  CHECK(daemon.metric("anomalyd_ingest_requests_refused_total{reason=\"queue_full\"}") == 3);
  // Room again: taken again, and only what was acknowledged has arrived.
  daemon.write(machine.lines(100));
  CHECK(daemon.await_received("busy", acknowledged + 100));
  CHECK(daemon.received("busy") == acknowledged + 100);
  CHECK(daemon.metric("anomalyd_ingest_samples_total{protocol=\"line_protocol\"}") ==
        static_cast<double>(acknowledged + 100));
}

}  // namespace
}  // namespace anomalyd::app

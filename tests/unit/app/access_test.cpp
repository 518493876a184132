#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "app/config.h"
#include "app/stream_quota.h"
#include "support/catch.h"

namespace anomalyd::app {
namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

Config parse(const std::string& text) {
  auto parsed = parse_config(text, "t.toml");
  INFO((parsed.ok() ? "" : parsed.error().message));
  REQUIRE(parsed.ok());
  return std::move(parsed).value();
}

Config http(const std::string& keys) { return parse("[http]\n" + keys); }

TEST_CASE("An address that others reach wants tokens or TLS, or to be told", "[app][access]") {
  CHECK(check_exposure(default_config()).ok());
  CHECK(check_exposure(http("listen = \"[::1]:1\"\n")).ok());
  for (const std::string address : {"0.0.0.0:8420", "[::]:1", "10.0.0.1:80"}) {
    const std::string listen = "listen = \"" + address + "\"\n";
    const Status refused = check_exposure(http(listen));
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == ErrorCode::kInvalidArgument);
    CHECK(contains(refused.error().message, "http.listen: " + address));
    CHECK(contains(refused.error().message, "http.tokens"));
    CHECK(contains(refused.error().message, "http.insecure = true"));
    CHECK(check_exposure(http(listen + "insecure = true\n")).ok());
    CHECK(check_exposure(http(listen + "tokens = \"t\"\n")).ok());
    CHECK(check_exposure(http(listen + "tls_certificate = \"c\"\ntls_key = \"k\"\n")).ok());
    CHECK_FALSE(check_exposure(http(listen + "insecure = false\n")).ok());
  }
}

TEST_CASE("What lies open is warned of", "[app][access]") {
  const auto warnings = [](const std::string& keys) {
    std::string all;
    for (const std::string& warning : exposure_warnings(http(keys))) all += warning + "\n";
    return all;
  };
  const std::string listen = "listen = \"0.0.0.0:1\"\n";
  const std::string tls = "tls_certificate = \"c\"\ntls_key = \"k\"\n";
  CHECK(warnings("").empty());
  CHECK(warnings("listen = \"127.0.0.1:1\"\ninsecure = true\n").empty());
  CHECK(contains(warnings(listen), "whoever reaches this address may do everything"));
  CHECK(contains(warnings(listen), "no TLS"));
  CHECK(contains(warnings(listen + tls), "may do everything"));
  CHECK_FALSE(contains(warnings(listen + tls), "no TLS"));
  CHECK(contains(warnings(listen + "tokens = \"t\"\n"), "tokens can be read on the way"));
  CHECK_FALSE(contains(warnings(listen + "tokens = \"t\"\n"), "may do everything"));
  CHECK(warnings(listen + tls + "tokens = \"t\"\n").empty());
  CHECK(warnings(listen + tls + "tls_client_ca = \"a\"\n").empty());
}

TEST_CASE("What is wrong with a file of access is said with its key", "[app][access][errors]") {
  const auto error = [](const std::string& keys) {
    const Status refused = check_access(http(keys));
    REQUIRE_FALSE(refused.ok());
    return refused.error().message;
  };
  CHECK(contains(error("tokens = \"/none/tokens\"\n"), "http.tokens: /none/tokens: "));
  CHECK(contains(error("tls_certificate = \"/none/c\"\ntls_key = \"/none/k\"\n"),
                 "http.tls: /none/c: "));
  CHECK(load_tokens(http("")).value() == nullptr);
  CHECK(load_tls(http("")).value() == nullptr);
  // Outside of its service a credential is not there, which says nothing about the config.
  unsetenv("CREDENTIALS_DIRECTORY");
  const std::string credentials =
      "tokens = \"credential:t\"\ntls_certificate = \"credential:c\"\ntls_key = \"/none/k\"\n";
  CHECK(check_access(http(credentials)).ok());
  CHECK_FALSE(load_tokens(http(credentials)).ok());
  CHECK_FALSE(load_tls(http(credentials)).ok());
  CHECK_FALSE(check_access(http("tokens = \"/none/t\"\n")).ok());
}

/// `rows` samples of each of the streams, told apart by their values.
SampleBatch batch_of(const std::vector<std::string>& keys, std::size_t rows = 2) {
  SampleBatch batch;
  float value = 0;
  for (const std::string& key : keys) {
    const std::vector<std::string_view> one{"ax"};
    const std::vector<std::string_view> two{"ax", "ay"};
    const std::uint32_t schema = batch.schema(key.size() % 2 == 0 ? one : two);
    for (std::size_t i = 0; i < rows; ++i) {
      std::vector<float> values(key.size() % 2 == 0 ? 1 : 2, value++);
      batch.append(key, schema, static_cast<TimeNs>(i), values);
    }
  }
  return batch;
}

std::string streams_of(const SampleBatch& batch) {
  std::string all;
  for (const Run& run : batch.runs()) {
    all += std::string(batch.key(run)) + ":" + std::to_string(run.rows) + " ";
  }
  return all;
}

http::Token token(std::vector<std::string> streams, std::size_t max_streams) {
  return {"t", {http::Scope::kIngest}, std::move(streams), max_streams};
}

TEST_CASE("A token without limits brings what it likes", "[app][quota]") {
  StreamQuota quota(1);
  SampleBatch batch = batch_of({"a", "bb", "c"});
  CHECK(quota.hold(token({}, 0), batch).samples() == 0);
  CHECK(streams_of(batch) == "a:2 bb:2 c:2 ");
}

TEST_CASE("Streams that are not the token's are taken out, the others stay as they are",
          "[app][quota]") {
  StreamQuota quota(100);
  SampleBatch batch = batch_of({"pump1", "fan", "pump{site=\"a\"}", "xpump", "fan", "pump1"});
  const SampleBatch before = batch;
  const auto refused = quota.hold(token({"pump*", "p?"}, 0), batch);
  CHECK(refused.foreign == 6);
  CHECK(refused.excess == 0);
  CHECK(contains(refused.message, "the token t may not bring the stream fan"));
  CHECK(streams_of(batch) == "pump1:2 pump{site=\"a\"}:2 pump1:2 ");
  const std::size_t kept[] = {0, 2, 5};
  for (std::size_t i = 0; i < 3; ++i) {
    const Run& now = batch.runs()[i];
    const Run& then = before.runs()[kept[i]];
    CHECK(batch.schema_of(now).channels == before.schema_of(then).channels);
    const auto a = batch.values(now);
    const auto b = before.values(then);
    CHECK(std::vector<float>(a.begin(), a.end()) == std::vector<float>(b.begin(), b.end()));
    const auto s = batch.times(now);
    const auto t = before.times(then);
    CHECK(std::vector<TimeNs>(s.begin(), s.end()) == std::vector<TimeNs>(t.begin(), t.end()));
  }
}

TEST_CASE("A token keeps the streams that it brought first, and gets no more", "[app][quota]") {
  StreamQuota quota(3);
  SampleBatch batch = batch_of({"a", "b", "c", "a", "d"});
  auto refused = quota.hold(token({}, 2), batch);
  CHECK(refused.excess == 4);
  CHECK(refused.foreign == 0);
  quota.settle(token({}, 2), refused, true);
  CHECK(contains(refused.message, "has brought 2 streams"));
  CHECK(contains(refused.message, "no room for c"));
  CHECK(streams_of(batch) == "a:2 b:2 a:2 ");
  batch = batch_of({"c", "b"});
  quota.hold(token({}, 2), batch);
  CHECK(streams_of(batch) == "b:2 ");
  // Each token on its own account; without a limit of its own the daemon's holds.
  http::Token other = token({"*"}, 0);
  other.name = "u";
  batch = batch_of({"c", "d", "e", "f"});
  CHECK(quota.hold(other, batch).excess == 2);
  CHECK(streams_of(batch) == "c:2 d:2 e:2 ");
  // Patterns that a reload has taken away hold at once, also for streams it had brought.
  batch = batch_of({"a", "b"});
  CHECK(quota.hold(token({"b"}, 2), batch).foreign == 2);
  CHECK(streams_of(batch) == "b:2 ");
  // A limit that has become less is what is told, not how many there were.
  batch = batch_of({"z"});
  CHECK(contains(quota.hold(token({}, 1), batch).message, "has brought 1 streams"));
}

TEST_CASE("What is not accepted uses up nothing of a token's quota", "[app][quota]") {
  StreamQuota quota(100);
  const http::Token two = token({}, 2);
  const auto bring = [&](const std::vector<std::string>& keys) {
    SampleBatch batch = batch_of(keys);
    return quota.hold(two, batch);
  };
  const auto first = bring({"a", "b"});
  CHECK(bring({"c"}).excess == 2);  // their places are held until they are settled
  quota.settle(two, first, false);
  const auto second = bring({"c"});
  const auto third = bring({"c"});
  const auto fourth = bring({"d"});
  CHECK(second.samples() + third.samples() + fourth.samples() == 0);
  quota.settle(two, second, false);
  CHECK(bring({"e"}).excess == 2);
  quota.settle(two, third, true);
  quota.settle(two, fourth, false);
  quota.settle(two, bring({"c"}), false);  // kept whatever comes later
  quota.settle(two, bring({"e"}), true);
  CHECK(bring({"f"}).excess == 2);
  CHECK(bring({"c", "e"}).samples() == 0);

  http::Token other = two;
  other.name = "other";
  quota.keep_only({two, other});
  CHECK(bring({"f"}).excess == 2);
  quota.keep_only({other});
  CHECK(bring({"f"}).excess == 0);
}

}  // namespace
}  // namespace anomalyd::app

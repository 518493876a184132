#pragma once

#include <stdlib.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "app/engine.h"
#include "base/log.h"
#include "http/client.h"
#include "support/catch.h"

namespace anomalyd::app::testing {

using nlohmann::json;

/// A folder that is gone with the object.
class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "anomalyd_XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// One domain that learns a stream from 60 windows of 0.32 s and fires on the third bad one.
/// `more` is further TOML, before the domain.
inline Config make_config(const TempDir& dir, const std::string& more = {},
                          const std::string& domain = {}) {
  const std::string text = "[http]\nlisten = \"127.0.0.1:0\"\n[store]\ndirectory = \"" +
                           dir.path().string() + "\"\n" + more +
                           "\n[[domain]]\nname = \"machines\"\n"
                           "detector = \"zscore\"\nrate_hz = 100\nwindow_samples = 32\n"
                           "hop_samples = 16\nlateness = \"0s\"\nhold = \"0s\"\n"
                           "false_alerts = \"1 per minute\"\nconfirm_windows = 3\n" +
                           (domain.empty() ? std::string("learn_windows = 60\n") : domain);
  auto config = parse_config(text, "test");
  if (!config.ok()) FAIL(config.error().message);
  return std::move(config).value();
}
/// What the domain above needs to be learned, and some to spare.
inline constexpr int kLearnSamples = 61 * 16 + 200;

/// Waits until `done()`; false when it did not come within `bound`, which sanitizers need.
template <class Done>
bool await(const Done& done, std::chrono::seconds bound = std::chrono::seconds(30)) {
  const auto end = std::chrono::steady_clock::now() + bound;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

/// A started engine on a free port, with a client of it.
class RunningEngine {
 public:
  explicit RunningEngine(Config config, store::FileSystem& files = store::real_file_system(),
                         const Clock& clock = system_clock()) {
    log::configure(log::Level::kFatal, log::Format::kLogfmt, false);
    engine_ = Engine::make(std::move(config), clock, files);
    const Status started = engine_->start();
    if (!started.ok()) FAIL(started.error().message);
    client_ = http::Client::make("http://127.0.0.1:" + std::to_string(engine_->port()),
                                 std::chrono::seconds(30))
                  .value();
  }

  Engine& engine() { return *engine_; }

  http::Response send(std::string_view method, const std::string& target,
                      const std::string& body = {}, std::string_view type = {},
                      const std::vector<http::Parameter>& headers = {}) {
    auto response = client_->send(method, target, body, type, headers);
    if (!response.ok()) FAIL(response.error().message);
    return std::move(response).value();
  }
  http::Response get(const std::string& target) { return send("GET", target); }
  json get_json(const std::string& target) {
    const http::Response response = get(target);
    INFO(target << ": " << response.body);
    REQUIRE(response.status == 200);
    return json::parse(response.body);
  }
  /// Posts line protocol that must be taken.
  void write(const std::string& lines) {
    const http::Response response = send("POST", "/api/v2/write", lines, "text/plain");
    INFO(response.body);
    REQUIRE(response.status == 204);
  }
  /// How many samples of a stream a shard has worked through; -1 when there is no such stream.
  long received(const std::string& key) {
    const http::Response response = get("/api/v1/streams/" + http::percent_encode(key));
    if (response.status != 200) return -1;
    return json::parse(response.body).at("samples").at("received").get<long>();
  }
  bool await_received(const std::string& key, long samples) {
    return await([&] { return received(key) >= samples; });
  }
  std::string state_of(const std::string& key) {
    return get_json("/api/v1/streams/" + http::percent_encode(key)).at("state");
  }
  /// The value of one series of /metrics, written as there; -1 when there is none.
  double metric(const std::string& series) {
    const std::string text = "\n" + get("/metrics").body;
    const std::size_t at = text.find("\n" + series + " ");
    return at == std::string::npos ? -1 : std::stod(text.substr(at + series.size() + 2));
  }

 private:
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<http::Client> client_;
};

/// A sensor with two channels at 100 Hz: noise around 0 and 1, the first shifted on request.
class Machine {
 public:
  static constexpr TimeNs kStart = 1'700'000'000 * kNsPerSecond;
  static constexpr TimeNs kPeriod = 10'000'000;

  explicit Machine(std::string measurement, std::uint64_t seed = 1)
      : measurement_(std::move(measurement)), bits_(seed) {}

  /// The next n samples as line protocol.
  std::string lines(int n, double shift = 0) {
    std::string text;
    for (int i = 0; i < n; ++i) {
      text += measurement_ + " ax=" + std::to_string(shift + noise()) +
              ",ay=" + std::to_string(1 + noise()) + " " +
              std::to_string(kStart + sent_ * kPeriod) + "\n";
      ++sent_;
    }
    return text;
  }
  long sent() const { return static_cast<long>(sent_); }

 private:
  double noise() {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += static_cast<double>(bits_() >> 11U) * 0x1p-53;
    return 0.1 * sum;
  }

  const std::string measurement_;
  std::mt19937_64 bits_;
  TimeNs sent_ = 0;
};

}  // namespace anomalyd::app::testing

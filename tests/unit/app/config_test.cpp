#include "app/config.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <sstream>

#include "support/catch.h"

namespace anomalyd::app {
namespace {

const std::filesystem::path kSource = ANOMALYD_SOURCE_DIR;

Config parse(const std::string& text) {
  auto parsed = parse_config(text, "t.toml");
  INFO((parsed.ok() ? "" : parsed.error().message));
  REQUIRE(parsed.ok());
  return std::move(parsed).value();
}

std::string refusal(const std::string& text) {
  const auto refused = parse_config(text, "t.toml");
  INFO(text);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == ErrorCode::kInvalidArgument);
  return refused.error().message;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  INFO(path);
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void check_equal(const DomainConfig& a, const DomainConfig& b) {
  CHECK(a.name == b.name);
  CHECK(a.streams == b.streams);
  CHECK(a.labels == b.labels);
  CHECK(a.detector == b.detector);
  CHECK(a.channels == b.channels);
  CHECK(a.rate_hz == b.rate_hz);
  CHECK(a.window_samples == b.window_samples);
  CHECK(a.hop_samples == b.hop_samples);
  CHECK(a.normaliser == b.normaliser);
  CHECK(a.learn_windows == b.learn_windows);
  CHECK(a.lateness == b.lateness);
  CHECK(a.max_gap == b.max_gap);
  CHECK(a.false_alerts.alerts_per_second == b.false_alerts.alerts_per_second);
  CHECK(a.false_alerts_text == b.false_alerts_text);
  CHECK(a.clear_factor == b.clear_factor);
  CHECK(a.confirm_windows == b.confirm_windows);
  CHECK(a.hold == b.hold);
  CHECK(a.train.kind == b.train.kind);
  CHECK(a.train.epochs == b.train.epochs);
  CHECK(a.train.patience == b.train.patience);
  CHECK(a.train.learning_rate == b.train.learning_rate);
  CHECK(a.train.batch_windows == b.train.batch_windows);
  CHECK(a.train.seed == b.train.seed);
}

void check_equal(const Config& a, const Config& b) {
  CHECK(a.listen == b.listen);
  CHECK(a.http.address == b.http.address);
  CHECK(a.http.port == b.http.port);
  CHECK(a.tokens == b.tokens);
  CHECK(a.tls.certificate == b.tls.certificate);
  CHECK(a.tls.key == b.tls.key);
  CHECK(a.tls.client_ca == b.tls.client_ca);
  CHECK(a.insecure == b.insecure);
  CHECK(a.http.limits.max_connection_requests == b.http.limits.max_connection_requests);
  CHECK(a.ingest.max_channels == b.ingest.max_channels);
  CHECK(a.ingest.max_labels == b.ingest.max_labels);
  CHECK(a.http.threads == b.http.threads);
  CHECK(a.http.workers == b.http.workers);
  CHECK(a.http.limits.max_body_bytes == b.http.limits.max_body_bytes);
  CHECK(a.http.limits.max_header_bytes == b.http.limits.max_header_bytes);
  CHECK(a.http.limits.max_target_bytes == b.http.limits.max_target_bytes);
  CHECK(a.http.limits.max_connections == b.http.limits.max_connections);
  CHECK(a.http.limits.request_timeout == b.http.limits.request_timeout);
  CHECK(a.http.limits.idle_timeout == b.http.limits.idle_timeout);
  CHECK(a.ingest.max_rows == b.ingest.max_rows);
  CHECK(a.ingest.max_json_depth == b.ingest.max_json_depth);
  CHECK(a.ingest.max_future_ns == b.ingest.max_future_ns);
  CHECK(a.ingest.max_past_ns == b.ingest.max_past_ns);
  CHECK(a.max_decompressed_bytes == b.max_decompressed_bytes);
  CHECK(a.shards == b.shards);
  CHECK(a.queue_samples == b.queue_samples);
  CHECK(a.max_streams == b.max_streams);
  CHECK(a.score_history_bytes == b.score_history_bytes);
  CHECK(a.models_directory == b.models_directory);
  CHECK(a.store_directory == b.store_directory);
  CHECK(a.alert_retention == b.alert_retention);
  CHECK(a.sync == b.sync);
  CHECK(a.journal_max_bytes == b.journal_max_bytes);
  CHECK(a.journal_retention == b.journal_retention);
  CHECK(a.checkpoint_interval == b.checkpoint_interval);
  CHECK(a.drain_timeout == b.drain_timeout);
  CHECK(a.log_level == b.log_level);
  CHECK(a.log_format == b.log_format);
  REQUIRE(a.domains.size() == b.domains.size());
  for (std::size_t i = 0; i < a.domains.size(); ++i) check_equal(a.domains[i], b.domains[i]);
}

// Every key, none at its default.
constexpr const char* kEverything = R"(
[http]
listen = "[::1]:0"
tokens = "/etc/tokens"
tls_certificate = "c.pem"
tls_key = "credential:key"
tls_client_ca = "ca.pem"
insecure = true
threads = 3
workers = 4
max_body_bytes = 2048
max_header_bytes = 4096
max_target_bytes = 512
max_connections = 7
max_connection_requests = 9
request_timeout = "5s"
idle_timeout = "1.5m"
[ingest]
max_rows = 10
max_json_depth = 5
max_channels = 4
max_labels = 0
max_decompressed_bytes = 4096
max_future = "2h"
max_past = "30d"
[stream]
shards = 2
queue_samples = 5000
max_streams = 6
score_history_bytes = 0
[models]
directory = "m \"o\\d"
[store]
directory = "/s\u00e4"
alert_retention = "1h"
sync = "always"
journal_max_bytes = 16777216
journal_retention = "1d"
checkpoint_interval = "250ms"
[daemon]
drain_timeout = "1500ms"
[log]
level = "debug"
format = "json"
[[domain]]
name = "a-1"
match = { streams = ["pump*", "fan?"], labels = { site = "a*", "stra.nge k" = "[xy]" } }
detector = "models/a.safetensors"
channels = ["ax", "ay"]
rate_hz = 25600
window_samples = 256
hop_samples = 32
normaliser = "window"
learn_windows = 50
lateness = "1us"
max_gap = "3.5s"
false_alerts = "2 per day"
clear_factor = 10.5
confirm_windows = 3
hold = "0s"
[domain.train]
kind = "pca"
epochs = 1
patience = 2
learning_rate = 1e-4
batch_windows = 3
seed = 9223372036854775807
[[domain]]
name = "b"
)";

TEST_CASE("Every key is read", "[app][config]") {
  const Config config = parse(kEverything);
  CHECK(config.listen == "[::1]:0");
  CHECK(config.http.address == "::1");
  CHECK(config.http.port == 0);
  CHECK(config.tokens == "/etc/tokens");
  CHECK(config.tls.certificate == "c.pem");
  CHECK(config.tls.key == "credential:key");
  CHECK(config.tls.client_ca == "ca.pem");
  CHECK(config.insecure);
  CHECK(config.http.limits.max_connection_requests == 9);
  CHECK(config.ingest.max_channels == 4);
  CHECK(config.ingest.max_labels == 0);
  CHECK(config.http.threads == 3);
  CHECK(config.http.workers == 4);
  CHECK(config.http.limits.max_body_bytes == 2048);
  CHECK(config.http.limits.max_header_bytes == 4096);
  CHECK(config.http.limits.max_target_bytes == 512);
  CHECK(config.http.limits.max_connections == 7);
  CHECK(config.http.limits.request_timeout == std::chrono::seconds(5));
  CHECK(config.http.limits.idle_timeout == std::chrono::seconds(90));
  CHECK(config.ingest.max_rows == 10);
  CHECK(config.ingest.max_json_depth == 5);
  CHECK(config.max_decompressed_bytes == 4096);
  CHECK(config.ingest.max_future_ns == 2 * 3600 * kNsPerSecond);
  CHECK(config.ingest.max_past_ns == TimeNs{30 * 24 * 3600} * kNsPerSecond);
  CHECK(config.shards == 2);
  CHECK(config.queue_samples == 5000);
  CHECK(config.max_streams == 6);
  CHECK(config.score_history_bytes == 0);
  CHECK(config.models_directory == "m \"o\\d");
  CHECK(config.store_directory == "/s\xc3\xa4");
  CHECK(config.alert_retention == std::chrono::hours(1));
  CHECK(config.sync == store::Sync::kAlways);
  CHECK(config.journal_max_bytes == 16U << 20U);
  CHECK(config.journal_retention == std::chrono::hours(24));
  CHECK(config.checkpoint_interval == std::chrono::milliseconds(250));
  CHECK(config.drain_timeout == std::chrono::milliseconds(1500));
  CHECK(config.log_level == log::Level::kDebug);
  CHECK(config.log_format == log::Format::kJson);
  REQUIRE(config.domains.size() == 2);
  const DomainConfig& a = config.domains[0];
  CHECK(a.name == "a-1");
  CHECK(a.streams == std::vector<std::string>{"pump*", "fan?"});
  CHECK(a.labels == std::map<std::string, std::string>{{"site", "a*"}, {"stra.nge k", "[xy]"}});
  CHECK(a.detector == "models/a.safetensors");
  CHECK(a.channels == std::vector<std::string>{"ax", "ay"});
  CHECK(a.rate_hz == 25600.0);
  CHECK(a.window_samples == std::size_t{256});
  CHECK(a.hop_samples == std::size_t{32});
  CHECK(a.normaliser == detect::NormaliserKind::kWindow);
  CHECK(a.learn_windows == std::size_t{50});
  CHECK(a.lateness == std::chrono::microseconds(1));
  CHECK(a.max_gap == std::chrono::milliseconds(3500));
  CHECK(a.false_alerts.alerts_per_second == Approx(2.0 / 86400));
  CHECK(a.false_alerts_text == "2 per day");
  CHECK(a.clear_factor == 10.5);
  CHECK(a.confirm_windows == 3);
  CHECK(a.hold == std::chrono::nanoseconds(0));
  CHECK(a.train.kind == "pca");
  CHECK(a.train.epochs == 1);
  CHECK(a.train.patience == 2);
  CHECK(a.train.learning_rate == 1e-4);
  CHECK(a.train.batch_windows == 3);
  CHECK(a.train.seed == 9223372036854775807U);
  DomainConfig plain;
  plain.name = "b";
  check_equal(config.domains[1], plain);
}

TEST_CASE("What is left out has its default", "[app][config]") {
  check_equal(parse(""), default_config());
  const Config config = parse("[[domain]]\nname = \"x\"\n[log]\n");
  CHECK(config.domains.size() == 1);  // in place of the default one, not beside it
  CHECK(config.domains[0].name == "x");
  CHECK_FALSE(config.domains[0].rate_hz.has_value());
}

TEST_CASE("What is printed parses back to the same config", "[app][config][print]") {
  for (const std::string text : {"", kEverything}) {
    const Config config = parse(text);
    const std::string printed = print_config(config);
    INFO(printed);
    check_equal(parse(printed), config);
    CHECK(print_config(parse(printed)) == printed);
  }
  // Each duration in the largest unit that divides it.
  for (const char* duration : {"0s", "1ns", "1500ms", "7m", "23h", "36h", "14d", "999us"}) {
    const std::string text = std::string("[[domain]]\nhold = \"") + duration + "\"\n";
    CHECK(contains(print_config(parse(text)), std::string("hold = \"") + duration + "\""));
  }
}

TEST_CASE("Unusual numbers survive printing", "[app][config][print]") {
  for (const char* number : {"1e-300", "0.1", "0.30000000000000004", "1", "1e9", "123456.789"}) {
    const Config config = parse(std::string("[[domain]]\nrate_hz = ") + number + "\n");
    CHECK(parse(print_config(config)).domains[0].rate_hz == config.domains[0].rate_hz);
  }
}

struct Refused {
  const char* text;
  const char* message;  // the whole of it
};

TEST_CASE("Each refusal says where, what and what was expected", "[app][config][errors]") {
  const Refused cases[] = {
      {"[http]\nthreads = 0\n",
       "t.toml:2:11: http.threads: 0, expected a whole number from 1 to 256"},
      {"[http]\nthreads = \"2\"\n",
       "t.toml:2:11: http.threads: a string, expected a whole number from 1 to 256"},
      {"[http]\nthreads = 2.0\n",
       "t.toml:2:11: http.threads: a number with a fraction, expected a whole number from 1 to "
       "256"},
      {"[http]\nthreads = true\n",
       "t.toml:2:11: http.threads: a boolean, expected a whole number from 1 to 256"},
      {"http = 1\n", "t.toml:1:8: http: a whole number, expected a table, [http]"},
      {"[http]\n  listen = \"localhost:80\"\n",
       "t.toml:2:12: http.listen: \"localhost:80\", expected address:port, such as "
       "\"127.0.0.1:8420\" or \"[::1]:8420\" (no host names)"},
      {"[http]\nrequest_timeout = 30\n",
       "t.toml:2:19: http.request_timeout: a whole number, expected a duration from 1s to 1d in "
       "whole s (\"30s\")"},
      {"[http]\nrequest_timeout = \"1500ms\"\n",
       "t.toml:2:19: http.request_timeout: \"1500ms\", expected a duration from 1s to 1d in whole "
       "s (\"30s\")"},
      {"[http]\ntls_key = \"k\"\n", "t.toml:2:11: http.tls_key: expected also tls_certificate"},
      {"[http]\ntls_certificate = \"c\"\n",
       "t.toml:2:19: http.tls_certificate: expected also tls_key"},
      {"[http]\ntls_client_ca = \"c\"\n",
       "t.toml:2:17: http.tls_client_ca: expected also tls_certificate and tls_key"},
      {"[http]\ninsecure = \"yes\"\n",
       "t.toml:2:12: http.insecure: a string, expected true or false"},
      {"[http]\ntokens = \"\"\n", "t.toml:2:10: http.tokens: \"\", expected a path"},
      {"[store]\nalert_retention = \"59s\"\n",
       "t.toml:2:19: store.alert_retention: \"59s\", expected a duration from 1m to 36500d "
       "(\"30s\")"},
      {"[models]\ndirectory = \"\"\n", "t.toml:2:13: models.directory: \"\", expected a path"},
      {"[log]\nlevel = \"loud\"\n",
       "t.toml:2:9: log.level: \"loud\", expected one of debug, info, warn, error, fatal"},
      {"[log]\nlevle = \"info\"\n",
       "t.toml:2:1: log.levle: unknown key (did you mean level?), expected one of level, format"},
      {"[log]\ncolour = true\n",
       "t.toml:2:1: log.colour: unknown key, expected one of level, format"},
      {"[htpp]\n",
       "t.toml:1:2: htpp: unknown key (did you mean http?), expected one of http, ingest, stream, "
       "models, store, daemon, log, domain"},
      {"[domain]\nname = \"a\"\n",
       "t.toml:1:1: domain: a table, expected an array of tables, [[domain]]"},
      {"domain = []\n", "t.toml:1:10: domain: no domain, expected at least one [[domain]]"},
      {"domain = [1]\n", "t.toml:1:11: domain: a whole number, expected a table, [[domain]]"},
      {"[[domain]]\nname = \"a\"\n[[domain]]\nname = \"a\"\n",
       "t.toml:4:8: domain.name: \"a\" given twice, expected names that differ (line 2 has it "
       "too)"},
      {"[[domain]]\nname = \"../a\"\n",
       "t.toml:2:8: domain.name: \"../a\", expected 1 to 64 letters, digits, '_', '-' or '.', the "
       "first of them no '.'"},
      {"[[domain]]\nmatch = { streams = [] }\n",
       "t.toml:2:21: domain.match.streams: no pattern, expected at least one; \"*\" matches every "
       "stream"},
      {"[[domain]]\nmatch = { streams = [\"a\", 1] }\n",
       "t.toml:2:27: domain.match.streams: a whole number, expected a string"},
      {"[[domain]]\nmatch = { labels = { site = 1 } }\n",
       "t.toml:2:29: domain.match.labels.site: a whole number, expected a string"},
      {"[[domain]]\nmatch = { labels = { \"a=b\" = \"x\" } }\n",
       "t.toml:2:22: domain.match.labels.a=b: not a label's name, expected 1 to 255 bytes without "
       "control characters and {}\"\\=,"},
      {"[[domain]]\nchannels = [\"ax\", \"ax\"]\n",
       "t.toml:2:12: domain.channels: \"ax\" given twice, expected names that differ"},
      {"[[domain]]\nchannels = [\"a{\"]\n",
       "t.toml:2:13: domain.channels: \"a{\", expected a channel's name: 1 to 255 bytes without "
       "control characters and {}\"\\=,"},
      {"[[domain]]\ndetector = \"a/b\"\n",
       "t.toml:2:12: domain.detector: \"a/b\", expected a kind, a name under models.directory, or "
       "a path that ends in .safetensors"},
      {"[[domain]]\nrate_hz = 0\n",
       "t.toml:2:11: domain.rate_hz: 0, expected a number above 0 up to 1e+09"},
      {"[[domain]]\nrate_hz = nan\n",
       "t.toml:2:11: domain.rate_hz: nan, expected a number above 0 up to 1e+09"},
      {"[[domain]]\nrate_hz = inf\n",
       "t.toml:2:11: domain.rate_hz: inf, expected a number above 0 up to 1e+09"},
      {"[[domain]]\nwindow_samples = 64\nhop_samples = 65\n",
       "t.toml:3:15: domain.hop_samples: 65, expected at most window_samples (64)"},
      {"[[domain]]\nnormaliser = \"robust\"\n",
       "t.toml:2:14: domain.normaliser: \"robust\", expected one of domain, stream, window"},
      {"[[domain]]\nfalse_alerts = \"one a week\"\n",
       "t.toml:2:16: domain.false_alerts: \"one a week\", expected \"<number> per "
       "<minute|hour|day|week|month|year>\", a number above 0"},
      {"[[domain]]\nclear_factor = 0.5\n",
       "t.toml:2:16: domain.clear_factor: 0.5, expected a number from 1 to 1e+12"},
      {"[[domain]]\n[domain.train]\nkind = \"zscore\"\n",
       "t.toml:3:8: domain.train.kind: \"zscore\", expected one of autoencoder, discriminator, "
       "hybrid, pca"},
      {"[[domain]]\n[domain.train]\nepoch = 3\n",
       "t.toml:3:1: domain.train.epoch: unknown key (did you mean epochs?), expected one of kind, "
       "epochs, patience, learning_rate, batch_windows, seed"},
  };
  for (const Refused& wanted : cases) CHECK(refusal(wanted.text) == wanted.message);
}

TEST_CASE("All that is wrong is reported at once, in the order of the file",
          "[app][config][errors]") {
  const std::string message =
      refusal("[[domain]]\nhold = 3\n[log]\nlevel = 1\nformat = \"xml\"\n[http]\nport = 1\n");
  std::istringstream lines(message);
  std::string line;
  std::vector<std::string> starts;
  while (std::getline(lines, line)) {
    starts.push_back(line.substr(0, line.find(": ", line.find(": ") + 1)));
  }
  CHECK(starts == std::vector<std::string>{"t.toml:2:8: domain.hold", "t.toml:4:9: log.level",
                                           "t.toml:5:10: log.format", "t.toml:7:1: http.port"});
}

TEST_CASE("A thousand errors make a bounded message", "[app][config][errors]") {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "wrong_" + std::to_string(i) + " = 1\n";
  const std::string message = refusal(text);
  CHECK(std::count(message.begin(), message.end(), '\n') == 50);
  CHECK(contains(message, "t.toml: and 950 more"));
}

TEST_CASE("What is no TOML is refused in the same form", "[app][config][errors]") {
  for (const auto& [text, start] :
       {std::pair{"[http\n", "t.toml:1:6: syntax: "}, std::pair{"a = 1\na = 2\n", "t.toml:2:"},
        std::pair{"\n[log]\nlevel = \"\xff\"\n", "t.toml:3:"},
        std::pair{"a = 99999999999999999999\n", "t.toml:1:"}}) {
    const std::string message = refusal(text);
    INFO(message);
    CHECK(message.rfind(start, 0) == 0);
    CHECK(contains(message, "syntax: "));
    CHECK(contains(message, "expected TOML 1.0"));
    CHECK(message.find('\n') == std::string::npos);
  }
  CHECK(contains(refusal("a = " + std::string(100'000, '[')), "syntax: "));
  CHECK(refusal(std::string("# \xc3\xa4\n[\xc3\xa4\0]", 10)) ==
        "t.toml:2:3: syntax: control character 0, expected TOML 1.0");
  CHECK(refusal("a = \"\x7f\"") == "t.toml:1:6: syntax: control character 127, expected TOML 1.0");
}

TEST_CASE("Hostile text stays on its line of the message", "[app][config][errors]") {
  const std::string message = refusal("[log]\nlevel = \"a\\nt.toml:1:1: fake\\u001b[31m" +
                                      std::string(500, 'x') + "\"\n" + "\"k\\n\\u0007y\" = 1\n");
  CHECK(std::count(message.begin(), message.end(), '\n') == 1);
  CHECK(message.find('\x1b') == std::string::npos);
  CHECK(message.find('\a') == std::string::npos);
  CHECK(message.size() < 400);
}

TEST_CASE("Listen addresses are IPv4 or bracketed IPv6 with a port", "[app][config][listen]") {
  for (const auto& [text, address, port] :
       {std::tuple{"0.0.0.0:1", "0.0.0.0", 1}, std::tuple{"[::]:65535", "::", 65535},
        std::tuple{"192.0.2.1:80", "192.0.2.1", 80}}) {
    const Config config = parse(std::string("[http]\nlisten = \"") + text + "\"\n");
    CHECK(config.listen == text);
    CHECK(config.http.address == address);
    CHECK(config.http.port == port);
  }
  for (const char* text : {"", ":80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
                           "127.0.0.1:8x", "127.0.0.1: 80", "::1:80", "[::1]", "[]:80",
                           "[127.0.0.1]:80", "256.0.0.1:80", "*:80", "127.0.0.1:80:80"}) {
    CHECK(contains(refusal(std::string("[http]\nlisten = \"") + text + "\"\n"), "http.listen"));
  }
}

TEST_CASE("Loopback addresses are known", "[app][config][listen]") {
  for (const char* address : {"127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"}) {
    INFO(address);
    CHECK(is_loopback(address));
  }
  for (const char* address : {"0.0.0.0", "128.0.0.1", "10.0.0.1", "::", "::ffff:10.0.0.1",
                              "fe80::1", "localhost", "", "127.0.0.1:80"}) {
    INFO(address);
    CHECK_FALSE(is_loopback(address));
  }
}

const DomainConfig* find(const Config& config, const char* key) {
  return find_domain(config, StreamKey::parse(key).value());
}

TEST_CASE("The first domain that matches a stream wins", "[app][config][match]") {
  const Config config = parse(R"(
[[domain]]
name = "north"
match = { streams = ["press*", "p[0-9]"], labels = { site = "north?", model = "*" } }
[[domain]]
name = "presses"
match = { streams = ["press*"] }
[[domain]]
name = "literal"
match = { streams = ["a\\*b"] }
[[domain]]
name = "tests"
match = { labels = { stage = "test" } }
)");
  const auto name = [&](const char* key) {
    const DomainConfig* found = find(config, key);
    return found == nullptr ? std::string("none") : found->name;
  };
  CHECK(name(R"(press1{model="x",site="north1"})") == "north");
  CHECK(name(R"(p7{model="",site="north2"})") == "north");
  CHECK(name(R"(press1{model="x",site="north"})") == "presses");
  CHECK(name(R"(press1{site="north1"})") == "presses");  // "*" needs the label to be there
  CHECK(name("press") == "presses");
  CHECK(name("Press") == "none");
  CHECK(name("xpress") == "none");
  CHECK(name("a*b") == "literal");
  CHECK(name("axb") == "none");
  CHECK(name(R"(any/thing{stage="test"})") == "tests");
  CHECK(name(R"(any{stage="tests"})") == "none");
  CHECK(find(default_config(), "whatever")->name == "default");
}

TEST_CASE("A pattern of many stars does not take for ever", "[app][config][match]") {
  std::string glob;
  for (int i = 0; i < 60; ++i) glob += "*a";
  Config config = parse("[[domain]]\nmatch = { streams = [\"" + glob + "b\"] }\n");
  const std::string name(255, 'a');
  for (int i = 0; i < 100; ++i) CHECK(find(config, name.c_str()) == nullptr);
}

TEST_CASE("configs/anomalyd.toml is the default config", "[app][config][files]") {
  auto loaded = load_config(kSource / "configs/anomalyd.toml");
  INFO((loaded.ok() ? "" : loaded.error().message));
  REQUIRE(loaded.ok());
  check_equal(loaded.value(), default_config());
}

/// The keys that a config text gives or, in a comment, could give: "domain.hold".
std::set<std::string> keys_in(const std::string& text) {
  static const std::regex header(R"(\[\[?([a-z_.]+)\]\]?)");
  static const std::regex key(R"((?:# )?([a-z_]+) = .*)");
  std::set<std::string> keys;
  std::istringstream lines(text);
  std::string line, section;
  std::smatch found;
  while (std::getline(lines, line)) {
    if (std::regex_match(line, found, header)) {
      section = found[1];
    } else if (std::regex_match(line, found, key)) {
      keys.insert(section + "." + found[1].str());
    }
  }
  return keys;
}

TEST_CASE("The documented config has every key, and its comments are true",
          "[app][config][files]") {
  const std::string documented = read_file(kSource / "configs/anomalyd.toml");
  const std::set<std::string> keys = keys_in(print_config(default_config()));
  CHECK(keys.size() == 57);
  CHECK(keys_in(documented) == keys);
  // What is commented out is good when it is not.
  const std::regex comment(R"(\n# ([a-z_]+ = ))");
  const Config config = parse(std::regex_replace(documented, comment, "\n$1"));
  CHECK(config.models_directory == "/usr/share/anomalyd/models");
  CHECK(config.domains[0].window_samples == std::size_t{128});
  CHECK(config.domains[0].channels->size() == 3);
}

TEST_CASE("docs/configuration.md has every key with its default", "[app][config][files]") {
  const std::string doc = read_file(kSource / "docs/configuration.md");
  const std::regex row(R"(\| `([a-z_]+)` \| ([^|]*) \|.*)");
  const std::regex header(R"(## `\[\[?([a-z_.]+)\]\]?`)");
  const std::string printed = print_config(default_config());
  std::set<std::string> keys;
  std::istringstream lines(doc);
  std::string line, section;
  std::smatch found;
  while (std::getline(lines, line)) {
    if (std::regex_match(line, found, header)) section = found[1];
    if (!std::regex_match(line, found, row)) continue;
    const std::string key = found[1], shown = found[2];
    CHECK(keys.insert(section + "." + key).second);
    // A default in code is the printed one; one in words is for what depends on the place.
    if (shown.front() == '`' && shown.find('`', 1) == shown.size() - 1) {
      const std::string value = shown.substr(1, shown.size() - 2);
      INFO(key << " = " << value);
      CHECK(contains(printed, "\n" + key + " = " + value + "\n"));
    }
  }
  CHECK(keys == keys_in(printed));
}

TEST_CASE("Every example loads and prints back", "[app][config][files]") {
  std::set<std::string> seen;
  for (const auto& entry : std::filesystem::directory_iterator(kSource / "configs/examples")) {
    if (entry.path().extension() != ".toml") continue;
    seen.insert(entry.path().filename());
    auto loaded = load_config(entry.path());
    INFO((loaded.ok() ? "" : loaded.error().message));
    REQUIRE(loaded.ok());
    check_equal(parse(print_config(loaded.value())), loaded.value());
  }
  CHECK(seen.count("bearing.toml") == 1);
  CHECK(seen.count("slow-process.toml") == 1);
  CHECK(seen.count("fleet.toml") == 1);
}

TEST_CASE("A file that cannot be read says so", "[app][config][errors]") {
  const auto missing = load_config("no/such/file.toml");
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.error().code == ErrorCode::kNotFound);
  CHECK(contains(missing.error().message, "no/such/file.toml"));
  const auto folder = load_config(kSource);
  REQUIRE_FALSE(folder.ok());
  CHECK(folder.error().code == ErrorCode::kInvalidArgument);
  const auto endless = load_config("/dev/zero");
  REQUIRE_FALSE(endless.ok());
  CHECK(contains(endless.error().message, "more than 4194304 bytes"));
}

TEST_CASE("The store's default follows the environment", "[app][config]") {
  const auto restored = [](const char* name) {
    const char* value = std::getenv(name);
    return std::pair(name, value == nullptr ? std::optional<std::string>() : std::string(value));
  };
  const std::pair<const char*, std::optional<std::string>> kept[] = {
      restored("STATE_DIRECTORY"), restored("XDG_STATE_HOME"), restored("HOME")};
  setenv("STATE_DIRECTORY", "/var/lib/anomalyd:/var/lib/other", 1);
  setenv("XDG_STATE_HOME", "/xdg", 1);
  setenv("HOME", "/home/me", 1);
  CHECK(default_config().store_directory == "/var/lib/anomalyd");
  unsetenv("STATE_DIRECTORY");
  CHECK(default_config().store_directory == "/xdg/anomalyd");
  unsetenv("XDG_STATE_HOME");
  CHECK(default_config().store_directory == "/home/me/.local/state/anomalyd");
  unsetenv("HOME");
  CHECK(default_config().store_directory == "/var/lib/anomalyd");
  for (const auto& [name, value] : kept) {
    if (value) {
      setenv(name, value->c_str(), 1);
    } else {
      unsetenv(name);
    }
  }
  CHECK_FALSE(default_config().models_directory.empty());
}

}  // namespace
}  // namespace anomalyd::app

#include "app/config.h"

#include <arpa/inet.h>
#include <fnmatch.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <set>
#include <system_error>

#include "app/config_reader.h"
#include "base/sample_batch.h"
#include "base/text.h"
#include "base/time.h"

namespace anomalyd::app {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr std::uintmax_t kMaxFileBytes = 4U << 20U;
constexpr std::size_t kMaxDomains = 10'000;
constexpr std::size_t kMaxGlobs = 1'000;
constexpr std::int64_t kKiB = 1024;
constexpr std::int64_t kGiB = kKiB * kKiB * kKiB;
constexpr nanoseconds kYears = hours(24 * 365 * 100);

std::string in_quotes(std::string_view text) { return "\"" + shown(text) + "\""; }

// What accepts a text says what is wrong with it, nothing when it is good.

std::string accept_path(const std::string& text) {
  if (!text.empty() && text.size() <= 4096 && !has_control(text)) return {};
  return in_quotes(text) + ", expected a path";
}

/// A domain's name is also a file's (anomalyctl train) and a metric's label.
std::string accept_domain_name(const std::string& text) {
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
  if (!text.empty() && text.size() <= 64 && text.front() != '.' &&
      text.find_first_not_of(kAllowed) == std::string::npos) {
    return {};
  }
  return in_quotes(text) +
         ", expected 1 to 64 letters, digits, '_', '-' or '.', the first of them no '.'";
}

std::string accept_glob(const std::string& text) {
  if (!text.empty() && text.size() <= 512 && !has_control(text)) return {};
  return in_quotes(text) + ", expected a pattern of 1 to 512 bytes without control characters";
}

std::string accept_channel(const std::string& text) {
  if (name_is_valid(text)) return {};
  return in_quotes(text) +
         ", expected a channel's name: 1 to 255 bytes without control characters and {}\"\\=,";
}

std::string accept_detector(const std::string& text) {
  const bool is_file = text.ends_with(".safetensors");
  if (accept_path(text).empty() && (is_file || text.find('/') == std::string::npos)) return {};
  return in_quotes(text) +
         ", expected a kind, a name under models.directory, or a path that ends in .safetensors";
}

template <class Value>
using Names = std::vector<std::pair<std::string_view, Value>>;

template <class Value>
Names<Value> names_of(std::initializer_list<Value> values) {
  Names<Value> names;
  for (const Value value : values) names.emplace_back(to_text(value), value);
  return names;
}

/// Reads one of a few words.
template <class Value>
bool read_name(Section& section, std::string_view key, Value& value, const Names<Value>& names) {
  std::string text;
  const auto accept = [&](const std::string& candidate) {
    std::string known;
    for (const auto& [name, unused] : names) {
      if (name == candidate) return std::string();
      known += (known.empty() ? "" : ", ") + std::string(name);
    }
    return in_quotes(candidate) + ", expected one of " + known;
  };
  if (!section.text(key, text, accept)) return false;
  value = std::find_if(names.begin(), names.end(), [&](const auto& row) {
            return row.first == text;
          })->second;
  return true;
}

/// "127.0.0.1:8420" or "[::1]:8420".
bool split_listen(std::string_view text, http::ServerOptions& options) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return false;
  std::string address(text.substr(0, colon));
  const std::string_view port = text.substr(colon + 1);
  in6_addr parsed{};
  if (address.size() > 2 && address.front() == '[' && address.back() == ']') {
    address = address.substr(1, address.size() - 2);
    if (inet_pton(AF_INET6, address.c_str(), &parsed) != 1) return false;
  } else if (inet_pton(AF_INET, address.c_str(), &parsed) != 1) {
    return false;
  }
  std::uint16_t number = 0;
  const auto [end, ec] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (ec != std::errc() || end != port.data() + port.size()) return false;
  options.address = address;
  options.port = number;
  return true;
}

/// Reads a duration into a type that is coarser than nanoseconds.
template <class Duration>
void read_coarse(Section& section, std::string_view key, Duration& value, Duration least,
                 Duration most) {
  nanoseconds read{};
  if (section.duration(key, read, least, most, Duration(1))) {
    value = std::chrono::duration_cast<Duration>(read);
  }
}

void read_http(Section section, Config& config) {
  http::ServerOptions& http = config.http;
  const auto accept_listen = [](const std::string& text) {
    http::ServerOptions unused;
    if (split_listen(text, unused)) return std::string();
    return in_quotes(text) +
           ", expected address:port, such as \"127.0.0.1:8420\" or \"[::1]:8420\" (no host names)";
  };
  if (section.text("listen", config.listen, accept_listen)) split_listen(config.listen, http);
  const auto read_path = [&](std::string_view key, std::filesystem::path& path) {
    std::string text;
    if (section.text(key, text, accept_path)) path = text;
  };
  read_path("tokens", config.tokens);
  read_path("tls_certificate", config.tls.certificate);
  read_path("tls_key", config.tls.key);
  read_path("tls_client_ca", config.tls.client_ca);
  if (config.tls.certificate.empty() != config.tls.key.empty()) {
    const bool has_key = config.tls.certificate.empty();
    section.refuse(has_key ? "tls_key" : "tls_certificate",
                   std::string("expected also ") + (has_key ? "tls_certificate" : "tls_key"));
  } else if (!config.tls.client_ca.empty() && config.tls.certificate.empty()) {
    section.refuse("tls_client_ca", "expected also tls_certificate and tls_key");
  }
  section.boolean("insecure", config.insecure);
  section.integer("threads", http.threads, 1, 256);
  section.integer("workers", http.workers, 1, 256);
  section.integer("max_body_bytes", http.limits.max_body_bytes, kKiB, kGiB);
  section.integer("max_header_bytes", http.limits.max_header_bytes, kKiB, kKiB * kKiB);
  section.integer("max_target_bytes", http.limits.max_target_bytes, 256, kKiB * kKiB);
  section.integer("max_connections", http.limits.max_connections, 1, 1'000'000);
  section.integer("max_connection_requests", http.limits.max_connection_requests, 1, 1'000'000'000);
  read_coarse(section, "request_timeout", http.limits.request_timeout, seconds(1), seconds(86400));
  read_coarse(section, "idle_timeout", http.limits.idle_timeout, seconds(1), seconds(86400));
  section.finish();
}

void read_ingest(Section section, Config& config) {
  section.integer("max_rows", config.ingest.max_rows, 1, std::int64_t{1} << 28U);
  section.integer("max_json_depth", config.ingest.max_json_depth, 4, 1024);
  section.integer("max_channels", config.ingest.max_channels, 1,
                  static_cast<std::int64_t>(kMaxChannels));
  section.integer("max_labels", config.ingest.max_labels, 0, static_cast<std::int64_t>(kMaxLabels));
  section.integer("max_decompressed_bytes", config.max_decompressed_bytes, kKiB, kGiB);
  nanoseconds max_future(config.ingest.max_future_ns);
  section.duration("max_future", max_future, nanoseconds(0), hours(24 * 365));
  config.ingest.max_future_ns = max_future.count();
  nanoseconds max_past(config.ingest.max_past_ns);
  section.duration("max_past", max_past, nanoseconds(0), hours(24 * 365 * 50));
  config.ingest.max_past_ns = max_past.count();
  section.finish();
}

void read_stream(Section section, Config& config) {
  section.integer("shards", config.shards, 1, 256);
  section.integer("queue_samples", config.queue_samples, 1024, std::int64_t{1} << 32U);
  section.integer("max_streams", config.max_streams, 1, 100'000'000);
  section.integer("score_history_bytes", config.score_history_bytes, 0, 1024 * kGiB);
  section.finish();
}

void read_directory(Section& section, std::filesystem::path& path) {
  std::string text;
  if (section.text("directory", text, accept_path)) path = text;
}

void read_models(Section section, Config& config) {
  read_directory(section, config.models_directory);
  section.finish();
}

void read_store(Section section, Config& config) {
  read_directory(section, config.store_directory);
  section.duration("alert_retention", config.alert_retention, std::chrono::minutes(1), kYears);
  read_name(section, "sync", config.sync,
            names_of({store::Sync::kAlways, store::Sync::kInterval, store::Sync::kNever}));
  section.integer("journal_max_bytes", config.journal_max_bytes, 16 * kKiB * kKiB, kGiB * kKiB);
  section.duration("journal_retention", config.journal_retention, std::chrono::nanoseconds(0),
                   kYears);
  section.duration("checkpoint_interval", config.checkpoint_interval, std::chrono::milliseconds(10),
                   std::chrono::hours(1));
  section.finish();
}

void read_daemon(Section section, Config& config) {
  read_coarse(section, "drain_timeout", config.drain_timeout, milliseconds(0),
              milliseconds(3'600'000));
  section.finish();
}

void read_log(Section section, Config& config) {
  read_name(section, "level", config.log_level,
            names_of({log::Level::kDebug, log::Level::kInfo, log::Level::kWarn, log::Level::kError,
                      log::Level::kFatal}));
  read_name(section, "format", config.log_format,
            names_of({log::Format::kLogfmt, log::Format::kJson}));
  section.finish();
}

void read_match(Section section, DomainConfig& domain) {
  section.texts("streams", domain.streams, kMaxGlobs, accept_glob);
  if (domain.streams.empty()) {
    section.refuse("streams", "no pattern, expected at least one; \"*\" matches every stream");
  }
  if (const toml::table* table = section.table("labels")) {
    Section labels(section.problems(), *table, section.path_of("labels"));
    std::map<std::string, std::string> read;
    for (const auto& [key, unused] : *table) {
      std::string glob;
      const bool is_good = labels.text(key.str(), glob, accept_glob);
      if (!name_is_valid(key.str())) {
        section.problems().add(key.source(), labels.path_of(key.str()),
                               "not a label's name, expected 1 to 255 bytes without control "
                               "characters and {}\"\\=,");
      } else if (is_good) {
        read.emplace(key.str(), std::move(glob));
      }
    }
    if (read.size() > kMaxLabels) {
      section.refuse("labels", std::to_string(read.size()) + " labels, expected at most " +
                                   std::to_string(kMaxLabels));
    }
    domain.labels = std::move(read);
  }
  section.finish();
}

void read_train(Section section, TrainConfig& train) {
  Names<std::string> kinds;
  for (const detect::MemberKind& kind : detect::member_kinds()) {
    if (kind.trained) kinds.emplace_back(kind.name, kind.name);
  }
  read_name(section, "kind", train.kind, kinds);
  section.integer("epochs", train.epochs, 1, 1'000'000);
  section.integer("patience", train.patience, 1, 1'000'000);
  section.number("learning_rate", train.learning_rate, 0, 1, true);
  section.integer("batch_windows", train.batch_windows, 1, 65536);
  section.integer("seed", train.seed, 0, std::numeric_limits<std::int64_t>::max());
  section.finish();
}

void read_channels(Section& section, DomainConfig& domain) {
  std::vector<std::string> names;
  if (!section.texts("channels", names, kMaxChannels, accept_channel)) return;
  std::set<std::string> seen;
  for (const std::string& name : names) {
    if (seen.insert(name).second) continue;
    section.refuse("channels", in_quotes(name) + " given twice, expected names that differ");
  }
  domain.channels = std::move(names);
}

void read_alerting(Section& section, DomainConfig& domain) {
  const auto accept_budget = [](const std::string& text) -> std::string {
    if (text.size() <= 64 && !has_control(text) && detect::Budget::parse(text).ok()) return {};
    return in_quotes(text) +
           ", expected \"<number> per <minute|hour|day|week|month|year>\", a number above 0";
  };
  if (section.text("false_alerts", domain.false_alerts_text, accept_budget)) {
    domain.false_alerts = detect::Budget::parse(domain.false_alerts_text).value();
  }
  section.number("clear_factor", domain.clear_factor, 1, 1e12);
  section.integer("confirm_windows", domain.confirm_windows, 1, 1'000'000);
  section.duration("hold", domain.hold, nanoseconds(0), kYears);
}

void read_domain(Section section, DomainConfig& domain) {
  section.text("name", domain.name, accept_domain_name);
  if (const toml::table* match = section.table("match")) {
    read_match(Section(section.problems(), *match, section.path_of("match")), domain);
  }
  section.text("detector", domain.detector, accept_detector);
  read_channels(section, domain);
  double rate_hz = 0;
  if (section.number("rate_hz", rate_hz, 0, 1e9, true)) domain.rate_hz = rate_hz;
  std::size_t count = 0;
  if (section.integer("window_samples", count, 2, 65536)) domain.window_samples = count;
  if (section.integer("hop_samples", count, 1, 65536)) domain.hop_samples = count;
  if (domain.window_samples && domain.hop_samples && *domain.hop_samples > *domain.window_samples) {
    section.refuse("hop_samples", std::to_string(*domain.hop_samples) +
                                      ", expected at most window_samples (" +
                                      std::to_string(*domain.window_samples) + ")");
  }
  detect::NormaliserKind normaliser{};
  if (read_name(section, "normaliser", normaliser,
                names_of({detect::NormaliserKind::kDomain, detect::NormaliserKind::kStream,
                          detect::NormaliserKind::kWindow}))) {
    domain.normaliser = normaliser;
  }
  if (section.integer("learn_windows", count, 0, 1'000'000)) domain.learn_windows = count;
  section.duration("lateness", domain.lateness, nanoseconds(0), hours(24));
  section.duration("max_gap", domain.max_gap, nanoseconds(1), hours(24 * 365));
  read_alerting(section, domain);
  if (const toml::table* train = section.table("train")) {
    read_train(Section(section.problems(), *train, section.path_of("train")), domain.train);
  }
  section.finish();
}

void read_domains(Section& root, Config& config) {
  const toml::array* list = root.tables("domain");
  if (list == nullptr) return;
  if (list->empty()) {
    root.refuse("domain", "no domain, expected at least one [[domain]]");
  } else if (list->size() > kMaxDomains) {
    root.refuse("domain", std::to_string(list->size()) + " domains, expected at most " +
                              std::to_string(kMaxDomains));
    return;
  }
  config.domains.clear();
  std::map<std::string, toml::source_index> lines;
  for (const toml::node& element : *list) {
    const toml::table& table = *element.as_table();
    DomainConfig domain;
    read_domain(Section(root.problems(), table, "domain"), domain);
    const toml::node* name = table.get("name");
    const toml::source_region& where = name == nullptr ? table.source() : name->source();
    const auto [known, is_new] = lines.emplace(domain.name, where.begin.line);
    if (!is_new) {
      root.problems().add(where, "domain.name",
                          in_quotes(domain.name) +
                              " given twice, expected names that differ (line " +
                              std::to_string(known->second) + " has it too)");
    }
    config.domains.push_back(std::move(domain));
  }
}

std::filesystem::path default_store() {
  const auto environment = [](const char* name) {
    const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody sets it
    return std::string(value == nullptr ? "" : value);
  };
  // systemd lists the folders of several StateDirectory= entries with colons between them.
  const std::string state = environment("STATE_DIRECTORY");
  if (!state.empty()) return state.substr(0, state.find(':'));
  const std::string xdg = environment("XDG_STATE_HOME");
  if (!xdg.empty()) return std::filesystem::path(xdg) / "anomalyd";
  const std::string home = environment("HOME");
  if (!home.empty()) return std::filesystem::path(home) / ".local/state/anomalyd";
  return "/var/lib/anomalyd";
}

std::filesystem::path default_models() {
  std::error_code failed;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", failed);
  if (failed) return "/usr/share/anomalyd/models";
  const std::filesystem::path bin = program.parent_path();
  auto installed = (bin / "../share/anomalyd/models").lexically_normal();
  // build/<preset>/bin/anomalyd of a source tree.
  auto source = (bin / "../../../models").lexically_normal();
  if (!std::filesystem::is_directory(installed, failed) &&
      std::filesystem::is_directory(source, failed)) {
    return source;
  }
  return installed;
}

/// Refuses control characters, which TOML forbids everywhere, so that toml++ never sees them: 3.3
/// assumes at several places that what follows is a key's character.
bool check_characters(std::string_view text, Problems& problems) {
  toml::source_region at;
  at.begin = {1, 1};
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_space = c == '\t' || c == '\n' || c == '\r';
    if (is_control(c) && !is_space) {
      problems.add(at, "syntax",
                   "control character " + std::to_string(byte) + ", expected TOML 1.0");
      return false;
    }
    if (c == '\n') {
      ++at.begin.line;
      at.begin.column = 1;
    } else if ((byte & 0xc0U) != 0x80) {
      ++at.begin.column;  // of characters, as toml++ counts
    }
  }
  return true;
}

Error refusal(std::string message) {
  return Error{ErrorCode::kInvalidArgument, std::move(message)};
}

}  // namespace

Config default_config() {
  Config config;
  config.store_directory = default_store();
  config.models_directory = default_models();
  return config;
}

Result<Config> parse_config(std::string_view text, std::string_view name) {
  Problems problems(name);
  if (!check_characters(text, problems)) return refusal(problems.text());
  toml::table table;
  try {
    table = toml::parse(text, name);
  } catch (const toml::parse_error& error) {
    std::string what(error.description());
    std::replace_if(what.begin(), what.end(), is_control, ' ');
    problems.add(error.source(), "syntax", what + ", expected TOML 1.0");
    return refusal(problems.text());
  }
  Config config = default_config();
  Section root(problems, table, "");
  constexpr std::pair<const char*, void (*)(Section, Config&)> kSections[] = {
      {"http", read_http},     {"ingest", read_ingest}, {"stream", read_stream},
      {"models", read_models}, {"store", read_store},   {"daemon", read_daemon},
      {"log", read_log}};
  for (const auto& [key, read] : kSections) {
    if (const toml::table* section = root.table(key))
      read(Section(problems, *section, key), config);
  }
  read_domains(root, config);
  root.finish();
  if (!problems.empty()) return refusal(problems.text());
  return config;
}

Result<Config> load_config(const std::filesystem::path& path) {
  std::error_code failed;
  if (!std::filesystem::exists(path, failed)) {
    return Error{ErrorCode::kNotFound, path.string() + ": no such file"};
  }
  if (std::filesystem::is_directory(path, failed)) {
    return refusal(path.string() + ": a folder, expected a file");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return refusal(path.string() + ": cannot be read, expected a readable file");
  std::string text;
  // Not by the file's size, which a pipe does not have.
  while (text.size() <= kMaxFileBytes) {
    char block[65536];
    file.read(block, sizeof block);
    if (file.gcount() <= 0) break;
    text.append(block, static_cast<std::size_t>(file.gcount()));
  }
  if (file.bad()) return refusal(path.string() + ": cannot be read, expected a readable file");
  if (text.size() > kMaxFileBytes) {
    return refusal(path.string() + ": more than " + std::to_string(kMaxFileBytes) +
                   " bytes, expected a config file");
  }
  return parse_config(text, path.string());
}

const DomainConfig* find_domain(const Config& config, const StreamKey& key) {
  const auto matches = [](const std::string& glob, const std::string& text) {
    return fnmatch(glob.c_str(), text.c_str(), 0) == 0;
  };
  for (const DomainConfig& domain : config.domains) {
    const bool name_fits =
        std::any_of(domain.streams.begin(), domain.streams.end(),
                    [&](const std::string& glob) { return matches(glob, key.name()); });
    const bool labels_fit =
        std::all_of(domain.labels.begin(), domain.labels.end(), [&](const auto& wanted) {
          return std::any_of(key.labels().begin(), key.labels().end(), [&](const Label& label) {
            return label.name == wanted.first && matches(wanted.second, label.value);
          });
        });
    if (name_fits && labels_fit) return &domain;
  }
  return nullptr;
}

bool is_loopback(const std::string& address) {
  in_addr v4{};
  if (inet_pton(AF_INET, address.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24U == 127;
  in6_addr v6{};
  if (inet_pton(AF_INET6, address.c_str(), &v6) != 1) return false;
  if (IN6_IS_ADDR_V4MAPPED(&v6) != 0) return v6.s6_addr[12] == 127;
  return IN6_IS_ADDR_LOOPBACK(&v6) != 0;
}

}  // namespace anomalyd::app

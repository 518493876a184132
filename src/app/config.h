#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "base/stream_key.h"
#include "detect/calibration.h"
#include "detect/detector.h"
#include "http/server.h"
#include "ingest/codec.h"
#include "store/journal.h"

namespace anomalyd::app {

/// How `anomalyctl train` makes this domain's detector file: [domain.train].
struct TrainConfig {
  std::string kind = "autoencoder";
  int epochs = 200;
  int patience = 10;
  double learning_rate = 1e-3;
  std::size_t batch_windows = 32;
  std::uint64_t seed = 1;
};

/// [[domain]]: a population of devices that share a sensor and a mounting.
struct DomainConfig {
  std::string name = "default";
  std::vector<std::string> streams{"*"};      ///< globs over the stream's name; one must match
  std::map<std::string, std::string> labels;  ///< label -> glob; all must match
  /// A kind that needs no file ("standard", "zscore", ...), or a detector file: a name under
  /// models.directory without ".safetensors", or a path that ends so.
  std::string detector = "standard";
  // What follows is part of a trained detector: with a file these may be left out, and must
  // agree with it when they are given.
  std::optional<std::vector<std::string>> channels;
  std::optional<double> rate_hz;
  std::optional<std::size_t> window_samples;
  std::optional<std::size_t> hop_samples;
  std::optional<detect::NormaliserKind> normaliser;
  std::optional<std::size_t> learn_windows;
  // How its streams are read.
  std::chrono::nanoseconds lateness = std::chrono::seconds(2);
  std::chrono::nanoseconds max_gap = std::chrono::seconds(5);
  // When it alerts.
  detect::Budget false_alerts;  ///< the text is kept in false_alerts_text
  std::string false_alerts_text = "1 per week";
  double clear_factor = 100;  ///< an alert clears at fire_p * clear_factor (at most 0.5)
  std::uint32_t confirm_windows = 2;
  std::chrono::nanoseconds hold = std::chrono::seconds(5);
  TrainConfig train;
};

struct Config {
  http::ServerOptions http;  ///< [http]: listen = "127.0.0.1:8420", threads, workers, limits
  std::string listen = "127.0.0.1:8420";
  // Who may come in; what the files hold load_tokens() and load_tls() read, not the config reader.
  std::filesystem::path tokens;  ///< [http] empty: everybody may do everything
  http::TlsFiles tls;            ///< [http] certificate empty: plain HTTP
  bool insecure = false;         ///< [http] see check_exposure()
  ingest::CodecLimits ingest{.max_future_ns = TimeNs{24} * 3600 * kNsPerSecond};  ///< [ingest]
  std::size_t max_decompressed_bytes = 64UL << 20U;                               ///< [ingest]
  std::size_t shards = 1;                                                         ///< [stream]
  std::size_t queue_samples = 4UL << 20U;         ///< [stream] waiting, of all streams
  std::size_t max_streams = 200'000;              ///< [stream]
  std::size_t score_history_bytes = 64UL << 20U;  ///< [stream] for all streams together
  std::filesystem::path models_directory;         ///< [models]
  std::filesystem::path store_directory;          ///< [store] holds anomalyd.db, journal/
  std::chrono::nanoseconds alert_retention = std::chrono::hours(24 * 90);   ///< [store]
  store::Sync sync = store::Sync::kInterval;                                ///< [store]
  std::uint64_t journal_max_bytes = 4UL << 30U;                             ///< [store]
  std::chrono::nanoseconds journal_retention{};                             ///< [store]
  std::chrono::nanoseconds checkpoint_interval = std::chrono::seconds(10);  ///< [store]
  std::chrono::milliseconds drain_timeout{10'000};    ///< [daemon] graceful stop's bound
  log::Level log_level = log::Level::kInfo;           ///< [log]
  log::Format log_format = log::Format::kLogfmt;      ///< [log]
  std::vector<DomainConfig> domains{DomainConfig{}};  ///< the first that matches a stream wins
};

/// The defaults a daemon without a config file runs on. The store is the first folder of
/// $STATE_DIRECTORY if set, else $XDG_STATE_HOME/anomalyd, else ~/.local/state/anomalyd, else
/// /var/lib/anomalyd; models are read from share/anomalyd/models beside the bin folder of the
/// running program or, in a source tree, from its models/.
Config default_config();

/// Reads a config file: the defaults, overlaid, then checked. Any [[domain]] in it takes the place
/// of the default one. All that is wrong is reported, one line each, in the order of the file.
/// Errors   kNotFound, or kInvalidArgument with "file:line:column: key: what, expected what".
Result<Config> load_config(const std::filesystem::path& path);
/// The same from text; `name` stands for the file in messages.
Result<Config> parse_config(std::string_view text, std::string_view name);

/// The whole config as TOML, defaults filled in; parse_config() gives the same Config back. What
/// is left to the detector stands as a comment.
std::string print_config(const Config& config);

/// The domain of a stream: the first that matches; null when none does. A glob is fnmatch(3)'s:
/// `*`, `?`, `[a-z]`, `\` before one of them to mean itself. A label that the stream does not have
/// matches nothing, not even `*`.
const DomainConfig* find_domain(const Config& config, const StreamKey& key);

/// Refuses to be reachable from other machines without TLS and without tokens, unless the config
/// says that this is meant.
Status check_exposure(const Config& config);
/// What lies open on an address that other machines reach, for the log at each start.
std::vector<std::string> exposure_warnings(const Config& config);
/// Read the files that the config names; null when it names none.
/// Errors   "key: file: what", with the file's line where it has lines.
Result<std::shared_ptr<const http::TokenSet>> load_tokens(const Config& config);
Result<std::shared_ptr<const http::TlsContext>> load_tls(const Config& config);
/// Whether both would do, for a check of the config: credentials that systemd gives only to the
/// service are not looked for outside of it. A certificate that is not valid now is refused here.
Status check_access(const Config& config);

/// True for an IPv4 or IPv6 address that only this machine reaches.
bool is_loopback(const std::string& address);

}  // namespace anomalyd::app

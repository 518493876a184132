#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <prometheus/registry.h>

#include "app/alert_writer.h"
#include "app/checkpointer.h"
#include "app/config.h"
#include "app/intake.h"
#include "app/metrics.h"
#include "app/recovery.h"
#include "app/stream_quota.h"
#include "base/result.h"
#include "base/time.h"
#include "http/server.h"
#include "store/database.h"
#include "store/file_system.h"
#include "store/folder_lock.h"
#include "store/journal.h"
#include "stream/dispatcher.h"
#include "stream/shard.h"

namespace anomalyd::app {

/// The daemon as a library: wires modules and threads, knows no signals and no flags. An instance
/// is used once: make, start, (reload)*, stop.
///
/// Threads   make(), start(), reload() and stop() from one thread; the rest from any.
class Engine {
 public:
  /// Takes a checked config. Nothing is opened yet. `files` is the disk of the journal.
  static std::unique_ptr<Engine> make(Config config, const Clock& clock,
                                      store::FileSystem& files = store::real_file_system());
  ~Engine();

  /// Reads tokens and certificates, opens the database and the server (which says 503 until all is
  /// loaded), loads the detectors, starts the shards. Errors    what cannot be opened or loaded,
  /// and why; then nothing runs.
  Status start();
  /// Swaps domains and detectors between two windows, and reads the files of tokens and
  /// certificates anew. Tokens that are good hold whatever else is wrong, since taking one away
  /// must not wait; of the rest, on an error everything stays as it was. Listeners, shards and the
  /// store keep what they were started with, the names of those files too; a change there is logged
  /// as needing a restart.
  Status reload(const Config& config);
  /// No more samples, what was accepted is scored and written, within config.drain_timeout. What
  /// is in hand at its end is finished: a batch, a transaction, a request.
  void stop();

  /// True between start() and stop(). While it is false, handlers use nothing of the engine but
  /// config(), clock(), metrics() and scrape().
  bool ready() const { return ready_; }
  std::uint16_t port() const;
  /// True when every shard has turned its loop since this was last true: only then the watchdog
  /// may be petted.
  bool progressed();
  /// Has alerts deleted, now and then, that are older than config.alert_retention. Does not wait.
  void prune_alerts();

  // What the API's handlers need.
  const Config& config() const { return config_; }
  const Clock& clock() const { return clock_; }
  Metrics& metrics() { return metrics_; }
  store::Database& database() { return *database_; }
  const AlertWriter& alert_writer() const { return *alert_writer_; }
  Intake& intake() { return *intake_; }
  store::Journal& journal() { return *journal_; }
  StreamQuota& stream_quota() { return stream_quota_; }
  TimeNs started_at() const { return started_at_; }
  std::chrono::nanoseconds uptime() const { return clock_.elapsed() - started_elapsed_; }
  std::shared_ptr<const stream::DomainSet> domains() const;
  std::size_t shards() const { return shards_.size(); }
  stream::ShardFigures shard_figures(std::size_t shard) const { return shards_[shard]->figures(); }
  std::size_t shard_of(std::string_view key) const;
  /// Everything there is to scrape, as text; without shards and store while it is not ready.
  std::string scrape();

  /// Asks a shard on its own thread and waits for the answer; nothing when it is stopping or has
  /// not answered within five seconds. Only while ready().
  template <class Answer>
  std::optional<Answer> ask(std::size_t shard,
                            std::function<Answer(const stream::ShardStreams&)> question) {
    auto promise = std::make_shared<std::promise<Answer>>();
    std::future<Answer> answer = promise->get_future();
    // The question does not keep the promise: one that nobody waits for any more is not worked on.
    const bool asked =
        shards_[shard]->ask([wanted = std::weak_ptr(promise),
                             question = std::move(question)](const stream::ShardStreams& streams) {
          if (const auto asker = wanted.lock()) asker->set_value(question(streams));
        });
    if (!asked || answer.wait_for(std::chrono::seconds(5)) != std::future_status::ready) return {};
    return answer.get();
  }

 private:
  class ShardObserver;
  Engine(Config config, const Clock& clock, store::FileSystem& files);
  Status open_database();
  Status open_journal();
  Status start_server();
  void use_tokens(std::shared_ptr<const http::TokenSet> tokens);
  void use_tls(std::shared_ptr<const http::TlsContext> tls);
  void make_shards();
  Status recover();
  void add_shard_metrics(std::vector<prometheus::MetricFamily>& families);
  void add_store_metrics(std::vector<prometheus::MetricFamily>& families) const;
  void add_recovery_metrics(std::vector<prometheus::MetricFamily>& families) const;

  Config config_;
  const Clock& clock_;
  store::FileSystem& files_;
  std::shared_ptr<prometheus::Registry> registry_ = std::make_shared<prometheus::Registry>();
  Metrics metrics_{*registry_};
  store::FolderLock store_lock_;
  std::unique_ptr<store::Database> database_;
  std::unique_ptr<AlertWriter> alert_writer_;
  mutable std::mutex domains_mutex_;
  std::shared_ptr<const stream::DomainSet> domains_;
  std::vector<std::unique_ptr<ShardObserver>> observers_;
  std::vector<std::unique_ptr<stream::Shard>> shards_;
  std::unique_ptr<stream::Dispatcher> dispatcher_;
  std::unique_ptr<store::Journal> journal_;
  std::unique_ptr<Intake> intake_;
  std::unique_ptr<Checkpointer> checkpointer_;
  Restored restored_;
  Replayed replayed_;
  StreamQuota stream_quota_;
  http::Access access_;
  std::unique_ptr<http::Server> server_;
  std::atomic<bool> ready_{false};
  TimeNs started_at_ = 0;
  std::chrono::nanoseconds started_elapsed_{0};
  std::vector<std::uint64_t> heartbeats_;
  std::chrono::nanoseconds next_prune_{0};
};

}  // namespace anomalyd::app

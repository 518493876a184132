#include "app/engine.h"

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <utility>

#include "app/api.h"
#include "app/domains.h"
#include "app/ingest_api.h"
#include "app/process_metrics.h"
#include "app/restart_keys.h"
#include "app/systemd.h"
#include "app/version.h"
#include "base/check.h"
#include "base/log.h"

namespace anomalyd::app {
namespace {

constexpr std::size_t kAlertQueue = 10'000;
constexpr std::chrono::minutes kLongStart{30};
constexpr std::chrono::hours kPruneEvery{1};

using prometheus::MetricFamily;
using prometheus::MetricType;

}  // namespace

/// Turns what a shard says into metrics, log lines and database writes.
class Engine::ShardObserver final : public stream::Observer {
 public:
  explicit ShardObserver(Engine& engine) : engine_(engine) {}
  void observe(stream::Shard& shard) { shard_ = &shard; }

  void on_score(const stream::Stream& stream, TimeNs, TimeNs, float, double p) override {
    // One look-up a domain, not a window: neighbouring windows are mostly of one domain.
    if (stream.domain != domain_) {
      domain_ = stream.domain;
      scored_ = &engine_.metrics_.windows_scored(domain_->name);
      invalid_ = &engine_.metrics_.windows_invalid(domain_->name);
    }
    scored_->Increment();
    // A batch of the most rows that may come is longer in the scoring than the watchdog waits.
    shard_->beat();
    if (p != p) {
      invalid_->Increment();
      unsigned suppressed = 0;
      if (invalid_log_.allow(suppressed)) {
        log::warn("a window could not be scored",
                  {{"stream", stream.key}, {"suppressed", std::to_string(suppressed)}});
      }
    }
  }

  void on_alert(const alert::Alert& alert, bool changed) override {
    if (changed) {
      const std::string_view state = to_string(alert.state);
      engine_.metrics_.alert_transitions(alert.domain, state).Increment();
      if (alert.state != alert::AlertState::kPending) {
        log::info(alert.state == alert::AlertState::kFiring ? "alert fires" : "alert resolved",
                  {{"id", alert.id},
                   {"stream", alert.stream.text()},
                   {"domain", alert.domain},
                   {"start", to_rfc3339(alert.start)},
                   {"peak_score", std::to_string(alert.peak_score)},
                   {"channel", alert.contributions.empty() ? "" : alert.contributions[0].channel}});
      }
    }
    engine_.alert_writer_->put(alert, [this] { shard_->beat(); });
  }

  void on_alert_cancelled(const alert::Alert& alert) override {
    engine_.metrics_.alert_transitions(alert.domain, "cancelled").Increment();
    engine_.alert_writer_->remove(alert.id, [this] { shard_->beat(); });
  }

 private:
  Engine& engine_;
  stream::Shard* shard_ = nullptr;
  // Held, so that no other domain can come to have its address.
  std::shared_ptr<const stream::Domain> domain_;
  prometheus::Counter* scored_ = nullptr;
  prometheus::Counter* invalid_ = nullptr;
  log::Throttle invalid_log_;
};

Engine::Engine(Config config, const Clock& clock, store::FileSystem& files)
    : config_(std::move(config)),
      clock_(clock),
      files_(files),
      stream_quota_(config_.max_streams) {}

Engine::~Engine() { stop(); }

std::unique_ptr<Engine> Engine::make(Config config, const Clock& clock, store::FileSystem& files) {
  return std::unique_ptr<Engine>(new Engine(std::move(config), clock, files));
}

std::uint16_t Engine::port() const { return server_ == nullptr ? 0 : server_->port(); }

std::shared_ptr<const stream::DomainSet> Engine::domains() const {
  const std::lock_guard lock(domains_mutex_);
  return domains_;
}

std::size_t Engine::shard_of(std::string_view key) const {
  return stream::shard_of(hash_bytes(key), shards_.size());
}

Status Engine::open_database() {
  auto lock = store::FolderLock::take(config_.store_directory);
  if (!lock.ok()) return lock.error();
  store_lock_ = std::move(lock).value();
  // The whole file is checked, which takes its time with the states of many streams in it.
  notify_starting("checks the database", kLongStart);
  auto opened = store::Database::open(config_.store_directory / "anomalyd.db");
  if (!opened.ok()) return opened.error();
  database_ = std::move(opened).value();
  alert_writer_ = std::make_unique<AlertWriter>(*database_, kAlertQueue);
  alert_writer_->start();
  return Done{};
}

Status Engine::open_journal() {
  store::JournalOptions options;
  options.folder = config_.store_directory / "journal";
  options.sync = config_.sync;
  options.max_bytes = config_.journal_max_bytes;
  options.segment_bytes = std::min<std::size_t>(options.segment_bytes, options.max_bytes / 8);
  // So that a group of what waits always finds room beside segments that may not go yet.
  options.queue_bytes = std::min<std::size_t>(options.queue_bytes, options.max_bytes / 8);
  options.retention = config_.journal_retention;
  auto opened = store::Journal::open(files_, std::move(options), clock_);
  if (!opened.ok()) return opened.error();
  journal_ = std::move(opened).value();
  return Done{};
}

Status Engine::start_server() {
  http::Router router;
  add_ingest_routes(*this, router);
  add_api_routes(*this, router);
  http::ServerOptions options = config_.http;
  auto tokens = load_tokens(config_);
  if (!tokens.ok()) return tokens.error();
  auto tls = load_tls(config_);
  if (!tls.ok()) return tls.error();
  use_tokens(std::move(tokens).value());
  use_tls(std::move(tls).value());
  options.access = access_;
  auto started = http::Server::start(std::move(options), std::move(router), *registry_);
  if (!started.ok()) return started.error();
  server_ = std::move(started).value();
  return Done{};
}

void Engine::use_tokens(std::shared_ptr<const http::TokenSet> tokens) {
  if (tokens != nullptr) stream_quota_.keep_only(tokens->tokens());
  access_.tokens = std::move(tokens);
}

void Engine::use_tls(std::shared_ptr<const http::TlsContext> tls) {
  if (tls == nullptr) return;
  const std::string problem = tls->validity_problem(clock_.now() / kNsPerSecond);
  if (!problem.empty()) {
    log::warn(problem, {{"file", config_.tls.certificate.string()}});
  }
  // Connections that began under other settings end: not where nothing has changed.
  if (access_.tls == nullptr || !access_.tls->is_same_as(*tls)) access_.tls = std::move(tls);
}

void Engine::make_shards() {
  stream::ShardStreams::Limits limits;
  limits.max_streams = (config_.max_streams + config_.shards - 1) / config_.shards;
  limits.score_history_bytes = config_.score_history_bytes;
  std::vector<stream::Shard*> all;
  for (std::size_t i = 0; i < config_.shards; ++i) {
    observers_.push_back(std::make_unique<ShardObserver>(*this));
    shards_.push_back(std::make_unique<stream::Shard>(
        limits, stream::ShardStreams::Share{i, config_.shards}, domains_, *observers_.back(),
        config_.queue_samples, clock_,
        stream::ShardTimers{&metrics_.score_seconds(), &metrics_.accepted_to_scored_seconds()}));
    observers_.back()->observe(*shards_.back());
    all.push_back(shards_.back().get());
  }
  heartbeats_.assign(shards_.size(), 0);
  dispatcher_ = std::make_unique<stream::Dispatcher>(std::move(all), clock_);
  intake_ = std::make_unique<Intake>(*dispatcher_, *journal_);
}

Status Engine::recover() {
  std::vector<stream::Shard*> shards;
  for (const auto& shard : shards_) shards.push_back(shard.get());
  auto restored = restore_streams(*database_, shards);
  if (!restored.ok()) return restored.error();
  restored_ = restored.value();
  checkpointer_ = std::make_unique<Checkpointer>(shards, *alert_writer_, *journal_,
                                                 config_.checkpoint_interval);
  for (stream::Shard* shard : shards) shard->start();
  auto replayed = replay_journal(*journal_, restored_.first, *dispatcher_, shards);
  if (!replayed.ok()) return replayed.error();
  replayed_ = replayed.value();
  const auto closed = close_lost_alerts(*database_, shards);
  if (!closed.ok()) return closed.error();
  log::info("streams go on where they were",
            {{"streams", std::to_string(restored_.streams)},
             {"learn_anew", std::to_string(restored_.anew)},
             {"damaged", std::to_string(restored_.damaged)},
             {"replayed_batches", std::to_string(replayed_.records)},
             {"replayed_samples", std::to_string(replayed_.samples)},
             {"position", std::to_string(journal_->figures().position)}});
  if (restored_.too_many > 0) {
    log::warn("kept streams are more than stream.max_streams",
              {{"left_out", std::to_string(restored_.too_many)}});
  }
  if (closed.value() > 0) {
    log::warn("alerts that were open and whose streams are lost were resolved",
              {{"alerts", std::to_string(closed.value())}, {"reason", "restart"}});
  }
  // What the checkpoints have passed may go at once, if it must; and what was scored again now is
  // passed soon.
  journal_->passed(restored_.first);
  journal_->start(restored_.last);
  checkpointer_->start();
  if (replayed_.records > 0) checkpointer_->request();
  return Done{};
}

Status Engine::start() {
  started_at_ = clock_.now();
  started_elapsed_ = clock_.elapsed();
  metrics_.set_ready(false);
  Status status = check_exposure(config_);
  if (status.ok()) status = open_database();
  if (status.ok()) status = open_journal();
  if (status.ok()) status = start_server();
  if (!status.ok()) return status;
  auto domains = make_domains(config_);
  if (!domains.ok()) return domains.error();
  domains_ = std::move(domains).value();
  for (const auto& domain : domains_->domains) {
    const detect::DetectorInfo& info = domain->detector->info();
    log::info("domain ready", {{"domain", domain->name},
                               {"detector", info.name},
                               {"kind", info.kind},
                               {"version", info.version},
                               {"window", std::to_string(info.window_samples)},
                               {"hop", std::to_string(info.hop_samples)}});
  }
  make_shards();
  if (status = recover(); !status.ok()) return status;
  metrics_.reloaded(true, clock_.now());
  metrics_.set_ready(true);
  ready_ = true;
  return Done{};
}

Status Engine::reload(const Config& config) {
  auto domains = make_domains(config);
  // Of the running config: whether there is TLS, and where the files are, stays.
  auto tokens = load_tokens(config_);
  auto tls = load_tls(config_);
  const bool is_good = domains.ok() && tokens.ok() && tls.ok();
  if (tokens.ok()) use_tokens(std::move(tokens).value());
  if (is_good) use_tls(std::move(tls).value());
  server_->use(access_);
  if (!is_good && tokens.ok() && access_.tokens != nullptr) {
    log::warn("the tokens were read anew, all else stays as it was");
  }
  if (!is_good) {
    metrics_.reloaded(false, clock_.now());
    return !domains.ok() ? domains.error() : !tokens.ok() ? tokens.error() : tls.error();
  }
  std::string keys;
  for (const std::string& key : keys_needing_restart(config_, config)) {
    keys += (keys.empty() ? "" : ", ") + key;
  }
  if (!keys.empty()) log::warn("changed settings need a restart", {{"keys", keys}});
  {
    const std::lock_guard lock(domains_mutex_);
    domains_ = std::move(domains).value();
  }
  for (const auto& shard : shards_) shard->apply(this->domains());
  // The journal does not know of it: what a crash makes the next start score again is scored under
  // the new domains, and should be no more than what came after.
  checkpointer_->request();
  metrics_.reloaded(true, clock_.now());
  return Done{};
}

void Engine::stop() {
  const bool was_ready = ready_.exchange(false);
  metrics_.set_ready(false);
  const auto end = clock_.elapsed() + config_.drain_timeout;
  const auto left = [&] {
    return std::max(std::chrono::milliseconds(0),
                    std::chrono::duration_cast<std::chrono::milliseconds>(end - clock_.elapsed()));
  };
  // In the order of the way of a sample: each part is emptied by the next.
  if (server_ != nullptr) server_->stop(left() / 2);
  if (journal_ != nullptr) journal_->stop();
  // A quarter of what is left is for writing what the shards find to the end of their part.
  const auto shards_end = clock_.elapsed() + left() * 3 / 4;
  bool drained = true;
  for (const auto& shard : shards_) {
    const auto bound = std::max(std::chrono::nanoseconds(0), shards_end - clock_.elapsed());
    drained = shard->drain(std::chrono::duration_cast<std::chrono::milliseconds>(bound)) && drained;
  }
  // A shard may be waiting for room among the alerts: it would for ever if the database is stuck.
  if (!drained) alert_writer_->close();
  if (checkpointer_ != nullptr) checkpointer_->stop();
  std::size_t undone = 0;
  for (const auto& shard : shards_) undone += shard->stop();
  // So that the next start has nothing to score again.
  if (drained && was_ready && !checkpointer_->finish(left() / 2)) {
    log::warn("no time for a last checkpoint: the next start will score some samples again");
  }
  std::size_t unwritten = 0;
  if (alert_writer_ != nullptr) unwritten = alert_writer_->stop(left());
  if (undone > 0 || unwritten > 0) {
    log::error("stopped before all was done", {{"samples_left", std::to_string(undone)},
                                               {"alerts_left", std::to_string(unwritten)}});
  }
  server_.reset();
  checkpointer_.reset();
  intake_.reset();
  dispatcher_.reset();
  journal_.reset();
  shards_.clear();
  alert_writer_.reset();
  database_.reset();
}

bool Engine::progressed() {
  std::vector<std::uint64_t> now;
  bool all = true;
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    now.push_back(shards_[i]->figures().heartbeat);
    all = all && now[i] != heartbeats_[i];
  }
  if (all) heartbeats_ = std::move(now);
  return all;
}

void Engine::prune_alerts() {
  const std::chrono::nanoseconds now = clock_.elapsed();
  if (now < next_prune_ || alert_writer_ == nullptr) return;
  // A clock that was set ahead makes no alert old: it is the sensors' times that count, too. Before
  // the first sample nothing is deleted.
  TimeNs newest = 0;
  for (const auto& shard : shards_) newest = std::max(newest, shard->figures().newest);
  if (newest == 0) return;
  next_prune_ = now + kPruneEvery;
  alert_writer_->prune(std::min(newest, clock_.now()) - config_.alert_retention.count());
}

std::string Engine::scrape() {
  const bool ready = ready_;
  metrics_.set_ready(ready && alert_writer_->keeps_up() && !journal_->trouble());
  std::vector<MetricFamily> families = registry_->Collect();
  if (ready) {
    add_shard_metrics(families);
    add_store_metrics(families);
    add_recovery_metrics(families);
  }
  for (MetricFamily& process : collect_process_metrics()) families.push_back(std::move(process));
  return prometheus::TextSerializer().Serialize(families);
}

void Engine::add_store_metrics(std::vector<MetricFamily>& families) const {
  const auto add = [&](const char* name, const char* help, MetricType type, double value) {
    families.push_back(family(name, help, type));
    add_value(families.back(), {}, value);
  };
  add("anomalyd_store_writes_total", "Alert changes written to the database.", MetricType::Counter,
      static_cast<double>(alert_writer_->writes()));
  add("anomalyd_store_write_failures_total", "Writes that the database refused.",
      MetricType::Counter, static_cast<double>(alert_writer_->failures()));
  add("anomalyd_store_queue_length", "Alert changes waiting to be written.", MetricType::Gauge,
      static_cast<double>(alert_writer_->queued()));
  add("anomalyd_store_queue_capacity", "Most alert changes that may wait.", MetricType::Gauge,
      static_cast<double>(alert_writer_->capacity()));
}

void Engine::add_recovery_metrics(std::vector<MetricFamily>& families) const {
  const store::JournalFigures figures = journal_->figures();
  const auto add = [&](const char* name, const char* help, MetricType type, double value) {
    families.push_back(family(name, help, type));
    add_value(families.back(), {}, value);
  };
  const auto counter = [&](const char* name, const char* help, auto value) {
    add(name, help, MetricType::Counter, static_cast<double>(value));
  };
  const auto gauge = [&](const char* name, const char* help, auto value) {
    add(name, help, MetricType::Gauge, static_cast<double>(value));
  };
  counter("anomalyd_journal_records_total", "Batches that the journal has kept.", figures.records);
  counter("anomalyd_journal_commits_total", "Groups in which they were written.", figures.commits);
  counter("anomalyd_journal_commit_seconds_total", "Time spent on writing and syncing them.",
          figures.commit_seconds);
  counter("anomalyd_journal_failures_total", "Writes and syncs that the disk refused.",
          figures.failures);
  counter("anomalyd_journal_damaged_total",
          "Places in the journal that could not be read at the start.",
          figures.damage.damaged + replayed_.unreadable);
  counter("anomalyd_journal_missing_records_total",
          "Batches that should have been in the journal at the start.", figures.damage.missing);
  counter("anomalyd_journal_torn_bytes_total", "Bytes that a crash had left half written.",
          figures.damage.torn_bytes);
  gauge("anomalyd_journal_failing", "Whether the journal takes nothing now.",
        journal_->trouble() ? 1 : 0);
  gauge("anomalyd_journal_position", "Position of the last batch that was kept.", figures.position);
  gauge("anomalyd_journal_bytes", "Bytes of all segments.", figures.bytes);
  gauge("anomalyd_journal_capacity_bytes", "Most bytes that they may have.", figures.max_bytes);
  gauge("anomalyd_journal_segments", "Segment files.", figures.segments);
  gauge("anomalyd_journal_queue_bytes", "Bytes of batches that wait to be written.",
        figures.queued_bytes);
  gauge("anomalyd_journal_queue_capacity_bytes", "Most bytes that may wait.",
        figures.queue_capacity);
  counter("anomalyd_journal_replayed_samples_total", "Samples scored again at the start.",
          replayed_.samples);
  counter("anomalyd_checkpoint_rounds_total", "Checkpoints of all shards.",
          checkpointer_->rounds());
  counter("anomalyd_checkpoint_streams_total", "States of streams that they wrote.",
          checkpointer_->streams());
  counter("anomalyd_checkpoint_bytes_total", "Bytes of those.", checkpointer_->bytes());
  gauge("anomalyd_checkpoint_duration_seconds", "How long the last one took.",
        checkpointer_->last_seconds());
  gauge("anomalyd_checkpoint_position", "Position up to which all shards are written.",
        checkpointer_->position());
  counter("anomalyd_checkpoint_damaged_total",
          "States of streams that could not be read at the start.", restored_.damaged);
}

void Engine::add_shard_metrics(std::vector<MetricFamily>& families) {
  const TimeNs now = clock_.now();
  MetricFamily samples = family("anomalyd_stream_samples_total", "Samples taken in by the shards.",
                                MetricType::Counter);
  MetricFamily dropped =
      family("anomalyd_stream_samples_dropped_total",
             "Accepted samples that were not used, by reason.", MetricType::Counter);
  MetricFamily queued =
      family("anomalyd_stream_queue_samples", "Samples waiting for a shard.", MetricType::Gauge);
  MetricFamily capacity = family("anomalyd_stream_queue_capacity_samples",
                                 "Most samples that may wait for a shard.", MetricType::Gauge);
  MetricFamily lag =
      family("anomalyd_stream_lag_seconds",
             "How far the newest sample's time is behind the wall clock, of the shard that is "
             "furthest behind.",
             MetricType::Gauge);
  MetricFamily streams = family("anomalyd_stream_streams", "Streams, by state.", MetricType::Gauge);
  MetricFamily open =
      family("anomalyd_alert_open", "Alerts that are open, by state.", MetricType::Gauge);
  stream::DropCounts drops;
  StreamCensus census;
  bool counted_all = true;
  TimeNs behind = 0;
  double total = 0;
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    const stream::ShardFigures figures = shards_[i]->figures();
    total += static_cast<double>(figures.samples);
    drops.no_domain += figures.drops.no_domain;
    drops.too_many_streams += figures.drops.too_many_streams;
    drops.duplicate += figures.drops.duplicate;
    drops.late += figures.drops.late;
    drops.excess += figures.drops.excess;
    drops.time_range += figures.drops.time_range;
    if (figures.newest != 0) behind = std::max(behind, now - figures.newest);
    const std::string name = std::to_string(i);
    add_value(queued, {{"shard", name}}, static_cast<double>(figures.queued_samples));
    add_value(capacity, {{"shard", name}}, static_cast<double>(figures.queue_capacity));
    // One that does not answer in time is enough to wait for.
    if (!counted_all) continue;
    const auto counted = ask<StreamCensus>(i, count_streams);
    counted_all = counted.has_value();
    if (counted) census.add(*counted);
  }
  add_value(samples, {}, total);
  for (const auto& [reason, count] : std::array<std::pair<const char*, std::uint64_t>, 6>{
           {{"no_domain", drops.no_domain},
            {"too_many_streams", drops.too_many_streams},
            {"duplicate", drops.duplicate},
            {"late", drops.late},
            {"excess", drops.excess},
            {"time_range", drops.time_range}}}) {
    add_value(dropped, {{"reason", reason}}, static_cast<double>(count));
  }
  add_value(lag, {}, static_cast<double>(behind) / 1e9);
  for (std::size_t i = 0; i < stream::kStates; ++i) {
    add_value(streams, {{"state", std::string(to_string(static_cast<stream::State>(i)))}},
              static_cast<double>(census.by_state[i]));
  }
  add_value(open, {{"state", "pending"}}, static_cast<double>(census.pending));
  add_value(open, {{"state", "firing"}}, static_cast<double>(census.firing));
  for (MetricFamily* made : {&samples, &dropped, &queued, &capacity, &lag}) {
    families.push_back(std::move(*made));
  }
  // A part of the streams, or none, would look like all of them.
  if (!counted_all) return;
  families.push_back(std::move(streams));
  families.push_back(std::move(open));
}

}  // namespace anomalyd::app

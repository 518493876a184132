#include "store/database.h"

#include <array>
#include <mutex>
#include <string_view>
#include <system_error>
#include <utility>

#include "store/alert_blob.h"
#include "store/alert_query.h"
#include "store/sqlite.h"

namespace anomalyd::store {
namespace {

constexpr std::int64_t kApplicationId = 0x616e6d64;  // "anmd", in the file's header

/// Row i takes a file from user_version i to i + 1. Rows are never changed, only added.
/// STRICT makes the columns' types hold; alert_label repeats start_ns so that a page of one
/// label's alerts is a walk along its key.
constexpr std::array kMigrations{
    R"(CREATE TABLE alert (
         id TEXT NOT NULL PRIMARY KEY,
         stream TEXT NOT NULL,
         domain TEXT NOT NULL,
         detector TEXT NOT NULL,
         detector_version TEXT NOT NULL,
         state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),
         start_ns INTEGER NOT NULL,
         end_ns INTEGER NOT NULL,
         fired_ns INTEGER NOT NULL,
         resolved_ns INTEGER NOT NULL,
         end_reason TEXT NOT NULL,
         threshold_p REAL,
         peak_score REAL,
         peak_p REAL,
         peak_ns INTEGER NOT NULL,
         contributions BLOB NOT NULL,
         context BLOB NOT NULL
       ) STRICT;
       CREATE INDEX alert_by_start ON alert (start_ns, id);
       CREATE INDEX alert_by_state ON alert (state, start_ns, id);
       CREATE INDEX alert_by_stream ON alert (stream, start_ns, id);
       CREATE INDEX alert_by_end ON alert (end_ns) WHERE state = 2;
       CREATE TABLE alert_label (
         name TEXT NOT NULL,
         value TEXT NOT NULL,
         start_ns INTEGER NOT NULL,
         id TEXT NOT NULL REFERENCES alert (id) ON DELETE CASCADE,
         PRIMARY KEY (name, value, start_ns, id)
       ) STRICT, WITHOUT ROWID;
       CREATE INDEX alert_label_by_id ON alert_label (id);)",
    R"(CREATE TABLE shard_checkpoint (
         shard INTEGER NOT NULL PRIMARY KEY CHECK (shard BETWEEN 0 AND 4294967295),
         position INTEGER NOT NULL CHECK (position >= 0),
         state BLOB NOT NULL
       ) STRICT;
       CREATE TABLE stream_checkpoint (
         stream TEXT NOT NULL PRIMARY KEY,
         position INTEGER NOT NULL CHECK (position >= 0),
         state BLOB NOT NULL
       ) STRICT;)",
};
constexpr auto kSchemaVersion = static_cast<std::int64_t>(kMigrations.size());

constexpr std::string_view kPut =
    "INSERT INTO alert (id, stream, domain, detector, detector_version, state, start_ns, end_ns, "
    "fired_ns, resolved_ns, end_reason, threshold_p, peak_score, peak_p, peak_ns, contributions, "
    "context) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17) "
    "ON CONFLICT (id) DO UPDATE SET stream=?2, domain=?3, detector=?4, detector_version=?5, "
    "state=?6, start_ns=?7, end_ns=?8, fired_ns=?9, resolved_ns=?10, end_reason=?11, "
    "threshold_p=?12, peak_score=?13, peak_p=?14, peak_ns=?15, contributions=?16, context=?17";

/// Alerts deleted in one transaction by prune().
constexpr std::size_t kPruneStep = 500;

Error with_path(const std::string& path, Error error) {
  error.message = path + ": " + error.message;
  return error;
}

/// Fails unless the file is empty or one of ours, of a version this build knows.
Status check_identity(Connection& connection) {
  const auto application = connection.integer("PRAGMA application_id");
  if (!application.ok()) return application.error();
  const auto version = connection.integer("PRAGMA user_version");
  if (!version.ok()) return version.error();
  const auto tables = connection.integer("SELECT count(*) FROM sqlite_master");
  if (!tables.ok()) return tables.error();
  if (application.value() == 0 && version.value() == 0 && tables.value() == 0) return Done{};
  if (application.value() != kApplicationId) {
    return Error{ErrorCode::kCorrupt, connection.path() +
                                          ": a SQLite file, but not of anomalyd: application_id " +
                                          std::to_string(application.value()) + ", expected " +
                                          std::to_string(kApplicationId)};
  }
  if (version.value() < 1) {
    return Error{ErrorCode::kCorrupt, connection.path() + ": schema version " +
                                          std::to_string(version.value()) + ", expected 1 to " +
                                          std::to_string(kSchemaVersion)};
  }
  if (version.value() > kSchemaVersion) {
    return Error{ErrorCode::kUnsupported,
                 connection.path() + ": schema version " + std::to_string(version.value()) +
                     ", this build knows up to " + std::to_string(kSchemaVersion)};
  }
  return Done{};
}

Status check_structure(Connection& connection) {
  const auto found = connection.text("PRAGMA quick_check(1)");
  if (!found.ok()) return found.error();
  if (found.value() != "ok") {
    return Error{ErrorCode::kCorrupt, connection.path() + ": damaged: " + found.value()};
  }
  return Done{};
}

Status migrate(Connection& connection) {
  auto transaction = Transaction::begin(connection);
  if (!transaction.ok()) return transaction.error();
  // Under the write lock: another process may have done it in between.
  const auto version = connection.integer("PRAGMA user_version");
  if (!version.ok()) return version.error();
  for (std::int64_t v = version.value(); v < kSchemaVersion; ++v) {
    Status done = connection.run(kMigrations[static_cast<std::size_t>(v)]);
    if (!done.ok()) return done;
  }
  if (version.value() != kSchemaVersion) {
    Status marked = connection.run("PRAGMA application_id=" + std::to_string(kApplicationId) +
                                   ";PRAGMA user_version=" + std::to_string(kSchemaVersion));
    if (!marked.ok()) return marked;
  }
  return transaction.value().commit();
}

}  // namespace

struct Database::Impl {
  struct Writer {
    Connection connection;
    Statement put, put_label, remove_labels, remove, prune, put_shard, put_stream;

    // In a transaction.
    Status put_alert(const alert::Alert& alert);
    Status put_checkpoint(const ShardCheckpoint& shard);
  };

  Impl(Writer for_writing, Connection for_reading)
      : writer(std::move(for_writing)), reader(std::move(for_reading)) {}

  std::mutex write_mutex;
  Writer writer;
  std::mutex read_mutex;
  Connection reader;
};

Database::Database(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Database::~Database() = default;

Result<std::unique_ptr<Database>> Database::open(const std::filesystem::path& path) {
  std::error_code failed;
  if (path.has_parent_path()) {
    std::filesystem::create_directories(path.parent_path(), failed);
    if (failed) {
      return Error{ErrorCode::kUnavailable,
                   path.string() + ": cannot make its folder: " + failed.message()};
    }
  }
  auto opened = Connection::open(path.string());
  if (!opened.ok()) return opened.error();
  Impl::Writer writer{std::move(opened).value(), {}, {}, {}, {}, {}, {}, {}};
  Connection& connection = writer.connection;
  // Nothing is written before the file is known to be ours.
  for (const auto check : {check_identity, check_structure}) {
    const Status passed = check(connection);
    if (!passed.ok()) return passed.error();
  }
  const auto mode = connection.text("PRAGMA journal_mode=WAL");
  if (!mode.ok()) return mode.error();
  if (mode.value() != "wal") {
    return Error{ErrorCode::kUnavailable,
                 path.string() + ": the file system does not do WAL: " + mode.value()};
  }
  // FULL: an alert that was sent out must not be gone after a power cut. In WAL mode that is one
  // fdatasync a transaction, and alerts are rare.
  const Status configured = connection.run(
      "PRAGMA synchronous=FULL;PRAGMA foreign_keys=ON;"
      "PRAGMA journal_size_limit=16777216");
  if (!configured.ok()) return configured.error();
  const Status migrated = migrate(connection);
  if (!migrated.ok()) return migrated.error();

  for (const auto& [statement, sql] : {
           std::pair{&writer.put, kPut},
           std::pair{&writer.put_label,
                     std::string_view("INSERT INTO alert_label (name, value, start_ns, id) "
                                      "VALUES (?,?,?,?)")},
           std::pair{&writer.remove_labels,
                     std::string_view("DELETE FROM alert_label WHERE id = ?")},
           std::pair{&writer.remove, std::string_view("DELETE FROM alert WHERE id = ?")},
           std::pair{
               &writer.prune,
               std::string_view("DELETE FROM alert WHERE rowid IN (SELECT rowid FROM alert "
                                "INDEXED BY alert_by_end WHERE state = 2 AND end_ns < ? LIMIT ?)")},
           std::pair{&writer.put_shard,
                     std::string_view("INSERT INTO shard_checkpoint (shard, position, state) "
                                      "VALUES (?1,?2,?3) "
                                      "ON CONFLICT (shard) DO UPDATE SET position=?2, state=?3")},
           std::pair{&writer.put_stream,
                     std::string_view("INSERT INTO stream_checkpoint (stream, position, state) "
                                      "VALUES (?1,?2,?3) "
                                      "ON CONFLICT (stream) DO UPDATE SET position=?2, state=?3")},
       }) {
    auto prepared = connection.prepare(sql);
    if (!prepared.ok()) return prepared.error();
    *statement = std::move(prepared).value();
  }

  auto reader = Connection::open(path.string());
  if (!reader.ok()) return reader.error();
  const Status restricted = reader.value().run("PRAGMA query_only=ON");
  if (!restricted.ok()) return restricted.error();
  return std::unique_ptr<Database>(
      new Database(std::make_unique<Impl>(std::move(writer), std::move(reader).value())));
}

Status Database::Impl::Writer::put_alert(const alert::Alert& alert) {
  const std::vector<std::byte> contributions = encode_contributions(alert.contributions);
  const std::vector<std::byte> context = encode_context(alert.context);
  put.bind(alert.id)
      .bind(alert.stream.text())
      .bind(alert.domain)
      .bind(alert.detector)
      .bind(alert.detector_version)
      .bind(static_cast<std::int64_t>(alert.state))
      .bind(alert.start)
      .bind(alert.end)
      .bind(alert.fired_at)
      .bind(alert.resolved_at)
      .bind(alert.end_reason)
      .bind(alert.threshold_p)
      .bind(alert.peak_score)
      .bind(alert.peak_p)
      .bind(alert.peak_time)
      .bind(contributions)
      .bind(context);
  Status done = put.run();
  if (done.ok()) done = remove_labels.bind(alert.id).run();
  for (const Label& label : alert.stream.labels()) {
    if (!done.ok()) break;
    done = put_label.bind(label.name).bind(label.value).bind(alert.start).bind(alert.id).run();
  }
  return done;
}

Status Database::Impl::Writer::put_checkpoint(const ShardCheckpoint& shard) {
  Status done = put_shard.bind(static_cast<std::int64_t>(shard.shard))
                    .bind(static_cast<std::int64_t>(shard.position))
                    .bind(shard.state)
                    .run();
  for (const StreamCheckpoint& stream : shard.streams) {
    if (!done.ok()) break;
    done = put_stream.bind(stream.stream)
               .bind(static_cast<std::int64_t>(stream.position))
               .bind(stream.state)
               .run();
  }
  return done;
}

Status Database::write(std::span<const Change> changes) {
  if (changes.empty()) return Done{};
  const std::lock_guard lock(impl_->write_mutex);
  Impl::Writer& writer = impl_->writer;
  auto transaction = Transaction::begin(writer.connection);
  if (!transaction.ok()) return transaction.error();
  for (const Change& change : changes) {
    Status done = Done{};
    if (const auto* alert = std::get_if<alert::Alert>(&change)) {
      done = writer.put_alert(*alert);
    } else if (const auto* removed = std::get_if<RemovedAlert>(&change)) {
      done = writer.remove.bind(removed->id).run();
    } else {
      done = writer.put_checkpoint(std::get<ShardCheckpoint>(change));
    }
    if (!done.ok()) return done;
  }
  return transaction.value().commit();
}

Status Database::put(std::span<const alert::Alert> alerts) {
  if (alerts.empty()) return Done{};
  const std::lock_guard lock(impl_->write_mutex);
  Impl::Writer& writer = impl_->writer;
  auto transaction = Transaction::begin(writer.connection);
  if (!transaction.ok()) return transaction.error();
  for (const alert::Alert& alert : alerts) {
    Status done = writer.put_alert(alert);
    if (!done.ok()) return done;
  }
  return transaction.value().commit();
}

Result<std::vector<ShardCheckpoint>> Database::shard_checkpoints() const {
  const std::lock_guard lock(impl_->read_mutex);
  auto rows =
      impl_->reader.prepare("SELECT shard, position, state FROM shard_checkpoint ORDER BY shard");
  if (!rows.ok()) return rows.error();
  std::vector<ShardCheckpoint> shards;
  for (;;) {
    const auto has_row = rows.value().step();
    if (!has_row.ok()) return has_row.error();
    if (!has_row.value()) return shards;
    const std::span<const std::byte> state = rows.value().blob(2);
    shards.push_back({static_cast<std::uint32_t>(rows.value().integer(0)),
                      static_cast<std::uint64_t>(rows.value().integer(1)),
                      {state.begin(), state.end()},
                      {}});
  }
}

Status Database::each_stream_checkpoint(const std::function<Status(StreamCheckpoint)>& take) const {
  const std::lock_guard lock(impl_->read_mutex);
  auto rows = impl_->reader.prepare("SELECT stream, position, state FROM stream_checkpoint");
  if (!rows.ok()) return rows.error();
  for (;;) {
    const auto has_row = rows.value().step();
    if (!has_row.ok()) return has_row.error();
    if (!has_row.value()) return Done{};
    const std::span<const std::byte> state = rows.value().blob(2);
    Status taken = take({std::string(rows.value().text(0)),
                         static_cast<std::uint64_t>(rows.value().integer(1)),
                         {state.begin(), state.end()}});
    if (!taken.ok()) return taken;
  }
}

Status Database::replace_shards(std::span<const ShardCheckpoint> shards) {
  const std::lock_guard lock(impl_->write_mutex);
  Impl::Writer& writer = impl_->writer;
  auto transaction = Transaction::begin(writer.connection);
  if (!transaction.ok()) return transaction.error();
  Status done = writer.connection.run("DELETE FROM shard_checkpoint");
  for (const ShardCheckpoint& shard : shards) {
    if (done.ok()) done = writer.put_checkpoint(shard);
  }
  if (!done.ok()) return done;
  return transaction.value().commit();
}

Result<AlertPage> Database::find(const AlertQuery& query) const {
  const Result<Walk> walk = walk_of(query);
  if (!walk.ok()) return walk.error();

  const std::lock_guard lock(impl_->read_mutex);
  auto prepared = impl_->reader.prepare(select_of(query, walk.value()));
  if (!prepared.ok()) return prepared.error();
  Statement& rows = prepared.value();
  bind_query(rows, query, walk.value());

  AlertPage page;
  for (;;) {
    const auto has_row = rows.step();
    if (!has_row.ok()) return has_row.error();
    if (!has_row.value()) return page;
    if (page.alerts.size() == query.limit) break;
    auto alert = read_alert(rows, false);
    if (!alert.ok()) return with_path(impl_->reader.path(), alert.error());
    page.alerts.push_back(std::move(alert).value());
  }
  page.next = print_cursor(page.alerts.back());
  return page;
}

Result<std::optional<alert::Alert>> Database::get(const std::string& id) const {
  const std::lock_guard lock(impl_->read_mutex);
  auto prepared = impl_->reader.prepare("SELECT " + std::string(kAlertColumns) +
                                        ", a.context FROM alert AS a WHERE a.id = ?");
  if (!prepared.ok()) return prepared.error();
  Statement& row = prepared.value();
  const auto found = row.bind(id).step();
  if (!found.ok()) return found.error();
  if (!found.value()) return std::optional<alert::Alert>();
  auto alert = read_alert(row, true);
  if (!alert.ok()) return with_path(impl_->reader.path(), alert.error());
  return std::optional(std::move(alert).value());
}

Result<std::size_t> Database::close_open_alerts(const std::string& reason,
                                                std::span<const std::string> kept) {
  const std::lock_guard lock(impl_->write_mutex);
  Connection& connection = impl_->writer.connection;
  auto transaction = Transaction::begin(connection);
  if (!transaction.ok()) return transaction.error();
  const Status made = connection.run(
      "CREATE TEMP TABLE IF NOT EXISTS kept (id TEXT PRIMARY KEY) WITHOUT ROWID;"
      "DELETE FROM kept");
  if (!made.ok()) return made.error();
  auto keep = connection.prepare("INSERT OR IGNORE INTO kept (id) VALUES (?)");
  if (!keep.ok()) return keep.error();
  for (const std::string& id : kept) {
    const Status done = keep.value().bind(id).run();
    if (!done.ok()) return done.error();
  }
  const Status cancelled =
      connection.run("DELETE FROM alert WHERE state = 0 AND id NOT IN (SELECT id FROM kept)");
  if (!cancelled.ok()) return cancelled.error();
  auto resolve = connection.prepare(
      "UPDATE alert SET state = 2, resolved_ns = end_ns, end_reason = ? "
      "WHERE state = 1 AND id NOT IN (SELECT id FROM kept)");
  if (!resolve.ok()) return resolve.error();
  const Status resolved = resolve.value().bind(reason).run();
  if (!resolved.ok()) return resolved.error();
  const std::size_t count = connection.changes();
  const Status committed = transaction.value().commit();
  if (!committed.ok()) return committed.error();
  return count;
}

Status Database::remove(const std::string& id) {
  const std::lock_guard lock(impl_->write_mutex);
  return impl_->writer.remove.bind(id).run();
}

Result<std::size_t> Database::prune(TimeNs time, std::size_t most) {
  std::size_t pruned = 0;
  while (pruned < most) {
    const std::size_t step = std::min(most - pruned, kPruneStep);
    const std::lock_guard lock(impl_->write_mutex);
    const Status done = impl_->writer.prune.bind(time).bind(static_cast<std::int64_t>(step)).run();
    if (!done.ok()) return done.error();
    const std::size_t count = impl_->writer.connection.changes();
    pruned += count;
    if (count < step) break;
  }
  return pruned;
}

Result<std::size_t> Database::count() const {
  const std::lock_guard lock(impl_->read_mutex);
  const auto found = impl_->reader.integer("SELECT count(*) FROM alert");
  if (!found.ok()) return found.error();
  return static_cast<std::size_t>(found.value());
}

}  // namespace anomalyd::store

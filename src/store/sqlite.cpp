#include "store/sqlite.h"

#include <sqlite3.h>

#include <limits>

namespace anomalyd::store {
namespace {

ErrorCode code_of(int code) {
  switch (code & 0xff) {  // the primary code of an extended one
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return ErrorCode::kCorrupt;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
      return ErrorCode::kInvalidArgument;
    default:
      return ErrorCode::kUnavailable;
  }
}

Error make_error(const std::string& path, int code, const char* message) {
  std::string text = path + ": " + message;
  // sqlite3_errmsg() of an I/O error says no more than that; the extended code tells which.
  if ((code & ~0xff) != 0) text += " (SQLite code " + std::to_string(code) + ")";
  return Error{code_of(code), std::move(text)};
}

}  // namespace

void Statement::Finalizer::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

Status Statement::error(int code) const {
  return make_error(path_, code, sqlite3_errmsg(sqlite3_db_handle(statement_.get())));
}

Statement& Statement::bind(std::int64_t value) {
  const int code = sqlite3_bind_int64(statement_.get(), ++bound_, value);
  if (bind_error_ == SQLITE_OK) bind_error_ = code;
  return *this;
}

Statement& Statement::bind(double value) {
  const int code = sqlite3_bind_double(statement_.get(), ++bound_, value);
  if (bind_error_ == SQLITE_OK) bind_error_ = code;
  return *this;
}

Statement& Statement::bind(std::string_view text) {
  // A null pointer would bind NULL. No destructor: what is bound outlives its use.
  const int code =
      sqlite3_bind_text64(statement_.get(), ++bound_, text.data() == nullptr ? "" : text.data(),
                          text.size(), nullptr, SQLITE_UTF8);
  if (bind_error_ == SQLITE_OK) bind_error_ = code;
  return *this;
}

Statement& Statement::bind(std::span<const std::byte> blob) {
  const void* data = blob.data();
  const int code = sqlite3_bind_blob64(statement_.get(), ++bound_, data == nullptr ? "" : data,
                                       blob.size(), nullptr);
  if (bind_error_ == SQLITE_OK) bind_error_ = code;
  return *this;
}

Result<bool> Statement::step() {
  if (bind_error_ != SQLITE_OK) return error(bind_error_).error();
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return error(code).error();
}

Status Statement::run() {
  const StatementUse use(*this);
  for (;;) {
    const Result<bool> row = step();
    if (!row.ok()) return row.error();
    if (!row.value()) return Done{};
  }
}

void Statement::reset() {
  // Its code repeats the error of the step before, which step() gave already.
  static_cast<void>(sqlite3_reset(statement_.get()));
  static_cast<void>(sqlite3_clear_bindings(statement_.get()));
  bound_ = 0;
  bind_error_ = SQLITE_OK;
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

double Statement::real(int column) const {
  if (sqlite3_column_type(statement_.get(), column) == SQLITE_NULL) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  return sqlite3_column_double(statement_.get(), column);
}

std::string_view Statement::text(int column) const {
  // The text first: asking for the bytes before could convert in between.
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return data == nullptr ? std::string_view() : std::string_view(data, static_cast<size_t>(size));
}

std::span<const std::byte> Statement::blob(int column) const {
  const auto* data = static_cast<const std::byte*>(sqlite3_column_blob(statement_.get(), column));
  const int size = sqlite3_column_bytes(statement_.get(), column);
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(size)};
}

void Connection::Closer::operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }

Result<Connection> Connection::open(const std::string& path) {
  Connection connection;
  connection.path_ = path;
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(
      path.c_str(), &raw,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
      nullptr);
  connection.connection_.reset(raw);  // there is one to close even after a failure
  if (code != SQLITE_OK) {
    return make_error(path, code, raw == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(raw));
  }
  sqlite3_busy_timeout(raw, 5000);
  return connection;
}

Result<Statement> Connection::prepare(std::string_view sql) {
  sqlite3_stmt* raw = nullptr;
  const int code = sqlite3_prepare_v2(connection_.get(), sql.data(), static_cast<int>(sql.size()),
                                      &raw, nullptr);
  if (code != SQLITE_OK) return make_error(path_, code, sqlite3_errmsg(connection_.get()));
  Statement statement;
  statement.statement_.reset(raw);
  statement.path_ = path_;
  return statement;
}

Status Connection::run(const std::string& sql) {
  const int code = sqlite3_exec(connection_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return make_error(path_, code, sqlite3_errmsg(connection_.get()));
  return Done{};
}

Result<std::int64_t> Connection::integer(std::string_view sql) {
  Result<Statement> statement = prepare(sql);
  if (!statement.ok()) return statement.error();
  const Result<bool> row = statement.value().step();
  if (!row.ok()) return row.error();
  return row.value() ? statement.value().integer(0) : 0;
}

Result<std::string> Connection::text(std::string_view sql) {
  Result<Statement> statement = prepare(sql);
  if (!statement.ok()) return statement.error();
  const Result<bool> row = statement.value().step();
  if (!row.ok()) return row.error();
  return row.value() ? std::string(statement.value().text(0)) : std::string();
}

std::size_t Connection::changes() const {
  return static_cast<std::size_t>(sqlite3_changes64(connection_.get()));
}

bool Connection::in_transaction() const { return sqlite3_get_autocommit(connection_.get()) == 0; }

Result<Transaction> Transaction::begin(Connection& connection) {
  const Status begun = connection.run("BEGIN IMMEDIATE");
  if (!begun.ok()) return begun.error();
  return Transaction(connection);
}

Transaction::~Transaction() {
  // A full disk may have rolled it back already.
  if (connection_ != nullptr && connection_->in_transaction()) {
    static_cast<void>(connection_->run("ROLLBACK"));
  }
}

Status Transaction::commit() {
  Status committed = connection_->run("COMMIT");
  if (committed.ok()) connection_ = nullptr;
  return committed;
}

}  // namespace anomalyd::store

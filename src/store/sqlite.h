#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace anomalyd::store {

/// A prepared statement. Bind in order, step, reset; errors of binding come out of step().
///
/// Threads   those of its connection.
class Statement {
 public:
  Statement() = default;

  /// What is bound must outlive the next reset().
  Statement& bind(std::int64_t value);
  Statement& bind(double value);  ///< NaN as NULL: SQLite has none
  Statement& bind(std::string_view text);
  Statement& bind(std::span<const std::byte> blob);

  /// True: there is a row. False: done.
  Result<bool> step();
  /// Steps to the end and resets.
  Status run();
  void reset();

  std::int64_t integer(int column) const;
  double real(int column) const;                      ///< NaN for NULL
  std::string_view text(int column) const;            ///< until the next step
  std::span<const std::byte> blob(int column) const;  ///< until the next step

 private:
  friend class Connection;
  struct Finalizer {
    void operator()(sqlite3_stmt* statement) const;
  };
  Status error(int code) const;

  std::unique_ptr<sqlite3_stmt, Finalizer> statement_;
  std::string path_;
  int bound_ = 0;
  int bind_error_ = 0;
};

/// Resets a statement that is kept for later, so that it holds neither locks nor bindings.
class StatementUse {
 public:
  explicit StatementUse(Statement& statement) : statement_(statement) {}
  ~StatementUse() { statement_.reset(); }
  StatementUse(const StatementUse&) = delete;
  StatementUse& operator=(const StatementUse&) = delete;

 private:
  Statement& statement_;
};

/// One connection to one SQLite file.
///
/// Errors    kCorrupt for a file that is no database or is damaged, kInvalidArgument for a value
///           that the schema does not take, else kUnavailable: disk, locks, permissions. The
///           message has the path and SQLite's own words.
/// Threads   one at a time.
class Connection {
 public:
  /// Waits up to 5 s for other processes' locks. Does not read the file yet.
  static Result<Connection> open(const std::string& path);

  Result<Statement> prepare(std::string_view sql);
  /// Runs one or several statements without parameters.
  Status run(const std::string& sql);
  /// The first column of the first row.
  Result<std::int64_t> integer(std::string_view sql);
  Result<std::string> text(std::string_view sql);
  /// Rows that the last statement inserted, changed or deleted.
  std::size_t changes() const;
  const std::string& path() const { return path_; }

 private:
  friend class Transaction;
  struct Closer {
    void operator()(sqlite3* connection) const;
  };
  Connection() = default;
  bool in_transaction() const;

  std::string path_;
  std::unique_ptr<sqlite3, Closer> connection_;
};

/// Rolls back unless committed.
class Transaction {
 public:
  /// Takes the write lock at once, so that no later statement can fail to get it.
  static Result<Transaction> begin(Connection& connection);
  Transaction(Transaction&& other) noexcept
      : connection_(std::exchange(other.connection_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();
  Status commit();

 private:
  explicit Transaction(Connection& connection) : connection_(&connection) {}
  Connection* connection_;
};

}  // namespace anomalyd::store

#pragma once

#include <sqlite3.h>

#include <filesystem>

#include "support/catch.h"

namespace anomalyd::testing {

/// Keeps all others from writing to a SQLite file for as long as it lives.
class SqliteLock {
 public:
  explicit SqliteLock(const std::filesystem::path& path) {
    REQUIRE(sqlite3_open(path.c_str(), &connection_) == SQLITE_OK);
    sqlite3_busy_timeout(connection_, 5000);
    REQUIRE(sqlite3_exec(connection_, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
  }
  ~SqliteLock() { sqlite3_close(connection_); }
  SqliteLock(const SqliteLock&) = delete;
  SqliteLock& operator=(const SqliteLock&) = delete;

 private:
  sqlite3* connection_ = nullptr;
};

}  // namespace anomalyd::testing

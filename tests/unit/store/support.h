#pragma once

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>
#include <string>

#include "alert/alert.h"
#include "store/database.h"
#include "support/catch.h"

namespace anomalyd::store {

/// A folder of its own for each test, gone at its end.
class Folder {
 public:
  Folder() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "anomalyd-store-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::filesystem::path operator/(const char* name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

inline std::unique_ptr<Database> open_database(const std::filesystem::path& path) {
  auto opened = Database::open(path);
  INFO((opened.ok() ? "" : opened.error().message));
  REQUIRE(opened.ok());
  return std::move(opened).value();
}

inline alert::Alert make_alert(const std::string& name, TimeNs start,
                               alert::AlertState state = alert::AlertState::kFiring,
                               std::vector<Label> labels = {}) {
  alert::Alert alert;
  alert.stream = StreamKey::make(name, std::move(labels)).value();
  alert.start = start;
  alert.end =
      start > std::numeric_limits<TimeNs>::max() - kNsPerSecond ? start : start + kNsPerSecond;
  alert.domain = "pumps";
  alert.detector = "bearing";
  alert.detector_version = "0123456789ab";
  alert.state = state;
  alert.id = alert::alert_id(alert.stream.text(), start, alert.detector);
  return alert;
}

inline Status put(Database& database, const alert::Alert& alert) {
  return database.put(std::span(&alert, 1));
}

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace anomalyd::store

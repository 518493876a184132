#pragma once

#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "support/catch.h"

namespace anomalyd::testing {

/// A folder of its own, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "anomalyctl-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string write(const std::string& name, std::string_view text) const {
    const std::filesystem::path file = path_ / name;
    std::ofstream(file, std::ios::binary) << text;
    return file.string();
  }

 private:
  std::filesystem::path path_;
};

/// Two channels at 100 Hz with jittered stamps, a gap of ten seconds in the middle, and values
/// that need all nine digits.
inline std::string wavy_csv(int rows) {
  std::string text = "time,ax,ay\n";
  for (int i = 0; i < rows; ++i) {
    const double time = 1000 + i * 0.01 + (i >= rows / 2 ? 10 : 0) + (i % 7 - 3) * 1e-4;
    char line[120];
    std::snprintf(line, sizeof line, "%.9f,%.9g,%.9g\n", time, std::sin(i * 0.7) / 3,
                  std::cos(i * 0.31) * 1e-5);
    text += line;
  }
  return text;
}

}  // namespace anomalyd::testing

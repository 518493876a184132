#include <algorithm>
#include <array>

#include "evaluate/readers.h"

namespace anomalyd::evaluate {
namespace {

// UCR's own tolerance: this long before the labelled range nothing counts as normal.
constexpr std::size_t kUcrGuard = 100;

/// Keeps the first `samples` of a series, all of them normal, of which `train` are learned from.
void keep(Series& series, std::size_t samples, std::size_t train) {
  series.values.resize(samples * series.channels.size());
  series.truth.assign(samples, 0);
  if (!series.times.empty()) series.times.resize(samples);
  series.events.clear();
  series.changes.clear();
  series.train = train;
}

/// Each file of which `is_normal` holds, wholly normal; a quarter, or what `train` says, is learned
/// from.
template <class IsNormal>
Result<Dataset> read_files(const std::filesystem::path& folder, const ColumnRoles& roles,
                           const IsNormal& is_normal, std::size_t (*train)(std::size_t samples)) {
  const auto files = files_below(folder, ".csv");
  if (!files.ok()) return files.error();
  Dataset dataset;
  for (const std::filesystem::path& path : files.value()) {
    if (!is_normal(path)) continue;
    Result<Series> read = read_series(path, roles);
    if (!read.ok()) return read.error();
    read.value().name = name_below(path, folder);
    keep(read.value(), read.value().samples(), train(read.value().samples()));
    dataset.series.push_back(std::move(read).value());
  }
  return dataset;
}

bool name_starts(const std::filesystem::path& path, std::string_view text) {
  return path.filename().string().starts_with(text);
}

ColumnRoles with_label() {
  ColumnRoles roles;
  roles.label = "label";
  roles.label_needed = false;
  return roles;
}

std::size_t half(std::size_t samples) { return samples / 2; }
std::size_t quarter(std::size_t samples) { return samples / 4; }
std::size_t first_rows(std::size_t samples) { return std::min(samples, kSkabTrainRows); }

/// Each series up to its anomaly.
Result<Dataset> ucr(const std::filesystem::path& folder) {
  ReadOptions options;
  options.data = folder;
  Result<Dataset> read = read_ucr(options);
  if (!read.ok()) return read;
  std::vector<Series> normal;
  for (Series& series : read.value().series) {
    const std::size_t begin = series.events.front().begin;
    if (begin <= series.train + kUcrGuard) continue;
    keep(series, begin - kUcrGuard, series.train);
    normal.push_back(std::move(series));
  }
  read.value().series = std::move(normal);
  return read;
}

/// The files without a window.
Result<Dataset> nab(const std::filesystem::path& folder) {
  ReadOptions options;
  options.data = folder;
  Result<Dataset> read = read_nab(options);
  if (!read.ok()) return read;
  std::erase_if(read.value().series, [](const Series& series) { return !series.events.empty(); });
  return read;
}

Result<Dataset> skab(const std::filesystem::path& folder) {
  ColumnRoles roles;
  roles.time = "datetime";
  return read_files(
      folder, roles, [](const auto& path) { return name_starts(path, "anomaly-free"); },
      first_rows);
}

/// The train parts of pairs.
Result<Dataset> pairs(const std::filesystem::path& folder) {
  return read_files(
      folder, with_label(),
      [](const auto& path) { return path.filename().string().ends_with("_train.csv"); }, half);
}

Result<Dataset> cwru(const std::filesystem::path& folder) {
  return read_files(
      folder, with_label(), [](const auto& path) { return name_starts(path, "normal"); }, quarter);
}

Result<Dataset> uestc(const std::filesystem::path& folder) {
  return read_files(
      folder, with_label(), [](const auto& path) { return name_starts(path, "N_"); }, quarter);
}

struct Part {
  std::string_view folder;
  Result<Dataset> (*read)(const std::filesystem::path& folder);
};
constexpr std::array<Part, 7> kParts{{{"cwru", cwru},
                                      {"msl", pairs},
                                      {"nab", nab},
                                      {"skab", skab},
                                      {"smd", pairs},
                                      {"ucr", ucr},
                                      {"uestc_bearing", uestc}}};

}  // namespace

Result<Dataset> read_calibration(const ReadOptions& options) {
  Dataset dataset;
  std::string known;
  for (const Part& part : kParts) {
    known += (known.empty() ? "" : ", ") + std::string(part.folder);
    const std::filesystem::path folder = options.data / part.folder;
    std::error_code failed;
    if (!std::filesystem::is_directory(folder, failed)) continue;
    Result<Dataset> read = part.read(folder);
    if (!read.ok()) return read;
    for (Series& series : read.value().series) {
      series.name = std::string(part.folder) + "/" + series.name;
      dataset.series.push_back(std::move(series));
    }
  }
  if (dataset.series.empty()) {
    return Error{ErrorCode::kNotFound, options.data.string() +
                                           ": no normal recordings in it; expected one or more of "
                                           "the folders " +
                                           known};
  }
  return dataset;
}

}  // namespace anomalyd::evaluate

#include <algorithm>
#include <nlohmann/json.hpp>

#include "evaluate/nab.h"
#include "evaluate/readers.h"

namespace anomalyd::evaluate {
namespace {

using Json = nlohmann::json;

Error bad(const std::filesystem::path& path, const std::string& what) {
  return Error{ErrorCode::kInvalidArgument, path.string() + ": " + what};
}

/// The windows of one file, as rows.
Result<std::vector<Span>> windows_of(const Json& list, const Series& series,
                                     const std::filesystem::path& labels) {
  std::vector<Span> windows;
  const std::string where = "\"" + series.name + "\"";
  if (!list.is_array()) return bad(labels, where + ": expected a list of windows");
  const auto row_of = [&](const Json& stamp) -> std::optional<std::size_t> {
    if (!stamp.is_string()) return std::nullopt;
    const auto time = parse_time(stamp.get_ref<const std::string&>());
    if (!time) return std::nullopt;
    // The first row of that time, as NAB takes it: some files repeat an hour.
    const auto found = std::find(series.times.begin(), series.times.end(), *time);
    if (found == series.times.end()) return std::nullopt;
    return static_cast<std::size_t>(found - series.times.begin());
  };
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string which = where + ", window " + std::to_string(i);
    if (!list[i].is_array() || list[i].size() != 2) {
      return bad(labels, which + ": expected [first, last]");
    }
    const auto first = row_of(list[i][0]);
    const auto last = row_of(list[i][1]);
    if (!first || !last) {
      return bad(labels,
                 which + ": expected two times of rows of the file, got " +
                     list[i].dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 120));
    }
    if (*last < *first || (!windows.empty() && *first < windows.back().end)) {
      return bad(labels, which + ": expected windows in order that do not overlap");
    }
    windows.push_back({*first, *last + 1});
  }
  return windows;
}

}  // namespace

Result<Dataset> read_nab(const ReadOptions& options) {
  const std::filesystem::path labels = options.data / "labels" / "combined_windows.json";
  const std::filesystem::path data = options.data / "data";
  const Result<std::string> text = read_whole(labels);
  if (!text.ok()) return text.error();
  const Json windows = Json::parse(text.value(), nullptr, false);
  if (!windows.is_object()) return bad(labels, "expected a JSON object of files and their windows");
  const auto files = files_below(data, ".csv");
  if (!files.ok()) return files.error();
  Dataset dataset;
  for (const std::filesystem::path& path : files.value()) {
    ColumnRoles roles;
    roles.time = "timestamp";
    Result<Series> read = read_series(path, roles);
    if (!read.ok()) return read.error();
    Series& series = read.value();
    series.name = name_below(path, data);
    const auto found = windows.find(series.name);
    if (found == windows.end()) return bad(labels, "no windows for \"" + series.name + "\"");
    Result<std::vector<Span>> spans = windows_of(*found, series, labels);
    if (!spans.ok()) return spans.error();
    series.events = std::move(spans).value();
    for (const Span& window : series.events) {
      std::fill(series.truth.begin() + static_cast<std::ptrdiff_t>(window.begin),
                series.truth.begin() + static_cast<std::ptrdiff_t>(window.end), 1);
    }
    series.train = nab_probation(series.samples());
    dataset.series.push_back(std::move(series));
  }
  return dataset;
}

}  // namespace anomalyd::evaluate

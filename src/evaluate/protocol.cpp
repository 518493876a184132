#include "evaluate/protocol.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/stream_key.h"
#include "evaluate/readers.h"

namespace anomalyd::evaluate {
namespace {

constexpr std::array<Protocol, 6> kProtocols{{
    {"skab", ProtocolKind::kSkab, "SKAB's data/: folders of *.csv with anomaly and changepoint",
     read_skab},
    {"nab", ProtocolKind::kNab, "NAB's data/ and labels/combined_windows.json", read_nab},
    {"ucr", ProtocolKind::kUcr, "*_UCR_Anomaly_NAME_TRAINEND_BEGIN_END.txt", read_ucr},
    {"csv", ProtocolKind::kCsv, "pairs NAME_train.csv and NAME_test.csv, the latter with a label",
     read_csv},
    {"recordings", ProtocolKind::kRecordings,
     "*.csv, normal and faulty ones told by their names; of the normal ones every other trains",
     read_recordings},
    {"calibration", ProtocolKind::kCalibration,
     "folders ucr, nab, skab, smd, msl, cwru, uestc_bearing, or some of them: their normal parts",
     read_calibration},
}};

constexpr std::array<std::string_view, 5> kTimeColumns{"time", "timestamp", "datetime", "ts",
                                                       "date"};

/// Where a table's columns go.
struct Columns {
  std::optional<std::size_t> time, label, change;
  std::vector<std::size_t> channels;
};

Result<Columns> find_columns(const TextTable& table, const ColumnRoles& roles,
                             std::vector<std::string>& names) {
  Columns columns;
  if (roles.time.empty()) {
    for (const std::string_view name : kTimeColumns) {
      if (!columns.time) columns.time = table.find(name);
    }
  }
  struct Role {
    const std::string& name;
    bool needed;
    std::optional<std::size_t>& column;
  };
  for (const Role& role :
       {Role{roles.time, true, columns.time}, Role{roles.label, roles.label_needed, columns.label},
        Role{roles.change, true, columns.change}}) {
    if (role.name.empty()) continue;
    role.column = table.find(role.name);
    if (!role.column && role.needed) return table.need(role.name).error();
  }
  for (std::size_t i = 0; i < table.columns().size(); ++i) {
    const std::string& column = table.columns()[i];
    if (i == columns.time || i == columns.label || i == columns.change ||
        std::find(roles.ignored.begin(), roles.ignored.end(), column) != roles.ignored.end()) {
      continue;
    }
    if (!name_is_valid(column)) return table.bad("'" + column + "' cannot name a channel");
    columns.channels.push_back(i);
    names.push_back(column);
  }
  if (names.empty() || names.size() > kMaxSeriesChannels) {
    return table.bad(std::to_string(names.size()) + " channels, expected 1 to " +
                     std::to_string(kMaxSeriesChannels));
  }
  return columns;
}

/// Appends the table's row to the series.
Status read_row(const TextTable& table, const Columns& columns, Series& series) {
  for (const std::size_t channel : columns.channels) {
    const Result<float> value = table.number(channel);
    if (!value.ok()) return value.error();
    series.values.push_back(value.value());
  }
  if (columns.time) {
    const Result<TimeNs> stamp = table.time(*columns.time);
    if (!stamp.ok()) return stamp.error();
    series.times.push_back(stamp.value());
  }
  if (columns.change) {
    const Result<bool> mark = table.flag(*columns.change);
    if (!mark.ok()) return mark.error();
    if (mark.value()) series.changes.push_back(series.truth.size());
  }
  bool anomalous = false;
  if (columns.label) {
    const Result<bool> mark = table.flag(*columns.label);
    if (!mark.ok()) return mark.error();
    anomalous = mark.value();
  }
  series.truth.push_back(anomalous ? 1 : 0);
  return Done{};
}

}  // namespace

std::span<const Protocol> protocols() { return kProtocols; }

Result<const Protocol*> find_protocol(std::string_view name) {
  std::string known;
  for (const Protocol& protocol : kProtocols) {
    if (protocol.name == name) return &protocol;
    known += (known.empty() ? "" : ", ") + std::string(protocol.name);
  }
  return Error{ErrorCode::kInvalidArgument,
               "no protocol '" + std::string(name) + "'; expected one of: " + known};
}

Result<Dataset> read_dataset(const Protocol& protocol, const ReadOptions& options) {
  Result<Dataset> read = protocol.read(options);
  if (!read.ok()) return read;
  Dataset& dataset = read.value();
  const std::size_t n = dataset.series.size();
  if (options.limit == 0 || options.limit >= n) return read;
  // Evenly over the names, so that a part has something of each kind of file.
  std::vector<Series> kept;
  for (std::size_t i = 0; i < options.limit; ++i) {
    kept.push_back(std::move(dataset.series[i * n / options.limit]));
  }
  dataset.series = std::move(kept);
  return read;
}

bool matches(std::string_view name, std::string_view pattern) {
  std::size_t n = 0;
  std::size_t p = 0;
  std::size_t star = std::string_view::npos;  // the last '*', and what it stands for so far
  std::size_t taken = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++taken;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

Result<std::vector<std::filesystem::path>> files_below(const std::filesystem::path& folder,
                                                       std::string_view extension) {
  std::error_code failed;
  std::filesystem::recursive_directory_iterator walk(
      folder, std::filesystem::directory_options::skip_permission_denied, failed);
  if (failed) return Error{ErrorCode::kNotFound, folder.string() + ": " + failed.message()};
  std::vector<std::filesystem::path> files;
  for (const std::filesystem::recursive_directory_iterator end; walk != end;
       walk.increment(failed)) {
    std::error_code unknown;
    if (walk->is_regular_file(unknown) && walk->path().extension() == extension) {
      files.push_back(walk->path());
    }
  }
  // An increment that fails also ends the walk: half a list must not pass for the whole.
  if (failed) return Error{ErrorCode::kUnavailable, folder.string() + ": " + failed.message()};
  if (files.empty()) {
    return Error{ErrorCode::kNotFound,
                 folder.string() + ": no *" + std::string(extension) + " in it"};
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string name_below(const std::filesystem::path& path, const std::filesystem::path& folder) {
  return path.lexically_relative(folder).generic_string();
}

double median_step(const std::vector<TimeNs>& times) {
  std::vector<TimeNs> steps;
  for (std::size_t i = 1; i < times.size(); ++i) steps.push_back(times[i] - times[i - 1]);
  if (steps.empty()) return 0;
  const auto middle = steps.begin() + static_cast<std::ptrdiff_t>(steps.size() / 2);
  std::nth_element(steps.begin(), middle, steps.end());
  return *middle > 0 ? static_cast<double>(*middle) / static_cast<double>(kNsPerSecond) : 0;
}

Result<Series> read_series(const std::filesystem::path& path, const ColumnRoles& roles) {
  Result<TextTable> opened = TextTable::open(path);
  if (!opened.ok()) return opened.error();
  return read_series(opened.value(), roles);
}

Result<Series> read_series(TextTable& table, const ColumnRoles& roles) {
  Series series;
  const Result<Columns> columns = find_columns(table, roles, series.channels);
  if (!columns.ok()) return columns.error();
  while (true) {
    const Result<bool> more = table.next();
    if (!more.ok()) return more.error();
    if (!more.value()) break;
    if (const Status read = read_row(table, columns.value(), series); !read.ok()) {
      return read.error();
    }
  }
  if (series.truth.empty()) return table.bad("expected rows of samples, there are none");
  series.sample_seconds = median_step(series.times);
  series.events = spans_of(series.truth);
  return series;
}

}  // namespace anomalyd::evaluate

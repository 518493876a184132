#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "evaluate/protocol.h"
#include "evaluate/text_table.h"

namespace anomalyd::evaluate {

Result<Dataset> read_skab(const ReadOptions& options);
Result<Dataset> read_nab(const ReadOptions& options);
Result<Dataset> read_ucr(const ReadOptions& options);
Result<Dataset> read_csv(const ReadOptions& options);
Result<Dataset> read_recordings(const ReadOptions& options);
/// The normal parts of the other benchmarks, each in a folder of its name.
Result<Dataset> read_calibration(const ReadOptions& options);

inline constexpr std::size_t kSkabTrainRows = 400;
inline constexpr std::size_t kMaxSeriesChannels = 256;

/// The regular files below `folder` whose names end in `extension`, by path. Symbolic links are not
/// followed.
/// Errors   kNotFound when there is no such folder, or none of them in it; kUnavailable when the
///          walk breaks off.
Result<std::vector<std::filesystem::path>> files_below(const std::filesystem::path& folder,
                                                       std::string_view extension);

/// The path below `folder` with '/' between folders.
std::string name_below(const std::filesystem::path& path, const std::filesystem::path& folder);

/// How a table's columns become a series.
struct ColumnRoles {
  std::string time;                  ///< empty: the first of time, timestamp, datetime, ts, date
  std::vector<std::string> ignored;  ///< neither channels nor roles
  std::string label;                 ///< truth; empty: all normal
  std::string change;                ///< changes; empty: none
  bool label_needed = true;          ///< refuse a table without the label column
};

/// Errors   the table's; kInvalidArgument for no channels, more than kMaxSeriesChannels, no rows.
Result<Series> read_series(const std::filesystem::path& path, const ColumnRoles& roles);
Result<Series> read_series(TextTable& table, const ColumnRoles& roles);

/// A file of the UCR archive: its text, and its path, whose name says where it trains and where its
/// anomaly is.  Errors  kInvalidArgument "file:line: what".
Result<Series> parse_ucr(const std::string& text, const std::filesystem::path& path);

/// Gives each of `all`, which are named as in the labels, the events, truth and train part that
/// NAB's combined_windows.json has for it. `labels` is that file's path, for messages.
/// Errors   kInvalidArgument for text that is not as published, or has no windows for one of them.
Status put_nab_labels(const std::string& text, const std::filesystem::path& labels,
                      std::vector<Series>& all);

/// The median of the distances between times, in seconds; 0 when it is not above 0.
double median_step(const std::vector<TimeNs>& times);

}  // namespace anomalyd::evaluate

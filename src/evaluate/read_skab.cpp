#include "evaluate/readers.h"

namespace anomalyd::evaluate {

Result<Dataset> read_skab(const ReadOptions& options) {
  // A clone has the files below data/; the published archive has its folders at the top.
  std::filesystem::path folder = options.data;
  std::error_code failed;
  if (std::filesystem::is_directory(folder / "data", failed)) folder /= "data";
  const auto files = files_below(folder, ".csv");
  if (!files.ok()) return files.error();
  ColumnRoles roles;
  roles.time = "datetime";
  roles.label = "anomaly";
  roles.change = "changepoint";
  Dataset dataset;
  for (const std::filesystem::path& path : files.value()) {
    const std::string name = name_below(path, folder);
    if (name.find("anomaly-free") != std::string::npos) continue;
    Result<Series> read = read_series(path, roles);
    if (!read.ok()) return read.error();
    Series& series = read.value();
    if (series.samples() <= kSkabTrainRows) {
      return Error{ErrorCode::kInvalidArgument, path.string() + ": " +
                                                    std::to_string(series.samples()) +
                                                    " rows, expected more than the " +
                                                    std::to_string(kSkabTrainRows) + " that train"};
    }
    for (std::size_t i = 1; i < series.samples(); ++i) {
      if (series.times[i] >= series.times[i - 1]) continue;
      return Error{ErrorCode::kInvalidArgument, path.string() + ": row " + std::to_string(i + 1) +
                                                    ": expected a datetime that is not before the "
                                                    "row above, got " +
                                                    to_rfc3339(series.times[i])};
    }
    series.name = name;
    series.train = kSkabTrainRows;
    dataset.series.push_back(std::move(series));
  }
  if (dataset.series.empty()) {
    return Error{ErrorCode::kNotFound, folder.string() + ": only anomaly-free files in it"};
  }
  return dataset;
}

}  // namespace anomalyd::evaluate

#include <algorithm>

#include "evaluate/readers.h"

namespace anomalyd::evaluate {
namespace {

constexpr std::string_view kTrain = "_train.csv";
constexpr std::string_view kTest = "_test.csv";

Error refuse(const std::filesystem::path& path, const std::string& what) {
  return Error{ErrorCode::kInvalidArgument, path.string() + ": " + what};
}

ColumnRoles with_label(bool needed) {
  ColumnRoles roles;
  roles.label = "label";
  roles.label_needed = needed;
  return roles;
}

/// Samples begin..end-1 of a normal recording.
Series part_of(const Series& whole, std::size_t begin, std::size_t end) {
  Series part;
  part.name = whole.name;
  part.channels = whole.channels;
  part.sample_seconds = whole.sample_seconds;
  const auto width = static_cast<std::ptrdiff_t>(whole.channels.size());
  const auto first = static_cast<std::ptrdiff_t>(begin);
  const auto last = static_cast<std::ptrdiff_t>(end);
  part.values.assign(whole.values.begin() + first * width, whole.values.begin() + last * width);
  part.truth.assign(end - begin, 0);
  if (!whole.times.empty()) {
    part.times.assign(whole.times.begin() + first, whole.times.begin() + last);
  }
  return part;
}

/// The train file, then the test file, as one series.
Result<Series> read_pair(const std::filesystem::path& train_path,
                         const std::filesystem::path& test_path) {
  Result<Series> train = read_series(train_path, with_label(false));
  if (!train.ok()) return train;
  Result<Series> test = read_series(test_path, with_label(true));
  if (!test.ok()) return test;
  Series& all = train.value();
  Series& rest = test.value();
  if (all.channels != rest.channels) {
    return refuse(test_path, "expected the channels of " + train_path.string());
  }
  if (!all.events.empty()) {
    return refuse(train_path, "expected normal samples, but sample " +
                                  std::to_string(all.events[0].begin) + " is labelled anomalous");
  }
  all.train = all.samples();
  all.values.insert(all.values.end(), rest.values.begin(), rest.values.end());
  all.truth.insert(all.truth.end(), rest.truth.begin(), rest.truth.end());
  all.events = spans_of(all.truth);
  all.times.clear();  // each file has a clock of its own
  all.sample_seconds = rest.sample_seconds;
  return train;
}

/// Every other normal recording trains, or half of the only one.
Dataset divide(std::vector<Series> normal, std::vector<Series> faulty) {
  Dataset dataset;
  dataset.series = std::move(faulty);
  if (normal.size() == 1) {
    const Series& only = normal.front();
    dataset.training.push_back(part_of(only, 0, only.samples() / 2));
    dataset.series.push_back(part_of(only, only.samples() / 2, only.samples()));
  } else {
    for (std::size_t i = 0; i < normal.size(); ++i) {
      (i % 2 == 0 ? dataset.training : dataset.series).push_back(std::move(normal[i]));
    }
  }
  for (Series& series : dataset.training) series.train = series.samples();
  std::sort(dataset.series.begin(), dataset.series.end(),
            [](const Series& a, const Series& b) { return a.name < b.name; });
  return dataset;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

Result<Dataset> read_csv(const ReadOptions& options) {
  const auto files = files_below(options.data, ".csv");
  if (!files.ok()) return files.error();
  Dataset dataset;
  for (const std::filesystem::path& path : files.value()) {
    const std::string text = path.string();
    if (!text.ends_with(kTest)) continue;
    const std::string stem = text.substr(0, text.size() - kTest.size());
    Result<Series> series = read_pair(stem + std::string(kTrain), path);
    if (!series.ok()) return series.error();
    series.value().name = name_below(stem, options.data);
    dataset.series.push_back(std::move(series).value());
  }
  if (dataset.series.empty()) {
    return Error{ErrorCode::kNotFound,
                 options.data.string() + ": no *" + std::string(kTest) + " in it"};
  }
  return dataset;
}

Result<Dataset> read_recordings(const ReadOptions& options) {
  const auto files = files_below(options.data, ".csv");
  if (!files.ok()) return files.error();
  std::vector<Series> normal_series;
  std::vector<Series> faulty_series;
  std::vector<std::string> channels;
  for (const std::filesystem::path& path : files.value()) {
    const std::string name = name_below(path, options.data);
    const bool normal = matches(name, options.normal);
    const bool faulty = matches(name, options.faulty);
    if (!normal && !faulty) continue;
    if (normal && faulty) {
      return refuse(path, "its name matches both '" + options.normal + "' and '" + options.faulty +
                              "', expected one of them");
    }
    ColumnRoles roles;
    roles.ignored = {"label"};  // another kind of truth: an activity, say
    Result<Series> read = read_series(path, roles);
    if (!read.ok()) return read.error();
    Series& series = read.value();
    if (channels.empty()) channels = series.channels;
    if (series.channels != channels) {
      return refuse(path, "columns " + joined(series.channels) +
                              ", expected those of the files before it: " + joined(channels));
    }
    series.name = name;
    if (faulty) {
      series.truth.assign(series.samples(), 1);
      series.events = {{0, series.samples()}};
    }
    (normal ? normal_series : faulty_series).push_back(std::move(series));
  }
  if (normal_series.empty() || faulty_series.empty()) {
    return Error{ErrorCode::kNotFound, options.data.string() + ": " +
                                           std::to_string(normal_series.size()) + " files match '" +
                                           options.normal + "' and " +
                                           std::to_string(faulty_series.size()) + " match '" +
                                           options.faulty + "', expected at least one of each"};
  }
  if (normal_series.size() == 1 && normal_series.front().samples() < 2) {
    return refuse(options.data / normal_series.front().name, "expected more than one sample");
  }
  return divide(std::move(normal_series), std::move(faulty_series));
}

}  // namespace anomalyd::evaluate

#include "app/ctl_recording.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <system_error>

#include "base/stream_key.h"
#include "base/text.h"

namespace anomalyd::app::ctl {
namespace {

namespace fs = std::filesystem;

Error refuse(std::string message) { return Error{ErrorCode::kInvalidArgument, std::move(message)}; }

bool has_value(std::span<const float> values) {
  return std::any_of(values.begin(), values.end(), [](float value) { return !std::isnan(value); });
}

/// Where in time a share of the recording ends.
TimeNs cut_at(TimeNs first, TimeNs last, double share) {
  // long double: stamps far apart differ by more than int64 holds, and a double would not be exact.
  const auto begin = static_cast<long double>(first);
  const auto length = static_cast<long double>(last) - begin;
  return static_cast<TimeNs>(begin + std::floor(length * static_cast<long double>(share)));
}

/// Reads all of `csv`; `times` are kept when they are asked for.
Status look_over(ingest::CsvReader& csv, Recording& recording, std::vector<TimeNs>* times) {
  recording.channels = csv.channels();
  std::vector<float> values(recording.channels.size());
  for (;;) {
    TimeNs time = 0;
    const Result<bool> row = csv.next(time, values);
    if (!row.ok()) return row.error();
    if (!row.value()) break;
    if (!has_value(values)) continue;
    const bool is_first = recording.samples++ == 0;
    recording.first = is_first ? time : std::min(recording.first, time);
    recording.last = is_first ? time : std::max(recording.last, time);
    if (times != nullptr) times->push_back(time);
  }
  if (recording.samples == 0) return refuse(recording.path + ": no row with a value");
  recording.earliest = recording.first;
  recording.latest = recording.last;
  return Done{};
}

/// Narrows what was counted of the whole recording to its share.
void count_share(Recording& recording, std::span<const TimeNs> times) {
  recording.samples = 0;
  recording.earliest = recording.last;
  recording.latest = recording.first;
  for (const TimeNs time : times) {
    if (time < recording.begin || time >= recording.end) continue;
    ++recording.samples;
    recording.earliest = std::min(recording.earliest, time);
    recording.latest = std::max(recording.latest, time);
  }
}

/// Collects what a Windower cuts.
class Collector final : public stream::WindowSink {
 public:
  explicit Collector(std::size_t window_samples) : window_samples_(window_samples) {}

  void on_window(stream::Windower& windower, TimeNs, TimeNs) override {
    const std::size_t size = window_samples_ * windower.channels().size();
    const std::size_t at = values_.size();
    values_.resize(at + size);
    const std::span<float> window = std::span(values_).subspan(at);
    windower.copy_window(window);
    if (std::any_of(window.begin(), window.end(), [](float v) { return std::isnan(v); })) {
      values_.resize(at);
      ++missing_;
    }
  }
  void on_gap(stream::Windower&) override {}

  nn::Matrix<float> take(std::size_t channels) {
    const std::size_t size = window_samples_ * channels;
    const std::size_t rows = size == 0 ? 0 : values_.size() / size;
    nn::Matrix<float> windows(static_cast<Eigen::Index>(rows), static_cast<Eigen::Index>(size));
    std::copy_n(values_.begin(), rows * size, windows.data());
    return windows;
  }
  std::size_t missing() const { return missing_; }

 private:
  const std::size_t window_samples_;
  std::vector<float> values_;
  std::size_t missing_ = 0;
};

}  // namespace

Status RecordingOptions::check() const {
  const auto unit = ingest::parse_time_unit(time_unit);
  if (!unit.ok()) return refuse("--time-unit: " + unit.error().message);
  if (rate_hz != 0 && !(rate_hz > 0 && rate_hz <= 1e9)) {
    return refuse("--rate-hz: expected above 0 and at most 1e9, got " + std::to_string(rate_hz));
  }
  if (rate_hz != 0 && !time_column.empty()) {
    return refuse("--rate-hz and --time-column: expected one of them, got both");
  }
  if (!(from_share >= 0 && to_share <= 1 && from_share < to_share)) {
    return refuse("share of the recording: expected 0 <= from < to <= 1, got " +
                  std::to_string(from_share) + " to " + std::to_string(to_share));
  }
  return Done{};
}

Result<std::vector<std::string>> list_recordings(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    std::error_code failed;
    const fs::file_status status = fs::status(path, failed);
    if (!fs::exists(status)) {
      return Error{ErrorCode::kNotFound, path + ": no such file or folder"};
    }
    if (!fs::is_directory(status)) {
      files.push_back(path);
      continue;
    }
    std::vector<std::string> inside;
    fs::directory_iterator at(path, failed);
    for (; !failed && at != fs::directory_iterator(); at.increment(failed)) {
      std::error_code ignored;
      if (equals_any_case(at->path().extension().string(), ".csv") && at->is_regular_file(ignored))
        inside.push_back(at->path().string());
    }
    if (failed) return Error{ErrorCode::kUnavailable, path + ": " + failed.message()};
    if (inside.empty()) return refuse(path + ": expected a folder with *.csv files, got none");
    std::sort(inside.begin(), inside.end());
    files.insert(files.end(), inside.begin(), inside.end());
  }
  return files;
}

Result<RecordingReader> RecordingReader::open(const std::string& path,
                                              const RecordingOptions& options,
                                              const std::vector<std::string>& channels) {
  ingest::CsvOptions csv_options;
  csv_options.time_column = options.time_column;
  csv_options.rate_hz = options.rate_hz;
  csv_options.channels = channels;
  const auto unit = ingest::parse_time_unit(options.time_unit);
  if (!unit.ok()) return refuse("--time-unit: " + unit.error().message);
  csv_options.time_unit = unit.value();

  auto first_pass = ingest::CsvReader::open(path, csv_options);
  if (!first_pass.ok()) return first_pass.error();
  Recording recording;
  recording.path = path;
  const bool is_cut = options.from_share > 0 || options.to_share < 1;
  std::vector<TimeNs> times;  // only needed for a share: the cut is known at the end
  if (Status seen = look_over(first_pass.value(), recording, is_cut ? &times : nullptr);
      !seen.ok()) {
    return seen.error();
  }
  recording.begin = cut_at(recording.first, recording.last, options.from_share);
  recording.end = options.to_share < 1 ? cut_at(recording.first, recording.last, options.to_share)
                                       : std::numeric_limits<TimeNs>::max();
  if (is_cut) count_share(recording, times);
  if (recording.samples == 0) return refuse(path + ": no sample in this share of it");
  auto second_pass = ingest::CsvReader::open(path, csv_options);
  if (!second_pass.ok()) return second_pass.error();
  return RecordingReader(std::move(second_pass).value(), std::move(recording));
}

Result<bool> RecordingReader::next(TimeNs& time, std::span<float> values) {
  for (;;) {
    Result<bool> row = csv_.next(time, values);
    if (!row.ok() || !row.value()) return row;
    if (has_value(values) && time >= recording_.begin && time < recording_.end) return true;
  }
}

std::string stream_name_from(std::string_view path) {
  std::string name = fs::path(path).stem().string();
  for (std::size_t at = 0; at < name.size();) {
    // A character's bytes stay together when it may be in a name, and become one '_' when not.
    const auto lead = static_cast<unsigned char>(name[at]);
    std::size_t bytes = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    bytes = std::min(bytes, name.size() - at);
    if (name_is_valid(std::string_view(name).substr(at, bytes))) {
      at += bytes;
      continue;
    }
    // A stray byte must not take good characters behind it with it.
    name[at] = '_';
    std::size_t end = at + 1;
    while (end < at + bytes && (static_cast<unsigned char>(name[end]) & 0xc0U) == 0x80U) ++end;
    name.erase(at + 1, end - at - 1);
    ++at;
  }
  if (name.empty()) return "recording";
  if (name.front() == '#' || name.front() == '_') name.insert(0, "x");
  constexpr std::size_t kMostBytes = 255;
  while (name.size() > kMostBytes || !name_is_valid(name)) name.pop_back();
  return name;
}

Result<std::vector<Label>> parse_labels(std::string_view text) {
  std::vector<Label> labels;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view pair = text.substr(0, comma);
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      return refuse("labels: expected name=value[,name=value...], got '" + std::string(pair) + "'");
    }
    labels.push_back({std::string(pair.substr(0, equals)), std::string(pair.substr(equals + 1))});
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return labels;
}

Result<RecordingWindows> cut_windows(RecordingReader& reader, const stream::WindowRules& rules) {
  stream::Windower windower;
  Collector collector(rules.window_samples);
  const std::vector<std::string>& channels = reader.recording().channels;
  std::vector<std::string_view> names(channels.begin(), channels.end());
  SampleBatch holder;  // only for the schema, with the hash that the windower looks at
  holder.append("recording", holder.schema(names), 0, std::vector<float>(names.size()));
  const Schema& schema = holder.schema_of(holder.runs().front());
  std::vector<float> values(channels.size());
  for (;;) {
    TimeNs time = 0;
    const Result<bool> row = reader.next(time, values);
    if (!row.ok()) return row.error();
    if (!row.value()) break;
    windower.push(rules, schema, time, values, collector);
  }
  windower.flush(rules, collector);
  RecordingWindows result;
  result.windows = collector.take(windower.channels().size());
  result.rate_hz = windower.rate_hz();
  result.missing = collector.missing();
  const stream::WindowerCounts& counts = windower.counts();
  result.gaps = counts.breaks;
  result.dropped = counts.duplicate + counts.late + counts.excess + counts.time_range;
  return result;
}

}  // namespace anomalyd::app::ctl

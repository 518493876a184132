#include <algorithm>
#include <nlohmann/json.hpp>

#include "evaluate/nab.h"
#include "evaluate/readers.h"
#include "nn/strict_json.h"

namespace anomalyd::evaluate {
namespace {

using Json = nlohmann::json;

// A file's name, its list, a window, a time: nothing of NAB's lies deeper.
constexpr int kMaxDepth = 4;
// What a message shows of a text that is wrong.
constexpr std::size_t kMaxShown = 120;

Error bad(const std::filesystem::path& path, const std::string& what) {
  return Error{ErrorCode::kInvalidArgument, path.string() + ": " + what};
}

/// Text from outside as a message may show it: short, and printable.
std::string shown(std::string_view text) {
  std::string out(text.substr(0, kMaxShown));
  for (char& c : out) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte > 0x7e) c = '?';
  }
  return out + (text.size() > kMaxShown ? "..." : "");
}

/// What stands where a time is expected. Never the document itself: it is as large as its writer
/// likes.
std::string described(const Json& value) {
  if (value.is_string()) return "\"" + shown(value.get_ref<const std::string&>()) + "\"";
  return std::string("a value of type ") + value.type_name();
}

/// The first row of each time, as NAB takes it: some files repeat an hour.
class RowOfTime {
 public:
  explicit RowOfTime(const std::vector<TimeNs>& times) {
    for (std::size_t i = 0; i < times.size(); ++i) rows_.push_back({times[i], i});
    std::sort(rows_.begin(), rows_.end());
  }
  std::optional<std::size_t> operator()(const Json& stamp) const {
    if (!stamp.is_string()) return std::nullopt;
    const auto time = parse_time(stamp.get_ref<const std::string&>());
    if (!time) return std::nullopt;
    const auto found =
        std::lower_bound(rows_.begin(), rows_.end(), std::pair(*time, std::size_t{0}));
    if (found == rows_.end() || found->first != *time) return std::nullopt;
    return found->second;
  }

 private:
  std::vector<std::pair<TimeNs, std::size_t>> rows_;
};

/// The windows of one file, as rows.
Result<std::vector<Span>> windows_of(const Json& list, const Series& series,
                                     const std::filesystem::path& labels) {
  std::vector<Span> windows;
  const std::string where = "\"" + series.name + "\"";
  if (!list.is_array()) return bad(labels, where + ": expected a list of windows");
  const RowOfTime row_of(series.times);
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string which = where + ", window " + std::to_string(i);
    if (!list[i].is_array() || list[i].size() != 2) {
      return bad(labels, which + ": expected [first, last]");
    }
    const auto first = row_of(list[i][0]);
    const auto last = row_of(list[i][1]);
    if (!first || !last) {
      return bad(labels, which + ": expected two times of rows of the file, got " +
                             described(list[i][0]) + " and " + described(list[i][1]));
    }
    if (*last < *first || (!windows.empty() && *first < windows.back().end)) {
      return bad(labels, which + ": expected windows in order that do not overlap");
    }
    windows.push_back({*first, *last + 1});
  }
  return windows;
}

}  // namespace

Status put_nab_labels(const std::string& text, const std::filesystem::path& labels,
                      std::vector<Series>& all) {
  const Result<Json> parsed = nn::parse_strict(text, kMaxDepth);
  const std::string expected = "expected a JSON object of files and their windows";
  if (!parsed.ok()) return bad(labels, expected + ", got " + shown(parsed.error().message));
  const Json& windows = parsed.value();
  if (!windows.is_object()) return bad(labels, expected);
  for (Series& series : all) {
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
  }
  return Done{};
}

Result<Dataset> read_nab(const ReadOptions& options) {
  const std::filesystem::path labels = options.data / "labels" / "combined_windows.json";
  const std::filesystem::path data = options.data / "data";
  const Result<std::string> text = read_whole(labels);
  if (!text.ok()) return text.error();
  const auto files = files_below(data, ".csv");
  if (!files.ok()) return files.error();
  ColumnRoles roles;
  roles.time = "timestamp";
  Dataset dataset;
  for (const std::filesystem::path& path : files.value()) {
    Result<Series> series = read_series(path, roles);
    if (!series.ok()) return series.error();
    series.value().name = name_below(path, data);
    dataset.series.push_back(std::move(series).value());
  }
  if (const Status put = put_nab_labels(text.value(), labels, dataset.series); !put.ok()) {
    return put.error();
  }
  return dataset;
}

}  // namespace anomalyd::evaluate

#include <algorithm>
#include <cfloat>
#include <charconv>
#include <cmath>

#include "evaluate/readers.h"

namespace anomalyd::evaluate {
namespace {

constexpr std::string_view kMark = "_UCR_Anomaly_";

struct UcrName {
  std::size_t train = 0, begin = 0, end = 0;  // 1-based, end included
};

/// The last three numbers of NNN_UCR_Anomaly_NAME_TRAIN_BEGIN_END.
std::optional<UcrName> parse_name(std::string_view stem) {
  UcrName name;
  for (std::size_t* number : {&name.end, &name.begin, &name.train}) {
    const std::size_t at = stem.rfind('_');
    if (at == std::string_view::npos) return std::nullopt;
    const std::string_view digits = stem.substr(at + 1);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), *number);
    if (error != std::errc() || digits.empty() || end != digits.data() + digits.size()) {
      return std::nullopt;
    }
    stem = stem.substr(0, at);
  }
  return name;
}

Result<Series> parse_values(const std::string& text, const std::filesystem::path& path) {
  Series series;
  series.channels = {"value"};
  std::size_t line = 1;
  const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  for (std::size_t at = 0; at < text.size();) {
    if (is_space(text[at])) {
      line += text[at] == '\n' ? 1U : 0U;
      ++at;
      continue;
    }
    std::size_t end = at;
    while (end < text.size() && !is_space(text[end])) ++end;
    const auto value = parse_number(std::string_view(text).substr(at, end - at));
    if (!value || std::abs(*value) > static_cast<double>(FLT_MAX)) {
      return Error{ErrorCode::kInvalidArgument,
                   path.string() + ":" + std::to_string(line) + ": sample " +
                       std::to_string(series.values.size() + 1) + ": expected a number"};
    }
    series.values.push_back(static_cast<float>(*value));
    at = end;
  }
  series.truth.assign(series.values.size(), 0);
  return series;
}

}  // namespace

Result<Series> parse_ucr(const std::string& text, const std::filesystem::path& path) {
  const auto name = parse_name(path.stem().string());
  Result<Series> read = parse_values(text, path);
  if (!read.ok()) return read;
  Series& series = read.value();
  const std::size_t n = series.samples();
  if (!name || name->train < 1 || name->begin <= name->train || name->end < name->begin ||
      name->end > n) {
    return Error{ErrorCode::kInvalidArgument,
                 path.string() +
                     ": expected a name that ends in _TRAINEND_BEGIN_END with 1 <= "
                     "TRAINEND < BEGIN <= END <= " +
                     std::to_string(n)};
  }
  series.name = path.filename().string();
  series.train = name->train;
  series.events = {{name->begin - 1, name->end}};
  std::fill(series.truth.begin() + static_cast<std::ptrdiff_t>(name->begin - 1),
            series.truth.begin() + static_cast<std::ptrdiff_t>(name->end), 1);
  return read;
}

Result<Dataset> read_ucr(const ReadOptions& options) {
  const auto files = files_below(options.data, ".txt");
  if (!files.ok()) return files.error();
  Dataset dataset;
  for (const std::filesystem::path& path : files.value()) {
    if (path.stem().string().find(kMark) == std::string::npos) continue;  // a readme
    const Result<std::string> text = read_whole(path);
    if (!text.ok()) return text.error();
    Result<Series> series = parse_ucr(text.value(), path);
    if (!series.ok()) return series.error();
    dataset.series.push_back(std::move(series).value());
  }
  if (dataset.series.empty()) {
    return Error{ErrorCode::kNotFound,
                 options.data.string() + ": no *" + std::string(kMark) + "*.txt in it"};
  }
  return dataset;
}

}  // namespace anomalyd::evaluate

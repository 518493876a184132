#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "evaluate/readers.h"

/// The first line is the file's name, the rest its text.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace anomalyd;
  using namespace anomalyd::evaluate;
  const std::string input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = std::min(input.find('\n'), input.size());
  const std::string name = input.substr(0, end);
  const std::string text = input.substr(std::min(end + 1, input.size()));
  const Result<Series> read = parse_ucr(text, name);
  if (!read.ok()) {
    ANOMALYD_CHECK(read.error().message.starts_with(name), "an error says where");
    return 0;
  }
  const Series& series = read.value();
  const std::size_t n = series.samples();
  ANOMALYD_CHECK(n <= text.size() && series.values.size() == n, "a sample takes bytes");
  for (const float value : series.values) ANOMALYD_CHECK(std::isfinite(value), "all are numbers");
  ANOMALYD_CHECK(series.events.size() == 1, "one anomaly");
  const Span event = series.events[0];
  ANOMALYD_CHECK(
      series.train >= 1 && series.train <= event.begin && event.begin < event.end && event.end <= n,
      "it lies behind the train part");
  for (std::size_t i = 0; i < n; ++i) {
    ANOMALYD_CHECK((series.truth[i] != 0) == event.contains(i), "and is what is marked");
  }
  return 0;
}

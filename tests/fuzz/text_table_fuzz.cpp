#include <cmath>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "base/stream_key.h"
#include "evaluate/readers.h"

namespace {

using namespace anomalyd;
using namespace anomalyd::evaluate;

void read(const std::string& text, const ColumnRoles& roles) {
  Result<TextTable> table = TextTable::parse(text, "f");
  if (!table.ok()) {
    ANOMALYD_CHECK(table.error().message.starts_with("f:"), "an error says where");
    return;
  }
  ANOMALYD_CHECK(table.value().columns().size() <= TextTable::kMaxColumns, "columns are bounded");
  const Result<Series> read = read_series(table.value(), roles);
  if (!read.ok()) {
    ANOMALYD_CHECK(read.error().message.starts_with("f:"), "an error says where");
    return;
  }
  const Series& series = read.value();
  const std::size_t n = series.samples();
  const std::size_t channels = series.channels.size();
  ANOMALYD_CHECK(n > 0 && n <= text.size(), "a row takes bytes");
  ANOMALYD_CHECK(channels > 0 && channels <= kMaxSeriesChannels, "a series has channels");
  ANOMALYD_CHECK(series.values.size() == n * channels, "each row has all of them");
  ANOMALYD_CHECK(series.times.empty() || series.times.size() == n, "a time for each row");
  ANOMALYD_CHECK(std::isfinite(series.sample_seconds) && series.sample_seconds >= 0,
                 "a period is a time");
  for (const std::string& name : series.channels) {
    ANOMALYD_CHECK(name_is_valid(name), "a channel has a name");
  }
  for (const float value : series.values) ANOMALYD_CHECK(!std::isinf(value), "values are finite");
  for (const std::size_t change : series.changes) ANOMALYD_CHECK(change < n, "a change is a row");
  std::size_t marked = 0;
  for (const Span& event : series.events) {
    ANOMALYD_CHECK(event.begin < event.end && event.end <= n, "an event is rows");
    marked += event.size();
  }
  for (const std::uint8_t mark : series.truth) marked -= mark;
  ANOMALYD_CHECK(marked == 0, "events are what is marked");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  ColumnRoles roles;
  read(text, roles);
  roles.label = "label";
  roles.label_needed = false;
  read(text, roles);
  ColumnRoles skab;
  skab.time = "datetime";
  skab.label = "anomaly";
  skab.change = "changepoint";
  read(text, skab);
  return 0;
}

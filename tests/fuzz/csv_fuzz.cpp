#include <cmath>
#include <cstdint>
#include <sstream>
#include <string>

#include "base/check.h"
#include "base/sample_batch.h"
#include "base/stream_key.h"
#include "ingest/csv.h"

namespace {

using namespace anomalyd;
using namespace anomalyd::ingest;

/// Reads to the end; the number of good rows.
std::size_t read_all(const std::string& text, const CsvOptions& options) {
  auto opened = CsvReader::read(std::make_unique<std::istringstream>(text), "f", options);
  if (!opened.ok()) return 0;
  CsvReader& reader = opened.value();
  ANOMALYD_CHECK(!reader.channels().empty() && reader.channels().size() <= kMaxChannels,
                 "a file has channels");
  for (const std::string& name : reader.channels()) {
    ANOMALYD_CHECK(name_is_valid(name), "a channel has a name");
  }
  std::size_t good = 0;
  std::size_t calls = 0;
  std::vector<float> values(reader.channels().size());
  for (TimeNs time = 0;; ++calls) {
    ANOMALYD_CHECK(calls <= text.size() + 2, "each call takes a row");
    const auto row = reader.next(time, values);
    if (!row.ok()) {
      ANOMALYD_CHECK(row.error().message.starts_with("f:"), "an error says where");
      continue;
    }
    if (!row.value()) break;
    ++good;
    for (const float value : values) ANOMALYD_CHECK(!std::isinf(value), "no value is infinite");
  }
  return good;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  CsvOptions options;
  const std::size_t strict = read_all(text, options);
  options.skip_bad_rows = true;
  ANOMALYD_CHECK(read_all(text, options) == strict, "skipping finds the same good rows");
  options.rate_hz = 1000;
  read_all(text, options);
  return 0;
}

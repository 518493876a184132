#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "evaluate/readers.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace anomalyd;
  using namespace anomalyd::evaluate;
  const std::string text(reinterpret_cast<const char*>(data), size);
  // Every five minutes from 2014-04-01 00:00:00, and one that repeats an hour.
  constexpr TimeNs kStart = 1396310400 * kNsPerSecond;
  constexpr std::size_t kRows = 288;
  std::vector<Series> all(2);
  all[0].name = "realTraffic/speed.csv";
  all[1].name = "a.csv";
  for (std::size_t s = 0; s < all.size(); ++s) {
    all[s].channels = {"value"};
    for (std::size_t i = 0; i < kRows; ++i) {
      const std::size_t slot = s == 1 && i >= 144 ? i - 12 : i;
      all[s].times.push_back(kStart + static_cast<TimeNs>(slot) * 300 * kNsPerSecond);
      all[s].values.push_back(1);
      all[s].truth.push_back(0);
    }
  }
  const Status put = put_nab_labels(text, "f", all);
  if (!put.ok()) {
    ANOMALYD_CHECK(put.error().message.starts_with("f: "), "an error says where");
    ANOMALYD_CHECK(put.error().message.size() < 1024, "and is short, whatever was read");
    return 0;
  }
  for (const Series& series : all) {
    std::size_t before = 0;
    std::vector<std::uint8_t> truth(kRows, 0);
    for (const Span& window : series.events) {
      ANOMALYD_CHECK(before <= window.begin && window.begin < window.end && window.end <= kRows,
                     "windows are rows, in order");
      before = window.end;
      for (std::size_t i = window.begin; i < window.end; ++i) truth[i] = 1;
    }
    ANOMALYD_CHECK(truth == series.truth, "they are what is marked");
    ANOMALYD_CHECK(series.train < kRows, "something is left to judge");
  }
  return 0;
}

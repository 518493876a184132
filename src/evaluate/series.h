#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"
#include "evaluate/spans.h"

namespace anomalyd::evaluate {

/// One series of a benchmark as its rows stand in the file. It is fed to the detector on an even
/// grid, one row a slot: benchmarks are judged by rows, and their detectors see rows.
struct Series {
  std::string name;  ///< the file, below the data folder
  std::vector<std::string> channels;
  std::vector<float> values;         ///< (n, channels), time-major; a missing one is NaN
  std::vector<std::uint8_t> truth;   ///< n
  std::size_t train = 0;             ///< rows [0, train) are learned from and not judged
  std::vector<Span> events;          ///< labelled; two that touch stay two
  std::vector<std::size_t> changes;  ///< rows at which the regime changes, where that is labelled
  std::vector<TimeNs> times;         ///< n as published; empty when the rows have none
  double sample_seconds = 0;         ///< median distance of the times; 0: not known

  std::size_t samples() const { return truth.size(); }
};

struct Dataset {
  std::vector<Series> series;  ///< by name
  /// Recordings that one detector for all series is learned from, wholly train parts. Empty: each
  /// series has a train part and a detector of its own.
  std::vector<Series> training;
};

}  // namespace anomalyd::evaluate

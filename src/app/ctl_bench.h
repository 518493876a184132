#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "app/ctl_output.h"

namespace anomalyd::app::ctl {

struct BenchOptions {
  std::size_t threads = 2;      ///< of the second training figure; 1: there is none
  double seconds = 1;           ///< for each figure
  std::string instruction_set;  ///< only this one; empty: all that the machine has
  std::string out;              ///< writes the reference net, windows and their results there
  bool json = false;
  /// How often memory was asked of the heap so far. Only the program can count that.
  std::function<std::uint64_t()> allocations;
};

/// Measures the neural engine on this machine: the share of its multiply-add peak that scoring
/// reaches with each instruction set, training steps a second, allocations of a scoring call, and
/// how long it takes to load and compile a model.
int bench_nn(const BenchOptions& options, Console& console);

}  // namespace anomalyd::app::ctl

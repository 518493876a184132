#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "nn/kernels.h"
#include "nn/network.h"
#include "nn/tensor_file.h"

// What `anomalyctl bench nn` measures.
//
// Times are of the thread's CPU clock, so that a busy machine does not count; where threads share
// the work, of the wall clock. The machine's speed moves by a third from one second to the next:
// every repeat has the multiply-add peak sampled before and behind it, and shares are medians of
// the repeats' own.

namespace anomalyd::app::ctl {

/// A net of the reference's form for windows of other shapes: three convolutions of kernel 4 and
/// stride 2 to 32, 64 and 128 channels, 1 x 1 to 16, and the way back, LeakyReLU 0.2 and batch norm
/// behind all but the code and the output. Weights from seed 1, statistics of normal windows.
Result<nn::Network<float>> bench_network(nn::Shape input);

/// `count` windows of normal numbers.
nn::Matrix<float> bench_windows(nn::Shape input, Eigen::Index count);

struct InferenceFigures {
  std::string instruction_set;
  nn::Shape input;
  double peak_gflops = 0;
  double batch1_us = 0;  ///< a window
  double batch1_gflops = 0;
  double batch1_share = 0;  ///< of the peak
  double batch64_us = 0;    ///< a window
  double batch64_gflops = 0;
  double batch64_share = 0;
};
InferenceFigures measure_inference(const nn::Network<float>& network,
                                   const nn::Kernels<float>& kernels, double seconds);

struct TrainingFigures {
  std::size_t threads = 1;
  double steps_per_second = 0;      ///< by the wall clock
  double steps_per_cpu_second = 0;  ///< of the calling thread
};
/// Steps of Adam on the mean squared error of 64 windows.
TrainingFigures measure_training(const nn::Network<float>& network, std::size_t threads,
                                 double seconds);

/// From the bytes of a model to a plan that can run, in milliseconds.
double measure_load(const nn::Network<float>& network);

/// What one scoring call asks of the heap, on average over a thousand.
double measure_allocations(const nn::Network<float>& network,
                           const std::function<std::uint64_t()>& allocations);

/// The network with its architecture as metadata, 64 windows "x" and what the plan makes of
/// them, "y": for other engines to load and be compared with.
nn::TensorFile bench_export(const nn::Network<float>& network);

}  // namespace anomalyd::app::ctl

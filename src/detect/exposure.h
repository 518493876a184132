#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/result.h"
#include "base/worker_pool.h"
#include "detect/window_features.h"
#include "nn/network.h"
#include "nn/optimiser.h"
#include "nn/trainer.h"
#include "nn/types.h"

namespace anomalyd::detect {

/// Windows that are not real, and how many of the negatives come from them.
struct MadeWindows {
  const nn::Matrix<float>* windows = nullptr;  ///< (m, samples * channels), normalised
  double share = 0;                            ///< of all negatives; the rest are corrupted ones
};

struct ExposureOptions {
  std::size_t samples = 0;  ///< of what the network sees: a stretch of each window, anywhere in it
  nn::OptimiserOptions optimiser;
  double clip_norm = 5;          ///< of the gradient of a step
  double real_target = 0.9;      ///< one-sided label smoothing
  double average_decay = 0.995;  ///< of the weights' moving average, which is what is kept
  std::vector<MadeWindows> made;
};

inline constexpr std::size_t kValidationRows = 256;

/// Trains `network` to tell real windows from others, as outlier exposure: a step of n rows takes
/// the stretches of n real windows, and n negatives, most of them corrupted real ones
/// (corruption.h), and minimises
///
///   L = mean bce(D(real), real_target) + mean bce(D(negative), 0).
///
/// Validation is the same loss of at most kValidationRows held-out windows and as many negatives,
/// always the same ones, by the averaged weights.
///
/// Shapes    windows and validation (n, any samples * channels), n = 0 for no validation; the
///           network reads (samples, 3 channels), see WindowFeatures, and head 0 is one logit.
/// Errors    kInvalidArgument: no windows, a network of other sizes, options out of range.
/// Numerics  a step's bits do not depend on the threads of the pool.
/// Threads   one at a time. All arguments must outlive the objective.
/// Source    Hendrycks et al. 2019 (outlier exposure); Salimans et al. 2016, 3.4 (smoothing).
Result<std::unique_ptr<nn::Objective>> make_exposure(nn::Network<float>& network,
                                                     const nn::Matrix<float>& windows,
                                                     const nn::Matrix<float>& validation,
                                                     const WindowFeatures& features,
                                                     const ExposureOptions& options,
                                                     WorkerPool& pool);

}  // namespace anomalyd::detect

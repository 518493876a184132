#pragma once

#include <memory>

#include "base/result.h"
#include "base/worker_pool.h"
#include "nn/loss.h"
#include "nn/network.h"
#include "nn/optimiser.h"
#include "nn/trainer.h"
#include "nn/types.h"

namespace anomalyd::nn {

struct ReconstructionOptions {
  PointwiseLoss loss;
  OptimiserOptions optimiser;
  double clip_norm = 0;      ///< of the gradient of a step; 0: not clipped
  double noise = 0;          ///< standard deviation of what is added to x in training; 0: none
  double average_decay = 0;  ///< of the weights' moving average; 0: none
};

/// Trains `network` to give back what it reads: L = loss(network(x + noise z), x), z standard
/// normal. With noise it is a denoising autoencoder. Validation is without noise, in scoring mode,
/// and of the averaged weights and running statistics where there is an average: finish() puts
/// these into the network.
///
/// Shapes    train (n, input size), validation (m, input size), m = 0 for none. Head 0 is the one
///           compared; others get no gradient.
/// Units     none: x holds z-scores.
/// Errors    kInvalidArgument for rows of another size, for a head 0 that is not of the input's
///           shape, for a number that is not finite (says which row), and for options out of range.
/// Numerics  a step's bits do not depend on the threads of the pool.
/// Cost      a step allocates nothing once it has seen its two sizes of batch.
/// Threads   one at a time. All arguments must outlive the objective; nobody else may use the
///           network while a Trainer runs.
/// Source    denoising: Vincent et al. 2008.
Result<std::unique_ptr<Objective>> make_reconstruction(Network<float>& network,
                                                       const Matrix<float>& train,
                                                       const Matrix<float>& validation,
                                                       const ReconstructionOptions& options,
                                                       WorkerPool& pool);
// The rows are kept by reference: a temporary would be gone before the first step.
Result<std::unique_ptr<Objective>> make_reconstruction(Network<float>&, const Matrix<float>&&,
                                                       const Matrix<float>&,
                                                       const ReconstructionOptions&,
                                                       WorkerPool&) = delete;
Result<std::unique_ptr<Objective>> make_reconstruction(Network<float>&, const Matrix<float>&,
                                                       const Matrix<float>&&,
                                                       const ReconstructionOptions&,
                                                       WorkerPool&) = delete;

}  // namespace anomalyd::nn

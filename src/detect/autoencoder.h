#pragma once

#include <cstddef>

#include "base/result.h"
#include "nn/network.h"

namespace anomalyd::detect {

/// The slim convolutional autoencoder: conv k8 s4, conv k4 s2, a 1x1 bottleneck, and the same
/// mirrored with transposed convolutions.
/// Errors   kInvalidArgument when window_samples is not a multiple of 8 of at least 16.
Result<nn::Architecture> autoencoder_architecture(std::size_t window_samples, std::size_t channels);

}  // namespace anomalyd::detect

#pragma once

#include "nn/layer.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// In training y = mean + e^(v / 2) noise, noise standard normal, v the log-variance: a draw from
/// the Gaussian that x describes, through which gradients pass. In scoring y = mean.
///
/// Shapes    x (n, t * 2 channels): at each time step the means, then the log-variances.
///           y (n, t * channels).
/// Errors    kInvalidArgument when channels is not in 1..2048, and for an input that has not twice
///           as many.
/// Numerics  the noise depends on the call's seed, the row in the batch and the place in the row
///           alone: backward() draws it again. The log-variance is not bounded: e^(v / 2) overflows
///           float above v = 176. NaN and Inf propagate.
/// Cost      a hash and an inverse of the normal distribution a value; nothing kept.
/// Threads   const and safe to share.
/// Source    Kingma and Welling 2014, section 2.4.
template <class Scalar>
MadeLayer<Scalar> make_reparameterise(Eigen::Index channels);

extern template MadeLayer<float> make_reparameterise<float>(Eigen::Index);
extern template MadeLayer<double> make_reparameterise<double>(Eigen::Index);

}  // namespace anomalyd::nn

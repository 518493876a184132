#pragma once

#include "nn/layer.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// The same numbers in the same order, seen as another number of channels: 1 flattens to a series,
/// all of them to a single time step.
///
/// Shapes    x (n, t * c)  y (n, t' * channels), t' = t c / channels.
/// Errors    kInvalidArgument when channels is not in 1..2^20 or does not divide t c.
/// Threads   const and safe to share.
template <class Scalar>
MadeLayer<Scalar> make_reshape(Eigen::Index channels);

extern template MadeLayer<float> make_reshape<float>(Eigen::Index);
extern template MadeLayer<double> make_reshape<double>(Eigen::Index);

}  // namespace anomalyd::nn

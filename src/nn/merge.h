#pragma once

#include "nn/layer.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// y = x_1 + x_2 + ..., in that order: where a skip joins.
///
/// Shapes    2 to kMaxInputs inputs and y, all of one shape.
/// Errors    kInvalidArgument when the inputs' shapes differ or there is one alone.
/// Threads   const and safe to share.
template <class Scalar>
MadeLayer<Scalar> make_add();

/// The channels of x_1, then those of x_2 and so on, at each time step.
///
/// Shapes    x_i (n, t * c_i)  y (n, t * channels), channels = c_1 + c_2 + ...; 2 to kMaxInputs
///           inputs of the same t.
/// Errors    kInvalidArgument when channels is not in 2..4096, is not the inputs' sum, when the
///           inputs' lengths differ or there is one alone.
/// Threads   const and safe to share.
template <class Scalar>
MadeLayer<Scalar> make_concat(Eigen::Index channels);

extern template MadeLayer<float> make_add<float>();
extern template MadeLayer<double> make_add<double>();
extern template MadeLayer<float> make_concat<float>(Eigen::Index);
extern template MadeLayer<double> make_concat<double>(Eigen::Index);

}  // namespace anomalyd::nn

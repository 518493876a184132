#pragma once

#include "nn/layer.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// y = x, but backward dL/dx = -scale dL/dy: what is before it learns to make worse what is behind
/// it.
///
/// Shapes    y as x; one input. Buffer "scale" (1), from 1: whoever trains sets it from step to
///           step.
/// Threads   const and safe to share.
/// Source    Ganin and Lempitsky 2015, eq. 13 and 14.
template <class Scalar>
MadeLayer<Scalar> make_gradient_reversal();

extern template MadeLayer<float> make_gradient_reversal<float>();
extern template MadeLayer<double> make_gradient_reversal<double>();

}  // namespace anomalyd::nn

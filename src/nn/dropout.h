#pragma once

#include "nn/layer.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// Inverted dropout: in training y = x / (1 - rate) with chance 1 - rate, else 0, each value by
/// itself; in scoring y = x.
///
/// Shapes    y as x; one input.
/// Errors    kInvalidArgument when rate is not in [0, 1).
/// Numerics  which values go depends on the call's seed, the row in the batch and the place in the
///           row alone: backward() draws them again, and pieces and threads do not show. The rate
///           is kept to 2^-32. A NaN or Inf that is dropped is gone.
/// Cost      a counter-based hash of 32 bits a value; nothing kept.
/// Threads   const and safe to share.
/// Source    Srivastava et al. 2014; the hash is two rounds of "lowbias32" (Wellons 2018), keyed.
template <class Scalar>
MadeLayer<Scalar> make_dropout(double rate);

extern template MadeLayer<float> make_dropout<float>(double);
extern template MadeLayer<double> make_dropout<double>(double);

}  // namespace anomalyd::nn

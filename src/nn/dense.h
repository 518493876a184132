#pragma once

#include "nn/layer.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// Fully connected layer over the whole window, y = x W + b.
///
/// Shapes    x (n, in)  W (in, out)  b (out)  y (n, out), of shape 1 x out; gradients as their
/// value.
///           For every time step by itself, a conv1d of kernel 1.
/// Units     none: x holds normalised numbers.
/// Errors    kInvalidArgument when in or out is not in 1..2^20.
/// Numerics  as Product: bias, then ascending inputs. With one output, in 16 partial sums.
/// Cost      forward n * in * out multiply-adds.
/// Source    Glorot and Bengio 2010, eq. 16, unless another initialiser is named; bias zero.
template <class Scalar>
MadeLayer<Scalar> make_dense(Eigen::Index in, Eigen::Index out, bool spectral_norm = false,
                             Initialiser::Kind initialiser = Initialiser::Kind::kGlorotUniform);

extern template MadeLayer<float> make_dense<float>(Eigen::Index, Eigen::Index, bool,
                                                   Initialiser::Kind);
extern template MadeLayer<double> make_dense<double>(Eigen::Index, Eigen::Index, bool,
                                                     Initialiser::Kind);

}  // namespace anomalyd::nn

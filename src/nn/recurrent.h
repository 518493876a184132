#pragma once

#include "nn/layer.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// Gated recurrent unit over the time steps, from h_0 = 0; y is the whole sequence of h_t.
///
///   r = sigmoid(x_t W_r + b_r + h_(t-1) U_r + c_r)
///   z = sigmoid(x_t W_z + b_z + h_(t-1) U_z + c_z)
///   n = tanh(x_t W_n + b_n + r (h_(t-1) U_n + c_n))
///   h_t = (1 - z) n + z h_(t-1)
///
/// Shapes    x (n, t * in)  y (n, t * out). Parameters, gates in the order r, z, n: "weights" W
/// (in,
///           3 out), "recurrent_weights" U (out, 3 out), "bias" b (3 out), "recurrent_bias" c
///           (3 out).
/// Errors    kInvalidArgument when in or out is not in 1..4096, and for an input with another
///           number of channels.
/// Numerics  x W + b for all steps at once, then step by step, both as Product: a row's bits do
///           not depend on the rows beside it. NaN and Inf spread over all later steps.
/// Cost      6 out (in + out) operations a step in the products; keeps 4 out values a step.
/// Threads   const and safe to share.
/// Source    Cho et al. 2014 in the variant of torch.nn.GRU (r inside, after the product). Weights
///           after Glorot, as one gate's, unless another initialiser is named; biases zero.
template <class Scalar>
MadeLayer<Scalar> make_gru(Eigen::Index in, Eigen::Index out,
                           Initialiser::Kind initialiser = Initialiser::Kind::kGlorotUniform);

/// Long short-term memory over the time steps, from h_0 = c_0 = 0; y is the whole sequence of h_t.
///
///   i = sigmoid(x_t W_i + b_i + h_(t-1) U_i)      f = sigmoid(x_t W_f + b_f + h_(t-1) U_f)
///   g = tanh(x_t W_g + b_g + h_(t-1) U_g)         o = sigmoid(x_t W_o + b_o + h_(t-1) U_o)
///   c_t = f c_(t-1) + i g                         h_t = o tanh c_t
///
/// Shapes    x (n, t * in)  y (n, t * out). Parameters, gates in the order i, f, g, o: "weights" W
///           (in, 4 out), "recurrent_weights" U (out, 4 out), "bias" b (4 out).
/// Errors    as GRU.
/// Numerics  as GRU.
/// Cost      8 out (in + out) operations a step in the products; keeps 6 out values a step.
/// Threads   const and safe to share.
/// Source    Hochreiter and Schmidhuber 1997 with Gers' forget gate; torch.nn.LSTM, whose two
///           biases are one here: only their sum counts.
template <class Scalar>
MadeLayer<Scalar> make_lstm(Eigen::Index in, Eigen::Index out,
                            Initialiser::Kind initialiser = Initialiser::Kind::kGlorotUniform);

extern template MadeLayer<float> make_gru<float>(Eigen::Index, Eigen::Index, Initialiser::Kind);
extern template MadeLayer<double> make_gru<double>(Eigen::Index, Eigen::Index, Initialiser::Kind);
extern template MadeLayer<float> make_lstm<float>(Eigen::Index, Eigen::Index, Initialiser::Kind);
extern template MadeLayer<double> make_lstm<double>(Eigen::Index, Eigen::Index, Initialiser::Kind);

}  // namespace anomalyd::nn

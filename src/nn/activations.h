#pragma once

#include "nn/layer.h"
#include "nn/types.h"

namespace anomalyd::nn {

// What the activations of this header share, y = f(x) value by value; softmax differs where it
// says so.
//
// Shapes    y as x; one input.
// Numerics  float by the functions of nn/elementwise.h, so that the bits are those of every
//           machine; double by the standard library's. NaN gives NaN.
// Cost      no allocation, nothing kept: backward() works from x and y.
// Threads   const and safe to share.

/// y = x where x > 0, else slope x.
///
/// Errors    kInvalidArgument when slope is not in [0, 1).
/// Numerics  the derivative at 0 is the slope. As Product's f, bit for bit.
/// Source    Maas, Hannun and Ng 2013.
template <class Scalar>
MadeLayer<Scalar> make_leaky_relu(double slope);

/// y = x where x > 0, else 0 x: leaky_relu of slope 0, so that -Inf gives NaN and is not lost.
template <class Scalar>
MadeLayer<Scalar> make_relu();

/// y = x Phi(x) = x (1 + erf(x / sqrt 2)) / 2: the exact one, not its tanh approximation.
///
/// Numerics  -Inf gives NaN, as in torch.
/// Source    Hendrycks and Gimpel 2016.
template <class Scalar>
MadeLayer<Scalar> make_gelu();

/// y = tanh x.
template <class Scalar>
MadeLayer<Scalar> make_tanh();

/// y = 1 / (1 + e^-x).
template <class Scalar>
MadeLayer<Scalar> make_sigmoid();

/// y_c = e^(x_c - m) / sum over c' of e^(x_c' - m), m = max x, over the channels of each time step.
///
/// Shapes    x and y (n, t * channels).
/// Errors    kInvalidArgument when channels is not in 1..4096 or x has another number of them.
/// Numerics  no exponential overflows. A step with NaN or +Inf is NaN in all channels.
template <class Scalar>
MadeLayer<Scalar> make_softmax(Eigen::Index channels);

extern template MadeLayer<float> make_leaky_relu<float>(double);
extern template MadeLayer<double> make_leaky_relu<double>(double);
extern template MadeLayer<float> make_relu<float>();
extern template MadeLayer<double> make_relu<double>();
extern template MadeLayer<float> make_gelu<float>();
extern template MadeLayer<double> make_gelu<double>();
extern template MadeLayer<float> make_tanh<float>();
extern template MadeLayer<double> make_tanh<double>();
extern template MadeLayer<float> make_sigmoid<float>();
extern template MadeLayer<double> make_sigmoid<double>();
extern template MadeLayer<float> make_softmax<float>(Eigen::Index);
extern template MadeLayer<double> make_softmax<double>(Eigen::Index);

}  // namespace anomalyd::nn

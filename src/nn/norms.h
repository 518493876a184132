#pragma once

#include "nn/layer.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// Batch normalisation, y = w (x - mean) / sqrt(variance + epsilon) + b for each channel. In
/// training mean and variance are those of the batch over its windows and time steps; in scoring
/// the running ones.
///
/// Shapes    x and y (n, t * channels), time-major. Parameters "weights" w (channels), from 1, and
///           "bias" b (channels), from 0. Buffers "mean" (channels), from 0, and "variance"
///           (channels), from 1. Sums: values, their squares, and the number of time steps.
/// Errors    kInvalidArgument when channels is not in 1..4096, epsilon not in (0, 1] or momentum
///           not in (0, 1], and for an input with another number of channels.
/// Numerics  sums in double, variance as E x^2 - (E x)^2: for float good to 1e-5 while |mean| is
///           below 10^4 standard deviations; normalised windows are far from that. The batch's
///           variance is the biased one, the running one takes the unbiased; a batch of a single
///           value has none, and moves only the running mean. NaN and Inf spread over the channel
///           in training, stay where they are in scoring.
/// Source    Ioffe and Szegedy 2015, algorithm 1; running statistics as torch.nn.BatchNorm1d:
///           running = (1 - momentum) running + momentum batch's.
template <class Scalar>
MadeLayer<Scalar> make_batch_norm(Eigen::Index channels, double epsilon, double momentum);

/// Layer normalisation over the channels of each time step by itself,
/// y_c = w_c (x_c - mean) / sqrt(variance + epsilon) + b_c.
///
/// Shapes    x and y (n, t * channels). Parameters "weights" w (channels), from 1, "bias" b
///           (channels), from 0.
/// Errors    kInvalidArgument when channels is not in 1..4096 or epsilon not in (0, 1], and for an
///           input with another number of channels.
/// Numerics  mean first, then squares of what is left; in 8 partial sums added pairwise. The
///           variance is the biased one. One channel gives b. NaN and Inf stay in their time step.
/// Source    Ba, Kiros and Hinton 2016; torch.nn.LayerNorm of (channels).
template <class Scalar>
MadeLayer<Scalar> make_layer_norm(Eigen::Index channels, double epsilon);

/// Instance normalisation over the time steps of each channel of each window,
/// y_t = w (x_t - mean) / sqrt(variance + epsilon) + b.
///
/// Shapes    as layer norm.
/// Errors    as layer norm.
/// Numerics  sums in double: mean first, then squares of what is left. The variance is the biased
///           one. One time step gives b. NaN and Inf stay in their channel.
/// Source    Ulyanov, Vedaldi and Lempitsky 2016; torch.nn.InstanceNorm1d, affine.
template <class Scalar>
MadeLayer<Scalar> make_instance_norm(Eigen::Index channels, double epsilon);

extern template MadeLayer<float> make_batch_norm<float>(Eigen::Index, double, double);
extern template MadeLayer<double> make_batch_norm<double>(Eigen::Index, double, double);
extern template MadeLayer<float> make_layer_norm<float>(Eigen::Index, double);
extern template MadeLayer<double> make_layer_norm<double>(Eigen::Index, double);
extern template MadeLayer<float> make_instance_norm<float>(Eigen::Index, double);
extern template MadeLayer<double> make_instance_norm<double>(Eigen::Index, double);

}  // namespace anomalyd::nn

#pragma once

#include "nn/layer.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// y[t] = max over j < kernel of x[t * stride + j], channel by channel.
///
/// Shapes    x (n, t * channels)  y (n, t' * channels), t' = (t - kernel) / stride + 1 rounded
///           down: steps at the end that do not fill a window are not read. No padding.
/// Errors    kInvalidArgument when channels is not in 1..4096, kernel or stride not in 1..1024, for
///           an input with another number of channels, or shorter than the kernel.
/// Numerics  the gradient goes to the first of equal maxima. NaN in a window gives NaN.
/// Cost      keeps one value for each of y.
/// Threads   const and safe to share.
/// Source    torch.nn.MaxPool1d, channels last.
template <class Scalar>
MadeLayer<Scalar> make_max_pool(Eigen::Index channels, Eigen::Index kernel, Eigen::Index stride);

/// y[t] = mean over j < kernel of x[t * stride + j], channel by channel; all else as max_pool, but
/// that nothing is kept.
template <class Scalar>
MadeLayer<Scalar> make_average_pool(Eigen::Index channels, Eigen::Index kernel,
                                    Eigen::Index stride);

/// y[t] = x[t / factor rounded down]: nearest-neighbour up-sampling.
///
/// Shapes    x (n, t * channels)  y (n, t * factor * channels).
/// Errors    kInvalidArgument when channels is not in 1..4096 or factor not in 1..1024, and for an
///           input with another number of channels.
/// Source    torch.nn.Upsample, mode "nearest".
template <class Scalar>
MadeLayer<Scalar> make_upsample(Eigen::Index channels, Eigen::Index factor);

extern template MadeLayer<float> make_max_pool<float>(Eigen::Index, Eigen::Index, Eigen::Index);
extern template MadeLayer<double> make_max_pool<double>(Eigen::Index, Eigen::Index, Eigen::Index);
extern template MadeLayer<float> make_average_pool<float>(Eigen::Index, Eigen::Index, Eigen::Index);
extern template MadeLayer<double> make_average_pool<double>(Eigen::Index, Eigen::Index,
                                                            Eigen::Index);
extern template MadeLayer<float> make_upsample<float>(Eigen::Index, Eigen::Index);
extern template MadeLayer<double> make_upsample<double>(Eigen::Index, Eigen::Index);

}  // namespace anomalyd::nn

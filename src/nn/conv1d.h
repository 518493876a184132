#pragma once

#include <string>

#include "base/result.h"
#include "nn/layer.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// The sizes of a convolution over time.
struct ConvSize {
  Eigen::Index in = 0;   ///< channels of x
  Eigen::Index out = 0;  ///< channels of y
  Eigen::Index kernel = 1;
  Eigen::Index stride = 1;
  Eigen::Index padding = 0;   ///< zeros at each end of x (conv1d), cut from y (conv_transpose1d)
  Eigen::Index dilation = 1;  ///< from one tap of the kernel to the next
  Eigen::Index groups = 1;    ///< channels of y see only those of x in their group
  bool operator==(const ConvSize&) const = default;
};

/// What the two kinds of convolution have beside their sizes.
struct ConvOptions {
  bool spectral_norm = false;
  Initialiser::Kind initialiser = Initialiser::Kind::kGlorotUniform;
};

/// Convolution over time, y[t] = b + sum_j x[t * stride + j * dilation - padding] W[j], zeros
/// outside.
///
/// Shapes    x (n, t * in)  W (kernel, in / groups, out)  b (out)  y (n, t' * out),
///           time-major, t' = (t + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded
///           down.
/// Units     none: x holds normalised numbers.
/// Errors    kInvalidArgument for sizes out of range, naming them.
/// Numerics  an output is b, then its products in ascending (j, channel): it does not depend on
///           the batch around it. Float at run time, double for the gradient check.
/// Cost      forward n * t' * kernel * in * out / groups multiply-adds. The receptive fields are
///           read where they lie in a padded copy, rows overlapping.
/// Source    Cross-correlation as in torch.nn.Conv1d, channels last. Fans kernel * in / groups and
///           kernel * out / groups, bias zero.
template <class Scalar>
MadeLayer<Scalar> make_conv1d(const ConvSize& size, const ConvOptions& options = {});

/// Transposed convolution, the adjoint of conv1d in x: every x[t] adds x[t] W[j] to
/// y[t * stride + j * dilation - padding], which begins as b.
///
/// Shapes    x (n, t * in)  W (in, kernel, out / groups)  b (out)  y (n, t' * out),
///           time-major, t' = (t - 1) stride + dilation (kernel - 1) + 1 - 2 padding.
/// Units     none: x holds normalised numbers.
/// Errors    kInvalidArgument for sizes out of range, naming them.
/// Numerics  an output is b, then its products in ascending (t, channel).
/// Cost      forward n * t * kernel * in * out / groups multiply-adds and no others: each phase of
///           the stride is a product over the taps that meet it.
/// Source    torch.nn.ConvTranspose1d, channels last.
template <class Scalar>
MadeLayer<Scalar> make_conv_transpose1d(const ConvSize& size, const ConvOptions& options = {});

/// The length that each makes of `samples`; below 1 when it does not fit.
Eigen::Index conv1d_length(const ConvSize& size, Eigen::Index samples);
Eigen::Index conv_transpose1d_length(const ConvSize& size, Eigen::Index samples);

extern template MadeLayer<float> make_conv1d<float>(const ConvSize&, const ConvOptions&);
extern template MadeLayer<double> make_conv1d<double>(const ConvSize&, const ConvOptions&);
extern template MadeLayer<float> make_conv_transpose1d<float>(const ConvSize&, const ConvOptions&);
extern template MadeLayer<double> make_conv_transpose1d<double>(const ConvSize&,
                                                                const ConvOptions&);

}  // namespace anomalyd::nn

#pragma once

#include <vector>

#include "nn/conv1d.h"
#include "nn/layer.h"

// The three products that convolutions and transposed convolutions are made of, forward and back.
// Internal to nn: Plan uses them with its own buffers.

namespace anomalyd::nn {

/// Where the weights of a convolution lie: what tap j carries from channel a of group g of one side
/// to channel b of the other is w[j tap + g group + a row + b column].
struct Taps {
  Eigen::Index kernel = 1;
  Eigen::Index groups = 1;
  Eigen::Index from = 1;  ///< channels of a group on the side that is read
  Eigen::Index to = 1;    ///< on the side that is written
  Eigen::Index tap = 0;
  Eigen::Index group = 0;
  Eigen::Index row = 0;
  Eigen::Index column = 0;
};

/// Of conv1d's weights (kernel, in / groups, out), read from x to y; swap() for from y to x.
Taps conv1d_taps(const ConvSize& size);
/// Of conv_transpose1d's (in, kernel, out / groups).
Taps conv_transpose1d_taps(const ConvSize& size);
Taps swap(const Taps& taps);

/// Packs taps `which`, one below the other, of one group.
template <class Scalar>
void pack_taps(const Taps& taps, std::span<const Eigen::Index> which, Eigen::Index group,
               const Scalar* weights, Scratch<Scalar>& scratch, Buffer<Scalar>& to);

/// y[t] = bias + sum_j z[t * stride + j * dilation] M_j for t < count: a convolution of a padded z.
template <class Scalar>
class GatherProduct {
 public:
  GatherProduct(const ConvSize& size, const Taps& taps);

  /// Writes packed[at .. at + groups).
  void pack(const Scalar* weights, Scratch<Scalar>& scratch, std::vector<Buffer<Scalar>>& packed,
            std::size_t at) const;
  void run(const Kernels<Scalar>& kernels, const Buffer<Scalar>* packed, const Scalar* bias,
           const Scalar* padded, Eigen::Index count, Scalar slope, Scalar* y) const;

 private:
  ConvSize size_;
  Taps taps_;
  std::vector<Eigen::Index> all_;  // 0 .. kernel - 1
};

/// y[u] = bias + sum of z[t] M_j over t * stride + j * dilation = u + padding, phase by phase: the
/// outputs whose u + padding leave the same remainder by the stride meet the same taps.
template <class Scalar>
class ScatterProduct {
 public:
  ScatterProduct(const ConvSize& size, const Taps& taps);

  /// Rows of zeros that z needs before it, and behind when y has `count` rows.
  Eigen::Index left() const { return left_; }
  Eigen::Index right(Eigen::Index samples, Eigen::Index count) const;
  std::size_t packed_buffers() const { return phases_.size() * groups(); }
  void pack(const Scalar* weights, Scratch<Scalar>& scratch, std::vector<Buffer<Scalar>>& packed,
            std::size_t at) const;
  /// `padded` begins with left() rows of zeros.
  void run(const Kernels<Scalar>& kernels, const Buffer<Scalar>* packed, const Scalar* bias,
           const Scalar* padded, Eigen::Index count, Scalar slope, Scalar* y) const;

 private:
  struct Phase {
    std::vector<Eigen::Index> taps;  // in ascending order of the z they read
    Eigen::Index back = 0;           // rows from the phase's own z back to the first that is read
  };
  std::size_t groups() const { return static_cast<std::size_t>(taps_.groups); }

  ConvSize size_;
  Taps taps_;
  std::vector<Phase> phases_;  // one a remainder
  Eigen::Index tap_step_ = 1;  // rows of z between two taps of a phase
  Eigen::Index left_ = 0;
};

/// Each row's (samples, channels) between `left` and `right` rows of zeros: a copy, or z itself
/// when there are none.
template <class Scalar>
std::span<const Scalar> pad(Rows<const Scalar> z, Eigen::Index channels, Eigen::Index left,
                            Eigen::Index right, Scratch<Scalar>& scratch);

/// Adds to gradient (kernel, p / groups, d) what rows of padded p (rows, padded_samples, p) and
/// d (rows, samples, d) give: sum over rows and t of p[t * stride + j * dilation] d[t]'.
template <class Scalar>
void add_weight_gradient(const Kernels<Scalar>& kernels, const ConvSize& size, Eigen::Index rows,
                         const Scalar* padded, Eigen::Index padded_samples,
                         Eigen::Index padded_channels, const Scalar* dense, Eigen::Index samples,
                         Eigen::Index dense_channels, Scratch<Scalar>& scratch, Scalar* gradient);

/// Adds the sum of (count, channels) over its rows.
template <class Scalar>
void add_bias_gradient(const Scalar* dy, Eigen::Index count, Eigen::Index channels,
                       Scalar* gradient);

extern template class GatherProduct<float>;
extern template class GatherProduct<double>;
extern template class ScatterProduct<float>;
extern template class ScatterProduct<double>;

}  // namespace anomalyd::nn

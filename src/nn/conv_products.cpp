#include "nn/conv_products.h"

#include <algorithm>
#include <numeric>

namespace anomalyd::nn {
namespace {

using Eigen::Index;

std::size_t count_of(Index numbers) { return static_cast<std::size_t>(numbers); }

template <class Scalar>
void fill_rows(const Scalar* bias, Index channels, Index count, Index row, Scalar slope,
               Scalar* y) {
  for (Index i = 0; i < count; ++i) {
    for (Index c = 0; c < channels; ++c) {
      const Scalar value = bias[c];
      y[i * row + c] = value > 0 ? value : slope * value;
    }
  }
}

}  // namespace

Taps conv1d_taps(const ConvSize& size) {
  const Index in = size.in / size.groups;
  const Index out = size.out / size.groups;
  return {size.kernel, size.groups, in, out, in * size.out, out, size.out, 1};
}

Taps conv_transpose1d_taps(const ConvSize& size) {
  const Index in = size.in / size.groups;
  const Index out = size.out / size.groups;
  const Index row = size.kernel * out;
  return {size.kernel, size.groups, in, out, out, in * row, row, 1};
}

Taps swap(const Taps& taps) {
  Taps swapped = taps;
  std::swap(swapped.from, swapped.to);
  std::swap(swapped.row, swapped.column);
  return swapped;
}

template <class Scalar>
void pack_taps(const Taps& taps, std::span<const Index> which, Index group, const Scalar* weights,
               Scratch<Scalar>& scratch, Buffer<Scalar>& to) {
  const Index depth = static_cast<Index>(which.size()) * taps.from;
  to.resize(count_of(packed_size(depth, taps.to)));
  if (depth == 0) return;
  const std::span<Scalar> stacked = scratch.take(count_of(depth * taps.to));
  Scalar* at = stacked.data();
  for (const Index j : which) {
    const Scalar* tap = weights + j * taps.tap + group * taps.group;
    for (Index a = 0; a < taps.from; ++a) {
      for (Index b = 0; b < taps.to; ++b) *at++ = tap[a * taps.row + b * taps.column];
    }
  }
  pack<Scalar>(depth, taps.to, stacked.data(), taps.to, 1, to.data());
  scratch.clear();
}

template <class Scalar>
GatherProduct<Scalar>::GatherProduct(const ConvSize& size, const Taps& taps)
    : size_(size), taps_(taps), all_(count_of(size.kernel)) {
  std::iota(all_.begin(), all_.end(), Index{0});
}

template <class Scalar>
void GatherProduct<Scalar>::pack(const Scalar* weights, Scratch<Scalar>& scratch,
                                 std::vector<Buffer<Scalar>>& packed, std::size_t at) const {
  for (Index group = 0; group < taps_.groups; ++group) {
    pack_taps<Scalar>(taps_, all_, group, weights, scratch, packed[at + count_of(group)]);
  }
}

template <class Scalar>
void GatherProduct<Scalar>::run(const Kernels<Scalar>& kernels, const Buffer<Scalar>* packed,
                                const Scalar* bias, const Scalar* padded, Index count, Scalar slope,
                                Scalar* y) const {
  const Index from = taps_.from * taps_.groups;
  const Index to = taps_.to * taps_.groups;
  // Without gaps a receptive field is one run of numbers.
  const bool is_run = size_.dilation == 1 && taps_.groups == 1;
  for (Index group = 0; group < taps_.groups; ++group) {
    Product<Scalar> product;
    product.rows = count;
    product.columns = taps_.to;
    product.segments = is_run ? 1 : taps_.kernel;
    product.depth = is_run ? taps_.kernel * from : taps_.from;
    product.a = padded + group * taps_.from;
    product.a_row = size_.stride * from;
    product.a_segment = size_.dilation * from;
    product.b = packed[group].data();
    product.bias = bias + group * taps_.to;
    product.c = y + group * taps_.to;
    product.c_row = to;
    product.slope = slope;
    kernels.product(product);
  }
}

template <class Scalar>
ScatterProduct<Scalar>::ScatterProduct(const ConvSize& size, const Taps& taps)
    : size_(size),
      taps_(taps),
      phases_(count_of(size.stride)),
      tap_step_(size.dilation / std::gcd(size.stride, size.dilation)) {
  for (Index j = size.kernel - 1; j >= 0; --j) {
    const Index at = j * size.dilation;
    Phase& phase = phases_[count_of(at % size.stride)];
    if (phase.taps.empty()) phase.back = at / size.stride;
    phase.taps.push_back(j);
    left_ = std::max(left_, phase.back);
  }
}

template <class Scalar>
Index ScatterProduct<Scalar>::right(Index samples, Index count) const {
  return std::max<Index>(0, (count - 1 + size_.padding) / size_.stride - (samples - 1));
}

template <class Scalar>
void ScatterProduct<Scalar>::pack(const Scalar* weights, Scratch<Scalar>& scratch,
                                  std::vector<Buffer<Scalar>>& packed, std::size_t at) const {
  for (const Phase& phase : phases_) {
    for (Index group = 0; group < taps_.groups; ++group) {
      pack_taps<Scalar>(taps_, phase.taps, group, weights, scratch, packed[at++]);
    }
  }
}

template <class Scalar>
void ScatterProduct<Scalar>::run(const Kernels<Scalar>& kernels, const Buffer<Scalar>* packed,
                                 const Scalar* bias, const Scalar* padded, Index count,
                                 Scalar slope, Scalar* y) const {
  const Index from = taps_.from * taps_.groups;
  const Index to = taps_.to * taps_.groups;
  const bool is_run = tap_step_ == 1 && taps_.groups == 1;
  for (Index remainder = 0; remainder < size_.stride; ++remainder) {
    const Phase& phase = phases_[count_of(remainder)];
    const Index first = ((remainder - size_.padding) % size_.stride + size_.stride) % size_.stride;
    if (first >= count) continue;
    const Index rows = (count - first + size_.stride - 1) / size_.stride;
    const auto taps = static_cast<Index>(phase.taps.size());
    for (Index group = 0; group < taps_.groups; ++group) {
      Scalar* to_first = y + first * to + group * taps_.to;
      if (taps == 0) {
        fill_rows(bias + group * taps_.to, taps_.to, rows, size_.stride * to, slope, to_first);
        continue;
      }
      Product<Scalar> product;
      product.rows = rows;
      product.columns = taps_.to;
      product.segments = is_run ? 1 : taps;
      product.depth = is_run ? taps * from : taps_.from;
      const Index begin = left_ + (first + size_.padding) / size_.stride - phase.back;
      product.a = padded + begin * from + group * taps_.from;
      product.a_row = from;
      product.a_segment = tap_step_ * from;
      product.b = packed[remainder * taps_.groups + group].data();
      product.bias = bias + group * taps_.to;
      product.c = to_first;
      product.c_row = size_.stride * to;
      product.slope = slope;
      kernels.product(product);
    }
  }
}

template <class Scalar>
std::span<const Scalar> pad(Rows<const Scalar> z, Index channels, Index left, Index right,
                            Scratch<Scalar>& scratch) {
  if (left == 0 && right == 0) return {z.data, count_of(z.size())};
  const Index before = left * channels;
  const Index width = before + z.cols + right * channels;
  const std::span<Scalar> padded = scratch.take(count_of(z.rows * width));
  for (Index row = 0; row < z.rows; ++row) {
    Scalar* to = padded.data() + row * width;
    std::fill_n(to, before, Scalar(0));
    std::copy_n(z.row(row), z.cols, to + before);
    std::fill_n(to + before + z.cols, right * channels, Scalar(0));
  }
  return padded;
}

template <class Scalar>
void add_weight_gradient(const Kernels<Scalar>& kernels, const ConvSize& size, Index rows,
                         const Scalar* padded, Index padded_samples, Index padded_channels,
                         const Scalar* dense, Index samples, Index dense_channels,
                         Scratch<Scalar>& scratch, Scalar* gradient) {
  const Index p = padded_channels / size.groups;
  const Index d = dense_channels / size.groups;
  const bool is_run = size.dilation == 1 && size.groups == 1;
  const std::span<Scalar> packed = scratch.take(count_of(packed_size(rows * samples, d)));
  for (Index group = 0; group < size.groups; ++group) {
    pack<Scalar>(rows * samples, d, dense + group * d, dense_channels, 1, packed.data());
    Product<Scalar> product;
    product.rows = is_run ? size.kernel * p : p;
    product.columns = d;
    product.segments = rows;
    product.depth = samples;
    product.a_row = 1;
    product.a_segment = padded_samples * padded_channels;
    product.a_depth = size.stride * padded_channels;
    product.b = packed.data();
    product.c_row = dense_channels;
    for (Index j = 0; j < (is_run ? 1 : size.kernel); ++j) {
      product.a = padded + j * size.dilation * padded_channels + group * p;
      product.c = gradient + j * p * dense_channels + group * d;
      kernels.product(product);
    }
  }
}

template <class Scalar>
void add_bias_gradient(const Scalar* dy, Index count, Index channels, Scalar* gradient) {
  for (Index row = 0; row < count; ++row) {
    for (Index c = 0; c < channels; ++c) gradient[c] += dy[row * channels + c];
  }
}

template void pack_taps<float>(const Taps&, std::span<const Index>, Index, const float*,
                               Scratch<float>&, Buffer<float>&);
template class GatherProduct<float>;
template class ScatterProduct<float>;
template std::span<const float> pad<float>(Rows<const float>, Index, Index, Index, Scratch<float>&);
template void add_weight_gradient<float>(const Kernels<float>&, const ConvSize&, Index,
                                         const float*, Index, Index, const float*, Index, Index,
                                         Scratch<float>&, float*);
template void add_bias_gradient<float>(const float*, Index, Index, float*);
template void pack_taps<double>(const Taps&, std::span<const Index>, Index, const double*,
                                Scratch<double>&, Buffer<double>&);
template class GatherProduct<double>;
template class ScatterProduct<double>;
template std::span<const double> pad<double>(Rows<const double>, Index, Index, Index,
                                             Scratch<double>&);
template void add_weight_gradient<double>(const Kernels<double>&, const ConvSize&, Index,
                                          const double*, Index, Index, const double*, Index, Index,
                                          Scratch<double>&, double*);
template void add_bias_gradient<double>(const double*, Index, Index, double*);

}  // namespace anomalyd::nn

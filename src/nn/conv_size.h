#pragma once

#include <algorithm>

#include "nn/conv1d.h"

// What conv1d.cpp and conv_transpose1d.cpp share. Internal to nn.

namespace anomalyd::nn {

Status check_conv_size(const char* type, const ConvSize& size);
/// `samples` is the length that the layer makes of `in`.
Result<Shape> conv_shape(const char* type, const ConvSize& size, Shape in, Eigen::Index samples);
/// Of packed weights: `products` of (depth, columns).
double packed_numbers(double products, Eigen::Index depth, Eigen::Index columns);
/// How many times longer than its operations say a product takes whose lanes are mostly idle.
double idleness(Eigen::Index columns);
Initialiser conv_initialiser(Initialiser::Kind kind, const ConvSize& size);

template <class Scalar>
const Scalar* zeros_of(Eigen::Index count, Scratch<Scalar>& scratch) {
  const std::span<Scalar> zeros = scratch.take(static_cast<std::size_t>(count));
  std::fill(zeros.begin(), zeros.end(), Scalar(0));
  return zeros.data();
}

}  // namespace anomalyd::nn

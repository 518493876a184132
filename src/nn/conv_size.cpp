#include "nn/conv_size.h"

#include <string>

namespace anomalyd::nn {
namespace {

using Eigen::Index;

constexpr Index kMaxChannels = 4096;
constexpr Index kMaxKernel = 1024;
constexpr Index kMaxStep = 1024;

std::string text(const ConvSize& size) {
  return "in=" + std::to_string(size.in) + " out=" + std::to_string(size.out) +
         " kernel=" + std::to_string(size.kernel) + " stride=" + std::to_string(size.stride) +
         " padding=" + std::to_string(size.padding) + " dilation=" + std::to_string(size.dilation) +
         " groups=" + std::to_string(size.groups);
}

bool is_within(Index value, Index low, Index high) { return value >= low && value <= high; }

}  // namespace

Status check_conv_size(const char* type, const ConvSize& size) {
  const bool is_legal =
      is_within(size.in, 1, kMaxChannels) && is_within(size.out, 1, kMaxChannels) &&
      is_within(size.kernel, 1, kMaxKernel) && is_within(size.stride, 1, kMaxStep) &&
      is_within(size.dilation, 1, kMaxStep) &&
      is_within(size.padding, 0, size.dilation * (size.kernel - 1)) && size.groups >= 1 &&
      size.in % size.groups == 0 && size.out % size.groups == 0;
  if (is_legal) return Done{};
  return Error{ErrorCode::kInvalidArgument,
               std::string(type) + ": " + text(size) + ": expected in and out of 1.." +
                   std::to_string(kMaxChannels) + ", both multiples of groups, kernel of 1.." +
                   std::to_string(kMaxKernel) + ", stride and dilation of 1.." +
                   std::to_string(kMaxStep) + ", padding below the kernel's span"};
}

Result<Shape> conv_shape(const char* type, const ConvSize& size, Shape in, Index samples) {
  if (in.channels != size.in) {
    return Error{ErrorCode::kInvalidArgument, std::string(type) + ": in is " +
                                                  std::to_string(size.in) + ", but it reads " +
                                                  std::to_string(in.channels) + " channels"};
  }
  if (samples < 1) {
    return Error{ErrorCode::kInvalidArgument, std::string(type) + ": " + text(size) +
                                                  ": nothing is left of " +
                                                  std::to_string(in.samples) + " samples"};
  }
  return Shape{samples, size.out};
}

double packed_numbers(double products, Index depth, Index columns) {
  return products * static_cast<double>(packed_size(depth, columns));
}

double idleness(Index columns) {
  if (columns == 1) return 64;  // one output at a time, its terms gathered one by one
  return columns < 16 ? 16.0 / static_cast<double>(columns) : 1;
}

Initialiser conv_initialiser(Initialiser::Kind kind, const ConvSize& size) {
  return {kind, 0.02, static_cast<double>(size.kernel * size.in / size.groups),
          static_cast<double>(size.kernel * size.out / size.groups)};
}

}  // namespace anomalyd::nn

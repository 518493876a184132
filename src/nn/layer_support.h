#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/result.h"
#include "nn/layer.h"
#include "nn/types.h"

// What the layers' factories and shapes have in common. Internal to nn.

namespace anomalyd::nn {

inline constexpr Eigen::Index kMostChannels = 4096;
inline constexpr Eigen::Index kLongestKernel = 1024;

/// Refuses a `value` outside low..high: "max_pool: kernel is 0, expected 1..1024".
inline Status check_range(std::string_view type, std::string_view field, Eigen::Index value,
                          Eigen::Index low, Eigen::Index high) {
  if (value >= low && value <= high) return Done{};
  return Error{ErrorCode::kInvalidArgument, std::string(type) + ": " + std::string(field) + " is " +
                                                std::to_string(value) + ", expected " +
                                                std::to_string(low) + ".." + std::to_string(high)};
}

/// The only input's shape.
inline Result<Shape> only_input(std::string_view type, std::span<const Shape> in) {
  if (in.size() == 1) return in[0];
  return Error{ErrorCode::kInvalidArgument, std::string(type) + ": it reads " +
                                                std::to_string(in.size()) + " values, expected 1"};
}

/// The only input's shape, whose channels must be `channels`.
inline Result<Shape> only_input(std::string_view type, std::span<const Shape> in,
                                Eigen::Index channels) {
  auto shape = only_input(type, in);
  if (!shape.ok() || shape.value().channels == channels) return shape;
  return Error{ErrorCode::kInvalidArgument, std::string(type) + ": channels are " +
                                                std::to_string(channels) + ", but it reads " +
                                                std::to_string(shape.value().channels)};
}

/// The rows of a layer that reads one value.
template <class Scalar>
const Rows<const Scalar>& input_of(typename Layer<Scalar>::In x) {
  ANOMALYD_CHECK(x.size() == 1, "a layer of one input");
  return x[0];
}

/// `found` has as many rows as expected and `cols` values in each.
template <class Scalar>
void check_rows(Eigen::Index rows, Eigen::Index cols, const Rows<Scalar>& found) {
  ANOMALYD_CHECK(found.rows == rows && found.cols == cols, "rows of another shape");
}

}  // namespace anomalyd::nn

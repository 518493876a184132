#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "nn/layer_support.h"

// What norms.cpp and batch_norm.cpp share. Internal to nn.

namespace anomalyd::nn {

/// Channels whose sums are held at once: a cache line of float.
inline constexpr Eigen::Index kBlock = 16;

/// Calls work(first, width) for channels in blocks of kBlock, the last perhaps narrower.
template <class Work>
void for_blocks(Eigen::Index channels, const Work& work) {
  for (Eigen::Index first = 0; first < channels; first += kBlock) {
    work(first, std::min(kBlock, channels - first));
  }
}

inline std::vector<ParameterSpec> norm_parameters(Eigen::Index channels) {
  const auto count = static_cast<std::size_t>(channels);
  return {{"weights", {count}, {Initialiser::Kind::kConstant, 1}},
          {"bias", {count}, {Initialiser::Kind::kConstant, 0}}};
}

/// Refuses what is not in (0, 1].
inline Status check_share(std::string_view type, std::string_view field, double value) {
  if (value > 0 && value <= 1) return Done{};
  return Error{ErrorCode::kInvalidArgument, std::string(type) + ": " + std::string(field) + " is " +
                                                std::to_string(value) +
                                                ", expected above 0 and at most 1"};
}

inline Status check_norm(std::string_view type, Eigen::Index channels, double epsilon) {
  auto checked = check_range(type, "channels", channels, 1, kMostChannels);
  return checked.ok() ? check_share(type, "epsilon", epsilon) : checked;
}

}  // namespace anomalyd::nn

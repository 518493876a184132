#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "detect/discriminator.h"
#include "detect/members/stream_member.h"

namespace anomalyd::detect {

/// A member whose fixed part is a trained network, shared by all streams: what a preset's row makes
/// from the stream alone, this makes from the network.
struct TrainedMember {
  const StreamMemberRow* row = nullptr;  ///< its `make` is null
  std::function<MadeMember()> make;
  float weight = 1;  ///< against the preset's members, before the chooser's
};

/// Scores the last samples of a stream by a discriminator, every kNetworkStep samples; in between
/// the last score stands. It learns nothing from a stream.
///
/// Numerics  it runs at every kNetworkStep-th sample of the stream, and at the first one after an
///           interruption that ends a whole window.
/// Cost      a forward pass every kNetworkStep samples.
TrainedMember stream_discriminator(std::shared_ptr<const Discriminator> model);

inline constexpr std::size_t kNetworkStep = 8;

}  // namespace anomalyd::detect

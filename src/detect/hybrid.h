#pragma once

#include <memory>
#include <vector>

#include "detect/detector.h"
#include "detect/discriminator.h"
#include "detect/fit.h"
#include "detect/member.h"
#include "detect/members/network.h"
#include "detect/portfolio_set.h"
#include "nn/tensor_file.h"

namespace anomalyd::detect {

/// The networks of a "hybrid" detector: the portfolio "standard", learned from each stream, with
/// networks from a file beside its members.
struct Networks {
  std::shared_ptr<const Discriminator> discriminator;

  bool empty() const { return discriminator == nullptr; }
  std::vector<TrainedMember> members() const;
  /// The detector file with these networks and settings, info.version as it is.
  nn::TensorFile to_file(const DetectorInfo& info) const;
};

/// Trains the networks on the first kNetworkShare of each recording, in the scale that its stream
/// would learn from it: what is left is new to them, so that of a stream that is learned from the
/// same recording the tails also hold scores of what they have not seen.
/// Errors   kInvalidArgument: check_portfolio(), more than kMostHybridChannels channels, too few
///          windows, training's.
Result<Fitted> fit_hybrid(const std::vector<nn::Matrix<float>>& recordings,
                          const FitOptions& options);
/// Errors   kCorrupt, kUnsupported: see load_detector().
Result<LoadedDetector> load_hybrid(const MemberFile& file);

inline constexpr double kNetworkShare = 0.75;
/// The discriminator did harm on wider streams (docs/detectors.md).
inline constexpr std::size_t kMostHybridChannels = 8;

/// portfolio.cpp: what every portfolio needs of its settings.
/// Errors   kInvalidArgument: normaliser, hop_samples, learn_windows.
Status check_portfolio(const DetectorInfo& info);
/// portfolio.cpp: the detector of these parts.
std::shared_ptr<const Detector> compose_portfolio(const DetectorInfo& info, const Preset& preset,
                                                  Networks networks);

}  // namespace anomalyd::detect

#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "detect/member.h"
#include "detect/window_features.h"
#include "detect/workspaces.h"
#include "nn/network.h"
#include "nn/plan.h"

namespace anomalyd::detect {

/// The discriminator's network: four convolutions of stride 2 over the three features a value
/// (WindowFeatures), then two dense layers to one logit, high for real windows.
/// Errors   kInvalidArgument when samples is not a multiple of 8 of at least 16.
Result<nn::Architecture> discriminator_architecture(std::size_t samples, std::size_t channels);

/// A trained discriminator D, which tells real windows from others:
///
///   score(x) = log(1 + exp(-D(x))), -log of the chance that x is real by D,
///
/// and some real windows, for what normal would have looked like.
///
/// Shapes    x (samples, channels), time-major, normalised; examples (m, at least that).
/// Numerics  finite and at least 0 for finite windows; a window's bits depend on it alone.
/// Cost      one forward pass; no heap allocation once as many threads have scored at once.
/// Threads   const and safe to share.
class Discriminator {
 public:
  Discriminator(nn::Network<float> network, WindowFeatures features, nn::Matrix<float> examples);

  std::size_t samples() const;
  std::size_t channels() const { return features_.channels(); }
  const nn::Matrix<float>& examples() const { return examples_; }
  double flops() const { return network_.cost().flops; }
  float score(std::span<const float> window) const;
  /// The end, as long as `window`, of the example whose end is nearest to it.
  std::span<const float> nearest(std::span<const float> window) const;
  /// What the score loses when one channel is as in nearest() and the others as they came; at least
  /// 0.
  /// Source    occlusion: Zeiler and Fergus 2014.
  std::vector<double> energies(std::span<const float> window) const;

  /// "<prefix>.<layer>.weights" and the like, "<prefix>.slopes" and "<prefix>.examples".
  void save(const std::string& prefix, nn::TensorFile& file) const;
  std::string architecture() const;
  /// `info` is the detector's: examples are its windows, and no shorter than what is seen.
  /// Errors   kCorrupt, kUnsupported: see load_detector().
  static Result<std::unique_ptr<Discriminator>> load(const std::string& prefix,
                                                     const std::string& architecture,
                                                     const DetectorInfo& info,
                                                     const nn::TensorFile& file);

 private:
  nn::Network<float> network_;
  nn::Plan plan_;
  WindowFeatures features_;
  nn::Matrix<float> examples_;
  mutable Workspaces workspaces_;
};

/// Trains one on stretches of the input's windows, 0.8 as long as these: exposure.h.
/// Errors   kInvalidArgument: sizes, a training that diverges, cancelled.
Result<std::unique_ptr<Discriminator>> train_discriminator(const FitInput& input);

}  // namespace anomalyd::detect

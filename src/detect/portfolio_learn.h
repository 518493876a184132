#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "detect/calibration.h"
#include "detect/portfolio_set.h"

namespace anomalyd::detect {

/// Normalised samples of one stream in order, with the places at which it was interrupted.
struct Recording {
  std::size_t channels = 1;
  std::vector<float> values;        ///< (samples, channels), finite, within +-kMaxFollowed
  std::vector<std::size_t> breaks;  ///< ascending: samples that do not follow on the one before
  std::vector<TimeNs> times;        ///< of sample 0 and of each break; empty: not known
  TimeNs step = 0;                  ///< from one sample to the next

  std::size_t samples() const { return values.size() / channels; }
  std::span<const float> sample(std::size_t i) const {
    return std::span(values).subspan(i * channels, channels);
  }
};

/// What a learning span made of a stream.
struct LearnedPortfolio {
  MemberSet members;
  Calibration calibration;  ///< of window scores
};

/// Periods and sizes.  Cost  two Fourier transforms of the span a channel, of eight channels.
StreamTraits traits_of(const Recording& span, std::size_t hop);

/// Sends the span through the members as live samples would go, `hop` at a time, each hop scored
/// before it is learned; what they scored after the first kWarmUp of it is counted in their tails,
/// each score after its surprise is taken, and so calibrates their sum.
///
/// Errors   kInvalidArgument when the span is too short for a calibration.
/// Numerics a function of the span alone.
/// Cost     as long as the span takes live; a float a member and sample while it lasts. With
///          `preset.chooses` some 10,000 samples' time more, see injected_recall().
Result<LearnedPortfolio> learn_portfolio(const Preset& preset, const Recording& span,
                                         std::size_t hop,
                                         std::span<const TrainedMember> trained = {});

}  // namespace anomalyd::detect

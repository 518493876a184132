#pragma once

#include <array>
#include <cstddef>
#include <random>
#include <span>
#include <string_view>

namespace anomalyd::detect {

/// What is done to a normal window so that it is no longer one. Negatives of outlier exposure:
/// `Anomaly` of portfolio_inject.h, which judges members, is another thing on purpose.
enum class Corruption {
  kNoise,     ///< noise on top
  kSmooth,    ///< a moving mean takes the detail away
  kDrift,     ///< a ramp, or a bump, on top
  kLevel,     ///< a step there and back
  kWarp,      ///< time runs unevenly, the ends stay where they are
  kSpeed,     ///< run through faster or slower
  kReverse,   ///< run through backwards
  kScale,     ///< louder or quieter around its mean
  kFlat,      ///< held at one value
  kSplice,    ///< a stretch of another normal window
  kSpike,     ///< one to three wild values
  kPhase,     ///< a stretch of the same window, from earlier or later
  kDecouple,  ///< some channels from another window, the others stay; several channels only
};
inline constexpr std::size_t kCorruptions = 13;
/// "noise", "smooth", ...
std::string_view to_text(Corruption kind);

/// Corrupts a stretch of a normal window in place: which stretch, in which channels and how much is
/// drawn from `bits`. kWarp, kSpeed, kReverse, kSplice and kPhase do it to all channels or to some,
/// the others to some.
///
/// Shapes    window and `other`, another normal window: (samples, channels), time-major, at least
///           kLeastCorrupted samples.
/// Units     none: normalised values, spread about 1.
/// Errors    other shapes are a bug (check). kDecouple with one channel is kSplice.
/// Numerics  the same bits give the same window. Finite stays finite; sizes grow with the window's
///           own spread.
/// Source    the kinds: Goswami et al. 2023 and the UCR entry "Augment" (ralgond/TSAD-UCR), which
///           learned from windows made like these; outlier exposure: Hendrycks et al. 2019.
void corrupt(Corruption kind, std::span<const float> other, std::size_t channels,
             std::mt19937_64& bits, std::span<float> window);

/// corrupt() by a kind that is drawn too, and again, up to kTries times, until the window has
/// changed by kLeastChange: what is reversed in a symmetric place is normal still.
/// Returns the (last) kind.
Corruption corrupt_somehow(std::span<const float> other, std::size_t channels,
                           std::mt19937_64& bits, std::span<float> window);

inline constexpr std::size_t kLeastCorrupted = 8;
inline constexpr int kTries = 4;
/// Largest distance of a value from what it was, in spreads.
inline constexpr float kLeastChange = 0.3F;

}  // namespace anomalyd::detect

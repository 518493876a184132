#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace anomalyd::nn {

/// What part of the full learning rate a step has. Step t = 0, 1, ... of `steps`, the first
/// `warmup` of which rise: (t + 1) / warmup. After them
///
/// constant  1
/// cosine    floor + (1 - floor) (1 + cos(pi p)) / 2, p = (t - warmup) / (steps - warmup), and
///           floor from step `steps` on
///
/// Source    Goyal et al. 2017, section 2.2; Loshchilov and Hutter 2017, eq. 5 without restarts.
struct Schedule {
  enum class Kind { kConstant, kCosine };
  Kind kind = Kind::kConstant;
  std::uint64_t warmup = 0;
  std::uint64_t steps = 0;  ///< of kCosine
  double floor = 0;         ///< of kCosine

  /// Errors   kUnsupported for a name that is not "constant" or "cosine"; kInvalidArgument for a
  ///          cosine whose steps do not exceed its warm-up, or a floor outside [0, 1].
  static Result<Schedule> make(std::string_view name, std::uint64_t warmup, std::uint64_t steps,
                               double floor = 0);
  Status check() const;
  double factor(std::uint64_t step) const;
};

}  // namespace anomalyd::nn

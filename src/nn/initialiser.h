#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"

namespace anomalyd::nn {

/// How weights begin. fan_in and fan_out: terms of one output's sum, and outputs one input is in.
///
/// constant        `value` everywhere
/// glorot_uniform  uniform in +-sqrt(6 / (fan_in + fan_out))           Glorot and Bengio 2010, eq.
/// 16 glorot_normal   normal, variance 2 / (fan_in + fan_out) he_uniform      uniform in +-sqrt(6 /
/// fan_in)                       He et al. 2015, eq. 10 he_normal       normal, variance 2 / fan_in
/// normal          normal, mean 0, standard deviation `value`: 0.02 is DCGAN's
struct Initialiser {
  enum class Kind { kConstant, kGlorotUniform, kGlorotNormal, kHeUniform, kHeNormal, kNormal };
  Kind kind = Kind::kConstant;
  double value = 0;
  double fan_in = 1;
  double fan_out = 1;
};

/// The kind of that name.  Errors  kUnsupported, listing the known.
Result<Initialiser::Kind> initialiser_kind(std::string_view name);
std::string_view name_of(Initialiser::Kind kind);

/// Fills `weights` from `seed`: the same numbers on every platform.
template <class Scalar>
void initialise(const Initialiser& initialiser, std::uint64_t seed, std::span<Scalar> weights);

extern template void initialise<float>(const Initialiser&, std::uint64_t, std::span<float>);
extern template void initialise<double>(const Initialiser&, std::uint64_t, std::span<double>);

}  // namespace anomalyd::nn

#include "nn/initialiser.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <random>
#include <string>
#include <utility>

#include "nn/random.h"

namespace anomalyd::nn {
namespace {

using Kind = Initialiser::Kind;

constexpr std::array<std::pair<Kind, std::string_view>, 6> kNames{{
    {Kind::kConstant, "constant"},
    {Kind::kGlorotUniform, "glorot_uniform"},
    {Kind::kGlorotNormal, "glorot_normal"},
    {Kind::kHeUniform, "he_uniform"},
    {Kind::kHeNormal, "he_normal"},
    {Kind::kNormal, "normal"},
}};

template <class Scalar>
void fill_uniform(double limit, std::mt19937_64& bits, std::span<Scalar> weights) {
  for (Scalar& weight : weights) {
    weight = static_cast<Scalar>((2 * unit_uniform(bits) - 1) * limit);
  }
}

/// Box and Muller's transform, both of each pair used.
template <class Scalar>
void fill_normal(double deviation, std::mt19937_64& bits, std::span<Scalar> weights) {
  for (std::size_t i = 0; i < weights.size(); i += 2) {
    const double radius = std::sqrt(-2 * std::log1p(-unit_uniform(bits))) * deviation;
    const double angle = 2 * std::numbers::pi * unit_uniform(bits);
    weights[i] = static_cast<Scalar>(radius * std::cos(angle));
    if (i + 1 < weights.size()) weights[i + 1] = static_cast<Scalar>(radius * std::sin(angle));
  }
}

}  // namespace

std::string_view name_of(Kind kind) {
  for (const auto& [each, name] : kNames) {
    if (each == kind) return name;
  }
  ANOMALYD_CHECK(false, "an initialiser without a name");
  return {};
}

Result<Kind> initialiser_kind(std::string_view name) {
  std::string known;
  for (const auto& [kind, each] : kNames) {
    if (each == name) return kind;
    known += (known.empty() ? "" : ", ") + std::string(each);
  }
  return Error{ErrorCode::kUnsupported,
               "unknown initialiser \"" + std::string(name.substr(0, 64)) + "\", known: " + known};
}

template <class Scalar>
void initialise(const Initialiser& initialiser, std::uint64_t seed, std::span<Scalar> weights) {
  std::mt19937_64 bits(seed);
  const double both = initialiser.fan_in + initialiser.fan_out;
  switch (initialiser.kind) {
    case Kind::kConstant:
      std::fill(weights.begin(), weights.end(), static_cast<Scalar>(initialiser.value));
      return;
    case Kind::kGlorotUniform:
      return fill_uniform(std::sqrt(6 / both), bits, weights);
    case Kind::kGlorotNormal:
      return fill_normal(std::sqrt(2 / both), bits, weights);
    case Kind::kHeUniform:
      return fill_uniform(std::sqrt(6 / initialiser.fan_in), bits, weights);
    case Kind::kHeNormal:
      return fill_normal(std::sqrt(2 / initialiser.fan_in), bits, weights);
    case Kind::kNormal:
      return fill_normal(initialiser.value, bits, weights);
  }
}

template void initialise<float>(const Initialiser&, std::uint64_t, std::span<float>);
template void initialise<double>(const Initialiser&, std::uint64_t, std::span<double>);

}  // namespace anomalyd::nn

#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace anomalyd::nn {

/// Uniform in [0, 1) with 53 bits. Not std::uniform_real_distribution: its output is not the
/// same across standard libraries.
inline double unit_uniform(std::mt19937_64& bits) {
  return static_cast<double>(bits() >> 11U) * 0x1.0p-53;
}

/// The seed of the `index`-th of several generators that grow from one seed.
/// Source   SplitMix64 (Steele, Lea and Flood 2014).
inline std::uint64_t derive_seed(std::uint64_t seed, std::uint64_t index) {
  std::uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31U);
}

/// The `index`-th number of the stream of 32-bit numbers that grows from `seed`, in any order.
/// Source   two rounds of "lowbias32" (Wellons 2018), half of the seed before each.
inline std::uint32_t random_bits(std::uint64_t seed, std::uint32_t index) {
  const auto mix = [](std::uint32_t x) {
    x = (x ^ (x >> 16U)) * 0x7feb352dU;
    x = (x ^ (x >> 15U)) * 0x846ca68bU;
    return x ^ (x >> 16U);
  };
  return mix(mix(index + static_cast<std::uint32_t>(seed)) ^
             static_cast<std::uint32_t>(seed >> 32U));
}

/// The x below which a standard normal lies with chance p, 0 < p < 1, to 1e-15 relative; of plain
/// arithmetic and square roots, so that the bits are those of every machine.
/// Source   Wichura 1988, algorithm AS 241, PPND16.
double normal_quantile(double p);

/// The `index`-th standard normal of the stream that grows from `seed`, in any order.
inline double normal_at(std::uint64_t seed, std::uint64_t index) {
  const double middle = static_cast<double>(derive_seed(seed, index) >> 11U) + 0.5;
  return normal_quantile(middle * 0x1.0p-53);
}

/// Fisher and Yates' shuffle. Not std::shuffle: how it draws is not specified.
template <class T>
void shuffle(std::vector<T>& items, std::mt19937_64& bits) {
  for (std::size_t i = items.size(); i > 1; --i) {
    // The bias of the modulus is below 2^-40 for any number of windows that fits in memory.
    std::swap(items[i - 1], items[static_cast<std::size_t>(bits() % i)]);
  }
}

}  // namespace anomalyd::nn

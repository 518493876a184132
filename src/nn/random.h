#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
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

/// Fisher and Yates' shuffle. Not std::shuffle: how it draws is not specified.
template <class T>
void shuffle(std::vector<T>& items, std::mt19937_64& bits) {
  for (std::size_t i = items.size(); i > 1; --i) {
    // The bias of the modulus is below 2^-40 for any number of windows that fits in memory.
    std::swap(items[i - 1], items[static_cast<std::size_t>(bits() % i)]);
  }
}

}  // namespace anomalyd::nn

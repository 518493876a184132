#include "nn/layer.h"

#include <cmath>
#include <random>

#include "nn/random.h"

namespace anomalyd::nn {

template <class Scalar>
void fill_glorot(std::span<Scalar> weights, Eigen::Index in, Eigen::Index out, std::uint64_t seed) {
  const double limit = std::sqrt(6.0 / static_cast<double>(in + out));
  std::mt19937_64 bits(seed);
  for (Scalar& weight : weights) {
    weight = static_cast<Scalar>((2.0 * unit_uniform(bits) - 1.0) * limit);
  }
}

template void fill_glorot<float>(std::span<float>, Eigen::Index, Eigen::Index, std::uint64_t);
template void fill_glorot<double>(std::span<double>, Eigen::Index, Eigen::Index, std::uint64_t);

}  // namespace anomalyd::nn

#include "nn/layer.h"

#include "nn/random.h"

namespace anomalyd::nn {

template <class Scalar>
std::uint64_t Call<Scalar>::row_seed(Eigen::Index row) const {
  return derive_seed(seed, static_cast<std::uint64_t>(first_row + row));
}

template struct Call<float>;
template struct Call<double>;

}  // namespace anomalyd::nn

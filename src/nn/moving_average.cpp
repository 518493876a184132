#include "nn/moving_average.h"

#include <string>

#include "base/check.h"

namespace anomalyd::nn {

template <class Scalar>
Result<MovingAverage<Scalar>> MovingAverage<Scalar>::make(double decay,
                                                          std::span<const Scalar> weights) {
  if (!(decay >= 0 && decay < 1)) {
    return Error{ErrorCode::kInvalidArgument, "moving average: decay is " + std::to_string(decay) +
                                                  ", expected 0 or more and below 1"};
  }
  return MovingAverage(decay, weights);
}

template <class Scalar>
void MovingAverage<Scalar>::update(std::span<const Scalar> weights) {
  ANOMALYD_CHECK(weights.size() == values_.size(), "moving average: other weights than before");
  Scalar* __restrict a = values_.data();
  const Scalar* __restrict w = weights.data();
  for (std::size_t i = 0; i < values_.size(); ++i) a[i] += take_ * (w[i] - a[i]);
}

template class MovingAverage<float>;
template class MovingAverage<double>;

}  // namespace anomalyd::nn

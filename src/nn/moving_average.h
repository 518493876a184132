#pragma once

#include <cstddef>
#include <span>

#include "base/result.h"
#include "nn/buffer.h"

namespace anomalyd::nn {

/// Exponential moving average of weights, a = decay a + (1 - decay) w after every step, from
/// a = w at the start. The average of a network often scores better than its last step.
///
/// Errors    make() refuses a decay outside [0, 1) with kInvalidArgument; another number of
///           weights than at the start is a bug: ANOMALYD_CHECK.
/// Numerics  as a + (1 - decay) (w - a), so that equal weights stay as they are to the last bit.
///           NaN propagates and stays.
/// Cost      no allocation in update().
/// Threads   one at a time.
/// Source    Polyak and Juditsky 1992; torch.optim.swa_utils.get_ema_multi_avg_fn.
template <class Scalar>
class MovingAverage {
 public:
  static Result<MovingAverage> make(double decay, std::span<const Scalar> weights);

  void update(std::span<const Scalar> weights);

  std::span<Scalar> values() { return values_; }
  std::span<const Scalar> values() const { return values_; }

 private:
  MovingAverage(double decay, std::span<const Scalar> weights)
      : take_(static_cast<Scalar>(1 - decay)), values_(weights.begin(), weights.end()) {}

  Scalar take_;
  Buffer<Scalar> values_;
};

extern template class MovingAverage<float>;
extern template class MovingAverage<double>;

}  // namespace anomalyd::nn

#pragma once

#include <cstdint>
#include <vector>

#include "nn/layer.h"

namespace anomalyd::nn {

/// Adam: m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2,
/// w -= rate * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon).
///
/// Errors    parameters whose sizes differ from the first step's are a bug: ANOMALYD_CHECK.
/// Numerics  moments are kept as Scalar; the bias corrections are computed in double.
/// Threads   one at a time.
/// Source    Kingma and Ba 2015, algorithm 1; epsilon as in torch.optim.Adam.
template <class Scalar>
class Adam {
 public:
  struct Options {
    double rate = 1e-3;
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
  };

  explicit Adam(const Options& options) : options_(options) {}

  /// One step against the gradients that the parameters hold.
  void step(const std::vector<Parameter<Scalar>>& parameters);

 private:
  Options options_;
  std::int64_t steps_ = 0;
  std::vector<std::vector<Scalar>> first_;   // m of each parameter
  std::vector<std::vector<Scalar>> second_;  // v
};

extern template class Adam<float>;
extern template class Adam<double>;

}  // namespace anomalyd::nn

#include "nn/adam.h"

#include <cmath>

#include "base/check.h"

namespace anomalyd::nn {

template <class Scalar>
void Adam<Scalar>::step(const std::vector<Parameter<Scalar>>& parameters) {
  if (steps_ == 0) {
    for (const auto& parameter : parameters) {
      first_.emplace_back(parameter.value.size(), Scalar(0));
      second_.emplace_back(parameter.value.size(), Scalar(0));
    }
  }
  ANOMALYD_CHECK(parameters.size() == first_.size(), "adam: other parameters than before");
  ++steps_;
  const auto t = static_cast<double>(steps_);
  const double correction1 = 1.0 - std::pow(options_.beta1, t);
  const double correction2 = 1.0 - std::pow(options_.beta2, t);
  const auto rate = static_cast<Scalar>(options_.rate / correction1);
  const auto root = static_cast<Scalar>(1.0 / std::sqrt(correction2));
  const auto epsilon = static_cast<Scalar>(options_.epsilon);
  const auto keep1 = static_cast<Scalar>(options_.beta1);
  const auto keep2 = static_cast<Scalar>(options_.beta2);
  const auto take1 = static_cast<Scalar>(1.0 - options_.beta1);
  const auto take2 = static_cast<Scalar>(1.0 - options_.beta2);
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    const Parameter<Scalar>& parameter = parameters[p];
    ANOMALYD_CHECK(parameter.value.size() == first_[p].size(), "adam: other sizes than before");
    for (std::size_t i = 0; i < parameter.value.size(); ++i) {
      const Scalar gradient = parameter.gradient[i];
      first_[p][i] = keep1 * first_[p][i] + take1 * gradient;
      second_[p][i] = keep2 * second_[p][i] + take2 * gradient * gradient;
      parameter.value[i] -= rate * first_[p][i] / (std::sqrt(second_[p][i]) * root + epsilon);
    }
  }
}

template class Adam<float>;
template class Adam<double>;

}  // namespace anomalyd::nn

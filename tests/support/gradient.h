#pragma once

#include <algorithm>
#include <cmath>

namespace anomalyd::testing {

/// Central difference dL/dp of the scalar `loss()` at the parameter `p`, restored on return.
template <class Loss>
double numeric_gradient(double& p, const Loss& loss, double step = 1e-5) {
  const double kept = p;
  p = kept + step;
  const double above = loss();
  p = kept - step;
  const double below = loss();
  p = kept;
  return (above - below) / (2.0 * step);
}

/// |a - b| / max(1, |a|, |b|): absolute near zero, relative away from it.
inline double relative_error(double a, double b) {
  return std::abs(a - b) / std::max({1.0, std::abs(a), std::abs(b)});
}

}  // namespace anomalyd::testing

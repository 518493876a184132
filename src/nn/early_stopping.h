#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace anomalyd::nn {

/// Watches a loss from check to check: is it the best so far, and is it time to stop.
struct EarlyStopping {
  std::uint64_t patience = 0;  ///< checks without a better one before is_over(); 0: never
  double min_improvement = 0;  ///< by how much a better one must be below the best
  // The state, which a checkpoint holds.
  double best = std::numeric_limits<double>::infinity();
  std::uint64_t since_best = 0;

  /// True when `loss` is the best so far. NaN never is.
  bool update(double loss) {
    if (loss < best - min_improvement || (std::isinf(best) && loss < best)) {
      best = loss;
      since_best = 0;
      return true;
    }
    ++since_best;
    return false;
  }
  bool is_over() const { return patience > 0 && since_best >= patience; }
};

}  // namespace anomalyd::nn

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/worker_pool.h"
#include "nn/network.h"
#include "nn/pass.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// Which slope of a critic costs nothing, and what another costs.
struct GradientPenaltyOptions {
  enum class Kind {
    kZeroCentred,  ///< weight / 2 * s^2: R1 on real rows, R2 on made ones
    kOneCentred,   ///< weight * (s - 1)^2: WGAN-GP, on rows between real and made ones
  };
  Kind kind = Kind::kZeroCentred;
  double weight = 1;
  double step = 0.01;  ///< h, in the unit of x

  /// Errors   kInvalidArgument unless weight is 0 or more and step above 0, both finite.
  static Result<GradientPenaltyOptions> make(Kind kind, double weight, double step = 0.01);
};

/// Keeps the slope of a critic D, s = |g|, g = dD/dx, near 0 or 1: L = mean over rows of p(s).
/// D(x) is the mean of the critic's first head.
///
/// dL/dweights is had without second derivatives: with u = g / s held fixed,
///   ds/dw = d(u . dD/dx)/dw = d/dw [D(x + h u) - D(x - h u)] / (2 h) + O(h^2),
/// which is a forward and backward pass on either side of x with dL/dD = +-p'(s) / (2 h n). L
/// itself is from the exact g. So the one error is that of a central difference along u: h^2 / 6
/// times dD/dw's second derivative along u, and about 1e-7 / h of dD/dw in float.
///
/// Shapes    x (n, input size); gradient as Network::weights().
/// Errors    check() returns kInvalidArgument for a critic whose rows depend on each other in
///           training (batch norm), which has no slope of its own at a row; add() of such a one,
///           and a wrong shape, is a bug: ANOMALYD_CHECK.
/// Numerics  all three passes are in training mode from the same buffers and `seed`, so they see
/// one
///           dropout and one spectral norm; the buffers are then as before. A row whose slope is 0
///           gives no gradient. NaN propagates.
/// Cost      a forward and an input-backward pass, two forward and weight-backward passes.
/// Threads   as Pass.
/// Source    penalties: Mescheder et al. 2018, eq. 9 (R1); Gulrajani et al. 2017, eq. 3.
template <class Scalar>
class GradientPenalty {
 public:
  /// `pool` must outlive this.
  GradientPenalty(const GradientPenaltyOptions& options, WorkerPool& pool)
      : options_(options), at_(pool), beside_(pool) {}

  static Status check(const Network<Scalar>& critic);

  /// Returns L and adds dL/dweights to `gradient`.
  double add(Network<Scalar>& critic, const Matrix<Scalar>& x, std::uint64_t seed,
             std::span<Scalar> gradient);

 private:
  void add_side(Network<Scalar>& critic, const Matrix<Scalar>& x, double sign, std::uint64_t seed,
                std::span<Scalar> gradient);

  GradientPenaltyOptions options_;
  Pass<Scalar> at_;
  Pass<Scalar> beside_;
  std::vector<const Matrix<Scalar>*> heads_;
  std::vector<double> slopes_;   // s of each row
  std::vector<Scalar> buffers_;  // the critic's own
  Matrix<Scalar> dy_;
  Matrix<Scalar> side_;
};

/// Writes rows between those of `real` and `fake`, each at a place drawn from `seed` and its index:
/// where WGAN-GP looks.
///
/// Shapes    real, fake and between (n, features).
/// Errors    shapes that differ are a bug: ANOMALYD_CHECK.
template <class Scalar>
void interpolate(const Matrix<Scalar>& real, const Matrix<Scalar>& fake, std::uint64_t seed,
                 Matrix<Scalar>& between);

extern template class GradientPenalty<float>;
extern template class GradientPenalty<double>;
extern template void interpolate<float>(const Matrix<float>&, const Matrix<float>&, std::uint64_t,
                                        Matrix<float>&);
extern template void interpolate<double>(const Matrix<double>&, const Matrix<double>&,
                                         std::uint64_t, Matrix<double>&);

}  // namespace anomalyd::nn

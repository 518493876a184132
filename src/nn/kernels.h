#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "nn/kernels_product.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// What one instruction set offers. Plain functions: a table is chosen once, at run time.
template <class Scalar>
struct Kernels {
  std::string_view name;  ///< "baseline", "avx2", "avx512"
  void (*product)(const Product<Scalar>&);
  /// Runs `rounds` rounds of independent fused multiply-adds and returns how many floating-point
  /// operations that was: what a core can do at best, for benchmarks.
  double (*burn)(std::int64_t rounds);
};

/// Those that this machine can run, the fastest last; "baseline" is always there.
std::span<const Kernels<float>> float_kernels();
/// Plain loops, for checks: there is only one.
const Kernels<double>& double_kernels();

/// The fastest for Scalar.
template <class Scalar>
const Kernels<Scalar>& best_kernels();
template <>
const Kernels<float>& best_kernels<float>();
template <>
const Kernels<double>& best_kernels<double>();

/// Numbers that pack() writes for a B of this size.
Eigen::Index packed_size(Eigen::Index depth, Eigen::Index columns);

/// Copies B (depth, columns), element (d, j) at b[d * b_row + j * b_column], into the order that
/// product() reads: panels of columns, each contiguous, filled up with zeros. One order for all
/// instruction sets. `to` holds packed_size() numbers and lies on a cache line.
template <class Scalar>
void pack(Eigen::Index depth, Eigen::Index columns, const Scalar* b, Eigen::Index b_row,
          Eigen::Index b_column, Scalar* to);

extern template void pack<float>(Eigen::Index, Eigen::Index, const float*, Eigen::Index,
                                 Eigen::Index, float*);
extern template void pack<double>(Eigen::Index, Eigen::Index, const double*, Eigen::Index,
                                  Eigen::Index, double*);

}  // namespace anomalyd::nn

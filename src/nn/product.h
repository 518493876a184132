#pragma once

#include "nn/types.h"

namespace anomalyd::nn {

/// C += A B of plain strided matrices, for closed forms fitted in double (PCA). Networks have
/// Product, whose B is packed.
///
/// Shapes    A (m, k): element (i, j) at a[i * a_row + j * a_col]; rows may overlap.
///           B (k, n): rows `b_row` apart; rows may overlap. C (m, n): rows `c_row` apart, apart.
/// Numerics  each element of C starts from what it holds and takes its k products in ascending
///           order, each rounded on its own: the bits depend on the operands alone, not on m,
///           on alignment, on cache sizes or on the vector width. NaN and Inf propagate.
/// Cost      m * n * k multiply-adds, no allocation.
template <class Scalar>
void accumulate_product(Eigen::Index m, Eigen::Index k, Eigen::Index n, const Scalar* a,
                        Eigen::Index a_row, Eigen::Index a_col, const Scalar* b, Eigen::Index b_row,
                        Scalar* c, Eigen::Index c_row);

extern template void accumulate_product<double>(Eigen::Index, Eigen::Index, Eigen::Index,
                                                const double*, Eigen::Index, Eigen::Index,
                                                const double*, Eigen::Index, double*, Eigen::Index);

}  // namespace anomalyd::nn

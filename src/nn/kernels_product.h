#pragma once

#include <cstddef>

// No other header: the files of the instruction sets include this one, and what they compile may
// not be mistaken for a copy of a function that must run on every machine.

namespace anomalyd::nn {

/// One product, the arithmetic below every layer:
///   C(i, j) = f(start(i, j) + sum over s < segments, over d < depth, of A(i, s, d) B(s, d, j)),
/// f(v) = v for v > 0, slope v otherwise.
///
/// Shapes    A(i, s, d) = a[i a_row + s a_segment + d a_depth]: any strides, rows may overlap, so
///           that the receptive fields of a convolution are read where they lie.
///           B is packed by pack(): (segments * depth, columns). C(i, j) = c[i c_row + j]. C
///           overlaps neither A nor B.
///           start is bias(j), `columns` values, or C itself when `bias` is null.
/// Numerics  an element of C starts from start(i, j) and takes its products in ascending (s, d),
///           each by one fused multiply-add where the instruction set has it; when columns is 1,
///           in 16 interleaved partial sums that are then added pairwise, start last. The bits
///           depend on the operands alone: not on rows, alignment or vector width, and they are
///           those of every instruction set with fused multiply-add. NaN and Inf propagate.
/// Cost      rows * columns * segments * depth multiply-adds, no allocation.
template <class Scalar>
struct Product {
  std::ptrdiff_t rows = 0;
  std::ptrdiff_t columns = 0;
  std::ptrdiff_t segments = 1;
  std::ptrdiff_t depth = 0;
  const Scalar* a = nullptr;
  std::ptrdiff_t a_row = 0;
  std::ptrdiff_t a_segment = 0;
  std::ptrdiff_t a_depth = 1;
  const Scalar* b = nullptr;
  const Scalar* bias = nullptr;
  Scalar* c = nullptr;
  std::ptrdiff_t c_row = 0;
  Scalar slope = 1;
};

/// Columns of a full panel of a packed B, and of a last one that has no more than half of them.
inline constexpr std::ptrdiff_t kPanelColumns = 16;
inline constexpr std::ptrdiff_t kHalfPanelColumns = 8;
/// Partial sums when there is one column.
inline constexpr std::ptrdiff_t kPartialSums = 16;

/// What the file of each instruction set has.
namespace baseline {
void product(const Product<float>& p);
double burn(long long rounds);
}  // namespace baseline
namespace avx2 {
void product(const Product<float>& p);
double burn(long long rounds);
}  // namespace avx2
namespace avx512 {
void product(const Product<float>& p);
double burn(long long rounds);
}  // namespace avx512

}  // namespace anomalyd::nn

#include "nn/kernels.h"

#include <algorithm>
#include <array>
#include <type_traits>

namespace anomalyd::nn {
namespace {

using Eigen::Index;

// Beside Product, which cannot name it.
static_assert(std::is_same_v<Index, std::ptrdiff_t>);

template <void (*kProduct)(const Product<float>&)>
void product(const Product<float>& p) {
  kProduct(p);
}

template <double (*kBurn)(long long)>
double burn(std::int64_t rounds) {
  return kBurn(rounds);
}

struct FloatTable {
  std::array<Kernels<float>, 3> rows;
  std::size_t count = 0;

  void add(const Kernels<float>& kernels) { rows[count++] = kernels; }

  FloatTable() {
    add({"baseline", product<baseline::product>, burn<baseline::burn>});
#if defined(__x86_64__)
    // What kernels_avx2.cpp and kernels_avx512.cpp are compiled for, and no more: CMakeLists.txt.
    __builtin_cpu_init();
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (has_avx2) add({"avx2", product<avx2::product>, burn<avx2::burn>});
    if (has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")) {
      add({"avx512", product<avx512::product>, burn<avx512::burn>});
    }
#endif
  }
};

double one_column(const Product<double>& p, Index row) {
  std::array<double, kPartialSums> partial{};
  Index k = 0;
  for (Index s = 0; s < p.segments; ++s) {
    for (Index d = 0; d < p.depth; ++d, ++k) {
      partial[static_cast<std::size_t>(k % kPartialSums)] +=
          p.a[row * p.a_row + s * p.a_segment + d * p.a_depth] * p.b[k];
    }
  }
  for (std::size_t half = kPartialSums / 2; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) partial[i] += partial[i + half];
  }
  return partial[0];
}

void double_product(const Product<double>& p) {
  const auto rectified = [&](double value) { return value > 0 ? value : value * p.slope; };
  if (p.columns == 1) {
    for (Index row = 0; row < p.rows; ++row) {
      double& c = p.c[row * p.c_row];
      c = rectified(one_column(p, row) + (p.bias != nullptr ? *p.bias : c));
    }
    return;
  }
  const double* b = p.b;
  for (Index first = 0; first < p.columns; first += kPanelColumns) {
    const Index left = std::min(p.columns - first, kPanelColumns);
    const Index width = left > kHalfPanelColumns ? kPanelColumns : kHalfPanelColumns;
    for (Index row = 0; row < p.rows; ++row) {
      double* c = p.c + row * p.c_row + first;
      std::array<double, kPanelColumns> sum{};
      std::copy_n(p.bias != nullptr ? p.bias + first : c, left, sum.begin());
      const double* weights = b;
      for (Index s = 0; s < p.segments; ++s) {
        const double* a = p.a + row * p.a_row + s * p.a_segment;
        for (Index d = 0; d < p.depth; ++d, weights += width) {
          const double x = a[d * p.a_depth];
          for (Index j = 0; j < width; ++j) sum[static_cast<std::size_t>(j)] += x * weights[j];
        }
      }
      std::transform(sum.begin(), sum.begin() + left, c, rectified);
    }
    b += width * p.segments * p.depth;
  }
}

double double_burn(std::int64_t rounds) {
  std::array<double, 8> sum{1, 2, 3, 4, 5, 6, 7, 8};
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (double& value : sum) value = value * 0.999 + 1e-4;
  }
  volatile double kept = sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
  static_cast<void>(kept);
  return 2.0 * static_cast<double>(sum.size()) * static_cast<double>(rounds);
}

}  // namespace

std::span<const Kernels<float>> float_kernels() {
  static const FloatTable table;
  return std::span(table.rows).first(table.count);
}

const Kernels<double>& double_kernels() {
  static constexpr Kernels<double> kKernels{"double", double_product, double_burn};
  return kKernels;
}

template <>
const Kernels<float>& best_kernels<float>() {
  return float_kernels().back();
}

template <>
const Kernels<double>& best_kernels<double>() {
  return double_kernels();
}

Index packed_size(Index depth, Index columns) {
  if (columns == 1) return (depth + kPartialSums - 1) / kPartialSums * kPartialSums;
  const Index last = columns % kPanelColumns;
  const Index wide = last == 0 ? 0 : last <= kHalfPanelColumns ? kHalfPanelColumns : kPanelColumns;
  return depth * (columns - last + wide);
}

template <class Scalar>
void pack(Index depth, Index columns, const Scalar* b, Index b_row, Index b_column, Scalar* to) {
  if (columns == 1) {
    for (Index d = 0; d < depth; ++d) *to++ = b[d * b_row];
    for (Index d = depth; d % kPartialSums != 0; ++d) *to++ = Scalar{0};
    return;
  }
  for (Index first = 0; first < columns; first += kPanelColumns) {
    const Index left = std::min(columns - first, kPanelColumns);
    const Index width = left > kHalfPanelColumns ? kPanelColumns : kHalfPanelColumns;
    for (Index d = 0; d < depth; ++d, to += width) {
      const Scalar* row = b + d * b_row + first * b_column;
      if (b_column == 1) {
        std::copy_n(row, left, to);
      } else {
        for (Index j = 0; j < left; ++j) to[j] = row[j * b_column];
      }
      std::fill(to + left, to + width, Scalar{0});
    }
  }
}

template void pack<float>(Index, Index, const float*, Index, Index, float*);
template void pack<double>(Index, Index, const double*, Index, Index, double*);

}  // namespace anomalyd::nn

#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

#include "nn/buffer.h"
#include "nn/kernels.h"

namespace anomalyd::testing {

/// A product with memory of its own, each array exactly as long as the contract lets it be read, so
/// that a sanitizer sees a step beyond; C lies in a longer one, filled with a mark.
struct ProductCase {
  std::ptrdiff_t rows = 1;
  std::ptrdiff_t columns = 1;
  std::ptrdiff_t segments = 1;
  std::ptrdiff_t depth = 1;
  std::ptrdiff_t a_row = 1;
  std::ptrdiff_t a_segment = 1;
  std::ptrdiff_t a_depth = 1;
  std::ptrdiff_t c_gap = 0;  ///< c_row - columns
  bool with_bias = true;
  float slope = 1;

  static constexpr float kMark = 12345.0F;

  std::vector<float> a;
  std::vector<float> b;  ///< (segments * depth, columns), not packed
  nn::Buffer<float> packed;
  std::vector<float> bias;
  std::vector<float> c;

  /// Values from `seed`, normal.
  void fill(std::uint64_t seed) {
    std::mt19937_64 bits(seed);
    const auto draw = [&] {
      // Sums of uniform numbers: the same on every platform.
      double sum = 0;
      for (int i = 0; i < 4; ++i) sum += static_cast<double>(bits() >> 11U) * 0x1.0p-53;
      return static_cast<float>((sum - 2.0) * std::sqrt(3.0));
    };
    const auto fill_one = [&](std::vector<float>& values, std::ptrdiff_t count) {
      values.resize(static_cast<std::size_t>(count));
      for (float& value : values) value = draw();
    };
    const bool is_empty = rows < 1 || segments < 1 || depth < 1;
    fill_one(a, is_empty
                    ? 0
                    : (rows - 1) * a_row + (segments - 1) * a_segment + (depth - 1) * a_depth + 1);
    fill_one(b, segments * depth * columns);
    fill_one(bias, with_bias ? columns : 0);
    fill_one(c, rows < 1 ? 0 : (rows - 1) * (columns + c_gap) + columns);
    for (std::ptrdiff_t i = 0; i < static_cast<std::ptrdiff_t>(c.size()); ++i) {
      if (i % (columns + c_gap) >= columns) c[static_cast<std::size_t>(i)] = kMark;
    }
    pack_b();
  }
  void pack_b() {
    packed.assign(static_cast<std::size_t>(nn::packed_size(segments * depth, columns)), kMark);
    nn::pack<float>(segments * depth, columns, b.data(), columns, 1, packed.data());
  }
  std::vector<float> run(const nn::Kernels<float>& kernels) const {
    std::vector<float> result = c;
    kernels.product({.rows = rows,
                     .columns = columns,
                     .segments = segments,
                     .depth = depth,
                     .a = a.data(),
                     .a_row = a_row,
                     .a_segment = a_segment,
                     .a_depth = a_depth,
                     .b = packed.data(),
                     .bias = with_bias ? bias.data() : nullptr,
                     .c = result.data(),
                     .c_row = columns + c_gap,
                     .slope = slope});
    return result;
  }
  /// Product's contract word by word, in Number: float gives the bits that every instruction set
  /// with fused multiply-add owes, double what they all are near to.
  template <class Number>
  std::vector<Number> expected() const {
    std::vector<Number> result(c.begin(), c.end());
    for (std::ptrdiff_t i = 0; i < rows; ++i) {
      for (std::ptrdiff_t j = 0; j < columns; ++j) {
        Number& out = result[static_cast<std::size_t>(i * (columns + c_gap) + j)];
        const Number start =
            with_bias ? static_cast<Number>(bias[static_cast<std::size_t>(j)]) : out;
        std::array<Number, 16> sums{};
        if (columns > 1) sums[0] = start;
        std::ptrdiff_t k = 0;
        for (std::ptrdiff_t s = 0; s < segments; ++s) {
          for (std::ptrdiff_t d = 0; d < depth; ++d, ++k) {
            Number& sum = sums[columns > 1 ? 0 : static_cast<std::size_t>(k % 16)];
            sum =
                std::fma(static_cast<Number>(
                             a[static_cast<std::size_t>(i * a_row + s * a_segment + d * a_depth)]),
                         static_cast<Number>(b[static_cast<std::size_t>(k * columns + j)]), sum);
          }
        }
        Number value = sums[0];
        if (columns == 1) {
          for (std::size_t half = 8; half > 0; half /= 2) {
            for (std::size_t p = 0; p < half; ++p) sums[p] += sums[p + half];
          }
          value = sums[0] + start;
        }
        out = value > 0 ? value : value * static_cast<Number>(slope);
      }
    }
    return result;
  }
};

/// Whether these kernels fuse: then expected<float>() is exact.
inline bool is_fused(const nn::Kernels<float>& kernels) {
#if defined(__aarch64__)
  static_cast<void>(kernels);
  return true;
#else
  return kernels.name != "baseline";
#endif
}

/// Equal, or both not a number. -0 equals 0: a filled-up sum may lose the sign of a zero.
inline bool same_number(float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); }

}  // namespace anomalyd::testing

// Shapes and strides of a product: every instruction set must give what the contract says, bit for
// bit where it fuses, and touch nothing else.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <vector>

#include "../support/product_reference.h"
#include "nn/kernels.h"

namespace {

using anomalyd::testing::ProductCase;

void require(bool condition) {
  if (!condition) std::abort();
}

/// Bytes one after the other; zero once they have ended.
struct Bytes {
  const std::uint8_t* at;
  const std::uint8_t* end;

  std::ptrdiff_t below(std::ptrdiff_t bound) {
    const std::ptrdiff_t byte = at == end ? 0 : *at++;
    return byte % bound;
  }
};

/// A value that upsets arithmetic, or none.
float odd_value(std::ptrdiff_t which) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  constexpr float kValues[] = {std::numeric_limits<float>::quiet_NaN(),
                               kInf,
                               -kInf,
                               -0.0F,
                               std::numeric_limits<float>::max(),
                               std::numeric_limits<float>::denorm_min()};
  return kValues[which % 6];
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes{data, data + size};
  ProductCase one;
  one.rows = bytes.below(40);
  one.columns = 1 + bytes.below(90);
  one.segments = 1 + bytes.below(5);
  one.depth = bytes.below(70);
  one.a_row = bytes.below(9);
  one.a_segment = bytes.below(80);
  one.a_depth = 1 + bytes.below(4);
  one.c_gap = bytes.below(20);
  const std::ptrdiff_t flags = bytes.below(8);
  one.with_bias = (flags & 1) != 0;
  one.slope = (flags & 2) != 0 ? 1.0F : (flags & 4) != 0 ? 0.0F : 0.2F;
  one.fill(static_cast<std::uint64_t>(bytes.below(256)));
  const std::ptrdiff_t odd_values = bytes.below(4);
  for (std::ptrdiff_t odd = 0; odd < odd_values; ++odd) {
    std::vector<float>& values = bytes.below(2) == 0 ? one.a : one.b;
    const std::ptrdiff_t at = bytes.below(256) * 256 + bytes.below(256);
    const float value = odd_value(bytes.below(6));
    if (!values.empty()) values[static_cast<std::size_t>(at) % values.size()] = value;
  }
  one.pack_b();

  const std::vector<float> expected = one.expected<float>();
  for (const anomalyd::nn::Kernels<float>& kernels : anomalyd::nn::float_kernels()) {
    const std::vector<float> result = one.run(kernels);
    for (std::size_t i = 0; i < result.size(); ++i) {
      const auto column = static_cast<std::ptrdiff_t>(i) % (one.columns + one.c_gap);
      if (column >= one.columns) {
        require(result[i] == ProductCase::kMark);
      } else if (anomalyd::testing::is_fused(kernels)) {
        require(anomalyd::testing::same_number(result[i], expected[i]));
      } else if (odd_values == 0) {
        require(std::abs(result[i] - expected[i]) < 1e-2F);
      }
    }
  }
  return 0;
}

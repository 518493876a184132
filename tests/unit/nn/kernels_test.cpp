#include "nn/kernels.h"

#include <bit>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "support/catch.h"
#include "support/product_reference.h"

namespace anomalyd::nn {
namespace {

using testing::ProductCase;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

Eigen::Index between(std::mt19937_64& bits, Eigen::Index least, Eigen::Index most) {
  return least + static_cast<Eigen::Index>(bits() % static_cast<std::uint64_t>(most - least + 1));
}

/// Any shape that a layer may ask for, and more.
ProductCase random_case(std::uint64_t seed) {
  std::mt19937_64 bits(seed);
  ProductCase made;
  made.rows = between(bits, 1, 40);
  made.columns = bits() % 4 == 0 ? 1 : between(bits, 1, 100);
  made.segments = bits() % 2 == 0 ? 1 : between(bits, 1, 4);
  made.depth = between(bits, 1, 70);
  made.a_row = bits() % 3 == 0 ? 1 : between(bits, 0, 9);
  made.a_depth = bits() % 2 == 0 ? 1 : between(bits, 1, 5);
  made.a_segment = between(bits, 0, 80);
  made.c_gap = between(bits, 0, 20);
  made.with_bias = bits() % 2 == 0;
  made.slope = bits() % 3 == 0 ? 1.0F : bits() % 2 == 0 ? 0.0F : 0.2F;
  made.fill(bits());
  return made;
}

std::string text_of(const ProductCase& p) {
  return std::to_string(p.rows) + "x" + std::to_string(p.columns) + " of " +
         std::to_string(p.segments) + "x" + std::to_string(p.depth) + " strides " +
         std::to_string(p.a_row) + "," + std::to_string(p.a_segment) + "," +
         std::to_string(p.a_depth) + " gap " + std::to_string(p.c_gap);
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i])) return false;
  }
  return true;
}

TEST_CASE("A product by hand: overlapping rows, two columns, bias, slope", "[nn][kernels]") {
  // Rows (1 2), (2 3), (3 4) of the series 1 2 3 4; B = (1 -1; 10 2).
  const std::vector<float> series{1, 2, 3, 4};
  const std::vector<float> b{1, -1, 10, 2};
  const std::vector<float> bias{0.5F, -6};
  Buffer<float> packed(static_cast<std::size_t>(packed_size(2, 2)));
  pack<float>(2, 2, b.data(), 2, 1, packed.data());
  for (const Kernels<float>& kernels : float_kernels()) {
    INFO(kernels.name);
    std::vector<float> c(6);
    kernels.product({.rows = 3,
                     .columns = 2,
                     .depth = 2,
                     .a = series.data(),
                     .a_row = 1,
                     .b = packed.data(),
                     .bias = bias.data(),
                     .c = c.data(),
                     .c_row = 2,
                     .slope = 0.5F});
    // First column: 21.5, 32.5, 43.5. Second: 3 - 6, 4 - 6, 5 - 6, halved.
    CHECK(c == std::vector<float>{21.5F, -1.5F, 32.5F, -1.0F, 43.5F, -0.5F});
  }
}

TEST_CASE("pack takes a transposed matrix", "[nn][kernels][pack]") {
  const std::vector<float> b{1, 2, 3, 4, 5, 6};  // (2, 3), or (3, 2) read across
  Buffer<float> straight(static_cast<std::size_t>(packed_size(2, 3)), -1.0F);
  pack<float>(2, 3, b.data(), 3, 1, straight.data());
  CHECK(straight == Buffer<float>{1, 2, 3, 0, 0, 0, 0, 0, 4, 5, 6, 0, 0, 0, 0, 0});
  Buffer<float> across(static_cast<std::size_t>(packed_size(3, 2)), -1.0F);
  pack<float>(3, 2, b.data(), 1, 3, across.data());
  CHECK(across ==
        Buffer<float>{1, 4, 0, 0, 0, 0, 0, 0, 2, 5, 0, 0, 0, 0, 0, 0, 3, 6, 0, 0, 0, 0, 0, 0});
}

TEST_CASE("packed_size counts full panels, a half one, and one column", "[nn][kernels][pack]") {
  CHECK(packed_size(3, 16) == 48);
  CHECK(packed_size(3, 17) == 72);
  CHECK(packed_size(3, 24) == 72);
  CHECK(packed_size(3, 25) == 96);
  CHECK(packed_size(3, 1) == 16);
  CHECK(packed_size(17, 1) == 32);
}

TEST_CASE("Every instruction set is near to double on random shapes", "[nn][kernels][random]") {
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const ProductCase one = random_case(seed);
    const std::vector<double> expected = one.expected<double>();
    // Each of k steps rounds a sum of terms of size about one.
    const double k = static_cast<double>(one.segments * one.depth);
    const double bound = 6e-8 * (k + 2) * (4 * std::sqrt(k) + 4);
    for (const Kernels<float>& kernels : float_kernels()) {
      INFO(kernels.name << " " << text_of(one) << " seed " << seed);
      const std::vector<float> result = one.run(kernels);
      double worst = 0;
      for (std::size_t i = 0; i < result.size(); ++i) {
        const double off = std::abs(double{result[i]} - expected[i]);
        worst = off <= worst ? worst : off;  // so that NaN shows
      }
      CHECK(worst <= bound);
    }
  }
}

TEST_CASE("Fused instruction sets give the bits of the contract, whatever the shape",
          "[nn][kernels][determinism]") {
  for (std::uint64_t seed = 1000; seed < 1400; ++seed) {
    const ProductCase one = random_case(seed);
    const std::vector<float> expected = one.expected<float>();
    for (const Kernels<float>& kernels : float_kernels()) {
      if (!testing::is_fused(kernels)) continue;
      INFO(kernels.name << " " << text_of(one) << " seed " << seed);
      const std::vector<float> result = one.run(kernels);
      std::size_t different = 0;
      for (std::size_t i = 0; i < result.size(); ++i) {
        different += testing::same_number(result[i], expected[i]) ? 0U : 1U;
      }
      CHECK(different == 0);
    }
  }
}

TEST_CASE("AVX2 and AVX-512 give the same bits, signs of zeros too", "[nn][kernels][determinism]") {
  for (std::uint64_t seed = 2000; seed < 2200; ++seed) {
    ProductCase one = random_case(seed);
    // Products so small that they round to zeros of either sign.
    if (seed % 2 == 0) {
      for (float& value : one.a) value *= 1e-30F;
      for (float& value : one.b) value *= 1e-15F;
      for (float& value : one.bias) value = -0.0F;
      one.pack_b();
    }
    std::vector<float> first;
    for (const Kernels<float>& kernels : float_kernels()) {
      if (!testing::is_fused(kernels)) continue;
      INFO(kernels.name << " " << text_of(one) << " seed " << seed);
      const std::vector<float> result = one.run(kernels);
      if (first.empty()) first = result;
      CHECK(same_bits(first, result));
    }
  }
}

TEST_CASE("A row's bits do not depend on the rows beside it", "[nn][kernels][determinism]") {
  for (std::uint64_t seed = 3000; seed < 3060; ++seed) {
    const ProductCase all = random_case(seed);
    for (const Kernels<float>& kernels : float_kernels()) {
      INFO(kernels.name << " " << text_of(all) << " seed " << seed);
      const std::vector<float> together = all.run(kernels);
      const std::ptrdiff_t c_row = all.columns + all.c_gap;
      for (std::ptrdiff_t i = 0; i < all.rows; ++i) {
        ProductCase alone = all;
        alone.rows = 1;
        alone.a.assign(all.a.begin() + i * all.a_row, all.a.end());
        alone.c.assign(all.c.begin() + i * c_row, all.c.begin() + i * c_row + all.columns);
        const std::vector<float> expected(together.begin() + i * c_row,
                                          together.begin() + i * c_row + all.columns);
        REQUIRE(same_bits(alone.run(kernels), expected));
      }
    }
  }
}

TEST_CASE("Nothing is written beyond the columns", "[nn][kernels]") {
  for (std::uint64_t seed = 4000; seed < 4200; ++seed) {
    const ProductCase one = random_case(seed);
    const std::ptrdiff_t c_row = one.columns + one.c_gap;
    for (const Kernels<float>& kernels : float_kernels()) {
      INFO(kernels.name << " " << text_of(one) << " seed " << seed);
      const std::vector<float> result = one.run(kernels);
      std::size_t touched = 0;
      for (std::size_t i = 0; i < result.size(); ++i) {
        if (static_cast<std::ptrdiff_t>(i) % c_row < one.columns) continue;
        touched += result[i] == ProductCase::kMark ? 0U : 1U;
      }
      CHECK(touched == 0);
    }
  }
}

TEST_CASE("NaN and Inf reach what reads them and nothing else", "[nn][kernels][non-finite]") {
  for (const Eigen::Index columns : {1, 5, 16, 40}) {
    ProductCase one;
    one.rows = 9;
    one.columns = columns;
    one.depth = 20;
    one.a_row = 20;
    one.slope = 0.2F;
    one.fill(7);
    for (float& value : one.b) value = std::abs(value) + 0.1F;
    one.pack_b();
    one.a[4 * 20 + 3] = kNan;
    one.a[6 * 20 + 19] = kInf;
    one.a[7 * 20] = -kInf;
    for (const Kernels<float>& kernels : float_kernels()) {
      INFO(kernels.name << " " << columns << " columns");
      const std::vector<float> c = one.run(kernels);
      for (Eigen::Index i = 0; i < one.rows; ++i) {
        for (Eigen::Index j = 0; j < columns; ++j) {
          const float value = c[static_cast<std::size_t>(i * columns + j)];
          if (i == 4) {
            CHECK(std::isnan(value));
          } else if (i == 6 || i == 7) {
            CHECK(value == (i == 6 ? kInf : -kInf));
          } else {
            CHECK(std::isfinite(value));
          }
        }
      }
    }
  }
}

TEST_CASE("Double follows the same contract", "[nn][kernels][double]") {
  for (std::uint64_t seed = 5000; seed < 5100; ++seed) {
    const ProductCase one = random_case(seed);
    const std::vector<double> expected = one.expected<double>();
    const std::vector<double> a(one.a.begin(), one.a.end());
    const std::vector<double> b(one.b.begin(), one.b.end());
    const std::vector<double> bias(one.bias.begin(), one.bias.end());
    std::vector<double> c(one.c.begin(), one.c.end());
    Buffer<double> packed(
        static_cast<std::size_t>(packed_size(one.segments * one.depth, one.columns)));
    pack<double>(one.segments * one.depth, one.columns, b.data(), one.columns, 1, packed.data());
    best_kernels<double>().product({.rows = one.rows,
                                    .columns = one.columns,
                                    .segments = one.segments,
                                    .depth = one.depth,
                                    .a = a.data(),
                                    .a_row = one.a_row,
                                    .a_segment = one.a_segment,
                                    .a_depth = one.a_depth,
                                    .b = packed.data(),
                                    .bias = one.with_bias ? bias.data() : nullptr,
                                    .c = c.data(),
                                    .c_row = one.columns + one.c_gap,
                                    .slope = double{one.slope}});
    INFO(text_of(one) << " seed " << seed);
    double worst = 0;
    for (std::size_t i = 0; i < c.size(); ++i) {
      const double off = std::abs(c[i] - expected[i]);
      worst = off <= worst ? worst : off;  // so that NaN shows
    }
    CHECK(worst <= 1e-11);
  }
}

TEST_CASE("The table begins with the baseline, and the best is its last", "[nn][kernels]") {
  REQUIRE_FALSE(float_kernels().empty());
  CHECK(float_kernels().front().name == "baseline");
  CHECK(best_kernels<float>().name == float_kernels().back().name);
  for (const Kernels<float>& kernels : float_kernels()) CHECK(kernels.burn(10) > 0);
}

}  // namespace
}  // namespace anomalyd::nn

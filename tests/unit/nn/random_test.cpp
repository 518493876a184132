#include "nn/random.h"

#include <cmath>
#include <set>

#include "support/catch.h"

namespace anomalyd::nn {
namespace {

TEST_CASE("normal_quantile inverts the normal distribution", "[nn][random]") {
  // scipy.stats.norm.ppf.
  CHECK(normal_quantile(0.5) == 0);
  CHECK(std::abs(normal_quantile(0.975) - 1.959963984540054) < 1e-15);
  CHECK(std::abs(normal_quantile(0.3) + 0.5244005127080409) < 1e-15);
  CHECK(std::abs(normal_quantile(1e-20) + 9.262340089798409) < 1e-13);
  CHECK(std::abs(normal_quantile(1e-300) + 37.0470962993612) < 1e-12);
  for (int i = 1; i < 2000; ++i) {
    const double p = i / 2000.0;
    CHECK(std::abs(0.5 * std::erfc(-normal_quantile(p) / std::sqrt(2.0)) - p) < 1e-15);
  }
}

TEST_CASE("normal_at draws from a standard normal", "[nn][random]") {
  constexpr int kCount = 200000;
  double sum = 0;
  double squares = 0;
  double lagged = 0;
  double before = 0;
  for (std::uint64_t i = 0; i < kCount; ++i) {
    const double z = normal_at(42, i);
    sum += z;
    squares += z * z;
    lagged += z * before;
    before = z;
  }
  // Four standard errors.
  CHECK(std::abs(sum / kCount) < 4 / std::sqrt(kCount));
  CHECK(std::abs(squares / kCount - 1) < 4 * std::sqrt(2.0 / kCount));
  CHECK(std::abs(lagged / kCount) < 4 / std::sqrt(kCount));
  CHECK(normal_at(42, 7) == normal_at(42, 7));
  CHECK(normal_at(42, 7) != normal_at(43, 7));
  CHECK(normal_at(42, 7) != normal_at(42, 8));
}

TEST_CASE("random_bits spreads every bit and depends on the whole seed", "[nn][random]") {
  constexpr std::uint32_t kCount = 100000;
  for (const std::uint64_t seed : {0ULL, 1ULL, 1ULL << 32U, 0x123456789abcdef0ULL}) {
    int ones[32] = {};
    int changes[32] = {};
    for (std::uint32_t i = 0; i < kCount; ++i) {
      const std::uint32_t bits = random_bits(seed, i);
      const std::uint32_t changed = bits ^ random_bits(seed, i + 1);
      for (int bit = 0; bit < 32; ++bit) {
        ones[bit] += static_cast<int>((bits >> static_cast<unsigned>(bit)) & 1U);
        changes[bit] += static_cast<int>((changed >> static_cast<unsigned>(bit)) & 1U);
      }
    }
    for (int bit = 0; bit < 32; ++bit) {
      // Five standard deviations of a fair coin.
      CHECK(std::abs(ones[bit] - static_cast<int>(kCount / 2)) < 5 * 0.5 * std::sqrt(kCount));
      CHECK(std::abs(changes[bit] - static_cast<int>(kCount / 2)) < 5 * 0.5 * std::sqrt(kCount));
    }
  }
  std::set<std::uint32_t> first;
  for (unsigned bit = 0; bit < 64; ++bit) first.insert(random_bits(std::uint64_t{1} << bit, 0));
  CHECK(first.size() == 64);
}

}  // namespace
}  // namespace anomalyd::nn

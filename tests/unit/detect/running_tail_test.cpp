#include "detect/running_tail.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "nn/random.h"
#include "support/catch.h"

namespace anomalyd::detect {
namespace {

/// With n scores counted, all of the range that they span.
RunningTail tail_of(const std::vector<float>& scores) {
  RunningTail tail;
  tail.set_range(scores);
  for (const float score : scores) tail.add(tail.bin_of(score));
  return tail;
}

TEST_CASE("A surprise is how few of the scores before were as high, by hand",
          "[detect][running-tail]") {
  // Bins of 1/8 octave: powers of two are far apart.
  std::vector<float> scores;
  for (int i = 0; i < 20; ++i) scores.push_back(1);
  for (int i = 0; i < 15; ++i) scores.push_back(2);
  for (int i = 0; i < 4; ++i) scores.push_back(4);
  const RunningTail tail = tail_of(scores);
  CHECK(tail.count() == 39);
  CHECK(static_cast<double>(tail.surprise(0.5F)) == Approx(0).margin(1e-6));
  CHECK(static_cast<double>(tail.surprise(1)) == Approx(0).margin(1e-6));  // all are as high
  CHECK(static_cast<double>(tail.surprise(2)) == Approx(-std::log10(20.0 / 40)));
  CHECK(static_cast<double>(tail.surprise(4)) == Approx(-std::log10(5.0 / 40)));
  CHECK(static_cast<double>(tail.surprise(8)) == Approx(-std::log10(1.0 / 40)));
  CHECK(tail.surprise(-3) == 0);
}

TEST_CASE("The tail goes on beyond what was seen, and never falls", "[detect][running-tail]") {
  // Pareto of index 3 from 1 on: the chance of s or more is s^-3.
  std::mt19937_64 bits(4);
  std::vector<float> scores;
  for (int i = 0; i < 20000; ++i) {
    scores.push_back(static_cast<float>(std::pow(1 - nn::unit_uniform(bits), -1.0 / 3)));
  }
  const RunningTail tail = tail_of(scores);
  for (const double s : {1.5, 3.0, 6.0, 12.0, 25.0}) {
    CHECK(static_cast<double>(tail.surprise(static_cast<float>(s))) ==
          Approx(3 * std::log10(s)).epsilon(0.08).margin(0.12));
  }
  CHECK(static_cast<double>(tail.surprise(90)) == Approx(5.86).epsilon(0.12));  // none was there
  CHECK(tail.surprise(1e9F) == RunningTail::kMost);
  float last = 0;
  for (float s = 0; s < 200; s += 0.01F) {
    REQUIRE(tail.surprise(s) >= last);
    last = tail.surprise(s);
  }
}

TEST_CASE("What never changes is no surprise; what it is not used to, is as rare as n can tell",
          "[detect][running-tail]") {
  const RunningTail constant = tail_of(std::vector<float>(40, 2.0F));
  CHECK(static_cast<double>(constant.surprise(2)) == Approx(0).margin(1e-6));
  CHECK(static_cast<double>(constant.surprise(3)) == Approx(std::log10(41.0)));
  // A scorer that was silent in all of its range still has a place for what it says later.
  const RunningTail silent = tail_of(std::vector<float>(99, 0.0F));
  CHECK(silent.surprise(0) == 0);
  CHECK(silent.surprise(0.5F) > 1.9F);
}

TEST_CASE("Without a range, and of what is no number, nothing is known", "[detect][running-tail]") {
  RunningTail tail;
  tail.add(tail.bin_of(3));
  CHECK(tail.count() == 0);
  CHECK(tail.surprise(3) == 0);
  tail = tail_of({1, 2, 3});
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float odd : {kNan, kInfinity, -kInfinity}) {
    CHECK(tail.bin_of(odd) == RunningTail::kNoBin);
    tail.add(tail.bin_of(odd));
    CHECK(tail.surprise(odd) == 0);
  }
  CHECK(tail.count() == 3);
}

TEST_CASE("A full bin halves all counts and keeps their shares", "[detect][running-tail]") {
  // A quarter of them high: the tail's Pareto law has no say there.
  RunningTail tail;
  tail.set_range(std::vector<float>{1, 1, 1, 8});
  for (int i = 0; i < 65535; ++i) tail.add(tail.bin_of(1));
  for (int i = 0; i < 21845; ++i) tail.add(tail.bin_of(8));
  CHECK(tail.count() == 87380);
  CHECK(static_cast<double>(tail.surprise(8)) == Approx(-std::log10(21846.0 / 87381)));
  tail.add(tail.bin_of(1));
  CHECK(tail.count() == 32768 + 10923 + 1);
  CHECK(static_cast<double>(tail.surprise(8)) == Approx(-std::log10(10924.0 / 43693)));
}

}  // namespace
}  // namespace anomalyd::detect

#include "detect/normaliser.h"

#include <cmath>
#include <limits>
#include <vector>

#include "support/catch.h"

namespace anomalyd::detect {
namespace {

TEST_CASE("Moments of a window, by hand", "[detect][normaliser]") {
  const std::vector<float> window{1, 10, 3, 10, 5, 10};  // channels 1 3 5 and 10 10 10
  const auto moments = window_moments(window, 2);
  CHECK(moments[0].mean == 3);
  CHECK(moments[0].spread() == Approx(std::sqrt(8.0 / 3)));
  CHECK(moments[1].spread() == 0);
  const ChannelScale scale = ChannelScale::of(moments);
  std::vector<float> out(6);
  scale.apply(window, out);
  CHECK(out[0] == Approx(-2 / std::sqrt(8.0 / 3)));
  CHECK(out[1] == 0);
  std::vector<float> back(6);
  scale.undo(out, back);
  for (std::size_t i = 0; i < 6; ++i) CHECK(back[i] == Approx(window[i]));
}

TEST_CASE("Merged moments are those of all values, far from zero, too", "[detect][normaliser]") {
  ChannelMoments one_by_one;
  ChannelMoments merged;
  for (int block = 0; block < 50; ++block) {
    ChannelMoments part;
    for (int i = 0; i < 20; ++i) {
      const double value = 1e7 + (block * 20 + i) % 7;
      one_by_one.add(value);
      part.add(value);
    }
    merged.merge(part);
  }
  merged.merge(ChannelMoments{});
  CHECK(merged.count == 1000);
  CHECK(merged.mean == Approx(one_by_one.mean).epsilon(1e-15));
  CHECK(merged.spread() == Approx(2.0).epsilon(0.01));
  CHECK(merged.spread() == Approx(one_by_one.spread()).epsilon(1e-9));
}

TEST_CASE("A flat channel becomes zero whatever it holds", "[detect][normaliser]") {
  for (const double level : {0.0, 5.0, 1e8}) {
    ChannelMoments moments;
    // Flat but for the last bit of a float32.
    for (int i = 0; i < 100; ++i) moments.add(level * (i % 2 == 0 ? 1.0 : 1.0 + 6e-8));
    const ChannelScale scale = ChannelScale::of(std::vector<ChannelMoments>{moments});
    CHECK(scale.spread[0] == 0);
    std::vector<float> out(2);
    scale.apply(std::vector<float>{static_cast<float>(level), 1e30F}, out);
    CHECK(out == std::vector<float>{0, 0});
  }
}

TEST_CASE("A scale that is kept gives a flat channel a floor", "[detect][normaliser]") {
  ChannelMoments zero;
  ChannelMoments level;
  ChannelMoments lively;
  for (int i = 0; i < 100; ++i) {
    zero.add(0);
    level.add(-24);
    lively.add(i % 2);
  }
  const std::vector<ChannelMoments> moments{zero, level, lively};
  const ChannelScale scale = ChannelScale::with_floor(moments);
  CHECK(scale.spread == std::vector<float>{1e-6F, 0.024F, 0.5F});
}

TEST_CASE("Windows teach when every channel moves, or has moved since the one before",
          "[detect][normaliser]") {
  const std::vector<float> still{5, 0, 5, 0};
  const std::vector<float> one_moves{5, 1, 5, 2};
  const std::vector<float> both_move{4, 1, 6, 2};
  ScaleLearner learner(2, 2);
  for (int i = 0; i < 100; ++i) CHECK_FALSE(learner.take(still));
  CHECK(learner.take(both_move));
  CHECK_FALSE(learner.take(one_moves));
  CHECK(learner.take(std::vector<float>{7, 3, 7, 3}));  // flat, but both stepped
  CHECK_FALSE(learner.take(std::vector<float>{7, 3, 7, 3}));
  const ChannelScale scale = learner.scale();
  // Each channel from the windows in which it moved: the second one also from `one_moves`.
  CHECK(scale.mean == std::vector<float>{6, 2});
  CHECK(scale.spread[0] == Approx(std::sqrt(1.5)));
  CHECK(scale.spread[1] == Approx(std::sqrt(4.0 / 6)));
}

TEST_CASE("A channel that never moves holds learning up for three spans, not for ever",
          "[detect][normaliser]") {
  ScaleLearner learner(2, 4);
  const std::vector<float> still{5, 1.5F, 5, 1.5F};
  const std::vector<float> one_moves{5, 1, 5, 2};
  for (int i = 0; i < 12; ++i) {
    CHECK_FALSE(learner.take(still));  // costs no patience
    CHECK_FALSE(learner.take(one_moves));
  }
  CHECK(learner.take(one_moves));
  CHECK(learner.take(one_moves));
  for (int i = 0; i < 100; ++i) learner.take(still);
  CHECK_FALSE(learner.take(still));
  CHECK(learner.scale().mean == std::vector<float>{5, 1.5F});
  CHECK(learner.scale().spread == std::vector<float>{0.005F, 0.5F});
}

TEST_CASE("What comes out is bounded, and NaN when what goes in is not finite",
          "[detect][normaliser][non-finite]") {
  const ChannelScale scale{{0.0F}, {1e-20F}};
  std::vector<float> out(5);
  scale.apply(std::vector<float>{3e38F, -3e38F, std::numeric_limits<float>::infinity(),
                                 std::numeric_limits<float>::quiet_NaN(), 0.0F},
              out);
  CHECK(out[0] == kMaxNormalised);
  CHECK(out[1] == -kMaxNormalised);
  CHECK(std::isnan(out[2]));
  CHECK(std::isnan(out[3]));
  CHECK(out[4] == 0);
}

}  // namespace
}  // namespace anomalyd::detect

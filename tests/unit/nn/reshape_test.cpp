#include "nn/reshape.h"

#include "layer_check.h"
#include "nn/gradient_reversal.h"

namespace anomalyd::nn {
namespace {

TEST_CASE("reshape keeps the numbers and their order", "[nn][reshape]") {
  const auto layer = make_reshape<double>(3).value();
  LayerRun<double> run(*layer, {{2, 6}});
  CHECK(run.out() == Shape{4, 3});
  const auto x = random_matrix<double>(2, 12, 1);
  CHECK(run.forward(x, Mode::kScoring) == x);
  run.backward(x);
  CHECK(run.dx[0] == x);
}

TEST_CASE("reshape's gradient, pieces and bits", "[nn][reshape][gradient]") {
  check_gradients(*make_reshape<double>(1).value(), {{2, 6}});
  check_pieces(*make_reshape<double>(12).value(), {{2, 6}});
  const auto single = make_reshape<float>(4).value();
  check_batch_independence(*single, {{2, 6}});
  check_modes_agree(*single, {{2, 6}});
  check_non_finite(*single, {{2, 6}});
}

TEST_CASE("reshape refuses channels that do not divide", "[nn][reshape][errors]") {
  check_refused(make_reshape<float>(0), "reshape: channels is 0, expected 1..1048576");
  check_refused(*make_reshape<float>(5).value(), {{2, 6}},
                "reshape: channels are 5, which does not divide the 12 values it reads");
  check_refused(*make_reshape<float>(24).value(), {{2, 6}}, "does not divide");
}

TEST_CASE("gradient_reversal passes values on and turns gradients round",
          "[nn][gradient_reversal]") {
  const auto layer = make_gradient_reversal<double>().value();
  LayerRun<double> run(*layer, {{2, 3}});
  const auto x = random_matrix<double>(4, 6, 1);
  const auto dy = random_matrix<double>(4, 6, 2);
  CHECK(run.forward(x, Mode::kTraining) == x);
  run.backward(dy);
  CHECK(run.dx[0] == -dy);
  run.buffer("scale")[0] = 0.25;
  run.forward(x, Mode::kTraining);
  run.backward(dy);
  CHECK(run.dx[0] == -0.25 * dy);
}

TEST_CASE("gradient_reversal's pieces and bits", "[nn][gradient_reversal][determinism]") {
  check_pieces(*make_gradient_reversal<double>().value(), {{2, 3}});
  const auto single = make_gradient_reversal<float>().value();
  check_batch_independence(*single, {{2, 3}});
  check_modes_agree(*single, {{2, 3}});
  check_non_finite(*single, {{2, 3}});
  check_refused(*single, {{2, 3}, {2, 3}}, "gradient_reversal: it reads 2 values, expected 1");
}

}  // namespace
}  // namespace anomalyd::nn

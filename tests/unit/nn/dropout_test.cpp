#include "nn/dropout.h"

#include <cmath>

#include "layer_check.h"

namespace anomalyd::nn {
namespace {

TEST_CASE("dropout drops its share and makes up for it", "[nn][dropout]") {
  for (const double rate : {0.1, 0.5, 0.9}) {
    const auto layer = make_dropout<float>(rate).value();
    LayerRun<float> run(*layer, {{100, 10}});
    run.forward(Matrix<float>(Matrix<float>::Ones(50, 1000)), Mode::kTraining);
    const auto scale = static_cast<float>(1 / (1 - rate));
    int dropped = 0;
    for (Eigen::Index i = 0; i < run.y.size(); ++i) {
      const float value = run.y.data()[i];
      REQUIRE((value == 0 || value == scale));
      dropped += value == 0 ? 1 : 0;
    }
    // Five standard deviations.
    CHECK(std::abs(dropped - 50000 * rate) < 5 * std::sqrt(50000 * rate * (1 - rate)));
  }
}

TEST_CASE("dropout draws each row, and each step, anew", "[nn][dropout]") {
  const auto layer = make_dropout<float>(0.5).value();
  LayerRun<float> run(*layer, {{10, 10}});
  const Matrix<float> ones = Matrix<float>::Ones(3, 100);
  const Matrix<float> first = run.forward(ones, Mode::kTraining);
  CHECK(first.row(0) != first.row(1));
  CHECK(first.row(1) != first.row(2));
  CHECK(run.forward(ones, Mode::kTraining) == first);
  run.seed = 6;
  CHECK(run.forward(ones, Mode::kTraining) != first);
}

TEST_CASE("dropout's gradient passes where the value passed", "[nn][dropout][gradient]") {
  const auto layer = make_dropout<double>(0.4).value();
  for (const Shape shape : {Shape{5, 3}, Shape{1, 1}}) {
    check_gradients(*layer, {shape});
    check_pieces(*layer, {shape});
  }
  LayerRun<double> run(*layer, {{10, 10}});
  const Matrix<double> ones = Matrix<double>::Ones(4, 100);
  run.forward(ones, Mode::kTraining);
  run.backward(ones);
  CHECK(run.dx[0] == run.y);
}

TEST_CASE("dropout leaves everything as it is in scoring, and at rate 0", "[nn][dropout]") {
  const auto x = random_matrix<float>(5, 30, 1);
  const auto layer = make_dropout<float>(0.5).value();
  LayerRun<float> run(*layer, {{10, 3}});
  CHECK(run.forward(x, Mode::kScoring) == x);
  check_batch_independence(*layer, {{10, 3}});
  check_non_finite(*layer, {{10, 3}});
  const auto none = make_dropout<float>(0).value();
  LayerRun<float> keeping(*none, {{10, 3}});
  CHECK(keeping.forward(x, Mode::kTraining) == x);
}

TEST_CASE("dropout refuses a rate that leaves nothing", "[nn][dropout][errors]") {
  for (const double rate : {-0.1, 1.0, std::nan("")}) {
    check_refused(make_dropout<float>(rate), "expected 0 <= rate < 1");
  }
  check_refused(*make_dropout<float>(0.5).value(), {}, "dropout: it reads 0 values");
}

}  // namespace
}  // namespace anomalyd::nn

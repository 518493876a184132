#include "nn/reparameterise.h"

#include <cmath>

#include "layer_check.h"
#include "nn/random.h"

namespace anomalyd::nn {
namespace {

TEST_CASE("reparameterise draws from the Gaussian that it reads", "[nn][reparameterise]") {
  const auto layer = make_reparameterise<double>(2).value();
  LayerRun<double> run(*layer, {{1, 4}});
  constexpr Eigen::Index kRows = 20000;
  Matrix<double> x(kRows, 4);
  x.rowwise() = (Eigen::RowVector4d() << 5, -3, std::log(4.0), std::log(0.25)).finished();
  run.forward(x, Mode::kTraining);
  const Eigen::RowVector2d mean = run.y.colwise().mean();
  const Eigen::RowVector2d variance =
      (run.y.rowwise() - mean).array().square().matrix().colwise().mean();
  // Four standard errors.
  CHECK(std::abs(mean(0) - 5) < 4 * 2 / std::sqrt(kRows));
  CHECK(std::abs(mean(1) + 3) < 4 * 0.5 / std::sqrt(kRows));
  CHECK(std::abs(variance(0) / 4 - 1) < 4 * std::sqrt(2.0 / kRows));
  CHECK(std::abs(variance(1) / 0.25 - 1) < 4 * std::sqrt(2.0 / kRows));
  const double along =
      (run.y.col(0).array() - mean(0)).matrix().dot((run.y.col(1).array() - mean(1)).matrix()) /
      kRows;
  CHECK(std::abs(along) < 4 / std::sqrt(kRows));
}

TEST_CASE("reparameterise's noise is that of the row and its place", "[nn][reparameterise]") {
  const auto layer = make_reparameterise<double>(1).value();
  LayerRun<double> run(*layer, {{2, 2}});
  Matrix<double> x = Matrix<double>::Zero(3, 4);
  x.col(2).setConstant(7);
  run.forward(x, Mode::kTraining);
  Call<double> call;
  call.seed = run.seed;
  for (Eigen::Index row = 0; row < 3; ++row) {
    CHECK(run.y(row, 0) == normal_at(call.row_seed(row), 0));
    CHECK(run.y(row, 1) == 7 + normal_at(call.row_seed(row), 1));
  }
  const Matrix<double> first = run.y;
  run.seed = 6;
  CHECK(run.forward(x, Mode::kTraining) != first);
}

TEST_CASE("reparameterise gives the mean in scoring", "[nn][reparameterise]") {
  const auto layer = make_reparameterise<float>(2).value();
  LayerRun<float> run(*layer, {{2, 4}});
  const auto x = random_matrix<float>(3, 8, 1);
  run.forward(x, Mode::kScoring);
  for (Eigen::Index row = 0; row < 3; ++row) {
    for (const Eigen::Index i : {0, 1}) {
      CHECK(run.y(row, i) == x(row, i));
      CHECK(run.y(row, 2 + i) == x(row, 4 + i));
    }
  }
  check_batch_independence(*layer, {{2, 4}});
  check_non_finite(*layer, {{2, 4}});
}

TEST_CASE("reparameterise's gradients agree with central differences",
          "[nn][reparameterise][gradient]") {
  for (const Shape in : {Shape{3, 4}, Shape{1, 2}}) {
    const auto layer = make_reparameterise<double>(in.channels / 2).value();
    check_gradients(*layer, {in});
    check_pieces(*layer, {in});
  }
}

TEST_CASE("reparameterise refuses what has no two halves", "[nn][reparameterise][errors]") {
  check_refused(make_reparameterise<float>(0), "reparameterise: channels is 0, expected 1..2048");
  check_refused(*make_reparameterise<float>(2).value(), {{2, 3}},
                "reparameterise: channels are 4, but it reads 3");
}

}  // namespace
}  // namespace anomalyd::nn

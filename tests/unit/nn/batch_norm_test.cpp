#include <cmath>
#include <limits>

#include "layer_check.h"
#include "nn/norms.h"

namespace anomalyd::nn {
namespace {

TEST_CASE("batch_norm computes by hand what training and scoring ask", "[nn][batch_norm]") {
  const auto layer = make_batch_norm<double>(1, /*epsilon=*/0.25, /*momentum=*/0.5).value();
  LayerRun<double> run(*layer, {{2, 1}});
  run.parameter("weights")[0] = 3;
  run.parameter("bias")[0] = 10;
  Matrix<double> x(2, 2);
  x << 1, 2,  //
      4, 5;
  run.forward(x, Mode::kTraining);
  // Mean 3, variance (4 + 1 + 1 + 4) / 4 = 2.5.
  const double deviation = std::sqrt(2.75);
  CHECK(std::abs(run.y(0, 0) - (10 - 3 * 2 / deviation)) < 1e-14);
  CHECK(std::abs(run.y(1, 1) - (10 + 3 * 2 / deviation)) < 1e-14);
  CHECK(run.buffer("mean")[0] == 1.5);  // half of 0 and half of 3
  // The unbiased variance is 10 / 3.
  CHECK(std::abs(run.buffer("variance")[0] - (0.5 + 5.0 / 3)) < 1e-14);

  run.buffer("mean")[0] = 1;
  run.buffer("variance")[0] = 0.75;
  const auto buffers = run.buffers;
  run.forward(x, Mode::kScoring);  // (x - 1) / 1 * 3 + 10
  CHECK(run.y(0, 0) == 10);
  CHECK(run.y(1, 1) == 22);
  CHECK(run.buffers == buffers);
}

TEST_CASE("batch_norm's gradients agree with central differences", "[nn][batch_norm][gradient]") {
  for (const Shape shape : {Shape{5, 3}, Shape{1, 2}, Shape{7, 1}, Shape{2, 18}}) {
    INFO(shape.samples << " x " << shape.channels);
    const auto layer = make_batch_norm<double>(shape.channels, 1e-3, 0.1).value();
    check_gradients(*layer, {shape}, {.rows = 4});
    check_pieces(*layer, {shape});
  }
}

TEST_CASE("batch_norm scores a row as it does alone, by running statistics",
          "[nn][batch_norm][determinism]") {
  const auto layer = make_batch_norm<float>(3, 1e-5, 0.1).value();
  const CheckOptions options{.buffers = {0.5, -1, 2, 0.3, 4, 1}};
  check_batch_independence(*layer, {{5, 3}}, options);
  check_non_finite(*layer, {{5, 3}}, options);
}

TEST_CASE("batch_norm's running statistics come to those of the data", "[nn][batch_norm]") {
  const auto layer = make_batch_norm<float>(2, 1e-5, 0.1).value();
  LayerRun<float> run(*layer, {{4, 2}});
  Matrix<float> x = random_matrix<float>(16, 8, 3);
  for (Eigen::Index i = 0; i < x.size(); i += 2) x.data()[i] = 2 * x.data()[i] + 5;
  for (int step = 0; step < 200; ++step) run.forward(x, Mode::kTraining);
  const Matrix<float> trained = run.y;
  const Matrix<float> scored = run.forward(x, Mode::kScoring);
  // Apart by the unbiased variance's 64 / 63.
  CHECK((trained - scored).cwiseAbs().maxCoeff() < 0.02F);
  CHECK(std::abs(run.buffer("mean")[0] - 5) < 0.5F);
  CHECK(std::abs(run.buffer("variance")[0] - 4.0F / 3) < 0.4F);
  CHECK(std::abs(run.buffer("variance")[1] - 1.0F / 3) < 0.1F);
}

TEST_CASE("batch_norm keeps its precision far from zero", "[nn][batch_norm]") {
  const auto layer = make_batch_norm<float>(1, 1e-5, 0.1).value();
  LayerRun<float> run(*layer, {{8, 1}});
  Matrix<float> x(4, 8);
  for (Eigen::Index i = 0; i < x.size(); ++i) {
    x.data()[i] = 4096 + static_cast<float>(i % 2 == 0 ? 1 : -1);
  }
  run.forward(x, Mode::kTraining);
  CHECK(std::abs(run.y(0, 0) - 1) < 1e-4F);
  CHECK(std::abs(run.y(0, 1) + 1) < 1e-4F);
}

TEST_CASE("batch_norm of a single value gives the bias and leaves the running variance",
          "[nn][batch_norm]") {
  const auto layer = make_batch_norm<float>(2, 1e-5, 0.5).value();
  LayerRun<float> run(*layer, {{1, 2}});
  run.parameter("bias")[1] = 7;
  Matrix<float> x(1, 2);
  x << 4, 6;
  run.forward(x, Mode::kTraining);
  CHECK(run.y(0) == 0);
  CHECK(run.y(1) == 7);
  CHECK(run.buffer("mean")[0] == 2);
  CHECK(run.buffer("variance")[0] == 1);
  run.backward(Matrix<float>::Ones(1, 2));
  CHECK(run.dx[0].isZero());
  CHECK(run.gradient_of("bias")[0] == 1);
}

TEST_CASE("batch_norm in training spreads a NaN over its channel and no other",
          "[nn][batch_norm][non-finite]") {
  const auto layer = make_batch_norm<float>(2, 1e-5, 0.1).value();
  LayerRun<float> run(*layer, {{2, 2}});
  Matrix<float> x = random_matrix<float>(3, 4, 2);
  x(1, 2) = std::numeric_limits<float>::quiet_NaN();
  run.forward(x, Mode::kTraining);
  for (Eigen::Index row = 0; row < 3; ++row) {
    CHECK(std::isnan(run.y(row, 0)));
    CHECK(std::isnan(run.y(row, 2)));
    CHECK(std::isfinite(run.y(row, 1)));
    CHECK(std::isfinite(run.y(row, 3)));
  }
}

TEST_CASE("batch_norm refuses sizes out of range and says which", "[nn][batch_norm][errors]") {
  check_refused(make_batch_norm<float>(0, 1e-5, 0.1), "batch_norm: channels is 0");
  check_refused(make_batch_norm<float>(2, 0, 0.1), "batch_norm: epsilon is 0.0");
  check_refused(make_batch_norm<float>(2, std::nan(""), 0.1), "batch_norm: epsilon is nan");
  check_refused(make_batch_norm<float>(2, 1e-5, 0), "batch_norm: momentum is 0.0");
  check_refused(make_batch_norm<float>(2, 1e-5, 1.5), "batch_norm: momentum is 1.5");
  check_refused(*make_batch_norm<float>(2, 1e-5, 0.1).value(), {{4, 3}},
                "batch_norm: channels are 2, but it reads 3");
}

}  // namespace
}  // namespace anomalyd::nn

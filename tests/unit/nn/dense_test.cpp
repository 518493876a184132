#include "nn/dense.h"

#include <Eigen/SVD>

#include <cmath>
#include <limits>
#include <string>

#include "layer_check.h"

namespace anomalyd::nn {
namespace {

TEST_CASE("Dense computes x W + b on a hand-worked example", "[nn][dense]") {
  const auto layer = make_dense<double>(2, 1).value();
  LayerRun<double> run(*layer, {{2, 1}});
  run.weights = {3, -1, 0.5};
  Matrix<double> x(2, 2);
  x << 1, 2,  //
      0, 4;
  const Matrix<double> y = run.forward(x, Mode::kScoring);
  REQUIRE(y.rows() == 2);
  CHECK(y(0, 0) == 1.5);   // 3*1 - 1*2 + 0.5
  CHECK(y(1, 0) == -3.5);  // 3*0 - 1*4 + 0.5
}

TEST_CASE("Dense backward agrees with central differences", "[nn][dense][gradient]") {
  for (const auto& [in, out] : {std::pair{3, 10}, {40, 1}, {1, 1}, {7, 33}}) {
    INFO(in << " to " << out);
    const auto layer = make_dense<double>(in, out).value();
    check_gradients(*layer, {{1, in}});
    check_pieces(*layer, {{in, 1}});
  }
}

TEST_CASE("Dense gives a row the same bits in any batch", "[nn][dense][determinism]") {
  for (const Eigen::Index out : {1, 5, 11, 40}) {
    check_batch_independence(*make_dense<float>(9, out).value(), {{3, 3}});
  }
}

TEST_CASE("Dense under spectral norm has singular values of at most one",
          "[nn][dense][spectral_norm]") {
  const auto layer = make_dense<double>(5, 4, true).value();
  LayerRun<double> run(*layer, {{1, 5}});
  run.randomise(2);
  for (int step = 0; step < 50; ++step) {
    run.forward(random_matrix<double>(1, 5, 1), Mode::kTraining);
  }
  std::fill_n(run.parameter("bias").begin(), 4, 0.0);
  const Matrix<double> w = run.forward(Matrix<double>::Identity(5, 5), Mode::kScoring);
  CHECK(w.jacobiSvd().singularValues()(0) == Approx(1).margin(1e-6));
}

TEST_CASE("Dense refuses sizes out of range and inputs that do not fit", "[nn][dense][errors]") {
  const auto refused = make_dense<double>(0, 3);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == ErrorCode::kInvalidArgument);
  CHECK(refused.error().message.find("in=0") != std::string::npos);
  const std::vector<Shape> in{{2, 3}};
  CHECK(make_dense<double>(5, 1).value()->out_shape(in).error().message ==
        "dense: in is 5, but it reads 6 values");
}

TEST_CASE("Dense lets NaN through, so that the caller's screen is what counts",
          "[nn][dense][non-finite]") {
  const auto layer = make_dense<double>(1, 1).value();
  LayerRun<double> run(*layer, {{1, 1}});
  const Matrix<double> x = Matrix<double>::Constant(1, 1, std::numeric_limits<double>::quiet_NaN());
  CHECK(std::isnan(run.forward(x, Mode::kScoring)(0, 0)));
}

}  // namespace
}  // namespace anomalyd::nn

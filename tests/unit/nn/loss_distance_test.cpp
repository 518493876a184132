#include "nn/loss_distance.h"

#include <cmath>
#include <limits>
#include <string>

#include "loss_check.h"
#include "support/catch.h"

namespace anomalyd::nn {
namespace {

using testing::golden_matrix;
using testing::gradient_error;
using testing::read_golden;
using testing::worst_difference;

Matrix<double> matrix(Eigen::Index rows, std::initializer_list<double> values) {
  Matrix<double> made(rows, static_cast<Eigen::Index>(values.size()) / rows);
  std::copy(values.begin(), values.end(), made.data());
  return made;
}

const Matrix<double> kFirst = matrix(3, {0.3, -1.2, 0.7, -0.4, 0.9, 2.1});
const Matrix<double> kSecond = matrix(4, {1.3, 0.2, -0.7, 0.4, 0.5, -1.1, 2, 0.1});

TEST_CASE("The mean discrepancy by hand", "[nn][loss]") {
  const RbfBank bank = RbfBank::make({1, 2}).value();
  Matrix<double> da;
  Matrix<double> db;
  // One row each, 2 apart: k(a, a) = k(b, b) = 1, k(a, b) = (exp(-2) + exp(-1/2)) / 2.
  const double value = maximum_mean_discrepancy(matrix(1, {0}), matrix(1, {2}), bank, da, db);
  CHECK(value == Approx(2 - (std::exp(-2.0) + std::exp(-0.5))).epsilon(1e-14));
  // d/da of -2 k = -2 (b - a) (exp(-2) / 1 + exp(-1/2) / 4) / 2
  CHECK(da(0) == Approx(-2 * (std::exp(-2.0) + std::exp(-0.5) / 4)).epsilon(1e-14));
  CHECK(db(0) == -da(0));
  // Biased: never below 0, and 0 for the same rows in another order.
  Matrix<double> turned = kFirst.colwise().reverse();
  CHECK(std::abs(maximum_mean_discrepancy(kFirst, turned, bank, da, db)) < 1e-15);
  CHECK(da.cwiseAbs().maxCoeff() < 1e-15);
}

TEST_CASE("Distances of two batches agree with central differences", "[nn][loss][gradient]") {
  const RbfBank bank = RbfBank::make({0.5, 1, 3}).value();
  Matrix<double> a = kFirst;
  Matrix<double> b = kSecond;
  Matrix<double> da;
  Matrix<double> db;
  const auto discrepancy = [&] { return maximum_mean_discrepancy(a, b, bank, da, db); };
  discrepancy();
  CHECK(gradient_error(a, da, discrepancy) < 1e-7);
  discrepancy();
  CHECK(gradient_error(b, db, discrepancy) < 1e-7);
  const auto covariance = [&] { return coral(a, b, da, db); };
  covariance();
  CHECK(gradient_error(a, da, covariance) < 1e-7);
  covariance();
  CHECK(gradient_error(b, db, covariance) < 1e-7);
  const auto features = [&] { return feature_matching(a, b, db); };
  features();
  CHECK(gradient_error(b, db, features) < 1e-7);
}

TEST_CASE("Distances of two batches are PyTorch's", "[nn][loss][golden]") {
  const TensorFile file = read_golden("torch_losses.safetensors");
  const auto at = [&file](const char* name) { return golden_matrix<float>(file, name); };
  Matrix<float> da;
  Matrix<float> db;
  const RbfBank bank = RbfBank::make({0.5, 1, 3}).value();
  CHECK(maximum_mean_discrepancy(at("mmd.a"), at("mmd.b"), bank, da, db) ==
        Approx(static_cast<double>(at("mmd.value")(0))).epsilon(1e-5));
  CHECK(worst_difference(da, at("mmd.da")) < 1e-5);
  CHECK(worst_difference(db, at("mmd.db")) < 1e-5);
  CHECK(coral(at("coral.a"), at("coral.b"), da, db) ==
        Approx(static_cast<double>(at("coral.value")(0))).epsilon(1e-5));
  CHECK(worst_difference(da, at("coral.da")) < 1e-5);
  CHECK(worst_difference(db, at("coral.db")) < 1e-5);
  CHECK(feature_matching(at("features.real"), at("features.fake"), db) ==
        Approx(static_cast<double>(at("features.value")(0))).epsilon(1e-5));
  CHECK(worst_difference(db, at("features.dfake")) < 1e-5);
}

TEST_CASE("Covariances and mean features by hand", "[nn][loss]") {
  Matrix<double> da;
  Matrix<double> db;
  // One feature: variances 2 and 0; (2 - 0)^2 / 4.
  CHECK(coral(matrix(2, {-1, 1}), matrix(2, {5, 5}), da, db) == 1.0);
  CHECK(worst_difference(da, matrix(2, {-2, 2})) < 1e-15);  // x C / (n - 1)
  CHECK(db == matrix(2, {0, 0}));
  // A shift of all rows is no difference.
  CHECK(coral(kSecond, Matrix<double>(kSecond.array() + 100), da, db) < 1e-20);
  // Means (2, 3) and (1, 5): (1 + 4) / 2.
  CHECK(feature_matching(matrix(2, {1, 3, 3, 3}), matrix(1, {1, 5}), db) == 2.5);
  CHECK(db == matrix(1, {-1, 2}));
}

TEST_CASE("A bank of kernels is made around the rows or refused", "[nn][loss][errors]") {
  // Three points 0, 1, 2 on a line: squared distances 1, 1, 4, so m = 2.
  const auto around = RbfBank::around(matrix(2, {0, 1}), matrix(1, {2}), 3);
  REQUIRE(around.ok());
  REQUIRE(around.value().widths().size() == 3);
  CHECK(around.value().widths()[0] == Approx(std::sqrt(0.5)));  // 2 w^2 = m / 2, m, 2 m
  CHECK(around.value().widths()[1] == Approx(1));
  CHECK(around.value().widths()[2] == Approx(std::sqrt(2.0)));

  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_FALSE(RbfBank::make({}).ok());
  CHECK_FALSE(RbfBank::make(std::vector<double>(17, 1.0)).ok());
  CHECK(RbfBank::make({1, 0}).error().message ==
        "rbf bank: a width is 0.000000, expected a number above 0");
  CHECK_FALSE(RbfBank::make({nan}).ok());
  CHECK_FALSE(RbfBank::around(matrix(1, {1}), matrix(1, {1})).ok());  // all alike
  CHECK_FALSE(RbfBank::around(matrix(1, {1}), matrix(1, {nan})).ok());
  CHECK_FALSE(RbfBank::around(matrix(1, {1}), matrix(1, {1, 2})).ok());
  CHECK_FALSE(RbfBank::around(matrix(1, {1}), matrix(1, {2}), 0).ok());
}

TEST_CASE("Distances of two batches let NaN through", "[nn][loss][non-finite]") {
  Matrix<double> bad = kFirst;
  bad(1, 1) = std::numeric_limits<double>::quiet_NaN();
  Matrix<double> da;
  Matrix<double> db;
  CHECK(std::isnan(maximum_mean_discrepancy(bad, kSecond, RbfBank::make({1}).value(), da, db)));
  CHECK(std::isnan(coral(bad, kSecond, da, db)));
  CHECK(std::isnan(feature_matching(bad, kSecond, db)));
}

}  // namespace
}  // namespace anomalyd::nn

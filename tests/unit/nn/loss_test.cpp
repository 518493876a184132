#include "nn/loss.h"

#include <cmath>
#include <limits>
#include <string>

#include "loss_check.h"
#include "nn/loss_latent.h"
#include "nn/loss_logits.h"
#include "support/catch.h"

namespace anomalyd::nn {
namespace {

using testing::golden_matrix;
using testing::gradient_error;
using testing::read_golden;
using testing::worst_difference;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Matrix<double> matrix(Eigen::Index rows, std::initializer_list<double> values) {
  Matrix<double> made(rows, static_cast<Eigen::Index>(values.size()) / rows);
  std::copy(values.begin(), values.end(), made.data());
  return made;
}

/// Value and gradient in float against PyTorch's.
template <class Loss>
void check_golden(const std::string& name, const Loss& loss, double value_error = 1e-5) {
  static const TensorFile file = read_golden("torch_losses.safetensors");
  const auto y = golden_matrix<float>(file, name + ".y");
  Matrix<float> dy;
  const double value = loss(y, file, dy);
  INFO(name);
  CHECK(value == Approx(golden_matrix<double>(file, name + ".value")(0)).epsilon(value_error));
  CHECK(worst_difference(dy, golden_matrix<double>(file, name + ".dy")) < 1e-5);
}

TEST_CASE("Pointwise losses and their gradients, by hand", "[nn][loss]") {
  const Matrix<double> y = matrix(1, {3, 1, 2, 5});
  const Matrix<double> t = matrix(1, {1, 1.5, 2, 5.5});  // errors 2, -0.5, 0, -0.5
  Matrix<double> dy;
  CHECK(mean_squared_error(y, t, dy) == 1.125);  // (4 + 0.25 + 0 + 0.25) / 4
  CHECK(dy == matrix(1, {1, -0.25, 0, -0.25}));  // 2 e / 4
  CHECK(mean_absolute_error(y, t, dy) == 0.75);
  CHECK(dy == matrix(1, {0.25, -0.25, 0, -0.25}));
  // With delta 1: 1 * (2 - 0.5) and twice 0.5^2 / 2.
  CHECK(huber(y, t, 1, dy) == 0.4375);
  CHECK(dy == matrix(1, {0.25, -0.125, 0, -0.125}));
}

TEST_CASE("Pointwise losses agree with central differences", "[nn][loss][gradient]") {
  Matrix<double> y = matrix(2, {0.3, -1.2, 0.7, -0.4, 0.9, 2.1});
  const Matrix<double> t = matrix(2, {0.5, 0.4, 0.1, -0.9, 1.5, -1});
  Matrix<double> dy;
  for (const char* name : {"squared", "absolute", "huber"}) {
    const PointwiseLoss loss = PointwiseLoss::make(name, 0.65).value();
    CHECK(loss.name() == name);
    const auto value = [&] { return loss(y, t, dy); };
    value();
    CHECK(gradient_error(y, dy, value) < 1e-7);
  }
}

TEST_CASE("Losses are PyTorch's", "[nn][loss][golden]") {
  const auto t = [](const std::string& name, const TensorFile& file) {
    return golden_matrix<float>(file, name + ".t");
  };
  for (const char* name : {"squared", "absolute", "huber"}) {
    check_golden(name, [&](const Matrix<float>& y, const TensorFile& file, Matrix<float>& dy) {
      return PointwiseLoss::make(name, 0.7).value()(y, t(name, file), dy);
    });
  }
  check_golden("binary", [&](const Matrix<float>& y, const TensorFile& file, Matrix<float>& dy) {
    return binary_cross_entropy(y, t("binary", file), dy);
  });
  check_golden("softmax", [&](const Matrix<float>& y, const TensorFile& file, Matrix<float>& dy) {
    return softmax_cross_entropy(y, t("softmax", file), dy);
  });
  check_golden("smoothed", [&](const Matrix<float>& y, const TensorFile& file, Matrix<float>& dy) {
    std::vector<std::uint32_t> labels;
    for (const float label : testing::golden(file, "smoothed.t").values) {
      labels.push_back(static_cast<std::uint32_t>(label));
    }
    Matrix<float> targets;
    REQUIRE(one_hot<float>(labels, y.cols(), 0.1, targets).ok());
    return softmax_cross_entropy(y, targets, dy);
  });
  check_golden("kl", [&](const Matrix<float>& y, const TensorFile&, Matrix<float>& dy) {
    return kl_to_unit_gaussian(y, 3, dy);
  });
}

TEST_CASE("A pointwise loss is refused by name and by delta", "[nn][loss][errors]") {
  const auto unknown = PointwiseLoss::make("cubed");
  REQUIRE_FALSE(unknown.ok());
  CHECK(unknown.error().code == ErrorCode::kUnsupported);
  CHECK(unknown.error().message ==
        "loss: unknown name \"cubed\", expected squared, absolute or huber");
  for (const double delta : {0.0, -1.0, kNan, kInfinity}) {
    const auto refused = PointwiseLoss::make("huber", delta);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == ErrorCode::kInvalidArgument);
  }
}

TEST_CASE("Losses let NaN and Inf through", "[nn][loss][non-finite]") {
  const Matrix<double> t = matrix(1, {1, 2});
  Matrix<double> dy;
  const Matrix<double> bad = matrix(1, {kNan, 2});
  for (const char* name : {"squared", "absolute", "huber"}) {
    const PointwiseLoss loss = PointwiseLoss::make(name).value();
    CHECK(std::isnan(loss(bad, t, dy)));
    CHECK(std::isnan(dy(0)));
    CHECK(dy(1) == 0);
    CHECK(std::isinf(loss(matrix(1, {-kInfinity, 2}), t, dy)));
  }
  CHECK(std::isnan(binary_cross_entropy(bad, 0.5, dy)));
  CHECK(std::isnan(dy(0)));
  CHECK_FALSE(std::isfinite(binary_cross_entropy(matrix(1, {kInfinity, 0}), 0.0, dy)));
  CHECK(std::isnan(softmax_cross_entropy(bad, t, dy)));
  CHECK(std::isnan(softmax_cross_entropy(matrix(1, {2, kNan}), matrix(1, {1, 0}), dy)));
  CHECK((std::isnan(dy(0)) && std::isnan(dy(1))));
  CHECK(std::isnan(kl_to_unit_gaussian(bad, 1, dy)));
  CHECK(std::isinf(kl_to_unit_gaussian(matrix(1, {0, 800}), 1, dy)));
}

TEST_CASE("Binary cross-entropy by hand, and far from the middle", "[nn][loss]") {
  Matrix<double> dz;
  // z = 0: log 2 whatever the target; z = log 3: s = 3/4.
  const Matrix<double> z = matrix(1, {0, std::log(3.0)});
  CHECK(binary_cross_entropy(z, matrix(1, {1, 0}), dz) ==
        Approx((std::log(2.0) + std::log(4.0)) / 2).epsilon(1e-15));
  CHECK(dz(0) == Approx((0.5 - 1) / 2));
  CHECK(dz(1) == Approx(0.75 / 2));
  // No overflow: -log s(-1000) = 1000.
  CHECK(binary_cross_entropy(matrix(1, {-1000, 1000}), matrix(1, {1, 0}), dz) == 1000);
  CHECK(dz == matrix(1, {-0.5, 0.5}));
  // One target for all is the same as a matrix of it.
  Matrix<double> other;
  CHECK(binary_cross_entropy(z, 0.9, dz) == binary_cross_entropy(z, matrix(1, {0.9, 0.9}), other));
  CHECK(dz == other);
}

TEST_CASE("Losses of logits agree with central differences", "[nn][loss][gradient]") {
  Matrix<double> z = matrix(2, {0.3, -3.2, 0.7, 5.4, 0.9, -2.1});
  const Matrix<double> t = matrix(2, {0.5, 0, 0.1, 0.9, 0.25, 1});
  Matrix<double> dz;
  const auto binary = [&] { return binary_cross_entropy(z, t, dz); };
  binary();
  CHECK(gradient_error(z, dz, binary) < 1e-7);
  const auto softmax = [&] {
    return softmax_cross_entropy(z, t, dz);
  };  // rows that do not sum to 1
  softmax();
  CHECK(gradient_error(z, dz, softmax) < 1e-7);
}

TEST_CASE("Softmax cross-entropy by hand, and far from the middle", "[nn][loss]") {
  Matrix<double> dz;
  // softmax(0, log 3) = (1/4, 3/4)
  const double value =
      softmax_cross_entropy(matrix(1, {0, std::log(3.0)}), matrix(1, {0.5, 0.5}), dz);
  CHECK(value == Approx(0.5 * std::log(4.0) + 0.5 * std::log(4.0 / 3)).epsilon(1e-15));
  CHECK(dz(0) == Approx(0.25 - 0.5));
  CHECK(dz(1) == Approx(0.75 - 0.5));
  CHECK(softmax_cross_entropy(matrix(1, {1000, 0}), matrix(1, {0, 1}), dz) == 1000);
  CHECK(dz == matrix(1, {1, -1}));
  CHECK(softmax_cross_entropy(matrix(1, {0, -kInfinity}), matrix(1, {1, 0}), dz) == 0);
}

TEST_CASE("Smoothed labels are as their papers have them", "[nn][loss][errors]") {
  const LabelSmoothing one_sided = LabelSmoothing::make(0.9, 0).value();
  CHECK(one_sided(1) == 0.9);
  CHECK(one_sided(0) == 0);
  for (const auto& [one, zero] : {std::pair(0.5, 0.5), {1.1, 0.0}, {0.9, -0.1}, {kNan, 0.0}}) {
    const auto refused = LabelSmoothing::make(one, zero);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().message.find("expected 0 <= zero < one <= 1") != std::string::npos);
  }
  Matrix<double> targets;
  const std::vector<std::uint32_t> labels{2, 0};
  REQUIRE(one_hot<double>(labels, 4, 0.2, targets).ok());
  CHECK(worst_difference(targets, matrix(2, {0.05, 0.05, 0.85, 0.05, 0.85, 0.05, 0.05, 0.05})) <
        1e-15);
  CHECK(one_hot<double>(labels, 2, 0, targets).error().message ==
        "one_hot: label 0 is 2, expected below 2");
  CHECK_FALSE(one_hot<double>(labels, 0, 0, targets).ok());
  CHECK_FALSE(one_hot<double>(labels, 3, 1, targets).ok());
  CHECK_FALSE(one_hot<double>(labels, 3, kNan, targets).ok());
}

TEST_CASE("The divergence from a unit Gaussian, by hand and by differences",
          "[nn][loss][gradient]") {
  Matrix<double> dy;
  // Two rows of one step: m = 1, v = 0 -> 1/2; m = 0, v = log 2 -> (2 - log 2 - 1) / 2.
  const double value = kl_to_unit_gaussian(matrix(2, {1, 0, 0, std::log(2.0)}), 1, dy);
  CHECK(value == Approx((0.5 + (1 - std::log(2.0)) / 2) / 2).epsilon(1e-14));
  CHECK(worst_difference(dy, matrix(2, {0.5, 0, 0, 0.25})) < 1e-15);
  CHECK(kl_to_unit_gaussian(matrix(1, {0, 0}), 1, dy) == 0);

  // Two steps of two channels: m m v v m m v v.
  Matrix<double> y = matrix(2, {0.3, -1.2, 0.7, -0.4, 0.9, 2.1, -1, 0.2, 1, 2, -3, 4, 5, -6, 1, 2});
  const auto loss = [&] { return kl_to_unit_gaussian(y, 2, dy); };
  loss();
  CHECK(gradient_error(y, dy, loss) < 1e-7);
}

}  // namespace
}  // namespace anomalyd::nn

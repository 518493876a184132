#include "nn/critic.h"

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

constexpr const char* kNames[] = {"non_saturating", "hinge", "wasserstein"};

TEST_CASE("Critics' losses by hand", "[nn][critic]") {
  Matrix<double> real(2, 1);
  real << 0, 3;
  Matrix<double> fake(1, 1);
  fake << 0.5;
  Matrix<double> dreal;
  Matrix<double> dfake;
  const CriticLoss hinge = CriticLoss::make("hinge").value();
  CHECK(critic_loss(hinge, real, fake, dreal, dfake) == 2.0);  // (1 + 0) / 2 + 1.5
  CHECK(dreal(0) == -0.5);
  CHECK(dreal(1) == 0);  // beyond the margin
  CHECK(dfake(0) == 1);
  CHECK(generator_loss(hinge, fake, dfake) == -0.5);
  CHECK(dfake(0) == -1);

  const CriticLoss wasserstein = CriticLoss::make("wasserstein").value();
  CHECK(critic_loss(wasserstein, real, fake, dreal, dfake) == -1.0);  // 0.5 - 1.5
  CHECK(dreal(0) == -0.5);
  CHECK(dfake(0) == 1);

  const CriticLoss smoothed = CriticLoss::make("non_saturating", {0.9, 0}).value();
  real << 0, 0;
  fake << 0;
  CHECK(critic_loss(smoothed, real, fake, dreal, dfake) == Approx(2 * std::log(2.0)));
  CHECK(dreal(0) == Approx((0.5 - 0.9) / 2));  // one side is smoothed,
  CHECK(dfake(0) == Approx(0.5));              // the other is not,
  CHECK(generator_loss(smoothed, fake, dfake) == Approx(std::log(2.0)));
  CHECK(dfake(0) == Approx(0.5 - 1));  // and the generator aims at 1
}

TEST_CASE("Critics' losses agree with central differences", "[nn][critic][gradient]") {
  Matrix<double> real(3, 1);
  real << 0.3, -1.2, 2.7;
  Matrix<double> fake(2, 1);
  fake << -1.9, 0.4;
  Matrix<double> dreal;
  Matrix<double> dfake;
  for (const char* name : kNames) {
    INFO(name);
    const CriticLoss kind = CriticLoss::make(name).value();
    CHECK(kind.name() == name);
    const auto critic = [&] { return critic_loss(kind, real, fake, dreal, dfake); };
    critic();
    CHECK(gradient_error(real, dreal, critic) < 1e-7);
    critic();
    CHECK(gradient_error(fake, dfake, critic) < 1e-7);
    const auto generator = [&] { return generator_loss(kind, fake, dfake); };
    generator();
    CHECK(gradient_error(fake, dfake, generator) < 1e-7);
  }
}

TEST_CASE("Critics' losses are PyTorch's", "[nn][critic][golden]") {
  const TensorFile file = read_golden("torch_losses.safetensors");
  Matrix<float> dreal;
  Matrix<float> dfake;
  for (const std::string name : kNames) {
    INFO(name);
    const LabelSmoothing smoothing =
        name == "non_saturating" ? LabelSmoothing{0.9, 0} : LabelSmoothing{};
    const CriticLoss kind = CriticLoss::make(name, smoothing).value();
    const std::string critic = "critic." + name;
    CHECK(critic_loss(kind, golden_matrix<float>(file, critic + ".real"),
                      golden_matrix<float>(file, critic + ".fake"), dreal, dfake) ==
          Approx(golden_matrix<double>(file, critic + ".value")(0)).epsilon(1e-5));
    CHECK(worst_difference(dreal, golden_matrix<double>(file, critic + ".dreal")) < 1e-5);
    CHECK(worst_difference(dfake, golden_matrix<double>(file, critic + ".dfake")) < 1e-5);
    const std::string generator = "generator." + name;
    CHECK(generator_loss(kind, golden_matrix<float>(file, generator + ".fake"), dfake) ==
          Approx(golden_matrix<double>(file, generator + ".value")(0)).epsilon(1e-5));
    CHECK(worst_difference(dfake, golden_matrix<double>(file, generator + ".dfake")) < 1e-5);
  }
}

TEST_CASE("Critics' losses let NaN through", "[nn][critic][non-finite]") {
  Matrix<double> real = Matrix<double>::Zero(2, 1);
  const Matrix<double> fake = Matrix<double>::Zero(2, 1);
  real(1) = std::numeric_limits<double>::quiet_NaN();
  Matrix<double> dreal;
  Matrix<double> dfake;
  for (const char* name : kNames) {
    const CriticLoss kind = CriticLoss::make(name).value();
    CHECK(std::isnan(critic_loss(kind, real, fake, dreal, dfake)));
    CHECK(std::isnan(critic_loss(kind, fake, real, dreal, dfake)));
    CHECK(std::isnan(generator_loss(kind, real, dfake)));
  }
}

TEST_CASE("A critic's loss is refused by name and smoothing", "[nn][critic][errors]") {
  const auto unknown = CriticLoss::make("least_squares");
  REQUIRE_FALSE(unknown.ok());
  CHECK(unknown.error().code == ErrorCode::kUnsupported);
  CHECK(unknown.error().message.find("non_saturating, hinge or wasserstein") != std::string::npos);
  CHECK(CriticLoss::make("hinge", {0.9, 0}).error().message ==
        "critic: loss hinge has no targets to smooth");
  CHECK_FALSE(CriticLoss::make("non_saturating", {0.2, 0.4}).ok());
}

}  // namespace
}  // namespace anomalyd::nn

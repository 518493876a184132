#include "nn/gradient_penalty.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "loss_check.h"
#include "support/catch.h"

namespace anomalyd::nn {
namespace {

using testing::golden_matrix;
using testing::read_golden;
using testing::worst_difference;
using Kind = GradientPenaltyOptions::Kind;

LayerSpec layer(const char* name, const char* type, Eigen::Index in = 0, Eigen::Index out = 0) {
  LayerSpec spec;
  spec.name = name;
  spec.type = type;
  spec.in = in;
  spec.out = out;
  return spec;
}

/// 4 -> 6 -> 1 with tanh between.
Architecture critic_architecture() {
  Architecture made;
  made.input = {1, 4};
  made.layers = {layer("first", "dense", 4, 6), layer("bend", "tanh"),
                 layer("last", "dense", 6, 1)};
  return made;
}

template <class Scalar>
Network<Scalar> golden_critic(const TensorFile& file, const std::string& name) {
  Network<Scalar> network = Network<Scalar>::make(critic_architecture(), 1).value();
  std::size_t at = 0;
  for (const char* part : {".w1", ".b1", ".w2", ".b2"}) {
    for (const float value : testing::golden(file, "penalty." + name + part).values) {
      network.weights()[at++] = static_cast<Scalar>(value);
    }
  }
  REQUIRE(at == network.weights().size());
  return network;
}

/// How far the gradient is from PyTorch's, which goes back through the backward pass.
template <class Scalar>
double golden_error(const std::string& name, double step) {
  static const TensorFile file = read_golden("torch_losses.safetensors");
  const bool is_zero_centred = name == "zero_centred";
  const auto options =
      GradientPenaltyOptions::make(is_zero_centred ? Kind::kZeroCentred : Kind::kOneCentred,
                                   is_zero_centred ? 5 : 10, step)
          .value();
  Network<Scalar> critic = golden_critic<Scalar>(file, name);
  WorkerPool pool(2);
  GradientPenalty<Scalar> penalty(options, pool);
  std::vector<Scalar> gradient(critic.weights().size(), Scalar(0));
  const double loss =
      penalty.add(critic, golden_matrix<Scalar>(file, "penalty." + name + ".x"), 1, gradient);
  CHECK(loss == Approx(golden_matrix<double>(file, "penalty." + name + ".value")(0)).epsilon(1e-6));
  std::vector<float> expected;
  for (const char* part : {".dw1", ".db1", ".dw2", ".db2"}) {
    const auto& values = testing::golden(file, "penalty." + name + part).values;
    expected.insert(expected.end(), values.begin(), values.end());
  }
  return worst_difference(gradient, expected);
}

TEST_CASE("The gradient penalty is PyTorch's double backward", "[nn][gradient_penalty][golden]") {
  for (const char* name : {"zero_centred", "one_centred"}) {
    INFO(name);
    // 2.8 h^2 from the critic's third derivative; float adds its 1e-7 / h, the golden is float.
    CHECK(golden_error<float>(name, 0.01) < 5e-4);
    CHECK(golden_error<double>(name, 3e-4) < 1e-6);
  }
}

TEST_CASE("The gradient penalty's error falls with the square of its step",
          "[nn][gradient_penalty][gradient]") {
  WorkerPool pool(1);
  Network<double> critic = Network<double>::make(critic_architecture(), 3).value();
  Matrix<double> x(3, 4);
  x << 0.3, -1.2, 0.7, -0.4, 0.9, 2.1, -0.1, 0.2, 1, 0.5, -0.3, 0.4;
  for (const Kind kind : {Kind::kZeroCentred, Kind::kOneCentred}) {
    std::vector<double> unused(critic.weights().size());
    const auto loss = [&] {
      GradientPenalty<double> penalty({kind, 3, 1e-3}, pool);
      return penalty.add(critic, x, 1, unused);
    };
    Matrix<double> measured(1, static_cast<Eigen::Index>(critic.weights().size()));
    for (std::size_t i = 0; i < critic.weights().size(); ++i) {
      measured(static_cast<Eigen::Index>(i)) = testing::numeric_gradient(critic.weights()[i], loss);
    }
    const auto error = [&](double step) {
      GradientPenalty<double> penalty({kind, 3, step}, pool);
      std::vector<double> gradient(critic.weights().size(), 0.0);
      penalty.add(critic, x, 1, gradient);
      return worst_difference(measured, gradient);
    };
    CHECK(error(1e-4) < 1e-7);
    CHECK(error(0.2) > 1e-5);
    CHECK(error(0.1) / error(0.2) == Approx(0.25).margin(0.03));
  }
}

TEST_CASE("The gradient penalty of a straight critic, by hand", "[nn][gradient_penalty]") {
  // D(x) = 3 a - 4 b: slope 5 everywhere, dL/dw = p'(s) w / s.
  Architecture straight;
  straight.input = {1, 2};
  straight.layers = {layer("only", "dense", 2, 1)};
  Network<double> critic = Network<double>::make(straight, 1).value();
  critic.weights()[0] = 3;
  critic.weights()[1] = -4;
  critic.weights()[2] = 100;
  WorkerPool pool(1);
  const Matrix<double> x = Matrix<double>::Constant(3, 2, 0.5);
  std::vector<double> gradient{1, 1, 1};  // added to, not overwritten
  GradientPenalty<double> zero({Kind::kZeroCentred, 2, 0.01}, pool);
  CHECK(zero.add(critic, x, 1, gradient) == Approx(25));
  CHECK(gradient[0] == Approx(1 + 6));
  CHECK(gradient[1] == Approx(1 - 8));
  CHECK(gradient[2] == Approx(1).margin(1e-9));
  gradient = {0, 0, 0};
  GradientPenalty<double> one({Kind::kOneCentred, 2, 0.01}, pool);
  CHECK(one.add(critic, x, 1, gradient) == Approx(32));
  CHECK(gradient[0] == Approx(2 * 2 * 4 * 0.6));
  CHECK(gradient[1] == Approx(-2 * 2 * 4 * 0.8));

  // No slope: no direction to push.
  critic.weights()[0] = critic.weights()[1] = 0;
  gradient = {0, 0, 0};
  CHECK(one.add(critic, x, 1, gradient) == Approx(2));
  CHECK(gradient == std::vector<double>{0, 0, 0});
  critic.weights()[0] = std::numeric_limits<double>::quiet_NaN();
  CHECK(std::isnan(zero.add(critic, x, 1, gradient)));
}

TEST_CASE("All passes of a gradient penalty see one dropout and one spectral norm",
          "[nn][gradient_penalty]") {
  Architecture noisy = critic_architecture();
  noisy.layers[0].spectral_norm = true;
  LayerSpec dropout = layer("dropout", "dropout");
  dropout.rate = 0.5;
  noisy.layers.insert(noisy.layers.begin() + 2, dropout);
  Network<double> critic = Network<double>::make(noisy, 3).value();
  const Matrix<double> x = Matrix<double>::Constant(20, 4, 0.3);
  const std::vector<double> before(critic.buffers().begin(), critic.buffers().end());
  REQUIRE_FALSE(before.empty());
  WorkerPool pool(1);
  const auto run = [&](double step, std::uint64_t seed) {
    GradientPenalty<double> penalty({Kind::kZeroCentred, 1, step}, pool);
    std::vector<double> gradient(critic.weights().size(), 0.0);
    penalty.add(critic, x, seed, gradient);
    return gradient;
  };
  // Two dropouts would differ by 1 / h: the result would grow as the step falls.
  const std::vector<double> coarse = run(1e-3, 1);
  const std::vector<double> fine = run(1e-5, 1);
  CHECK(worst_difference(coarse, fine) < 1e-4);
  CHECK(worst_difference(coarse, run(1e-3, 2)) > 1e-3);
  CHECK(std::vector<double>(critic.buffers().begin(), critic.buffers().end()) == before);
}

TEST_CASE("Gradient penalties are refused and do not depend on threads",
          "[nn][gradient_penalty][errors]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(GradientPenaltyOptions::make(Kind::kZeroCentred, -1).error().message ==
        "gradient penalty: weight is -1.000000, expected a finite number of 0 or more");
  CHECK_FALSE(GradientPenaltyOptions::make(Kind::kZeroCentred, nan).ok());
  CHECK_FALSE(GradientPenaltyOptions::make(Kind::kZeroCentred, 1, 0).ok());
  CHECK_FALSE(GradientPenaltyOptions::make(Kind::kZeroCentred, 1, HUGE_VAL).ok());

  Architecture coupled = critic_architecture();
  coupled.layers[1] = layer("bend", "batch_norm", 6);
  const Status refused = GradientPenalty<float>::check(Network<float>::make(coupled, 1).value());
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().message.find("layer bend makes the rows") != std::string::npos);

  Network<float> critic = Network<float>::make(critic_architecture(), 3).value();
  CHECK(GradientPenalty<float>::check(critic).ok());
  const Matrix<float> x = Matrix<float>::Random(40, 4);
  std::vector<std::vector<float>> gradients;
  for (const std::size_t threads : {1U, 3U}) {
    WorkerPool pool(threads);
    GradientPenalty<float> penalty({Kind::kOneCentred, 10, 0.01}, pool);
    gradients.emplace_back(critic.weights().size(), 0.0F);
    penalty.add(critic, x, 1, gradients.back());
  }
  CHECK(gradients[0] == gradients[1]);
}

TEST_CASE("Rows between two batches lie on the line, at a seeded place", "[nn][gradient_penalty]") {
  Matrix<double> real = Matrix<double>::Constant(50, 2, 3);
  const Matrix<double> fake = Matrix<double>::Constant(50, 2, 1);
  Matrix<double> between;
  interpolate(real, fake, 5, between);
  CHECK(between.minCoeff() >= 1);
  CHECK(between.maxCoeff() <= 3);
  CHECK(between.maxCoeff() - between.minCoeff() > 1.5);
  CHECK(between.col(0) == between.col(1));  // one place a row
  Matrix<double> again;
  interpolate(real, fake, 5, again);
  CHECK(again == between);
  interpolate(real, fake, 6, again);
  CHECK(again != between);
}

}  // namespace
}  // namespace anomalyd::nn

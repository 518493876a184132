#include "detect/autoencoder.h"

#include <random>
#include <string>

#include "nn/loss.h"
#include "nn/network.h"
#include "nn/pass.h"
#include "signals.h"
#include "support/catch.h"
#include "support/gradient.h"

namespace anomalyd::detect {
namespace {

TEST_CASE("The autoencoder gives back its window's shape for any multiple of 8",
          "[detect][autoencoder]") {
  for (const std::size_t samples : {16, 24, 128, 256}) {
    for (const std::size_t channels : {1, 2, 3, 12}) {
      const auto architecture = autoencoder_architecture(samples, channels);
      REQUIRE(architecture.ok());
      const auto network = nn::Network<float>::make(architecture.value(), 1).value();
      CHECK(network.output() == network.input());
      const nn::Shape expected{static_cast<Eigen::Index>(samples),
                               static_cast<Eigen::Index>(channels)};
      CHECK(network.input() == expected);
    }
  }
}

TEST_CASE("The autoencoder refuses other windows and says what it needs",
          "[detect][autoencoder][errors]") {
  for (const std::size_t samples : {8, 100, 129}) {
    const auto refused = autoencoder_architecture(samples, 2);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().message == "autoencoder: window_samples is " + std::to_string(samples) +
                                         ", expected a multiple of 8 of at least 16");
  }
}

TEST_CASE("The whole autoencoder's loss agrees with central differences",
          "[detect][autoencoder][gradient]") {
  auto network = nn::Network<double>::make(autoencoder_architecture(16, 1).value(), 3).value();
  std::mt19937_64 bits(1);
  nn::Matrix<double> x(2, 16);
  for (Eigen::Index i = 0; i < x.size(); ++i) x.data()[i] = noise(bits);
  WorkerPool pool(1);
  nn::Pass<double> pass(pool);
  nn::Matrix<double> dy;
  const auto loss = [&] {
    pass.forward(network, x, nn::Mode::kTraining, 1);
    return nn::mean_squared_error<double>(pass.output(), x, dy);
  };
  loss();
  const nn::Matrix<double>* const head = &dy;
  pass.backward({&head, 1}, nn::Wanted::kWeights);
  const std::vector<double> gradient(pass.gradient().begin(), pass.gradient().end());
  std::size_t at = 0;
  for (const auto& parameter : network.parameters()) {
    // Every parameter would take seconds: each bias, and every seventh weight.
    const std::size_t stride = parameter.values.size() > 100 ? 7 : 1;
    double largest = 0;
    for (std::size_t i = 0; i < parameter.values.size(); i += stride) {
      const double expected = gradient[at + i];
      largest = std::max(largest, std::abs(expected));
      INFO(parameter.name << "[" << i << "]");
      CHECK(testing::relative_error(testing::numeric_gradient(parameter.values[i], loss, 1e-6),
                                    expected) < 1e-7);
    }
    CHECK(largest > 1e-6);  // and no gradient is missing
    at += parameter.values.size();
  }
}

std::vector<float> scores_with(FitOptions options) {
  const auto detector = fit_detector({machine(200, 32, 1)}, options).value().detector;
  return score_all(*detector, detector->start(2), machine(10, 32, 2));
}

TEST_CASE("Training depends on the seed and not on the number of threads",
          "[detect][autoencoder][determinism]") {
  FitOptions options = options_of("autoencoder", NormaliserKind::kDomain);
  options.epochs = 3;
  const std::vector<float> one = scores_with(options);
  CHECK(scores_with(options) == one);
  options.threads = 2;
  CHECK(scores_with(options) == one);
  options.threads = 3;
  CHECK(scores_with(options) == one);
  options.threads = 1;
  options.info.seed = 6;
  CHECK(scores_with(options) != one);
}

TEST_CASE("Training that diverges is an error and says so", "[detect][autoencoder][errors]") {
  FitOptions options = options_of("autoencoder", NormaliserKind::kDomain);
  options.learning_rate = 0.99;
  // One spike that the normaliser leaves at its bound: losses of 1e6 and more.
  auto windows = machine(200, 32, 1);
  options.epochs = 50;
  for (Eigen::Index i = 0; i < windows.size(); i += 64) windows.data()[i] *= 1e6F;
  options.patience = 50;
  const auto result = fit_detector({windows}, options);
  if (!result.ok()) {
    CHECK(result.error().message.find("diverged") != std::string::npos);
  } else {
    CHECK(std::isfinite(result.value().report.validation_loss));
  }
}

TEST_CASE("Training stops early, reports each epoch and can be cancelled",
          "[detect][autoencoder]") {
  FitOptions options = options_of("autoencoder", NormaliserKind::kDomain);
  options.epochs = 500;
  options.patience = 1;
  options.learning_rate = 0.02;
  int calls = 0;
  options.on_progress = [&](const FitProgress& progress) {
    ++calls;
    CHECK(progress.epoch == calls);
    CHECK(progress.epochs == 500);
    CHECK(progress.train_loss > 0);
    CHECK(progress.validation_loss > 0);
    CHECK(progress.seconds_left >= 0);
    return true;
  };
  const auto result = fit_detector({machine(200, 32, 1)}, options);
  REQUIRE(result.ok());
  CHECK(result.value().report.epochs == calls);
  CHECK(calls < 500);
  options.on_progress = [](const FitProgress& progress) { return progress.epoch < 2; };
  const auto cancelled = fit_detector({machine(200, 32, 1)}, options);
  REQUIRE_FALSE(cancelled.ok());
  CHECK(cancelled.error().message == "autoencoder: cancelled in epoch 2");
}

}  // namespace
}  // namespace anomalyd::detect

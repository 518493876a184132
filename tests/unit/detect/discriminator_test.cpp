#include "detect/discriminator.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "detect/exposure.h"
#include "nn/random.h"
#include "signals.h"
#include "support/catch.h"

namespace anomalyd::detect {
namespace {

/// A saw-tooth that rises slowly and falls at once, with a little noise.
nn::Matrix<float> saw_teeth(std::size_t windows, std::size_t samples, std::uint64_t seed) {
  std::mt19937_64 bits(seed);
  nn::Matrix<float> made(static_cast<Eigen::Index>(windows), static_cast<Eigen::Index>(samples));
  for (Eigen::Index row = 0; row < made.rows(); ++row) {
    const double phase = 11 * nn::unit_uniform(bits);
    for (Eigen::Index i = 0; i < made.cols(); ++i) {
      const double at = std::fmod(static_cast<double>(i) + phase, 11.0) / 11.0;
      made(row, i) = static_cast<float>(3.4 * (at - 0.5) + 0.05 * noise(bits));
    }
  }
  return made;
}

FitOptions saw_options() {
  FitOptions options = options_of("discriminator", NormaliserKind::kDomain);
  options.info.channels = {"level"};
  options.info.window_samples = 40;
  options.info.hop_samples = 40;
  options.epochs = 12;
  return options;
}

TEST_CASE("A discriminator tells a saw-tooth that runs backwards, which has the same values",
          "[detect][discriminator]") {
  const auto fitted_saw = fit_detector({saw_teeth(400, 40, 1)}, saw_options());
  REQUIRE(fitted_saw.ok());
  const Detector& detector = *fitted_saw.value().detector;
  const StreamState state = detector.start(1);
  const auto sound = saw_teeth(100, 40, 2);
  nn::Matrix<float> backwards = sound.rowwise().reverse();
  const auto low = score_all(detector, state, sound);
  const auto high = score_all(detector, state, backwards);
  const float most = *std::max_element(low.begin(), low.end());
  const auto found = std::count_if(high.begin(), high.end(), [&](float s) { return s > most; });
  CHECK(found >= 95);
  int alarms = 0;
  for (const float score : low) alarms += detector.p_value(state, score) < 1e-3;
  CHECK(alarms <= 2);
}

TEST_CASE("A discriminator's training depends on the seed and not on the number of threads",
          "[detect][discriminator][determinism]") {
  FitOptions options = options_of("discriminator", NormaliserKind::kDomain);
  options.epochs = 2;
  const auto scores = [&] {
    const auto detector = fit_detector({machine(200, 32, 1)}, options).value().detector;
    return score_all(*detector, detector->start(2), machine(10, 32, 2));
  };
  const std::vector<float> one = scores();
  options.threads = 3;
  CHECK(scores() == one);
  options.info.seed = 6;
  CHECK(scores() != one);
}

TEST_CASE("A discriminator refuses windows it cannot see and says what it needs",
          "[detect][discriminator][errors]") {
  for (const std::size_t samples : {8, 20}) {
    const auto refused = discriminator_architecture(samples, 2);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().message == "discriminator: it would see " + std::to_string(samples) +
                                         " samples, expected a multiple of 8 of at least 16");
  }
  for (const std::size_t samples : {16, 24, 128, 200}) {
    const auto made = discriminator_architecture(samples, 3);
    REQUIRE(made.ok());
    const auto network = nn::Network<float>::make(made.value(), 1);
    REQUIRE(network.ok());
    CHECK(network.value().output().size() == 1);
  }
}

TEST_CASE("Weights that overflow score high, not NaN", "[detect][discriminator][non-finite]") {
  auto network = nn::Network<float>::make(discriminator_architecture(16, 1).value(), 1).value();
  std::fill(network.weights().begin(), network.weights().end(), 3e38F);
  const Discriminator model(std::move(network), WindowFeatures({1.0F}),
                            nn::Matrix<float>::Zero(1, 16));
  const std::vector<float> window(16, 1.0F);
  CHECK(std::isfinite(model.score(window)));
  CHECK(model.score(window) > 100);
}

TEST_CASE("Cancelling a discriminator's training is an error", "[detect][discriminator]") {
  FitOptions options = options_of("discriminator", NormaliserKind::kDomain);
  options.on_progress = [](const FitProgress& progress) {
    CHECK(progress.train_loss > 0);
    CHECK(std::isnan(progress.validation_loss));  // it learns from what others hold out for that
    return progress.epoch < 10;
  };
  const auto cancelled = fit_detector({machine(200, 32, 1)}, options);
  REQUIRE_FALSE(cancelled.ok());
  CHECK(cancelled.error().message == "discriminator: cancelled in epoch 10");
}

TEST_CASE("Exposure refuses what does not fit together", "[detect][discriminator][errors]") {
  const auto windows = saw_teeth(10, 40, 1);
  const nn::Matrix<float> none(0, 40);
  const WindowFeatures features({1.0F});
  auto network = nn::Network<float>::make(discriminator_architecture(32, 1).value(), 1).value();
  WorkerPool pool(1);
  ExposureOptions options;
  options.samples = 32;
  CHECK(make_exposure(network, windows, none, features, options, pool).ok());
  const auto message = [&] {
    const auto made = make_exposure(network, windows, none, features, options, pool);
    return made.ok() ? std::string("none") : made.error().message;
  };
  options.samples = 24;
  CHECK(message().find("does not read the features") != std::string::npos);
  options.samples = 48;
  CHECK(message().find("stretches of 48 samples of windows of 40") != std::string::npos);
  options.samples = 32;
  options.real_target = 0.4;
  CHECK(message().find("real_target is 0.4") != std::string::npos);
  options.real_target = 0.9;
  const nn::Matrix<float> made = saw_teeth(5, 32, 3);
  options.made = {{&made, 0.7}, {&made, 0.7}};
  CHECK(message().find("more than all negatives") != std::string::npos);
  options.made = {{&made, 0.3}};
  CHECK(message() == "none");
  options.made = {{&windows, 0.3}};
  CHECK(message().find("made windows of another size") != std::string::npos);
}

}  // namespace
}  // namespace anomalyd::detect

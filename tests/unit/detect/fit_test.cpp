#include "detect/fit.h"

#include <cmath>
#include <limits>
#include <string>

#include "signals.h"
#include "support/catch.h"

namespace anomalyd::detect {
namespace {

std::string refusal(const std::vector<nn::Matrix<float>>& recordings, const FitOptions& options) {
  const auto result = fit_detector(recordings, options);
  REQUIRE_FALSE(result.ok());
  CHECK(result.error().code == ErrorCode::kInvalidArgument);
  return result.error().message;
}

bool holds(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("A long recording is split in time with gaps", "[detect][fit]") {
  const auto result =
      fit_detector({machine(304, 32, 1)}, options_of("pca", NormaliserKind::kDomain));
  REQUIRE(result.ok());
  const FitReport& report = result.value().report;
  // 304 less two gaps of two windows: 60, 15 and 25 percent of 300.
  CHECK(report.train_windows == 180);
  CHECK(report.validation_windows == 45);
  CHECK(report.calibration_windows == 75);
  CHECK(report.train_loss > 0);
  CHECK(report.validation_loss > 0);
  CHECK(report.seconds >= 0);
}

TEST_CASE("The parts are of different times", "[detect][fit]") {
  // The last quarter is ten times as loud. Scores of it calibrate, so the same loudness is no
  // news; were it trained on, too, the detector would reconstruct it and its threshold be low.
  auto windows = machine(304, 32, 1);
  auto loud = windows;
  for (Eigen::Index row = 229; row < loud.rows(); ++row) {
    for (Eigen::Index i = 0; i < loud.cols(); i += 2) {
      loud(row, i) = 9.81F + (loud(row, i) - 9.81F) * 10.0F;
    }
  }
  const auto options = options_of("pca", NormaliserKind::kDomain);
  const auto plain = fit_detector({windows}, options).value();
  const auto other = fit_detector({loud}, options).value();
  // Normaliser, components and validation come from before: the very same scores.
  const auto probe = machine(5, 32, 9);
  CHECK(score_all(*plain.detector, plain.detector->start(2), probe) ==
        score_all(*other.detector, other.detector->start(2), probe));
  const StreamState none = plain.detector->start(2);
  CHECK(plain.detector->p_value(none, 30.0F) < 1e-6);
  CHECK(other.detector->p_value(none, 30.0F) > 1e-3);
}

TEST_CASE("Many short recordings are held out whole", "[detect][fit]") {
  std::vector<nn::Matrix<float>> recordings;
  for (std::uint64_t i = 0; i < 40; ++i) recordings.push_back(machine(6, 32, 100 + i));
  const auto result = fit_detector(recordings, options_of("pca", NormaliserKind::kDomain));
  REQUIRE(result.ok());
  const FitReport& report = result.value().report;
  CHECK(report.train_windows + report.validation_windows + report.calibration_windows == 240);
  CHECK(report.train_windows == Approx(144).margin(6));
  CHECK(report.validation_windows == Approx(36).margin(6));
  CHECK(report.calibration_windows == Approx(60).margin(6));
  CHECK(report.calibration_windows % 6 == 0);
}

TEST_CASE("With the stream normaliser each recording teaches its own scale first",
          "[detect][fit]") {
  // Two mountings whose units differ a thousandfold.
  const auto first = machine(200, 32, 1);
  const nn::Matrix<float> second = (machine(200, 32, 2).array() * 1000.0F).matrix();
  const auto result = fit_detector({first, second}, options_of("pca", NormaliserKind::kStream));
  REQUIRE(result.ok());
  const FitReport& report = result.value().report;
  CHECK(report.train_windows + report.validation_windows + report.calibration_windows ==
        2 * (200 - 50 - 4));
  const auto& detector = *result.value().detector;
  CHECK(detector.info().learn_windows == 50);
  for (const float scale : {1.0F, 1000.0F}) {
    const nn::Matrix<float> fresh = (machine(150, 32, 3).array() * scale).matrix();
    const StreamState state = learned(detector, fresh);
    for (const float score : score_all(detector, state, fresh.bottomRows(100))) {
      CHECK(detector.p_value(state, score) > 1e-6);
    }
  }
}

TEST_CASE("A recording that begins with silence teaches from where it comes to life",
          "[detect][fit]") {
  const auto lively = machine(300, 32, 1);
  nn::Matrix<float> late(400, 64);
  late << nn::Matrix<float>::Zero(100, 64), lively;
  const auto options = options_of("pca", NormaliserKind::kStream);
  const auto expected = fit_detector({lively}, options).value();
  const auto got = fit_detector({late}, options).value();
  CHECK(got.report.train_windows == expected.report.train_windows);
  const StreamState state = learned(*got.detector, late);
  const auto fresh = machine(100, 32, 3);
  CHECK(score_all(*got.detector, state, fresh) ==
        score_all(*expected.detector, learned(*expected.detector, lively), fresh));
}

TEST_CASE("Held-out windows fall below a p-value about as often as it says",
          "[detect][fit][statistics]") {
  const auto result =
      fit_detector({machine(1500, 32, 1)}, options_of("pca", NormaliserKind::kDomain)).value();
  const StreamState state = result.detector->start(2);
  int below = 0;
  for (const float score : score_all(*result.detector, state, machine(2000, 32, 77))) {
    below += result.detector->p_value(state, score) <= 0.05;
  }
  // Binomial of 2000 with 0.05 has sigma 9.7; the calibration's 374 windows add 22, and half of
  // neighbouring windows' samples are shared.
  CHECK(below > 30);
  CHECK(below < 200);
}

TEST_CASE("The digest is of the windows, the version of the result", "[detect][fit]") {
  const auto options = options_of("pca", NormaliserKind::kDomain);
  const auto one = fit_detector({machine(200, 32, 1)}, options).value().detector->info();
  const auto again = fit_detector({machine(200, 32, 1)}, options).value().detector->info();
  CHECK(one.training_digest.size() == 16);
  CHECK(one.version.size() == 12);
  CHECK(one.version == again.version);
  CHECK(one.training_digest == again.training_digest);
  auto changed = machine(200, 32, 1);
  changed(0, 0) += 1e-3F;
  const auto other = fit_detector({changed}, options).value().detector->info();
  CHECK(other.training_digest != one.training_digest);
  CHECK(other.version != one.version);
  auto renamed = options;
  renamed.info.name = "bearing";
  const auto named = fit_detector({machine(200, 32, 1)}, renamed).value().detector->info();
  CHECK(named.name == "bearing");
  CHECK(named.version == one.version);
}

TEST_CASE("A fit that cannot be is refused with the reason", "[detect][fit][errors]") {
  const auto good = options_of("pca", NormaliserKind::kDomain);
  CHECK(holds(refusal({machine(40, 32, 1)}, good),
              "fit: 40 windows leave 10 for the calibration, which needs 20: expected at least"));
  CHECK(holds(refusal({}, good), "0 windows"));
  CHECK(holds(refusal({machine(60, 32, 1)}, options_of("pca", NormaliserKind::kStream)),
              "after the first 50 of each recording in which all channels move"));
  auto stuck = machine(200, 32, 1);
  for (Eigen::Index i = 1; i < stuck.size(); i += 2) stuck.data()[i] = 24;
  CHECK(
      holds(refusal({stuck}, good), "fit: the channel \"tach\" is flat (24.000000) in all of the"));
  CHECK(holds(refusal({machine(200, 16, 1)}, good), "windows of 32 values, expected 64"));
  auto broken = machine(200, 32, 1);
  broken(3, 5) = std::numeric_limits<float>::infinity();
  CHECK(holds(refusal({machine(9, 32, 1), broken}, good),
              "recording 1: window 3, value 5: inf is not finite"));

  auto options = good;
  options.info.kind = "transformer";
  CHECK(holds(refusal({}, options),
              "known: autoencoder, discriminator, full, hybrid, pca, standard"));
  options.info.kind = "zscore";
  CHECK(holds(refusal({}, options), "no file to train"));
  options = good;
  options.info.channels.clear();
  CHECK(holds(refusal({}, options), "no channels"));
  options.info.channels = {"a", "a"};
  CHECK(holds(refusal({}, options), "\"a\" occurs twice"));
  options.info.channels = {"a\n"};
  CHECK(holds(refusal({}, options), "cannot name a channel"));
  options = good;
  options.learning_rate = 0;
  CHECK(holds(refusal({}, options), "learning_rate"));
  options = good;
  options.threads = 0;
  CHECK(holds(refusal({}, options), "threads"));
  options = options_of("autoencoder", NormaliserKind::kDomain);
  options.info.window_samples = 20;
  options.info.hop_samples = 10;
  CHECK(holds(refusal({machine(300, 20, 1)}, options), "multiple of 8"));
}

TEST_CASE("As many windows as a refusal asks for are enough", "[detect][fit][errors]") {
  const auto options = options_of("pca", NormaliserKind::kDomain);
  const std::string text = refusal({machine(30, 32, 1)}, options);
  const std::size_t at = text.find("at least ") + 9;
  const auto needed = static_cast<std::size_t>(std::stoul(text.substr(at)));
  CHECK(fit_detector({machine(needed, 32, 1)}, options).ok());
}

}  // namespace
}  // namespace anomalyd::detect

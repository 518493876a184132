#include <cmath>
#include <limits>
#include <string>

#include "signals.h"
#include "support/catch.h"

namespace anomalyd::detect {
namespace {

DetectorInfo zscore_info(std::size_t learn_windows = 100) {
  DetectorInfo info;
  info.kind = "zscore";
  info.window_samples = 32;
  info.hop_samples = 16;
  info.learn_windows = learn_windows;
  return info;
}

/// One channel of slow process data around `level`: windows of 32.
nn::Matrix<float> process(std::size_t windows, double level, double spread, std::uint64_t seed) {
  std::mt19937_64 bits(seed);
  nn::Matrix<float> made(static_cast<Eigen::Index>(windows), 32);
  for (Eigen::Index i = 0; i < made.size(); ++i) {
    made.data()[i] = static_cast<float>(level + spread * noise(bits));
  }
  return made;
}

/// Scores windows in turn as a shard does, each normal one taken in.
std::vector<double> follow(const Detector& detector, StreamState& state,
                           const nn::Matrix<float>& raw) {
  std::vector<double> p;
  for (Eigen::Index row = 0; row < raw.rows(); ++row) {
    const nn::Matrix<float> window = normalise_all(detector, state, raw.row(row));
    const StreamState* const states[] = {&state};
    float score = 0;
    detector.score(window, states, {&score, 1});
    p.push_back(detector.p_value(state, score));
    if (p.back() > 1e-3) detector.update(state, row_of(window, 0));
  }
  return p;
}

TEST_CASE("zscore learns a stream by itself and says how far it is", "[detect][zscore]") {
  const auto detector = make_online_detector(zscore_info(0)).value();
  CHECK(detector->info().learn_windows == 100);
  CHECK(detector->info().name == "zscore");
  CHECK(detector->is_online());
  StreamState state = detector->start(2);
  const auto windows = machine(120, 32, 1);
  for (Eigen::Index row = 0; row < 100; ++row) {
    CHECK(detector->progress(state) == Approx(static_cast<double>(row) / 100));
    detector->learn(state, row_of(windows, row));
  }
  CHECK(detector->progress(state) == 1);
  REQUIRE(state.calibration != nullptr);
  CHECK(state.learning == nullptr);
  CHECK(state.bytes() < 1024);
}

TEST_CASE("zscore ignores windows that are not finite while it learns",
          "[detect][zscore][non-finite]") {
  const auto detector = make_online_detector(zscore_info()).value();
  StreamState state = detector->start(2);
  std::vector<float> window(64, std::numeric_limits<float>::quiet_NaN());
  detector->learn(state, window);
  CHECK(state.learned_windows == 0);
}

TEST_CASE("zscore finds a shift, a louder window and a quiet one in process data",
          "[detect][zscore]") {
  const auto detector = make_online_detector(zscore_info()).value();
  // Near zero, and with an offset of 1e5 spreads.
  for (const double level : {0.0, 101325.0}) {
    StreamState state = detector->start(1);
    const auto normal = process(400, level, 1.0, 3);
    for (Eigen::Index row = 0; row < 100; ++row) detector->learn(state, row_of(normal, row));
    REQUIRE(detector->progress(state) == 1);
    int alarms = 0;
    for (const double p : follow(*detector, state, normal.bottomRows(300))) alarms += p < 1e-4;
    CHECK(alarms == 0);
    CHECK(follow(*detector, state, process(1, level + 3, 1, 4))[0] < 1e-5);
    CHECK(follow(*detector, state, process(1, level, 4, 5))[0] < 1e-5);
    CHECK(follow(*detector, state, process(1, level, 0.05, 6))[0] < 1e-5);
  }
}

TEST_CASE("zscore follows a slow drift, and shows the usual mean and loudness",
          "[detect][zscore]") {
  const auto detector = make_online_detector(zscore_info()).value();
  StreamState state = detector->start(1);
  const auto normal = process(100, 50, 1.0, 3);
  for (Eigen::Index row = 0; row < 100; ++row) detector->learn(state, row_of(normal, row));
  int alarms = 0;
  for (int step = 0; step < 600; ++step) {
    const auto p = follow(*detector, state,
                          process(1, 50 + step * 0.001, 1, 100 + static_cast<std::uint64_t>(step)));
    alarms += p[0] < 1e-4;
  }
  CHECK(alarms == 0);
  const auto loud = process(1, 50, 6, 9);
  const Explanation why = detector->explain(state, row_of(loud, 0));
  CHECK(why.contributions == std::vector<double>{1.0});
  double mean = 0;
  double squares = 0;
  for (const float value : why.expected) {
    mean += static_cast<double>(value) / 32;
    squares += static_cast<double>(value) * static_cast<double>(value) / 32;
  }
  CHECK(mean == Approx(50.3).margin(0.3));
  CHECK(std::sqrt(squares - mean * mean) == Approx(1).margin(0.15));
}

TEST_CASE("zscore is not upset by a channel that is constant", "[detect][zscore]") {
  const auto detector = make_online_detector(zscore_info()).value();
  StreamState state = detector->start(2);
  auto windows = machine(500, 32, 4);
  for (Eigen::Index i = 1; i < windows.size(); i += 2) windows.data()[i] = 24.0F;
  // It takes four spans: the constant channel could still have come to life.
  for (Eigen::Index row = 0; row < 400; ++row) {
    CHECK(detector->progress(state) == Approx(std::max(0.0, static_cast<double>(row - 300) / 100)));
    detector->learn(state, row_of(windows, row));
  }
  REQUIRE(detector->progress(state) == 1);
  for (const double p : follow(*detector, state, windows.bottomRows(100))) CHECK(p > 1e-4);
  auto faulty = machine(1, 32, 4, Fault::kBroadband);
  for (Eigen::Index i = 1; i < faulty.size(); i += 2) faulty.data()[i] = 24.0F;
  const Explanation why = detector->explain(state, row_of(faulty, 0));
  CHECK(why.contributions[0] > 0.99);
  // The constant channel was not written off: when it changes, that is an anomaly.
  auto changed = machine(1, 32, 4);
  for (Eigen::Index i = 1; i < changed.size(); i += 2) changed.data()[i] = 24.5F;
  CHECK(detector->explain(state, row_of(changed, 0)).contributions[1] > 0.99);
  CHECK(follow(*detector, state, changed)[0] < 1e-6);
}

TEST_CASE("zscore does not learn silence: a stream that begins flat is not blind later",
          "[detect][zscore]") {
  const auto detector = make_online_detector(zscore_info()).value();
  // Silent before it runs, after it learned some of its normaliser, and while it calibrates.
  for (const Eigen::Index before : {0, 10, 40, 80}) {
    StreamState state = detector->start(1);
    const auto normal = process(400, 0, 1.0, 3);
    for (Eigen::Index row = 0; row < before; ++row) detector->learn(state, row_of(normal, row));
    const auto silent = nn::Matrix<float>::Zero(1500, 32).eval();
    for (Eigen::Index row = 0; row < 1500; ++row) detector->learn(state, row_of(silent, row));
    CHECK(detector->progress(state) == Approx(static_cast<double>(before) / 100).margin(0.011));
    for (Eigen::Index row = before; row < 100; ++row) detector->learn(state, row_of(normal, row));
    REQUIRE(detector->progress(state) == 1);
    for (const double p : follow(*detector, state, normal.bottomRows(300))) CHECK(p > 1e-6);
    // A stop that it saw while it learned its memory or calibrated is one of the things it knows.
    CHECK(follow(*detector, state, process(1, 0, 50, 4))[0] < (before < 25 ? 1e-6 : 1e-2));
  }
}

TEST_CASE("zscore takes coarse steps for life: most windows of a slow sensor are flat",
          "[detect][zscore]") {
  const auto detector = make_online_detector(zscore_info()).value();
  StreamState state = detector->start(1);
  // A thermometer of whole degrees that drifts to and fro: four windows in five hold one value.
  nn::Matrix<float> steps(2000, 32);
  for (Eigen::Index i = 0; i < steps.size(); ++i) {
    const auto t = static_cast<double>(i);
    steps.data()[i] = static_cast<float>(std::round(20 + 2 * std::sin(t / 350)));
  }
  Eigen::Index row = 0;
  for (; row < 1000 && detector->progress(state) < 1; ++row) {
    detector->learn(state, row_of(steps, row));
  }
  REQUIRE(detector->progress(state) == 1);
  CHECK(row > 110);
  for (const double p : follow(*detector, state, steps.bottomRows(1000))) CHECK(p > 1e-6);
}

TEST_CASE("zscore finds a machine's fault", "[detect][zscore][end-to-end]") {
  const auto detector = make_online_detector(zscore_info()).value();
  StreamState state = learned(*detector, machine(100, 32, 11));
  int alarms = 0;
  for (const double p : follow(*detector, state, machine(300, 32, 12))) alarms += p < 1e-6;
  CHECK(alarms == 0);
  // Twice as loud around its offsets, as a loose mounting would be.
  auto loud = machine(40, 32, 13);
  for (Eigen::Index i = 0; i < loud.size(); i += 2) {
    loud.data()[i] = 9.81F + 2.0F * (loud.data()[i] - 9.81F);
    loud.data()[i + 1] = -200.0F + 2.0F * (loud.data()[i + 1] + 200.0F);
  }
  int found = 0;
  for (const double p : follow(*detector, state, loud)) found += p < 1e-6;
  CHECK(found >= 35);
}

TEST_CASE("A detector without a file is refused when it cannot be", "[detect][zscore][errors]") {
  const auto refusal = [](DetectorInfo info) {
    const auto made = make_online_detector(info);
    REQUIRE_FALSE(made.ok());
    CHECK(made.error().code == ErrorCode::kInvalidArgument);
    return made.error().message;
  };
  DetectorInfo info = zscore_info();
  info.kind = "gan";
  CHECK(refusal(info) ==
        "detector: unknown kind \"gan\", known: autoencoder, discriminator, full, hybrid, pca, "
        "standard, "
        "tiny, zscore");
  info.kind = "autoencoder";
  CHECK(refusal(info).find("needs a trained file; without one: full") != std::string::npos);
  info = zscore_info(39);
  CHECK(refusal(info).find("at least 40") != std::string::npos);
  info = zscore_info();
  info.normaliser = NormaliserKind::kWindow;
  CHECK(refusal(info).find("\"window\"") != std::string::npos);
  info.normaliser = NormaliserKind::kDomain;
  CHECK(refusal(info).find("\"domain\"") != std::string::npos);
  info = zscore_info();
  info.window_samples = 1;
  CHECK(refusal(info).find("window_samples is 1") != std::string::npos);
  info = zscore_info();
  info.hop_samples = 33;
  CHECK(refusal(info).find("hop_samples is 33") != std::string::npos);
}

}  // namespace
}  // namespace anomalyd::detect

#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "detect/detector.h"
#include "detect/fit.h"
#include "nn/random.h"

namespace anomalyd::detect {

/// About standard normal (twelve uniforms), the same on every platform.
inline double noise(std::mt19937_64& bits) {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += nn::unit_uniform(bits);
  return sum;
}

enum class Fault { kNone, kImpulses, kBroadband };

/// A rotating machine, its period no multiple of the hop so that windows have every phase: two
/// channels in sensor units of different size and offset, windows of `samples`, half overlapping.
inline nn::Matrix<float> machine(std::size_t windows, std::size_t samples, std::uint64_t seed,
                                 Fault fault = Fault::kNone) {
  std::mt19937_64 bits(seed);
  const std::size_t hop = samples / 2;
  const std::size_t total = samples + (windows - 1) * hop;
  const double phase = nn::unit_uniform(bits) * 6.28;
  std::vector<float> series;
  for (std::size_t t = 0; t < total; ++t) {
    const double turn = 2 * std::numbers::pi * static_cast<double>(t) / 12.37 + phase;
    double wave = std::sin(turn) + 0.4 * std::sin(2 * turn) + 0.2 * std::sin(4 * turn + 1);
    double hiss = 0.05 * noise(bits);
    if (fault == Fault::kBroadband) hiss *= 8;
    if (fault == Fault::kImpulses && t % 16 < 3) hiss += t % 2 == 0 ? 1.5 : -1.5;
    wave += hiss;
    series.push_back(static_cast<float>(9.81 + 0.3 * wave));
    series.push_back(static_cast<float>(-200 + 40 * std::cos(turn) + 40 * hiss));
  }
  nn::Matrix<float> made(static_cast<Eigen::Index>(windows),
                         static_cast<Eigen::Index>(2 * samples));
  for (std::size_t w = 0; w < windows; ++w) {
    std::copy_n(series.data() + 2 * w * hop, 2 * samples,
                made.data() + static_cast<Eigen::Index>(w) * made.cols());
  }
  return made;
}

inline std::span<const float> row_of(const nn::Matrix<float>& windows, Eigen::Index row) {
  return {windows.data() + row * windows.cols(), static_cast<std::size_t>(windows.cols())};
}

inline FitOptions options_of(const std::string& kind, NormaliserKind normaliser) {
  FitOptions options;
  options.info.kind = kind;
  options.info.channels = {"ax", "tach"};
  options.info.rate_hz = 1000;
  options.info.window_samples = 32;
  options.info.hop_samples = 16;
  options.info.normaliser = normaliser;
  options.info.learn_windows = normaliser == NormaliserKind::kStream ? 50 : 0;
  options.info.seed = 5;
  options.epochs = 20;
  options.learning_rate = 3e-3;
  return options;
}

/// A detector fitted in well under a second.
inline std::shared_ptr<const Detector> fitted(const std::string& kind, NormaliserKind normaliser) {
  return fit_detector({machine(300, 32, 1)}, options_of(kind, normaliser)).value().detector;
}

/// A state that has been through its learning span on `windows`.
inline StreamState learned(const Detector& detector, const nn::Matrix<float>& windows) {
  StreamState state = detector.start(2);
  for (Eigen::Index row = 0; row < windows.rows() && detector.progress(state) < 1; ++row) {
    detector.learn(state, row_of(windows, row));
  }
  return state;
}

inline nn::Matrix<float> normalise_all(const Detector& detector, const StreamState& state,
                                       const nn::Matrix<float>& raw) {
  nn::Matrix<float> out(raw.rows(), raw.cols());
  for (Eigen::Index row = 0; row < raw.rows(); ++row) {
    detector.normalise(state, row_of(raw, row),
                       {out.data() + row * out.cols(), static_cast<std::size_t>(out.cols())});
  }
  return out;
}

inline std::vector<float> score_all(const Detector& detector, const StreamState& state,
                                    const nn::Matrix<float>& raw) {
  std::vector<float> scores(static_cast<std::size_t>(raw.rows()));
  const std::vector<const StreamState*> states(scores.size(), &state);
  detector.score(normalise_all(detector, state, raw), states, scores);
  return scores;
}

}  // namespace anomalyd::detect

#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "detect/detector.h"

namespace anomalyd::detect {

struct FitProgress {
  int epoch = 0;
  int epochs = 0;
  double train_loss = 0;
  double validation_loss = 0;  ///< NaN: nothing is held out for it
  double seconds_left = 0;
};

struct FitOptions {
  DetectorInfo info;  ///< kind, channels, rate, window, hop, normaliser, learn_windows, seed
  int epochs = 200;   ///< at most; early stopping on held-out windows usually ends sooner
  int patience = 10;  ///< epochs without improvement before it stops
  double learning_rate = 1e-3;
  std::size_t batch_windows = 32;
  std::size_t threads = 1;                              ///< the result does not depend on it
  std::function<bool(const FitProgress&)> on_progress;  ///< false cancels; may be empty
};

struct FitReport {
  std::size_t train_windows = 0, validation_windows = 0, calibration_windows = 0;
  int epochs = 0;
  double train_loss = 0, validation_loss = 0;
  double seconds = 0;
};

struct Fitted {
  std::shared_ptr<const Detector> detector;
  FitReport report;
};

/// Learns a detector from normal recordings: one matrix (windows, samples * channels) a
/// recording, raw, in time order. The last part of the time of each is held out, first for early
/// stopping and then for the calibration, with a window's length of gap between the parts.
/// Errors   kInvalidArgument: unknown kind, shapes that differ, too few windows (says how many
///          are needed), non-finite values, a channel that is flat in all training windows of
///          a kDomain normaliser (names it); cancelled.
Result<Fitted> fit_detector(const std::vector<nn::Matrix<float>>& recordings,
                            const FitOptions& options);

}  // namespace anomalyd::detect

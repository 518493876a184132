#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "nn/early_stopping.h"
#include "nn/network.h"
#include "nn/schedule.h"
#include "nn/tensor_file.h"

namespace anomalyd::nn {

/// A loss of one step, or its mean over several.
struct NamedLoss {
  std::string_view name;  ///< lives as long as the objective
  double value = 0;
};

/// What is trained: weights, their optimisers, and how one step moves them.
///
/// Threads   one at a time.
class Objective {
 public:
  virtual ~Objective() = default;

  /// How many rows of training data there are; step() is given their indices.
  virtual std::size_t rows() const = 0;

  /// Moves the weights once. The losses are those before the move, always the same names in the
  /// same order; the first is the one watched. They and the move depend on state(), `rows`, `seed`
  /// and `rate_factor` (of each optimiser's own rate) alone. A loss that is NaN or Inf is for the
  /// trainer to deal with.
  virtual std::span<const NamedLoss> step(std::span<const std::size_t> rows, std::uint64_t seed,
                                          double rate_factor) = 0;

  /// The loss on data that step() never sees; it must not change the state. Nothing: there is none.
  virtual std::optional<double> validation_loss() { return std::nullopt; }

  /// All that step() reads and writes: weights, buffers, moments, averages. Always the same arrays.
  virtual std::vector<NamedArray<float>> state() = 0;

  /// Called when training pauses or ends, with the state to keep in place: averaged weights go
  /// where the network is used. Training that goes on begins by putting the state back.
  virtual void finish() {}
};

struct TrainingOptions {
  std::uint64_t seed = 1;
  /// At most; an epoch's batches differ by one row at most, so that none is nearly empty.
  std::size_t batch_rows = 64;
  std::uint64_t epochs = 0;           ///< 0: no bound
  std::uint64_t steps = 0;            ///< 0: no bound
  std::chrono::nanoseconds budget{};  ///< 0: no bound
  /// Steps between two checks, where progress is told, the best is chosen and a good state is kept.
  /// 0: an epoch's.
  std::uint64_t check_steps = 0;
  Schedule schedule;
  /// Checks without a better loss (validation's, where there is one) before it ends. 0: never.
  std::uint64_t patience = 0;
  double min_improvement = 0;
  /// Leaves the best state, not the last. Without validation, and for objectives whose losses do
  /// not fall (a GAN's), the last may be the one to want.
  bool keep_best = true;
  /// A first loss whose mean between two checks is above this many times its lowest has diverged.
  /// 0: only NaN and Inf have.
  double divergence_factor = 0;
  /// How often it goes back to the last good state and on from there at `retry_rate` times the
  /// rate.
  std::uint64_t retries = 3;
  double retry_rate = 0.5;

  /// Errors   kInvalidArgument with the field that is out of its range, or when nothing ends it.
  Status check() const;
};

/// Where training is at a check.
struct TrainingProgress {
  std::uint64_t step = 0;
  std::uint64_t total_steps = 0;      ///< 0: only the budget ends it
  std::uint64_t epoch = 0;            ///< whole ones done
  std::span<const NamedLoss> losses;  ///< means since the check before
  std::optional<double> validation;
  double best = 0;          ///< of validation, or of the first loss
  double rate_factor = 0;   ///< of the last step
  double seconds = 0;       ///< spent in run(), those before a resume() included
  double seconds_left = 0;  ///< by the speed so far and the budget; an early stop is not foreseen
};

enum class TrainingEnd { kSteps, kEarly, kBudget, kCancelled, kDiverged };
std::string_view name_of(TrainingEnd end);

struct TrainingReport {
  TrainingEnd end = TrainingEnd::kSteps;
  std::uint64_t steps = 0;
  std::uint64_t epochs = 0;
  std::optional<double> best;     ///< none: no check was reached
  std::vector<NamedLoss> losses;  ///< at the last check
  std::optional<double> validation;
  double seconds = 0;
  double rate_scale = 1;  ///< retry_rate for each time it went back
  /// Why it went back, each time: "step 40: loss reconstruction is nan".
  std::vector<std::string> rollbacks;
};

/// The loop around an Objective: seeded batches, checks, stops, checkpoints, and the way back from
/// a divergence.
///
/// Errors    make() returns kInvalidArgument for options out of range and objectives without rows
///           or state.
/// Numerics  a step depends on the seed, its number and the state before it: a run that is stopped,
///           saved, loaded and continued has the bits of one that was not. A loss, a validation
///           loss or, at a check, a state that is NaN or Inf is never kept.
/// Cost      three copies of the state beside the objective's own.
/// Threads   one at a time.
class Trainer {
 public:
  /// Tells progress; false ends the run.
  using OnProgress = std::function<bool(const TrainingProgress&)>;

  /// `objective` and `clock` must outlive this.
  static Result<Trainer> make(Objective& objective, const TrainingOptions& options,
                              const Clock& clock);

  /// Trains until something ends it, and leaves the objective finish()ed in the best state, or the
  /// last good one. After kCancelled or kBudget it may be called again and goes on.
  TrainingReport run(const OnProgress& on_progress = {});

  /// All that a trainer of the same objective and options needs to go on as if it had not been
  /// stopped. May be called from on_progress too.
  /// Errors   kExhausted when it would be more than a tensor file holds.
  Result<TensorFile> checkpoint();
  /// Takes a checkpoint's state, before the first run(). Bounds, patience, retries and keep_best
  /// may differ from those it was made with (a bound between two checks adds one there); what
  /// decides the steps may not.
  /// Errors   kCorrupt for what is missing, of another shape or not finite; kInvalidArgument for
  ///          another training's. The objective is then as it was.
  Status resume(const TensorFile& file);

 private:
  using State = std::vector<float>;

  Trainer(Objective& objective, const TrainingOptions& options, const Clock& clock);

  State copy_state() const;
  void put_state(const State& state);
  std::string take_step();
  std::string check();
  void roll_back(const std::string& why);
  void choose_order(std::uint64_t epoch);
  void settle();
  double seconds() const;
  TrainingProgress progress() const;
  std::string fingerprint() const;

  Objective* objective_;
  TrainingOptions options_;
  const Clock* clock_;
  std::size_t rows_;
  std::uint64_t epoch_steps_;
  std::uint64_t check_steps_;
  std::uint64_t total_steps_;  // 0: open

  std::vector<std::size_t> order_;
  std::optional<std::uint64_t> order_epoch_;

  // From here on, what a checkpoint holds.
  std::uint64_t step_ = 0;
  std::uint64_t good_step_ = 0;
  std::uint64_t rollbacks_ = 0;
  std::uint64_t period_steps_ = 0;                           // since the last check
  std::vector<double> period_sums_;                          // of the losses
  double lowest_ = std::numeric_limits<double>::infinity();  // mean first loss of a period
  double rate_scale_ = 1;
  EarlyStopping stopping_;
  std::chrono::nanoseconds spent_{};
  bool diverged_ = false;
  State good_;
  State best_;
  State parked_;  // where training stands while the objective holds the best state

  std::optional<std::chrono::nanoseconds> running_since_;
  std::vector<NamedLoss> last_losses_;  // values of the last step
  std::vector<NamedLoss> means_;        // at the last check
  std::optional<double> validation_;
  double last_factor_ = 0;
  std::vector<std::string> causes_;
};

}  // namespace anomalyd::nn

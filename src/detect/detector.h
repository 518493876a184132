#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/archive.h"
#include "base/result.h"
#include "base/time.h"
#include "detect/calibration.h"
#include "detect/normaliser.h"
#include "nn/types.h"

namespace anomalyd::detect {

/// How sensor units become unit-free numbers.
enum class NormaliserKind {
  kDomain,  ///< mean and spread of the training data, in the detector file: scores at once
  kStream,  ///< mean and spread of each stream's own first `learn_windows` windows that move, then
            ///< kept
  kWindow,  ///< each window to zero mean and unit variance a channel: loudness does not count
};
/// "domain", "stream", "window": in detector files, in configs and in the API.
std::string_view to_text(NormaliserKind kind);

/// What a detector is; everything but the numbers. Part of the detector file.
struct DetectorInfo {
  std::string name;                   ///< the file's stem, or the kind for one without a file
  std::string kind;                   ///< the member's row in member_kinds(): "autoencoder", ...
  std::string version;                ///< first 12 hex digits of the tensors' and settings' digest
  std::vector<std::string> channels;  ///< order of the values; empty: whatever a stream brings
  double rate_hz = 0;                 ///< of the grid the windows were cut on; 0: the stream's own
  std::size_t window_samples = 128;
  std::size_t hop_samples = 64;
  NormaliserKind normaliser = NormaliserKind::kStream;
  std::size_t learn_windows = 0;  ///< windows a new stream is learned from; 0: none
                                  ///< (of those that teach, see ScaleLearner)
  std::uint64_t seed = 0;
  std::string training_digest;  ///< of the windows it was fitted on; empty without a file
};

/// What a stream holds until it is learned, and no longer.
struct Learning {
  ScaleLearner scale;
  std::vector<float> scores;  ///< of the span's calibrating part
};

/// What a detector that goes from sample to sample (Detector::follow) holds of one stream.
class Following {
 public:
  virtual ~Following() = default;
  virtual std::size_t bytes() const = 0;  ///< heap bytes held, this object's own with them
};

/// A stream's own part of a detector: what was learned from it. Made by Detector::start(), owned
/// by the shard, handed back to the same Detector only.
struct StreamState {
  std::uint32_t learned_windows = 0;         ///< of the span, those that taught
  std::vector<float> normaliser;             ///< kStream: mean and spread of each channel
  std::vector<float> member;                 ///< an online member's memory
  std::unique_ptr<Learning> learning;        ///< until learned
  std::unique_ptr<Following> following;      ///< of a detector that goes from sample to sample
  std::unique_ptr<Calibration> calibration;  ///< when the file has none of its own
  std::size_t bytes() const;                 ///< heap bytes held
};

/// Why a window scored as it did.
struct Explanation {
  std::vector<double> contributions;  ///< share of each channel in the score; sums to 1
  std::vector<float> expected;        ///< (samples, channels) in sensor units: what normal is
};

/// Normaliser + member + calibration: turns windows into scores and scores into p-values.
/// The object is immutable; what a stream teaches it is in that stream's StreamState.
///
/// Shapes   a window is `window_samples * channels` floats, time-major.
/// Units    raw windows in sensor units; normalised ones and scores have none.
/// Errors   from load() and save(); a wrong shape is a bug (ANOMALYD_CHECK).
/// Numerics a score depends on (detector, state, window) alone: not on the batch around it, on
///          memory alignment or on threads, to the last bit. Non-finite input gives NaN.
/// Threads  const and safe to share; a StreamState belongs to one thread at a time.
class Detector {
 public:
  virtual ~Detector() = default;

  virtual const DetectorInfo& info() const = 0;

  virtual StreamState start(std::size_t channels) const = 0;
  /// Share of the learning span that has passed, 1 when the stream can be scored.
  virtual double progress(const StreamState& state) const = 0;
  /// Takes one raw window of the learning span. Non-finite windows are ignored, and so are those
  /// that teach nothing (ScaleLearner): while a stream is flat its progress stands still.
  virtual void learn(StreamState& state, std::span<const float> raw) const = 0;

  /// Tells when the window lies that the stream is given next, to learn() or follow(): from the
  /// time of its first sample to one period after its last. Without it a detector knows no time of
  /// day.
  virtual void set_time(StreamState& /*state*/, TimeNs /*start*/, TimeNs /*end*/) const {}

  /// Moves a learned stream on to this raw window, the next of it: what must follow the signal
  /// itself, alert or not. Called once for each window, in order, before it is scored. Only
  /// detectors that go from sample to sample do something here; what they learn waits for
  /// update().
  virtual void follow(StreamState& /*state*/, std::span<const float> /*raw*/) const {}
  /// The stream was interrupted: its next window does not overlap the one before.
  virtual void interrupt(StreamState& /*state*/) const {}

  /// Writes the normalised window. Only when progress() is 1.
  virtual void normalise(const StreamState& state, std::span<const float> raw,
                         std::span<float> normalised) const = 0;
  /// Scores n normalised windows (n, samples * channels), each with its stream's state, which
  /// follow() has moved on to that window.
  virtual void score(const nn::Matrix<float>& windows, std::span<const StreamState* const> states,
                     std::span<float> scores) const = 0;
  /// In [kMinPValue, 1]; NaN for a NaN score.
  virtual double p_value(const StreamState& state, float score) const = 0;
  /// Lets an online member take in a window that was normal. Nothing for trained members.
  virtual void update(StreamState& state, std::span<const float> normalised) const = 0;
  /// True when update() changes the state, so that a stream's windows must be scored in turn.
  virtual bool is_online() const = 0;
  /// Walks the state of a stream of `channels` channels: read into a state that start() has just
  /// made, the stream goes on to the last bit. Only bytes that the same detector wrote, by its
  /// version, mean anything to it; others are refused, or make a state that can be used: what is
  /// read may be anything. A state whose reading failed is to be dropped.
  virtual void archive(StreamState& state, std::size_t channels, Archive& archive) const = 0;
  /// Contributions and the expected window, for a raw window.
  virtual Explanation explain(const StreamState& state, std::span<const float> raw) const = 0;

  /// Writes the detector file (models/FORMAT.md), atomically. Only fitted detectors have one.
  virtual Status save(const std::filesystem::path& path) const = 0;
};

/// Reads a detector file. Every count is bounded before anything is allocated.
/// Errors   kNotFound, kCorrupt (with the place), kUnsupported (format or kind, with the known).
Result<std::shared_ptr<const Detector>> load_detector(const std::filesystem::path& path);
/// The same from bytes; `name` is for messages and info().name.
Result<std::shared_ptr<const Detector>> parse_detector(std::string_view bytes,
                                                       std::string_view name);

/// A detector without a file, learned from each stream alone: kinds with `online` set.
/// Errors   kInvalidArgument for an unknown kind (lists the known) or impossible sizes.
Result<std::shared_ptr<const Detector>> make_online_detector(const DetectorInfo& info);

/// Errors   kInvalidArgument unless the name is PRESET-without-MEMBER, of a kind that has members
///          that go from sample to sample and one of these: "standard-without-ridge".
Status check_ablation(std::string_view name);

/// One row per kind.
struct MemberKind {
  std::string_view name;
  bool trained;  ///< anomalyctl train makes a file of it
  bool online;   ///< can do without a file
  /// The longest window to take where nobody says, in samples and in values over all channels, and
  /// how many such windows' time a recording must have for it.
  std::size_t usual_samples = 64;
  std::size_t usual_values = 1024;
  std::size_t windows_in_recording = 24;
  bool learns_streams = false;  ///< a stream is learned first even with a file
};
std::span<const MemberKind> member_kinds();

}  // namespace anomalyd::detect

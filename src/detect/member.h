#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "detect/detector.h"
#include "detect/fit.h"
#include "detect/residual.h"
#include "nn/tensor_file.h"
#include "nn/types.h"

namespace anomalyd::detect {

/// Why a normalised window scored as it did, before shares and sensor units.
struct MemberExplanation {
  std::vector<double> energies;  ///< of each channel in the score, at least 0
  std::vector<float> expected;   ///< (samples, channels), normalised
};

/// One scorer inside a detector. A pure function of (fixed part, the stream's memory, window).
///
/// Shapes   windows (n, samples * channels), time-major, normalised.
/// Numerics a finite window scores finite; a score depends on that window and its stream's
///          memory alone, to the last bit.
/// Threads  const and safe to share.
class Member {
 public:
  virtual ~Member() = default;

  virtual void score(const nn::Matrix<float>& windows, std::span<const StreamState* const> states,
                     std::span<float> scores) const = 0;
  virtual MemberExplanation explain(const StreamState& state,
                                    std::span<const float> normalised) const = 0;

  /// Online members: the memory of a new stream, and how a normal window changes it.
  virtual bool is_online() const { return false; }
  virtual std::vector<float> new_memory(std::size_t /*channels*/) const { return {}; }
  virtual void update(std::span<float> /*memory*/, std::span<const float> /*normalised*/) const {}
  /// False for a memory that update() cannot have made: it was read from bytes.
  virtual bool accepts(std::span<const float> /*memory*/) const { return true; }

  /// Trained members: what the detector file keeps. Names begin with the kind.
  virtual void save(nn::TensorFile& /*file*/) const {}
  /// The network's architecture as JSON; empty for members without one.
  virtual std::string architecture() const { return {}; }
};

/// What a member is fitted on: normalised windows, parts of time that do not touch.
struct FitInput {
  const nn::Matrix<float>& train;
  const nn::Matrix<float>& validation;
  std::size_t channels;
  const FitOptions& options;
  FitReport& report;  ///< epochs and losses are filled in
};

/// What a member is loaded from: a file whose tensors are finite.
struct MemberFile {
  const DetectorInfo& info;
  const nn::TensorFile& tensors;
  const std::string& architecture;
};

/// A whole detector from a file, and the file that it would be saved as.
struct LoadedDetector {
  std::shared_ptr<const Detector> detector;
  nn::TensorFile known;
};

/// A kind and how its members are made; null for a way that it does not have.
struct MemberRow {
  MemberKind kind;
  Result<std::unique_ptr<Member>> (*fit)(const FitInput& input);
  Result<std::unique_ptr<Member>> (*load)(const MemberFile& file);
  Result<std::unique_ptr<Member>> (*make_online)(const DetectorInfo& info);
  /// For a kind that is a whole detector: `info` has been checked and completed.
  Result<std::shared_ptr<const Detector>> (*make_detector)(const DetectorInfo& info) = nullptr;
  /// For a trained kind that is a whole detector; options and shapes have been checked.
  Result<Fitted> (*fit_detector)(const std::vector<nn::Matrix<float>>& recordings,
                                 const FitOptions& options) = nullptr;
  Result<LoadedDetector> (*load_detector)(const MemberFile& file) = nullptr;
};

/// Errors   kInvalidArgument for an unknown kind, listing the known.
Result<const MemberRow*> find_member(std::string_view kind);

/// A tensor of a detector file that must have this shape.  Errors  kCorrupt.
Result<std::span<const float>> member_tensor(const nn::TensorFile& file, std::string_view name,
                                             const std::vector<std::size_t>& shape);

/// Usual energies of the channels, each at least ResidualScale::kFloor.  Errors  kCorrupt.
Result<ResidualScale> load_residual(const nn::TensorFile& file, std::string_view name,
                                    std::size_t channels);

Result<std::unique_ptr<Member>> make_online_zscore(const DetectorInfo& info);
Result<std::shared_ptr<const Detector>> make_portfolio(const DetectorInfo& info);
Result<std::unique_ptr<Member>> fit_pca(const FitInput& input);
Result<std::unique_ptr<Member>> load_pca(const MemberFile& file);
Result<std::unique_ptr<Member>> fit_discriminator(const FitInput& input);
Result<std::unique_ptr<Member>> load_discriminator(const MemberFile& file);
Result<std::unique_ptr<Member>> fit_autoencoder(const FitInput& input);
Result<std::unique_ptr<Member>> load_autoencoder(const MemberFile& file);

}  // namespace anomalyd::detect

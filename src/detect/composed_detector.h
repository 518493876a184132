#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "detect/calibration.h"
#include "detect/detector.h"
#include "detect/member.h"
#include "detect/normaliser.h"

namespace anomalyd::detect {

inline constexpr std::size_t kMinWindowSamples = 2;
inline constexpr std::size_t kMaxWindowSamples = 65536;
inline constexpr std::size_t kMaxChannels = 256;
inline constexpr std::size_t kMaxWindowValues = std::size_t{4} << 20U;
inline constexpr std::size_t kMaxLearnWindows = 1'000'000;
/// What a stream is learned from when info.learn_windows is 0 and something must be learned.
inline constexpr std::size_t kDefaultLearnWindows = 100;
/// The least for an online member: half of it calibrates.
inline constexpr std::size_t kMinOnlineLearnWindows = 2 * Calibration::kMinScores;

/// Sizes that no file, config or call may exceed.  Errors  kInvalidArgument naming the field.
Status check_sizes(const DetectorInfo& info);

Result<NormaliserKind> parse_normaliser(std::string_view text);

/// The parts of a detector.
struct DetectorParts {
  DetectorInfo info;
  std::optional<ChannelScale> scale;  ///< kDomain
  std::unique_ptr<Member> member;
  std::optional<Calibration> calibration;  ///< none: each stream makes its own
};

/// Puts the parts together; info.version is computed from them when they are file-backed.
std::shared_ptr<const Detector> compose(DetectorParts parts);

/// The file of these settings, without a tensor; `architecture` is JSON, empty for none.
nn::TensorFile settings_file(const DetectorInfo& info, const std::string& architecture);
/// Of the windows that a detector is fitted on, for DetectorInfo::training_digest.
std::string digest_of_windows(const std::vector<nn::Matrix<float>>& recordings);

/// The detector file's content, and its version: 12 hex digits over tensors and settings.
nn::TensorFile to_tensor_file(const DetectorParts& parts);
std::string digest_of(const nn::TensorFile& file);

}  // namespace anomalyd::detect

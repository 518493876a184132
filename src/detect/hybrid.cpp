#include "detect/hybrid.h"

#include <algorithm>
#include <string>

#include "base/time.h"
#include "detect/composed_detector.h"
#include "nn/strict_json.h"

namespace anomalyd::detect {
namespace {

using Eigen::Index;
using nlohmann::json;
using nn::Matrix;

constexpr int kMaxDepth = 8;
constexpr Index kLeastWindows = 64;

Error refuse(const std::string& what) { return Error{ErrorCode::kInvalidArgument, "fit: " + what}; }

/// Appends the first part of a recording, in the scale that a stream learns from it.
void take_recording(const Matrix<float>& raw, const DetectorInfo& info, std::vector<float>& all) {
  ScaleLearner learner(info.channels.size(), info.learn_windows);
  std::size_t learned = 0;
  const auto window = [&](Index row) {
    return std::span<const float>(raw.data() + row * raw.cols(),
                                  static_cast<std::size_t>(raw.cols()));
  };
  for (Index row = 0; row < raw.rows() && learned < info.learn_windows; ++row) {
    learned += learner.take(window(row)) ? 1 : 0;
  }
  const ChannelScale scale = learner.scale();
  const auto rows = static_cast<Index>(kNetworkShare * static_cast<double>(raw.rows()));
  std::vector<float> normalised(static_cast<std::size_t>(raw.cols()));
  for (Index row = 0; row < rows; ++row) {
    scale.apply(window(row), normalised);
    for (float& value : normalised) value = std::clamp(value, -kMaxFollowed, kMaxFollowed);
    all.insert(all.end(), normalised.begin(), normalised.end());
  }
}

std::string version_of(const DetectorInfo& info, const Networks& networks) {
  DetectorInfo without = info;
  without.version.clear();  // so that it is not part of itself
  return digest_of(networks.to_file(without));
}

}  // namespace

std::vector<TrainedMember> Networks::members() const {
  std::vector<TrainedMember> members;
  if (discriminator) members.push_back(stream_discriminator(discriminator));
  return members;
}

nn::TensorFile Networks::to_file(const DetectorInfo& info) const {
  json architecture = json::object();
  if (discriminator) architecture["discriminator"] = json::parse(discriminator->architecture());
  nn::TensorFile file = settings_file(info, architecture.dump());
  if (discriminator) discriminator->save("discriminator", file);
  return file;
}

Result<Fitted> fit_hybrid(const std::vector<Matrix<float>>& recordings, const FitOptions& options) {
  const auto begin = system_clock().elapsed();
  const Result<Preset> preset = make_preset(options.info.kind);
  if (!preset.ok()) return preset.error();
  DetectorInfo info = options.info;
  if (Status fits = check_portfolio(info); !fits.ok()) return refuse(fits.error().message);
  if (info.channels.size() > kMostHybridChannels) {
    return refuse(info.kind + ": " + std::to_string(info.channels.size()) +
                  " channels, expected at most " + std::to_string(kMostHybridChannels) +
                  "; \"standard\" takes more and needs no file");
  }
  std::vector<float> all;
  for (const Matrix<float>& recording : recordings) take_recording(recording, info, all);
  const auto columns = static_cast<Index>(info.window_samples * info.channels.size());
  const Matrix<float> train = Eigen::Map<const Matrix<float>>(
      all.data(), static_cast<Index>(all.size()) / columns, columns);
  if (train.rows() < kLeastWindows) {
    return refuse(std::to_string(train.rows()) + " windows to train on, expected at least " +
                  std::to_string(kLeastWindows));
  }
  const Matrix<float> none(0, columns);
  FitReport report;
  report.train_windows = static_cast<std::size_t>(train.rows());
  Networks networks;
  auto discriminator = train_discriminator({train, none, info.channels.size(), options, report});
  if (!discriminator.ok()) return discriminator.error();
  networks.discriminator = std::move(discriminator).value();
  if (info.name.empty()) info.name = info.kind;
  info.training_digest = digest_of_windows(recordings);
  info.version = version_of(info, networks);
  report.seconds = std::chrono::duration<double>(system_clock().elapsed() - begin).count();
  return Fitted{compose_portfolio(info, preset.value(), std::move(networks)), report};
}

Result<LoadedDetector> load_hybrid(const MemberFile& file) {
  const Result<Preset> preset = make_preset(file.info.kind);
  if (!preset.ok()) return Error{ErrorCode::kUnsupported, preset.error().message};
  if (Status fits = check_portfolio(file.info); !fits.ok()) {
    return Error{ErrorCode::kCorrupt, fits.error().message};
  }
  if (file.info.channels.size() > kMostHybridChannels) {
    return Error{ErrorCode::kCorrupt,
                 "channels: expected at most " + std::to_string(kMostHybridChannels)};
  }
  const Result<json> architecture = nn::parse_strict(file.architecture, kMaxDepth);
  if (!architecture.ok() || !architecture.value().is_object() || architecture.value().size() != 1 ||
      !architecture.value().contains("discriminator")) {
    return Error{ErrorCode::kCorrupt, "architecture: expected the member \"discriminator\""};
  }
  Networks networks;
  auto discriminator = Discriminator::load(
      "discriminator", architecture.value()["discriminator"].dump(), file.info, file.tensors);
  if (!discriminator.ok()) return discriminator.error();
  networks.discriminator = std::move(discriminator).value();
  DetectorInfo info = file.info;
  info.version = version_of(info, networks);
  nn::TensorFile known = networks.to_file(info);
  return LoadedDetector{compose_portfolio(info, preset.value(), std::move(networks)),
                        std::move(known)};
}

}  // namespace anomalyd::detect

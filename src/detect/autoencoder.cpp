#include "detect/autoencoder.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/time.h"
#include "base/worker_pool.h"
#include "detect/member.h"
#include "detect/workspaces.h"
#include "nn/plan.h"
#include "nn/random.h"
#include "nn/reconstruction.h"
#include "nn/trainer.h"

namespace anomalyd::detect {
namespace {

using Eigen::Index;
using nn::Matrix;

constexpr std::size_t kSampleMultiple = 8;  // the strides, 4 and 2
constexpr std::size_t kMinSamples = 16;
constexpr double kSlope = 0.1;

/// Reconstruction error of normalised windows: score = each channel's mean squared error against
/// its usual one (ResidualScale).
///
/// Shapes    network (n, samples * channels) -> the same.
/// Units     none.
/// Numerics  float32 network (nn::Plan), errors summed in double. A window's bits do not depend on
///           its batch.
/// Cost      one forward pass; no heap allocation once as many threads have scored at once.
class Autoencoder final : public Member {
 public:
  Autoencoder(nn::Network<float> network, ResidualScale residual)
      : network_(std::move(network)), plan_(network_), residual_(std::move(residual)) {}

  void score(const Matrix<float>& windows, std::span<const StreamState* const> /*states*/,
             std::span<float> scores) const override {
    const auto d = static_cast<std::size_t>(windows.cols());
    Workspaces::Lease workspace(plan_, workspaces_);
    for (Index row = 0; row < windows.rows(); ++row) {
      const std::span<const float> window(windows.data() + row * windows.cols(), d);
      plan_.run(window, workspace.get());
      scores[static_cast<std::size_t>(row)] =
          residual_.score(window, plan_.output_of(workspace.get()));
    }
  }

  MemberExplanation explain(const StreamState& /*state*/,
                            std::span<const float> normalised) const override {
    Workspaces::Lease workspace(plan_, workspaces_);
    plan_.run(normalised, workspace.get());
    const std::span<const float> expected = plan_.output_of(workspace.get());
    MemberExplanation why;
    why.expected.assign(expected.begin(), expected.end());
    why.energies =
        residual_.shares(channel_energies(normalised, why.expected, residual_.usual().size()));
    return why;
  }

  /// Whether a usual window is rebuilt as numbers at all.
  bool is_finite() const {
    const std::vector<float> window(static_cast<std::size_t>(plan_.input().size()), 0.0F);
    Workspaces::Lease workspace(plan_, workspaces_);
    plan_.run(window, workspace.get());
    const std::span<const float> rebuilt = plan_.output_of(workspace.get());
    return std::all_of(rebuilt.begin(), rebuilt.end(), [](float v) { return std::isfinite(v); });
  }

  void save(nn::TensorFile& file) const override {
    network_.save("autoencoder.", file);
    file.tensors["autoencoder.residual"] = {{residual_.usual().size()}, residual_.usual()};
  }

  std::string architecture() const override { return nn::to_json(network_.architecture()); }

 private:
  nn::Network<float> network_;
  nn::Plan plan_;
  ResidualScale residual_;
  mutable Workspaces workspaces_;
};

/// Trains until the validation loss has not improved for `patience` epochs; leaves the best
/// weights in `network`.
Status train(nn::Network<float>& network, const FitInput& input) {
  const FitOptions& options = input.options;
  WorkerPool pool(options.threads);
  nn::ReconstructionOptions reconstruction;
  reconstruction.optimiser.rate = options.learning_rate;
  const auto objective =
      nn::make_reconstruction(network, input.train, input.validation, reconstruction, pool);
  if (!objective.ok()) return objective.error();

  nn::TrainingOptions training;
  training.seed = nn::derive_seed(options.info.seed, 1);
  training.batch_rows = options.batch_windows;
  training.epochs = static_cast<std::uint64_t>(options.epochs);
  training.patience = static_cast<std::uint64_t>(options.patience);
  auto trainer = nn::Trainer::make(*objective.value(), training, system_clock());
  if (!trainer.ok()) return trainer.error();

  const auto on_progress = [&](const nn::TrainingProgress& progress) {
    const double loss = progress.losses.front().value;
    input.report.epochs = static_cast<int>(progress.epoch);
    if (progress.validation == progress.best) input.report.train_loss = loss;
    if (!options.on_progress) return true;
    return options.on_progress({input.report.epochs, options.epochs, loss,
                                progress.validation.value_or(loss), progress.seconds_left});
  };
  const nn::TrainingReport report = trainer.value().run(on_progress);
  const std::string epoch = std::to_string(input.report.epochs);
  switch (report.end) {
    case nn::TrainingEnd::kDiverged:
      return Error{ErrorCode::kInvalidArgument, "autoencoder: training diverged after epoch " +
                                                    epoch + " (" + report.rollbacks.back() +
                                                    "): expected a learning rate below " +
                                                    std::to_string(options.learning_rate)};
    case nn::TrainingEnd::kCancelled:
      return Error{ErrorCode::kInvalidArgument, "autoencoder: cancelled in epoch " + epoch};
    case nn::TrainingEnd::kSteps:
    case nn::TrainingEnd::kEarly:
    case nn::TrainingEnd::kBudget:
      break;
  }
  input.report.validation_loss = report.best.value_or(0);
  return Done{};
}

}  // namespace

Result<nn::Architecture> autoencoder_architecture(std::size_t window_samples,
                                                  std::size_t channels) {
  if (window_samples < kMinSamples || window_samples % kSampleMultiple != 0) {
    return Error{ErrorCode::kInvalidArgument,
                 "autoencoder: window_samples is " + std::to_string(window_samples) +
                     ", expected a multiple of " + std::to_string(kSampleMultiple) +
                     " of at least " + std::to_string(kMinSamples)};
  }
  const auto c = static_cast<Index>(channels);
  const Index narrow = std::clamp<Index>(8 * c, 16, 64);
  const Index wide = 2 * narrow;
  const Index bottleneck = std::clamp<Index>(4 * c, 4, 32);
  nn::Architecture made;
  made.input = {static_cast<Index>(window_samples), c};
  const auto conv = [&](const char* name, const char* type, Index in, Index out, Index kernel,
                        Index stride, Index padding) {
    nn::LayerSpec& spec = made.layers.emplace_back();
    spec.name = name;
    spec.type = type;
    spec.in = in;
    spec.out = out;
    spec.kernel = kernel;
    spec.stride = stride;
    spec.padding = padding;
  };
  const auto relu = [&](const char* name) {
    nn::LayerSpec& spec = made.layers.emplace_back();
    spec.name = name;
    spec.type = "leaky_relu";
    spec.slope = kSlope;
  };
  conv("encoder1", "conv1d", c, narrow, 8, 4, 2);
  relu("encoder1_relu");
  conv("encoder2", "conv1d", narrow, wide, 4, 2, 1);
  relu("encoder2_relu");
  conv("bottleneck", "conv1d", wide, bottleneck, 1, 1, 0);
  conv("decoder3", "conv_transpose1d", bottleneck, wide, 1, 1, 0);
  relu("decoder3_relu");
  conv("decoder2", "conv_transpose1d", wide, narrow, 4, 2, 1);
  relu("decoder2_relu");
  conv("decoder1", "conv_transpose1d", narrow, c, 8, 4, 2);
  return made;
}

Result<std::unique_ptr<Member>> fit_autoencoder(const FitInput& input) {
  const Result<nn::Architecture> architecture = autoencoder_architecture(
      static_cast<std::size_t>(input.train.cols()) / input.channels, input.channels);
  if (!architecture.ok()) return architecture.error();
  Result<nn::Network<float>> network =
      nn::Network<float>::make(architecture.value(), nn::derive_seed(input.options.info.seed, 0));
  if (!network.ok()) return network.error();
  if (Status status = train(network.value(), input); !status.ok()) return status.error();

  const nn::Plan plan(network.value());
  nn::Plan::Workspace workspace = plan.workspace();
  std::vector<std::vector<double>> energies;
  const auto d = static_cast<std::size_t>(input.validation.cols());
  for (Index row = 0; row < input.validation.rows(); ++row) {
    const std::span<const float> window(input.validation.data() + row * input.validation.cols(), d);
    plan.run(window, workspace);
    energies.push_back(channel_energies(window, plan.output_of(workspace), input.channels));
  }
  return std::unique_ptr<Member>(
      std::make_unique<Autoencoder>(std::move(network).value(), ResidualScale::of(energies)));
}

Result<std::unique_ptr<Member>> load_autoencoder(const MemberFile& file) {
  Result<nn::Architecture> architecture = nn::parse_architecture(file.architecture);
  if (!architecture.ok()) return architecture.error();
  const std::size_t channels = file.info.channels.size();
  const nn::Shape expected{static_cast<Index>(file.info.window_samples),
                           static_cast<Index>(channels)};
  if (!(architecture.value().input == expected)) {
    return Error{ErrorCode::kCorrupt, "architecture: its input is not the detector's window"};
  }
  // Before a network of that size is made: its numbers must be in the file.
  double values = 0;
  for (const auto& [name, tensor] : file.tensors.tensors) {
    values += static_cast<double>(tensor.values.size());
  }
  Result<nn::Network<float>> network = nn::Network<float>::make(architecture.value(), 0, values);
  if (!network.ok()) {
    const ErrorCode code = network.error().code == ErrorCode::kUnsupported ? ErrorCode::kUnsupported
                                                                           : ErrorCode::kCorrupt;
    return Error{code, network.error().message};
  }
  if (!(network.value().output() == expected) || network.value().heads() != 1) {
    return Error{ErrorCode::kCorrupt, "architecture: its output is not the detector's window"};
  }
  if (Status status = network.value().load("autoencoder.", file.tensors); !status.ok()) {
    return status.error();
  }
  const Result<ResidualScale> residual =
      load_residual(file.tensors, "autoencoder.residual", channels);
  if (!residual.ok()) return residual.error();
  auto member = std::make_unique<Autoencoder>(std::move(network).value(), residual.value());
  if (!member->is_finite()) {
    return Error{ErrorCode::kCorrupt,
                 "autoencoder: the network does not rebuild a window of zeros"};
  }
  return std::unique_ptr<Member>(std::move(member));
}

}  // namespace anomalyd::detect

#include "detect/discriminator.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "base/time.h"
#include "base/worker_pool.h"
#include "detect/exposure.h"
#include "nn/random.h"
#include "nn/trainer.h"

namespace anomalyd::detect {
namespace {

using Eigen::Index;
using nn::Matrix;

constexpr std::size_t kSampleMultiple = 8;
constexpr std::size_t kMinSamples = 16;
constexpr double kSlope = 0.1;
// Training has no epochs of its own: negatives are new in every step. So many steps count as one.
constexpr std::uint64_t kEpochSteps = 40;
constexpr double kLastRate = 0.05;  // of the learning rate, at the end of the cosine
constexpr double kMostLogit = 1e4;
// Of a detector's window, what the network sees at once; its score is the mean over places.
constexpr double kSeen = 0.8;
constexpr std::size_t kPlaces = 5;
constexpr std::size_t kMostExampleValues = std::size_t{1} << 16U;
constexpr std::size_t kMostExamples = 64;

std::size_t seen_of(std::size_t window_samples) {
  const auto seen = static_cast<std::size_t>(kSeen * static_cast<double>(window_samples));
  return std::max(seen, std::min(kMinSamples, window_samples)) / kSampleMultiple * kSampleMultiple;
}

/// Windows evenly apart, as many as a file may hold.
Matrix<float> some_of(const Matrix<float>& windows) {
  const std::size_t room = kMostExampleValues / static_cast<std::size_t>(windows.cols());
  const auto rows = static_cast<Index>(std::clamp<std::size_t>(
      room, 1, std::min(kMostExamples, static_cast<std::size_t>(windows.rows()))));
  Matrix<float> some(rows, windows.cols());
  for (Index i = 0; i < rows; ++i) some.row(i) = windows.row(i * windows.rows() / rows);
  return some;
}

std::vector<float>& features_scratch() {
  static thread_local std::vector<float> scratch;
  return scratch;
}

}  // namespace

Result<nn::Architecture> discriminator_architecture(std::size_t samples, std::size_t channels) {
  if (samples < kMinSamples || samples % kSampleMultiple != 0) {
    return Error{ErrorCode::kInvalidArgument,
                 "discriminator: it would see " + std::to_string(samples) +
                     " samples, expected a multiple of " + std::to_string(kSampleMultiple) +
                     " of at least " + std::to_string(kMinSamples)};
  }
  nn::Architecture made;
  made.input = {static_cast<Index>(samples),
                static_cast<Index>(WindowFeatures::kPerValue * channels)};
  const auto add = [&](const std::string& name, const char* type) -> nn::LayerSpec& {
    nn::LayerSpec& spec = made.layers.emplace_back();
    spec.name = name;
    spec.type = type;
    return spec;
  };
  const auto relu = [&](const std::string& name) { add(name, "leaky_relu").slope = kSlope; };
  constexpr std::array<Index, 4> kKernels{9, 5, 5, 3};
  constexpr std::array<Index, 4> kOut{16, 32, 32, 32};
  Index in = made.input.channels;
  Index length = made.input.samples;
  for (std::size_t i = 0; i < kKernels.size(); ++i) {
    const std::string name = "conv" + std::to_string(i + 1);
    nn::LayerSpec& spec = add(name, "conv1d");
    spec.in = in;
    spec.out = kOut[i];
    spec.kernel = kKernels[i];
    spec.stride = 2;
    spec.padding = kKernels[i] / 2;
    spec.initialiser = "he_uniform";
    relu(name + "_relu");
    in = kOut[i];
    length = (length - 1) / 2 + 1;
  }
  constexpr Index kHidden = 32;
  nn::LayerSpec& hidden = add("hidden", "dense");
  hidden.in = length * in;
  hidden.out = kHidden;
  hidden.initialiser = "he_uniform";
  relu("hidden_relu");
  nn::LayerSpec& logit = add("logit", "dense");
  logit.in = kHidden;
  logit.out = 1;
  return made;
}

Discriminator::Discriminator(nn::Network<float> network, WindowFeatures features,
                             Matrix<float> examples)
    : network_(std::move(network)),
      plan_(network_),
      features_(std::move(features)),
      examples_(std::move(examples)) {}

std::size_t Discriminator::samples() const {
  return static_cast<std::size_t>(plan_.input().samples);
}

float Discriminator::score(std::span<const float> window) const {
  std::vector<float>& features = features_scratch();
  features.resize(window.size() * WindowFeatures::kPerValue);
  features_.write(window, features);
  Workspaces::Lease workspace(plan_, workspaces_);
  plan_.run(features, workspace.get());
  const auto logit = static_cast<double>(plan_.output_of(workspace.get())[0]);
  // Weights of a file may overflow: what cannot be told is not real.
  const double z = std::isfinite(logit) ? std::clamp(logit, -kMostLogit, kMostLogit) : -kMostLogit;
  return static_cast<float>(std::max(-z, 0.0) + std::log1p(std::exp(-std::abs(z))));
}

std::span<const float> Discriminator::nearest(std::span<const float> window) const {
  const auto columns = static_cast<std::size_t>(examples_.cols());
  const std::size_t skipped = columns - window.size();
  double least = std::numeric_limits<double>::infinity();
  const float* found = examples_.data() + skipped;
  for (Index row = 0; row < examples_.rows(); ++row) {
    const float* example = examples_.data() + row * examples_.cols() + skipped;
    double distance = 0;
    for (std::size_t i = 0; i < window.size(); ++i) {
      const double d = static_cast<double>(window[i]) - static_cast<double>(example[i]);
      distance += d * d;
    }
    if (distance < least) {
      least = distance;
      found = example;
    }
  }
  return {found, window.size()};
}

std::vector<double> Discriminator::energies(std::span<const float> window) const {
  const std::span<const float> expected = nearest(window);
  const auto whole = static_cast<double>(score(window));
  std::vector<double> energies;
  for (std::size_t c = 0; c < channels(); ++c) {
    std::vector<float> mended(window.begin(), window.end());
    for (std::size_t i = c; i < mended.size(); i += channels()) mended[i] = expected[i];
    energies.push_back(std::max(0.0, whole - static_cast<double>(score(mended))));
  }
  return energies;
}

void Discriminator::save(const std::string& prefix, nn::TensorFile& file) const {
  network_.save(prefix + ".", file);
  file.tensors[prefix + ".slopes"] = {{channels()}, features_.slopes()};
  const auto rows = static_cast<std::size_t>(examples_.rows());
  const auto columns = static_cast<std::size_t>(examples_.cols());
  file.tensors[prefix + ".examples"] = {{rows, columns},
                                        {examples_.data(), examples_.data() + rows * columns}};
}

std::string Discriminator::architecture() const { return nn::to_json(network_.architecture()); }

Result<std::unique_ptr<Discriminator>> Discriminator::load(const std::string& prefix,
                                                           const std::string& architecture,
                                                           const DetectorInfo& info,
                                                           const nn::TensorFile& file) {
  const std::size_t channels = info.channels.size();
  Result<nn::Architecture> parsed = nn::parse_architecture(architecture);
  if (!parsed.ok()) return parsed.error();
  if (parsed.value().input.channels != static_cast<Index>(WindowFeatures::kPerValue * channels)) {
    return Error{ErrorCode::kCorrupt, "architecture: its input is not the detector's channels"};
  }
  // Before a network of that size is made: its numbers must be in the file.
  double values = 0;
  for (const auto& [name, tensor] : file.tensors) {
    values += static_cast<double>(tensor.values.size());
  }
  Result<nn::Network<float>> network = nn::Network<float>::make(parsed.value(), 0, values);
  if (!network.ok()) {
    const ErrorCode code = network.error().code == ErrorCode::kUnsupported ? ErrorCode::kUnsupported
                                                                           : ErrorCode::kCorrupt;
    return Error{code, network.error().message};
  }
  if (network.value().heads() != 1 || network.value().output().size() != 1) {
    return Error{ErrorCode::kCorrupt, "architecture: its output is not one number"};
  }
  if (Status status = network.value().load(prefix + ".", file); !status.ok()) return status.error();
  const auto slopes = member_tensor(file, prefix + ".slopes", {channels});
  if (!slopes.ok()) return slopes.error();
  for (const float slope : slopes.value()) {
    if (slope < WindowFeatures::kLeastSlope) {
      return Error{ErrorCode::kCorrupt, "tensor \"" + prefix + ".slopes\": " +
                                            std::to_string(slope) + ", expected at least 0.001"};
    }
  }
  if (network.value().input().samples > static_cast<Index>(info.window_samples)) {
    return Error{ErrorCode::kCorrupt, "architecture: its input is longer than the window"};
  }
  const auto found = file.tensors.find(prefix + ".examples");
  const std::size_t columns = info.window_samples * channels;
  if (found == file.tensors.end() || found->second.shape.size() != 2 ||
      found->second.shape[0] < 1 || found->second.shape[1] != columns) {
    return Error{ErrorCode::kCorrupt, "tensor \"" + prefix + ".examples\": expected windows of " +
                                          std::to_string(columns) + " values, at least one"};
  }
  const Matrix<float> examples = Eigen::Map<const Matrix<float>>(
      found->second.values.data(), static_cast<Index>(found->second.shape[0]),
      static_cast<Index>(columns));
  return std::make_unique<Discriminator>(
      std::move(network).value(), WindowFeatures({slopes.value().begin(), slopes.value().end()}),
      examples);
}

Result<std::unique_ptr<Discriminator>> train_discriminator(const FitInput& input) {
  const FitOptions& options = input.options;
  const std::size_t samples =
      seen_of(static_cast<std::size_t>(input.train.cols()) / input.channels);
  const auto architecture = discriminator_architecture(samples, input.channels);
  if (!architecture.ok()) return architecture.error();
  auto network =
      nn::Network<float>::make(architecture.value(), nn::derive_seed(options.info.seed, 0));
  if (!network.ok()) return network.error();
  // Nothing is stopped early, and short recordings have no windows to spare: it learns from both.
  Matrix<float> windows(input.train.rows() + input.validation.rows(), input.train.cols());
  windows.topRows(input.train.rows()) = input.train;
  windows.bottomRows(input.validation.rows()) = input.validation;
  const Matrix<float> none(0, windows.cols());
  WindowFeatures features = WindowFeatures::of(windows, input.channels);
  WorkerPool pool(options.threads);
  ExposureOptions exposure;
  exposure.samples = samples;
  exposure.optimiser.rate = options.learning_rate;
  const auto objective = make_exposure(network.value(), windows, none, features, exposure, pool);
  if (!objective.ok()) return objective.error();

  nn::TrainingOptions training;
  training.seed = nn::derive_seed(options.info.seed, 1);
  training.batch_rows = options.batch_windows;
  training.steps = static_cast<std::uint64_t>(options.epochs) * kEpochSteps;
  training.check_steps = 5 * kEpochSteps;
  training.keep_best = false;  // it does not learn windows by heart: negatives are always new ones
  training.schedule = {nn::Schedule::Kind::kCosine, 0, training.steps, kLastRate};
  auto trainer = nn::Trainer::make(*objective.value(), training, system_clock());
  if (!trainer.ok()) return trainer.error();
  const nn::TrainingReport report = trainer.value().run([&](const nn::TrainingProgress& progress) {
    input.report.epochs = static_cast<int>(progress.step / kEpochSteps);
    input.report.train_loss = progress.losses.front().value;
    input.report.validation_loss =
        progress.validation.value_or(std::numeric_limits<double>::quiet_NaN());
    if (!options.on_progress) return true;
    return options.on_progress({input.report.epochs, options.epochs, input.report.train_loss,
                                input.report.validation_loss, progress.seconds_left});
  });
  const std::string epoch = std::to_string(input.report.epochs);
  if (report.end == nn::TrainingEnd::kDiverged) {
    return Error{ErrorCode::kInvalidArgument, "discriminator: training diverged after epoch " +
                                                  epoch + " (" + report.rollbacks.back() +
                                                  "): expected a learning rate below " +
                                                  std::to_string(options.learning_rate)};
  }
  if (report.end == nn::TrainingEnd::kCancelled) {
    return Error{ErrorCode::kInvalidArgument, "discriminator: cancelled in epoch " + epoch};
  }
  return std::make_unique<Discriminator>(std::move(network).value(), std::move(features),
                                         some_of(windows));
}

namespace {

/// A discriminator over a detector's window: the mean of its scores at up to kPlaces places, the
/// last of which ends with the window.
///
/// Units     none.
/// Numerics  as Discriminator's; the mean in double, oldest place first.
/// Cost      kPlaces forward passes.
class DiscriminatorMember final : public Member {
 public:
  explicit DiscriminatorMember(std::unique_ptr<const Discriminator> model)
      : model_(std::move(model)) {}

  void score(const Matrix<float>& windows, std::span<const StreamState* const> /*states*/,
             std::span<float> scores) const override {
    const auto d = static_cast<std::size_t>(windows.cols());
    for (Index row = 0; row < windows.rows(); ++row) {
      scores[static_cast<std::size_t>(row)] = score_of({windows.data() + row * windows.cols(), d});
    }
  }

  MemberExplanation explain(const StreamState& /*state*/,
                            std::span<const float> normalised) const override {
    MemberExplanation why;
    const std::span<const float> expected = model_->nearest(normalised);
    why.expected.assign(expected.begin(), expected.end());
    why.energies = model_->energies(normalised.last(model_->samples() * model_->channels()));
    return why;
  }

  void save(nn::TensorFile& file) const override { model_->save("discriminator", file); }

  std::string architecture() const override { return model_->architecture(); }

 private:
  float score_of(std::span<const float> window) const {
    const std::size_t channels = model_->channels();
    const std::size_t seen = model_->samples();
    const std::size_t rest = window.size() / channels - seen;
    const std::size_t places = std::min(rest + 1, kPlaces);
    double sum = 0;
    for (std::size_t p = 0; p < places; ++p) {
      const std::size_t begin = places > 1 ? rest * p / (places - 1) : rest;
      sum += static_cast<double>(model_->score(window.subspan(begin * channels, seen * channels)));
    }
    return static_cast<float>(sum / static_cast<double>(places));
  }

  std::unique_ptr<const Discriminator> model_;
};

}  // namespace

Result<std::unique_ptr<Member>> fit_discriminator(const FitInput& input) {
  auto model = train_discriminator(input);
  if (!model.ok()) return model.error();
  // It learned from both parts.
  input.report.train_windows += std::exchange(input.report.validation_windows, 0);
  return std::unique_ptr<Member>(std::make_unique<DiscriminatorMember>(std::move(model).value()));
}

Result<std::unique_ptr<Member>> load_discriminator(const MemberFile& file) {
  auto model = Discriminator::load("discriminator", file.architecture, file.info, file.tensors);
  if (!model.ok()) return model.error();
  return std::unique_ptr<Member>(std::make_unique<DiscriminatorMember>(std::move(model).value()));
}

}  // namespace anomalyd::detect

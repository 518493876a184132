#include "detect/autoencoder.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <thread>

#include "base/time.h"
#include "detect/member.h"
#include "nn/adam.h"
#include "nn/loss.h"
#include "nn/random.h"

namespace anomalyd::detect {
namespace {

using Eigen::Index;
using nn::Matrix;

constexpr std::size_t kSampleMultiple = 8;  // the strides, 4 and 2
constexpr std::size_t kMinSamples = 16;
constexpr double kSlope = 0.1;
constexpr Index kScoreChunk = 32;  // windows at a time: the activations stay in the cache
constexpr std::size_t kScoreValues = std::size_t{1}
                                     << 22U;  // and in bounds for the largest windows
// Gradients of a batch are summed chunk by chunk in this fixed order, so that how many threads
// work at them cannot show.
constexpr std::size_t kTrainChunk = 8;

Index score_chunk(const nn::Network<float>& network) {
  return std::clamp<Index>(static_cast<Index>(kScoreValues / network.activation_count()), 1,
                           kScoreChunk);
}

Matrix<float> gather(const Matrix<float>& windows, std::span<const std::size_t> rows) {
  Matrix<float> batch(static_cast<Index>(rows.size()), windows.cols());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    batch.row(static_cast<Index>(i)) = windows.row(static_cast<Index>(rows[i]));
  }
  return batch;
}

/// Reconstruction error of normalised windows: score = each channel's mean squared error against
/// its usual one (ResidualScale).
///
/// Shapes    network (n, samples * channels) -> the same.
/// Units     none.
/// Numerics  float32 network, errors summed in double. A window's bits do not depend on its batch.
/// Cost      one forward pass; activations of at most kScoreChunk windows on the heap a call.
class Autoencoder final : public Member {
 public:
  Autoencoder(nn::Network<float> network, ResidualScale residual)
      : network_(std::move(network)), residual_(std::move(residual)) {}

  void score(const Matrix<float>& windows, std::span<const StreamState* const> /*states*/,
             std::span<float> scores) const override {
    const auto d = static_cast<std::size_t>(windows.cols());
    const Index chunk = score_chunk(network_);
    nn::Activations<float> kept;
    for (Index first = 0; first < windows.rows(); first += chunk) {
      const Index rows = std::min(chunk, windows.rows() - first);
      network_.forward(windows.middleRows(first, rows), kept);
      for (Index row = 0; row < rows; ++row) {
        const std::vector<double> energies = channel_energies(
            {windows.data() + (first + row) * windows.cols(), d},
            {kept.output().data() + row * windows.cols(), d}, residual_.usual().size());
        scores[static_cast<std::size_t>(first + row)] = residual_.score(energies);
      }
    }
  }

  MemberExplanation explain(const StreamState& /*state*/,
                            std::span<const float> normalised) const override {
    Matrix<float> window(1, static_cast<Index>(normalised.size()));
    std::copy(normalised.begin(), normalised.end(), window.data());
    nn::Activations<float> kept;
    network_.forward(window, kept);
    MemberExplanation why;
    why.expected.assign(kept.output().data(), kept.output().data() + kept.output().size());
    why.energies =
        residual_.shares(channel_energies(normalised, why.expected, residual_.usual().size()));
    return why;
  }

  void save(nn::TensorFile& file) const override {
    nn::Network<float> copy = network_;  // parameters() hands out writable views
    for (const nn::Parameter<float>& parameter : copy.parameters()) {
      file.tensors["autoencoder." + parameter.name] = {
          parameter.shape, {parameter.value.begin(), parameter.value.end()}};
    }
    file.tensors["autoencoder.residual"] = {{residual_.usual().size()}, residual_.usual()};
  }

  std::string architecture() const override { return nn::to_json(network_.architecture()); }

 private:
  nn::Network<float> network_;
  ResidualScale residual_;
};

/// Mean squared error of all windows, in batches.
double loss_of(const nn::Network<float>& network, const Matrix<float>& windows) {
  const Index chunk = score_chunk(network);
  nn::Activations<float> kept;
  Matrix<float> unused;
  double sum = 0;
  for (Index first = 0; first < windows.rows(); first += chunk) {
    const Index rows = std::min(chunk, windows.rows() - first);
    const Matrix<float> batch = windows.middleRows(first, rows);
    network.forward(batch, kept);
    sum += nn::mean_squared_error<float>(kept.output(), batch, unused) * static_cast<double>(rows);
  }
  return sum / static_cast<double>(windows.rows());
}

std::vector<float> weights_of(nn::Network<float>& network) {
  std::vector<float> all;
  for (const nn::Parameter<float>& parameter : network.parameters()) {
    all.insert(all.end(), parameter.value.begin(), parameter.value.end());
  }
  return all;
}

void set_weights(nn::Network<float>& network, const std::vector<float>& all) {
  auto at = all.begin();
  for (const nn::Parameter<float>& parameter : network.parameters()) {
    const auto end = at + static_cast<std::ptrdiff_t>(parameter.value.size());
    std::copy(at, end, parameter.value.begin());
    at = end;
  }
}

/// Gradients of batches, chunk by chunk on any number of threads.
class Trainer {
 public:
  Trainer(nn::Network<float>& network, const FitOptions& options)
      : network_(network),
        adam_({options.learning_rate, 0.9, 0.999, 1e-8}),
        threads_(options.threads) {}

  /// One Adam step; returns the batch's loss.
  double step(const Matrix<float>& windows, std::span<const std::size_t> rows) {
    const std::size_t chunks = (rows.size() + kTrainChunk - 1) / kTrainChunk;
    while (workers_.size() < chunks) workers_.push_back(Worker{network_, {}, {}, 0});
    const std::vector<float> weights = weights_of(network_);
    const auto work = [&](std::size_t thread) {
      for (std::size_t chunk = thread; chunk < chunks; chunk += threads_) {
        const std::size_t first = chunk * kTrainChunk;
        run(workers_[chunk], weights, windows,
            rows.subspan(first, std::min(kTrainChunk, rows.size() - first)), rows.size());
      }
    };
    std::vector<std::thread> others;
    for (std::size_t thread = 1; thread < std::min(threads_, chunks); ++thread) {
      others.emplace_back(work, thread);
    }
    work(0);
    for (std::thread& other : others) other.join();

    network_.zero_gradients();
    const std::vector<nn::Parameter<float>> total = network_.parameters();
    double loss = 0;
    for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
      loss += workers_[chunk].loss;
      const std::vector<nn::Parameter<float>> part = workers_[chunk].network.parameters();
      for (std::size_t p = 0; p < total.size(); ++p) {
        for (std::size_t i = 0; i < total[p].gradient.size(); ++i) {
          total[p].gradient[i] += part[p].gradient[i];
        }
      }
    }
    adam_.step(total);
    return loss;
  }

 private:
  struct Worker {
    nn::Network<float> network;
    nn::Activations<float> kept;
    Matrix<float> gradient;
    double loss;
  };

  static void run(Worker& worker, const std::vector<float>& weights, const Matrix<float>& windows,
                  std::span<const std::size_t> rows, std::size_t batch_rows) {
    set_weights(worker.network, weights);
    worker.network.zero_gradients();
    const Matrix<float> batch = gather(windows, rows);
    worker.network.forward(batch, worker.kept);
    const double share = static_cast<double>(rows.size()) / static_cast<double>(batch_rows);
    worker.loss =
        share * nn::mean_squared_error<float>(worker.kept.output(), batch, worker.gradient);
    worker.gradient *= static_cast<float>(share);
    worker.network.backward(worker.kept, worker.gradient);
  }

  nn::Network<float>& network_;
  nn::Adam<float> adam_;
  std::size_t threads_;
  std::vector<Worker> workers_;
};

/// Trains until the validation loss has not improved for `patience` epochs; leaves the best
/// weights in `network`.
Status train(nn::Network<float>& network, const FitInput& input) {
  const FitOptions& options = input.options;
  const auto begin = system_clock().elapsed();
  std::vector<std::size_t> order(static_cast<std::size_t>(input.train.rows()));
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::mt19937_64 bits(nn::derive_seed(options.info.seed, 1));
  Trainer trainer(network, options);
  std::vector<float> best = weights_of(network);
  double best_loss = std::numeric_limits<double>::infinity();
  int since_best = 0;
  for (int epoch = 1; epoch <= options.epochs && since_best < options.patience; ++epoch) {
    nn::shuffle(order, bits);
    double loss = 0;
    for (std::size_t first = 0; first < order.size(); first += options.batch_windows) {
      const std::size_t rows = std::min(options.batch_windows, order.size() - first);
      loss += trainer.step(input.train, std::span(order).subspan(first, rows)) *
              static_cast<double>(rows);
    }
    loss /= static_cast<double>(order.size());
    const double validation = loss_of(network, input.validation);
    if (!std::isfinite(loss) || !std::isfinite(validation)) {
      return Error{ErrorCode::kInvalidArgument,
                   "autoencoder: training diverged in epoch " + std::to_string(epoch) +
                       " (the loss is not finite): expected a learning rate below " +
                       std::to_string(options.learning_rate)};
    }
    input.report.epochs = epoch;
    ++since_best;
    if (validation < best_loss) {
      best_loss = validation;
      best = weights_of(network);
      input.report.train_loss = loss;
      input.report.validation_loss = validation;
      since_best = 0;
    }
    if (options.on_progress) {
      const double seconds =
          std::chrono::duration<double>(system_clock().elapsed() - begin).count();
      const FitProgress progress{epoch, options.epochs, loss, validation,
                                 seconds / epoch * (options.epochs - epoch)};
      if (!options.on_progress(progress)) {
        return Error{ErrorCode::kInvalidArgument,
                     "autoencoder: cancelled in epoch " + std::to_string(epoch)};
      }
    }
  }
  set_weights(network, best);
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
    made.layers.push_back({name, type, in, out, kernel, stride, padding, 0});
  };
  const auto relu = [&](const char* name) {
    made.layers.push_back({name, "leaky_relu", 0, 0, 1, 1, 0, kSlope});
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

  nn::Activations<float> kept;
  std::vector<std::vector<double>> energies;
  const auto d = static_cast<std::size_t>(input.validation.cols());
  for (Index row = 0; row < input.validation.rows(); ++row) {
    network.value().forward(input.validation.row(row), kept);
    energies.push_back(
        channel_energies({input.validation.data() + row * input.validation.cols(), d},
                         {kept.output().data(), d}, input.channels));
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
  if (nn::parameter_count(architecture.value()) > values) {
    return Error{ErrorCode::kCorrupt, "architecture: it has more parameters than the file"};
  }
  Result<nn::Network<float>> network = nn::Network<float>::make(architecture.value(), 0);
  if (!network.ok()) {
    const ErrorCode code = network.error().code == ErrorCode::kUnsupported ? ErrorCode::kUnsupported
                                                                           : ErrorCode::kCorrupt;
    return Error{code, network.error().message};
  }
  if (!(network.value().output() == expected)) {
    return Error{ErrorCode::kCorrupt, "architecture: its output is not the detector's window"};
  }
  for (const nn::Parameter<float>& parameter : network.value().parameters()) {
    const auto tensor =
        member_tensor(file.tensors, "autoencoder." + parameter.name, parameter.shape);
    if (!tensor.ok()) return tensor.error();
    std::copy(tensor.value().begin(), tensor.value().end(), parameter.value.begin());
  }
  const Result<ResidualScale> residual =
      load_residual(file.tensors, "autoencoder.residual", channels);
  if (!residual.ok()) return residual.error();
  return std::unique_ptr<Member>(
      std::make_unique<Autoencoder>(std::move(network).value(), residual.value()));
}

}  // namespace anomalyd::detect

#include "nn/reconstruction.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nn/moving_average.h"
#include "nn/pass.h"
#include "nn/random.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;

constexpr Index kValidationRows = 256;  // at a time: what is kept of them stays in bounds

class Reconstruction final : public Objective {
 public:
  Reconstruction(Network<float>& network, const Matrix<float>& train,
                 const Matrix<float>& validation, const ReconstructionOptions& options,
                 Optimiser<float> optimiser, WorkerPool& pool)
      : network_(network),
        train_(train),
        validation_(validation),
        options_(options),
        optimiser_(std::move(optimiser)),
        pool_(pool),
        pass_(pool),
        validation_pass_(pool),
        slopes_(network.heads(), nullptr) {
    slopes_[0] = &slope_;
  }

  /// Errors   kInvalidArgument for a decay out of range.
  Status keep_average(double decay) {
    auto weights = MovingAverage<float>::make(decay, network_.weights());
    auto buffers = MovingAverage<float>::make(decay, network_.buffers());
    if (!weights.ok()) return weights.error();
    if (!buffers.ok()) return buffers.error();
    average_.emplace(Averages{std::move(weights).value(), std::move(buffers).value()});
    return Done{};
  }

  std::size_t rows() const override { return static_cast<std::size_t>(train_.rows()); }

  std::span<const NamedLoss> step(std::span<const std::size_t> rows, std::uint64_t seed,
                                  double rate_factor) override {
    gather(rows);
    const Matrix<float>& x = options_.noise > 0 ? add_noise(derive_seed(seed, 0)) : clean_;
    pass_.forward(network_, x, Mode::kTraining, derive_seed(seed, 1));
    losses_[0].value = options_.loss(pass_.output(), clean_, slope_);
    pass_.backward(slopes_, Wanted::kWeights);
    if (options_.clip_norm > 0) clip_by_norm(pass_.gradient(), options_.clip_norm);
    optimiser_.set_rate(options_.optimiser.rate * rate_factor);
    optimiser_.step(network_.weights(), pass_.gradient());
    if (average_) {
      average_->weights.update(network_.weights());
      average_->buffers.update(network_.buffers());
    }
    return losses_;
  }

  std::optional<double> validation_loss() override {
    if (validation_.rows() == 0) return std::nullopt;
    swap_average();
    double sum = 0;
    for (Index first = 0; first < validation_.rows(); first += kValidationRows) {
      const Index count = std::min(kValidationRows, validation_.rows() - first);
      held_ = validation_.middleRows(first, count);
      validation_pass_.forward(network_, held_, Mode::kScoring, 0);
      sum += options_.loss(validation_pass_.output(), held_, unused_) * static_cast<double>(count);
    }
    swap_average();
    return sum / static_cast<double>(validation_.rows());
  }

  std::vector<NamedArray<float>> state() override {
    std::vector<NamedArray<float>> all = network_.state();
    for (NamedArray<float>& array : all) array.name = "network." + array.name;
    for (NamedArray<float>& array : optimiser_.state()) {
      array.name = "optimiser." + array.name;
      all.push_back(std::move(array));
    }
    if (average_) {
      const std::span<float> weights = average_->weights.values();
      const std::span<float> buffers = average_->buffers.values();
      all.push_back({"average.weights", {weights.size()}, weights});
      all.push_back({"average.buffers", {buffers.size()}, buffers});
    }
    return all;
  }

  void finish() override {
    if (!average_) return;
    const std::span<const float> weights = average_->weights.values();
    const std::span<const float> buffers = average_->buffers.values();
    std::copy(weights.begin(), weights.end(), network_.weights().begin());
    std::copy(buffers.begin(), buffers.end(), network_.buffers().begin());
  }

 private:
  struct Averages {
    MovingAverage<float> weights;
    MovingAverage<float> buffers;
  };

  void gather(std::span<const std::size_t> rows) {
    clean_.resize(static_cast<Index>(rows.size()), train_.cols());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      clean_.row(static_cast<Index>(i)) = train_.row(static_cast<Index>(rows[i]));
    }
  }

  const Matrix<float>& add_noise(std::uint64_t seed) {
    noisy_.resize(clean_.rows(), clean_.cols());
    const auto work = [&](std::size_t row, std::size_t /*thread*/) {
      const std::uint64_t row_seed = derive_seed(seed, row);
      const auto i = static_cast<Index>(row);
      for (Index j = 0; j < clean_.cols(); ++j) {
        const double drawn = options_.noise * normal_at(row_seed, static_cast<std::uint64_t>(j));
        noisy_(i, j) = clean_(i, j) + static_cast<float>(drawn);
      }
    };
    pool_.run(static_cast<std::size_t>(clean_.rows()), std::ref(work));
    return noisy_;
  }

  void swap_average() {
    if (!average_) return;
    const std::span<float> weights = network_.weights();
    const std::span<float> buffers = network_.buffers();
    std::swap_ranges(weights.begin(), weights.end(), average_->weights.values().begin());
    std::swap_ranges(buffers.begin(), buffers.end(), average_->buffers.values().begin());
  }

  Network<float>& network_;
  const Matrix<float>& train_;
  const Matrix<float>& validation_;
  ReconstructionOptions options_;
  Optimiser<float> optimiser_;
  std::optional<Averages> average_;
  WorkerPool& pool_;
  Pass<float> pass_;
  Pass<float> validation_pass_;
  Matrix<float> clean_;  // the step's rows
  Matrix<float> noisy_;
  Matrix<float> slope_;
  std::vector<const Matrix<float>*> slopes_;  // one a head
  Matrix<float> held_;                        // validation rows
  Matrix<float> unused_;
  std::array<NamedLoss, 1> losses_{NamedLoss{"reconstruction", 0}};
};

std::string text_of(Shape shape) {
  return std::to_string(shape.samples) + " x " + std::to_string(shape.channels);
}

Status check_rows(const char* what, const Matrix<float>& rows, const Network<float>& network) {
  if (rows.rows() > 0 && rows.cols() != network.input().size()) {
    return Error{ErrorCode::kInvalidArgument, std::string("reconstruction: ") + what +
                                                  " has rows of " + std::to_string(rows.cols()) +
                                                  " numbers, expected the network's " +
                                                  std::to_string(network.input().size())};
  }
  for (Index i = 0; i < rows.rows(); ++i) {
    if (!rows.row(i).allFinite()) {
      return Error{ErrorCode::kInvalidArgument, std::string("reconstruction: ") + what + " row " +
                                                    std::to_string(i) +
                                                    " holds a number that is not finite"};
    }
  }
  return Done{};
}

}  // namespace

Result<std::unique_ptr<Objective>> make_reconstruction(Network<float>& network,
                                                       const Matrix<float>& train,
                                                       const Matrix<float>& validation,
                                                       const ReconstructionOptions& options,
                                                       WorkerPool& pool) {
  if (!(network.output() == network.input())) {
    return Error{ErrorCode::kInvalidArgument,
                 "reconstruction: the network's output is " + text_of(network.output()) +
                     ", expected its input's " + text_of(network.input())};
  }
  if (train.rows() == 0) {
    return Error{ErrorCode::kInvalidArgument, "reconstruction: train has no rows"};
  }
  if (Status status = check_rows("train", train, network); !status.ok()) return status.error();
  if (Status status = check_rows("validation", validation, network); !status.ok()) {
    return status.error();
  }
  for (const auto& [name, value] :
       {std::pair("clip_norm", options.clip_norm), std::pair("noise", options.noise)}) {
    if (!(value >= 0) || !std::isfinite(value)) {
      return Error{ErrorCode::kInvalidArgument, std::string("reconstruction: ") + name + " is " +
                                                    std::to_string(value) +
                                                    ", expected a finite number of 0 or more"};
    }
  }
  const Result<PointwiseLoss> loss = PointwiseLoss::make(options.loss.name(), options.loss.delta);
  if (!loss.ok()) return loss.error();
  auto optimiser = Optimiser<float>::make(options.optimiser, network.weights().size(), pool);
  if (!optimiser.ok()) return optimiser.error();
  auto objective = std::make_unique<Reconstruction>(network, train, validation, options,
                                                    std::move(optimiser).value(), pool);
  if (options.average_decay != 0) {
    if (Status status = objective->keep_average(options.average_decay); !status.ok()) {
      return status.error();
    }
  }
  return std::unique_ptr<Objective>(std::move(objective));
}

}  // namespace anomalyd::nn

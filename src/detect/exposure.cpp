#include "detect/exposure.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "detect/corruption.h"
#include "nn/loss_logits.h"
#include "nn/moving_average.h"
#include "nn/pass.h"
#include "nn/random.h"

namespace anomalyd::detect {
namespace {

using Eigen::Index;
using nn::Matrix;

constexpr std::uint64_t kValidationSeed = 20261122;

class Exposure final : public nn::Objective {
 public:
  Exposure(nn::Network<float>& network, const Matrix<float>& windows,
           const Matrix<float>& validation, const WindowFeatures& features,
           const ExposureOptions& options, nn::Optimiser<float> optimiser,
           nn::MovingAverage<float> average, WorkerPool& pool)
      : network_(network),
        windows_(windows),
        validation_(validation),
        features_(features),
        options_(options),
        optimiser_(std::move(optimiser)),
        average_(std::move(average)),
        pool_(pool),
        pass_(pool),
        validation_pass_(pool),
        slopes_(network.heads(), nullptr) {
    slopes_[0] = &slope_;
    scratch_.resize(pool.threads());
  }

  std::size_t rows() const override { return static_cast<std::size_t>(windows_.rows()); }

  std::span<const nn::NamedLoss> step(std::span<const std::size_t> rows, std::uint64_t seed,
                                      double rate_factor) override {
    fill(windows_, rows, seed);
    pass_.forward(network_, x_, nn::Mode::kTraining, nn::derive_seed(seed, 2 * rows.size()));
    // Two means in one: of all elements, so twice that.
    losses_[0].value = 2 * nn::binary_cross_entropy(pass_.output(), targets_, slope_);
    pass_.backward(slopes_, nn::Wanted::kWeights);
    nn::clip_by_norm(pass_.gradient(), options_.clip_norm);
    optimiser_.set_rate(options_.optimiser.rate * rate_factor);
    optimiser_.step(network_.weights(), pass_.gradient());
    average_.update(network_.weights());
    return losses_;
  }

  std::optional<double> validation_loss() override {
    const auto n = std::min(kValidationRows, static_cast<std::size_t>(validation_.rows()));
    if (n == 0) return std::nullopt;
    std::vector<std::size_t> rows;
    for (std::size_t i = 0; i < n; ++i) {
      rows.push_back(i * static_cast<std::size_t>(validation_.rows()) / n);
    }
    fill(validation_, rows, kValidationSeed);
    swap_average();
    validation_pass_.forward(network_, x_, nn::Mode::kScoring, 0);
    swap_average();
    return 2 * nn::binary_cross_entropy(validation_pass_.output(), targets_, unused_);
  }

  std::vector<nn::NamedArray<float>> state() override {
    std::vector<nn::NamedArray<float>> all = network_.state();
    for (nn::NamedArray<float>& array : all) array.name = "network." + array.name;
    for (nn::NamedArray<float>& array : optimiser_.state()) {
      array.name = "optimiser." + array.name;
      all.push_back(std::move(array));
    }
    const std::span<float> weights = average_.values();
    all.push_back({"average.weights", {weights.size()}, weights});
    return all;
  }

  void finish() override {
    const std::span<const float> weights = average_.values();
    std::copy(weights.begin(), weights.end(), network_.weights().begin());
  }

 private:
  std::size_t size() const { return options_.samples * features_.channels(); }

  /// Real stretches of these windows, then as many negatives, with their targets.
  void fill(const Matrix<float>& windows, std::span<const std::size_t> rows, std::uint64_t seed) {
    const std::size_t n = rows.size();
    x_.resize(static_cast<Index>(2 * n), network_.input().size());
    targets_.resize(static_cast<Index>(2 * n), 1);
    const auto work = [&](std::size_t item, std::size_t thread) {
      std::mt19937_64 bits(nn::derive_seed(seed, item));
      std::vector<float>& stretch = scratch_[thread];
      if (item < n) {
        take_stretch(windows, rows[item], bits, stretch);
      } else {
        make_negative(windows, rows[item - n], bits, stretch);
      }
      const auto at = static_cast<Index>(item);
      features_.write(stretch, {x_.data() + at * x_.cols(), static_cast<std::size_t>(x_.cols())});
      targets_(at, 0) = item < n ? static_cast<float>(options_.real_target) : 0.0F;
    };
    pool_.run(2 * n, std::ref(work));
  }

  /// `samples` of a real window, from anywhere in it.
  void take_stretch(const Matrix<float>& windows, std::size_t row, std::mt19937_64& bits,
                    std::vector<float>& out) const {
    const std::size_t channels = features_.channels();
    const std::size_t size = options_.samples * channels;
    const std::size_t places = (static_cast<std::size_t>(windows.cols()) - size) / channels + 1;
    const float* begin = windows.data() + static_cast<Index>(row) * windows.cols() +
                         static_cast<Index>((bits() % places) * channels);
    out.assign(begin, begin + static_cast<Index>(size));
  }

  void make_negative(const Matrix<float>& windows, std::size_t row, std::mt19937_64& bits,
                     std::vector<float>& out) const {
    double left = nn::unit_uniform(bits);
    for (const MadeWindows& made : options_.made) {
      left -= made.share;
      if (left >= 0) continue;
      const std::uint64_t drawn = bits() % static_cast<std::uint64_t>(made.windows->rows());
      const float* begin = made.windows->data() + static_cast<Index>(drawn) * made.windows->cols();
      out.assign(begin, begin + made.windows->cols());
      return;
    }
    std::vector<float> other;
    const std::uint64_t drawn = bits() % static_cast<std::uint64_t>(windows.rows());
    take_stretch(windows, static_cast<std::size_t>(drawn), bits, other);
    take_stretch(windows, row, bits, out);
    corrupt_somehow(other, features_.channels(), bits, out);
  }

  void swap_average() {
    const std::span<float> weights = network_.weights();
    std::swap_ranges(weights.begin(), weights.end(), average_.values().begin());
  }

  nn::Network<float>& network_;
  const Matrix<float>& windows_;
  const Matrix<float>& validation_;
  const WindowFeatures& features_;
  ExposureOptions options_;
  nn::Optimiser<float> optimiser_;
  nn::MovingAverage<float> average_;
  WorkerPool& pool_;
  nn::Pass<float> pass_;
  nn::Pass<float> validation_pass_;
  std::vector<std::vector<float>> scratch_;  // one a thread
  Matrix<float> x_;                          // real ones, then negatives
  Matrix<float> targets_;
  Matrix<float> slope_;
  Matrix<float> unused_;
  std::vector<const Matrix<float>*> slopes_;  // one a head
  std::array<nn::NamedLoss, 1> losses_{nn::NamedLoss{"exposure", 0}};
};

Error refuse(const std::string& what) {
  return Error{ErrorCode::kInvalidArgument, "exposure: " + what};
}

Status check(const nn::Network<float>& network, const Matrix<float>& windows,
             const Matrix<float>& validation, std::size_t channels,
             const ExposureOptions& options) {
  const auto size = static_cast<Index>(options.samples * channels);
  if (windows.rows() == 0) return refuse("no windows");
  if (options.samples < kLeastCorrupted || windows.cols() < size ||
      windows.cols() % static_cast<Index>(channels) != 0) {
    return refuse("stretches of " + std::to_string(options.samples) + " samples of windows of " +
                  std::to_string(windows.cols()) + " values");
  }
  if (validation.rows() > 0 && validation.cols() != windows.cols()) {
    return refuse("validation windows of another size");
  }
  if (network.input().size() != size * static_cast<Index>(WindowFeatures::kPerValue) ||
      network.output().size() != 1) {
    return refuse("the network does not read the features of a stretch and write one number");
  }
  if (!(options.real_target > 0.5 && options.real_target <= 1)) {
    return refuse("real_target is " + std::to_string(options.real_target) +
                  ", expected above 0.5 and at most 1");
  }
  double shares = 0;
  for (const MadeWindows& made : options.made) {
    if (made.windows->rows() == 0 || made.windows->cols() != size) {
      return refuse("made windows of another size");
    }
    shares += made.share;
  }
  if (!(shares <= 1)) return refuse("made windows are more than all negatives");
  return Done{};
}

}  // namespace

Result<std::unique_ptr<nn::Objective>> make_exposure(
    nn::Network<float>& network, const Matrix<float>& windows, const Matrix<float>& validation,
    const WindowFeatures& features, const ExposureOptions& options, WorkerPool& pool) {
  if (Status status = check(network, windows, validation, features.channels(), options);
      !status.ok()) {
    return status.error();
  }
  auto optimiser = nn::Optimiser<float>::make(options.optimiser, network.weights().size(), pool);
  if (!optimiser.ok()) return optimiser.error();
  auto average = nn::MovingAverage<float>::make(options.average_decay, network.weights());
  if (!average.ok()) return average.error();
  return std::unique_ptr<nn::Objective>(
      std::make_unique<Exposure>(network, windows, validation, features, options,
                                 std::move(optimiser).value(), std::move(average).value(), pool));
}

}  // namespace anomalyd::detect

#include "nn/reconstruction.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "nn/pass.h"
#include "nn/random.h"
#include "support/catch.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;

LayerSpec layer(const char* name, const char* type, Index in = 0, Index out = 0) {
  LayerSpec spec;
  spec.name = name;
  spec.type = type;
  spec.in = in;
  spec.out = out;
  return spec;
}

LayerSpec conv(const char* name, const char* type, Index in, Index out) {
  LayerSpec spec = layer(name, type, in, out);
  spec.kernel = 4;
  spec.stride = 2;
  spec.padding = 1;
  return spec;
}

/// 16 x 2 through 8 x 6 and back, with batch norm and dropout.
Architecture small_autoencoder() {
  Architecture made;
  made.input = {16, 2};
  LayerSpec relu = layer("relu", "leaky_relu");
  relu.slope = 0.2;
  LayerSpec dropout = layer("dropout", "dropout");
  dropout.rate = 0.1;
  made.layers = {conv("encoder", "conv1d", 2, 6), layer("norm", "batch_norm", 6), relu, dropout,
                 conv("decoder", "conv_transpose1d", 6, 2)};
  return made;
}

/// Sines of random phase.
Matrix<float> waves(Index rows, std::uint64_t seed) {
  Matrix<float> made(rows, 32);
  for (Index i = 0; i < rows; ++i) {
    const double phase = normal_at(seed, static_cast<std::uint64_t>(i));
    for (Index t = 0; t < 16; ++t) {
      made(i, 2 * t) = static_cast<float>(std::sin(0.7 * static_cast<double>(t) + phase));
      made(i, 2 * t + 1) = static_cast<float>(std::cos(0.4 * static_cast<double>(t) - phase));
    }
  }
  return made;
}

const Matrix<float> kTrain = waves(61, 1);
const Matrix<float> kValidation = waves(300, 2);  // more than one chunk
const Matrix<float> kNone;

ReconstructionOptions all_of_it() {
  ReconstructionOptions options;
  options.loss = PointwiseLoss::make("huber", 0.8).value();
  options.optimiser.kind = OptimiserOptions::Kind::kAdamW;
  options.optimiser.rate = 0.01;
  options.optimiser.weight_decay = 0.01;
  options.clip_norm = 0.5;
  options.noise = 0.2;
  options.average_decay = 0.9;
  return options;
}

TrainingOptions training(std::uint64_t steps) {
  TrainingOptions options;
  options.steps = steps;
  options.batch_rows = 20;
  options.check_steps = 5;
  options.schedule = Schedule::make("cosine", 4, 40).value();
  return options;
}

struct Outcome {
  std::vector<float> weights;
  std::vector<float> buffers;
  TrainingReport report;
};

Outcome outcome_of(const Network<float>& network, TrainingReport report) {
  return {{network.weights().begin(), network.weights().end()},
          {network.buffers().begin(), network.buffers().end()},
          std::move(report)};
}

Outcome train(std::size_t threads, std::uint64_t seed = 1) {
  WorkerPool pool(threads);
  Network<float> network = Network<float>::make(small_autoencoder(), 3).value();
  auto objective = make_reconstruction(network, kTrain, kValidation, all_of_it(), pool);
  if (!objective.ok()) FAIL(objective.error().message);
  TrainingOptions options = training(40);
  options.seed = seed;
  auto trainer = Trainer::make(*objective.value(), options, system_clock()).value();
  return outcome_of(network, trainer.run());
}

TEST_CASE("Training depends on the seed and on nothing else", "[nn][reconstruction][determinism]") {
  const Outcome one = train(1);
  const Outcome three = train(3);
  CHECK(one.weights == three.weights);
  CHECK(one.buffers == three.buffers);
  CHECK(one.report.best == three.report.best);
  CHECK(one.report.losses[0].value == three.report.losses[0].value);
  const Outcome other = train(3, 2);
  CHECK(one.weights != other.weights);
}

TEST_CASE("A stopped, saved and loaded training ends in the same bits",
          "[nn][reconstruction][determinism]") {
  const Outcome straight = train(2);
  Network<float> network = Network<float>::make(small_autoencoder(), 3).value();
  WorkerPool pool(2);
  auto objective = make_reconstruction(network, kTrain, kValidation, all_of_it(), pool).value();
  auto first = Trainer::make(*objective, training(40), system_clock()).value();
  first.run([](const TrainingProgress& progress) { return progress.step < 20; });
  const TensorFile saved =
      parse_tensor_file(format_tensor_file(first.checkpoint().value())).value();

  // A network that began elsewhere: the file holds all there is.
  Network<float> fresh = Network<float>::make(small_autoencoder(), 99).value();
  auto resumed = make_reconstruction(fresh, kTrain, kValidation, all_of_it(), pool).value();
  auto second = Trainer::make(*resumed, training(40), system_clock()).value();
  if (Status status = second.resume(saved); !status.ok()) FAIL(status.error().message);
  const Outcome rest = outcome_of(fresh, second.run());
  CHECK(rest.weights == straight.weights);
  CHECK(rest.buffers == straight.buffers);
  CHECK(rest.report.best == straight.report.best);
  // So does one that goes on in the same process.
  CHECK(outcome_of(network, first.run()).weights == straight.weights);
}

TEST_CASE("An autoencoder learns, and its validation loss is that of the network it leaves",
          "[nn][reconstruction]") {
  for (const double decay : {0.0, 0.9}) {
    WorkerPool pool(2);
    Network<float> network = Network<float>::make(small_autoencoder(), 3).value();
    ReconstructionOptions options;
    options.optimiser.rate = 0.01;
    options.average_decay = decay;
    auto objective = make_reconstruction(network, kTrain, kValidation, options, pool).value();
    const double before = objective->validation_loss().value();
    TrainingOptions bounds = training(300);
    bounds.schedule = {};
    auto trainer = Trainer::make(*objective, bounds, system_clock()).value();
    const TrainingReport report = trainer.run();
    REQUIRE(report.best.has_value());
    CHECK(*report.best < 0.1 * before);

    Pass<float> pass(pool);
    pass.forward(network, kValidation, Mode::kScoring, 0);
    Matrix<float> unused;
    CHECK(mean_squared_error(pass.output(), kValidation, unused) ==
          Approx(*report.best).epsilon(1e-9));
  }
}

TEST_CASE("Noise is drawn anew each step and makes training denoise", "[nn][reconstruction]") {
  WorkerPool pool(2);
  const auto error_on_noisy = [&](double noise) {
    Architecture architecture = small_autoencoder();
    architecture.layers.erase(architecture.layers.begin() + 3);  // dropout
    Network<float> network = Network<float>::make(architecture, 3).value();
    ReconstructionOptions options;
    options.optimiser.rate = 0.01;
    options.noise = noise;
    auto objective = make_reconstruction(network, kTrain, kNone, options, pool).value();
    TrainingOptions bounds = training(400);
    bounds.schedule = {};
    bounds.keep_best = false;
    auto trainer = Trainer::make(*objective, bounds, system_clock()).value();
    trainer.run();
    Matrix<float> noisy = kValidation;
    for (Index i = 0; i < noisy.size(); ++i) {
      noisy.data()[i] += static_cast<float>(0.5 * normal_at(77, static_cast<std::uint64_t>(i)));
    }
    Pass<float> pass(pool);
    pass.forward(network, noisy, Mode::kScoring, 0);
    Matrix<float> unused;
    return mean_squared_error(pass.output(), kValidation, unused);
  };
  CHECK(error_on_noisy(0.5) < 0.9 * error_on_noisy(0));

  // Each of the two, noise and dropout, by itself: a rate of 0, so that nothing else moves.
  const std::vector<std::size_t> rows{0, 1, 2};
  for (const bool has_noise : {true, false}) {
    Architecture architecture = small_autoencoder();
    if (has_noise) architecture.layers.erase(architecture.layers.begin() + 3);
    Network<float> network = Network<float>::make(architecture, 3).value();
    ReconstructionOptions options;
    options.noise = has_noise ? 0.3 : 0;
    auto objective = make_reconstruction(network, kTrain, kNone, options, pool).value();
    const double first = objective->step(rows, 1, 0)[0].value;
    CHECK(objective->step(rows, 1, 0)[0].value == first);
    CHECK(objective->step(rows, 2, 0)[0].value != first);
  }
}

TEST_CASE("A clipped gradient moves the weights no further than its norm", "[nn][reconstruction]") {
  WorkerPool pool(1);
  const auto distance = [&](double clip_norm) {
    Network<float> network = Network<float>::make(small_autoencoder(), 3).value();
    const std::vector<float> before(network.weights().begin(), network.weights().end());
    ReconstructionOptions options;
    options.optimiser.kind = OptimiserOptions::Kind::kSgd;
    options.optimiser.rate = 1;
    options.clip_norm = clip_norm;
    auto objective = make_reconstruction(network, kTrain, kNone, options, pool).value();
    objective->step(std::vector<std::size_t>{0, 1, 2}, 1, 1);
    double squared = 0;
    for (std::size_t i = 0; i < before.size(); ++i) {
      const double moved = static_cast<double>(network.weights()[i] - before[i]);
      squared += moved * moved;
    }
    return std::sqrt(squared);
  };
  CHECK(distance(0) > 0.1);
  CHECK(distance(0.01) == Approx(0.01).epsilon(1e-3));
}

TEST_CASE("What cannot be reconstructed is refused", "[nn][reconstruction][errors]") {
  WorkerPool pool(1);
  Network<float> network = Network<float>::make(small_autoencoder(), 3).value();
  const auto refusal = [&](const Matrix<float>& rows, const Matrix<float>& validation,
                           const ReconstructionOptions& options) {
    const auto made = make_reconstruction(network, rows, validation, options, pool);
    REQUIRE_FALSE(made.ok());
    CHECK(made.error().code == ErrorCode::kInvalidArgument);
    return made.error().message;
  };
  const ReconstructionOptions plain;
  CHECK(refusal(Matrix<float>(0, 32), {}, plain) == "reconstruction: train has no rows");
  CHECK(refusal(Matrix<float>::Zero(2, 31), {}, plain) ==
        "reconstruction: train has rows of 31 numbers, expected the network's 32");
  Matrix<float> bad = kTrain;
  bad(7, 3) = std::numeric_limits<float>::quiet_NaN();
  CHECK(refusal(bad, {}, plain) == "reconstruction: train row 7 holds a number that is not finite");
  CHECK(refusal(kTrain, bad, plain).find("validation row 7") != std::string::npos);
  ReconstructionOptions options;
  options.noise = -1;
  CHECK(refusal(kTrain, {}, options) ==
        "reconstruction: noise is -1.000000, expected a finite number of 0 or more");
  options = {};
  options.clip_norm = HUGE_VAL;
  refusal(kTrain, {}, options);
  options = {};
  options.average_decay = 1;
  refusal(kTrain, {}, options);
  options = {};
  options.optimiser.beta1 = 2;
  refusal(kTrain, {}, options);
  options = {};
  options.loss.delta = 0;
  refusal(kTrain, {}, options);

  Architecture narrow = small_autoencoder();
  narrow.layers.pop_back();
  Network<float> half = Network<float>::make(narrow, 3).value();
  CHECK(make_reconstruction(half, kTrain, kNone, plain, pool).error().message ==
        "reconstruction: the network's output is 8 x 6, expected its input's 16 x 2");
}

}  // namespace
}  // namespace anomalyd::nn

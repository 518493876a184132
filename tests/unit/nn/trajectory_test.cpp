// Twenty steps of training beside PyTorch's: tests/golden/make_torch_trajectories.py has the other
// half. In float the losses agree to 1e-4 at every step; in double, where rounding plays no part,
// to 1e-11, so what is left is the same arithmetic.

#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "loss_check.h"
#include "nn/critic.h"
#include "nn/loss.h"
#include "nn/loss_latent.h"
#include "nn/network.h"
#include "nn/optimiser.h"
#include "nn/pass.h"
#include "nn/random.h"
#include "support/catch.h"

namespace anomalyd::nn {
namespace {

using testing::golden;
using testing::read_golden;

constexpr Eigen::Index kSteps = 20;

const TensorFile& file() {
  static const TensorFile read = read_golden("torch_trajectories.safetensors");
  return read;
}

/// Step `step` of a tensor (steps, rows, numbers).
template <class Scalar>
Matrix<Scalar> batch_of(const std::string& name, Eigen::Index step) {
  const Tensor& tensor = golden(file(), name);
  REQUIRE(tensor.shape.size() == 3);
  Matrix<Scalar> made(static_cast<Eigen::Index>(tensor.shape[1]),
                      static_cast<Eigen::Index>(tensor.shape[2]));
  for (Eigen::Index i = 0; i < made.size(); ++i) {
    made.data()[i] =
        static_cast<Scalar>(tensor.values[static_cast<std::size_t>(step * made.size() + i)]);
  }
  return made;
}

/// The architecture and numbers that the script wrote.
template <class Scalar>
Network<Scalar> network_of(const std::string& name) {
  auto architecture = parse_architecture(file().metadata.at(name + ".architecture"));
  if (!architecture.ok()) FAIL(architecture.error().message);
  auto network = Network<Scalar>::make(architecture.value(), 0);
  if (!network.ok()) FAIL(network.error().message);
  if (Status status = network.value().load(name + ".", file()); !status.ok()) {
    FAIL(status.error().message);
  }
  return std::move(network).value();
}

template <class Scalar>
Optimiser<Scalar> adam(const Network<Scalar>& network, double rate, double beta1,
                       WorkerPool& pool) {
  OptimiserOptions options;
  options.rate = rate;
  options.beta1 = beta1;
  return Optimiser<Scalar>::make(options, network.weights().size(), pool).value();
}

/// What PyTorch had in this precision.
template <class Scalar>
std::vector<double> losses_of(const std::string& run) {
  const bool is_float = std::is_same_v<Scalar, float>;
  const std::vector<float>& values = golden(file(), run + (is_float ? ".float" : ".double")).values;
  std::vector<double> made(values.begin(), values.end());
  if (is_float) return made;
  const std::vector<float>& rest = golden(file(), run + ".double_rest").values;
  for (std::size_t i = 0; i < made.size(); ++i) made[i] += static_cast<double>(rest[i]);
  return made;
}

/// Losses of every step, then a number of the trained network in scoring mode.
template <class Scalar>
void compare(const std::string& run, const std::vector<double>& ours) {
  const std::vector<double> theirs = losses_of<Scalar>(run);
  REQUIRE(ours.size() == theirs.size());
  double worst = 0;
  for (std::size_t i = 0; i + 1 < ours.size(); ++i) {
    const double error = std::abs(ours[i] - theirs[i]) / std::abs(theirs[i]);
    INFO(run << ", loss " << i << ": " << ours[i] << " beside " << theirs[i]);
    CHECK(error < (std::is_same_v<Scalar, float> ? 1e-4 : 1e-11));
    worst = std::max(worst, error);
  }
  // A bias in front of a batch norm has no gradient but rounding's, which Adam makes steps of. No
  // training loss sees them; the running mean does, so in float this only is nearly the same.
  const double last = std::abs(ours.back() - theirs.back()) / std::abs(theirs.back());
  INFO(run << ", scored: " << ours.back() << " beside " << theirs.back());
  CHECK(last < (std::is_same_v<Scalar, float> ? 2e-2 : 1e-7));
  INFO("largest difference of a loss " << worst << ", of the last number " << last);
  SUCCEED();
}

template <class Scalar>
void train_autoencoder() {
  WorkerPool pool(2);
  Network<Scalar> network = network_of<Scalar>("autoencoder");
  Optimiser<Scalar> optimiser = adam(network, 5e-3, 0.9, pool);
  Pass<Scalar> pass(pool);
  Matrix<Scalar> dy;
  std::vector<double> losses;
  for (Eigen::Index step = 0; step < kSteps; ++step) {
    const Matrix<Scalar> x = batch_of<Scalar>("batches", step);
    pass.forward(network, x, Mode::kTraining, 0);
    losses.push_back(mean_squared_error(pass.output(), x, dy));
    pass.backward(std::vector<const Matrix<Scalar>*>{&dy}, Wanted::kWeights);
    optimiser.step(network.weights(), pass.gradient());
  }
  const Matrix<Scalar> x = batch_of<Scalar>("batches", 0);
  pass.forward(network, x, Mode::kScoring, 0);
  losses.push_back(mean_squared_error(pass.output(), x, dy));
  compare<Scalar>("autoencoder_run", losses);
}

template <class Scalar>
void train_variational() {
  constexpr double kWeight = 0.02;  // of the divergence
  WorkerPool pool(2);
  Network<Scalar> network = network_of<Scalar>("variational");
  Optimiser<Scalar> optimiser = adam(network, 5e-3, 0.9, pool);
  Pass<Scalar> pass(pool);
  Matrix<Scalar> dy;
  Matrix<Scalar> dcode;
  std::vector<double> losses;
  for (Eigen::Index step = 0; step < kSteps; ++step) {
    const Matrix<Scalar> x = batch_of<Scalar>("batches", step);
    pass.forward(network, x, Mode::kTraining, derive_seed(77, static_cast<std::uint64_t>(step)));
    losses.push_back(mean_squared_error(pass.output(0), x, dy));
    losses.push_back(kl_to_unit_gaussian(pass.output(1), 6, dcode));
    dcode *= static_cast<Scalar>(kWeight);
    pass.backward(std::vector<const Matrix<Scalar>*>{&dy, &dcode}, Wanted::kWeights);
    optimiser.step(network.weights(), pass.gradient());
  }
  const Matrix<Scalar> x = batch_of<Scalar>("batches", 0);
  pass.forward(network, x, Mode::kScoring, 0);
  losses.push_back(mean_squared_error(pass.output(0), x, dy));
  compare<Scalar>("variational_run", losses);
}

template <class Scalar>
void train_gan() {
  WorkerPool pool(2);
  const CriticLoss kind = CriticLoss::make("non_saturating", {0.9, 0}).value();
  Network<Scalar> generator = network_of<Scalar>("generator");
  Network<Scalar> critic = network_of<Scalar>("discriminator");
  Optimiser<Scalar> generator_adam = adam(generator, 1e-3, 0.5, pool);
  Optimiser<Scalar> critic_adam = adam(critic, 1e-3, 0.5, pool);
  Pass<Scalar> making(pool);
  Pass<Scalar> judging_real(pool);
  Pass<Scalar> judging_fake(pool);
  Matrix<Scalar> dreal;
  Matrix<Scalar> dfake;
  std::vector<Scalar> gradient;
  std::vector<double> losses;
  for (Eigen::Index step = 0; step < kSteps; ++step) {
    making.forward(generator, batch_of<Scalar>("seeds", step), Mode::kTraining, 0);
    judging_real.forward(critic, batch_of<Scalar>("batches", step), Mode::kTraining, 0);
    judging_fake.forward(critic, making.output(), Mode::kTraining, 0);
    losses.push_back(critic_loss(kind, judging_real.output(), judging_fake.output(), dreal, dfake));
    judging_real.backward(std::vector<const Matrix<Scalar>*>{&dreal}, Wanted::kWeights);
    judging_fake.backward(std::vector<const Matrix<Scalar>*>{&dfake}, Wanted::kWeights);
    gradient.assign(judging_real.gradient().begin(), judging_real.gradient().end());
    for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] += judging_fake.gradient()[i];
    critic_adam.step(critic.weights(), gradient);

    judging_fake.forward(critic, making.output(), Mode::kTraining, 0);
    losses.push_back(generator_loss(kind, judging_fake.output(), dfake));
    judging_fake.backward(std::vector<const Matrix<Scalar>*>{&dfake}, Wanted::kInput);
    making.backward(std::vector<const Matrix<Scalar>*>{&judging_fake.input_gradient()},
                    Wanted::kWeights);
    generator_adam.step(generator.weights(), making.gradient());
  }
  making.forward(generator, batch_of<Scalar>("seeds", 0), Mode::kScoring, 0);
  judging_fake.forward(critic, making.output(), Mode::kScoring, 0);
  losses.push_back(judging_fake.output().template cast<double>().mean());
  compare<Scalar>("gan_run", losses);
}

TEST_CASE("A convolutional autoencoder trains as in PyTorch", "[nn][trajectory][golden]") {
  SECTION("float") { train_autoencoder<float>(); }
  SECTION("double") { train_autoencoder<double>(); }
}

TEST_CASE("A variational autoencoder trains as in PyTorch", "[nn][trajectory][golden]") {
  SECTION("float") { train_variational<float>(); }
  SECTION("double") { train_variational<double>(); }
}

TEST_CASE("A GAN trains as in PyTorch", "[nn][trajectory][golden]") {
  SECTION("float") { train_gan<float>(); }
  SECTION("double") { train_gan<double>(); }
}

}  // namespace
}  // namespace anomalyd::nn

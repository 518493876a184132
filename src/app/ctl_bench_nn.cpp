#include "app/ctl_bench_nn.h"

#include <time.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <random>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/worker_pool.h"
#include "nn/loss.h"
#include "nn/optimiser.h"
#include "nn/pass.h"
#include "nn/plan.h"
#include "nn/random.h"

namespace anomalyd::app::ctl {
namespace {

using Eigen::Index;

constexpr Index kBatch = 64;

double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// About half a millisecond of nothing but multiply-adds.
double peak_gflops(const nn::Kernels<float>& kernels) {
  const double begin = thread_seconds();
  const double flops = kernels.burn(1 << 16);
  return flops / (thread_seconds() - begin) * 1e-9;
}

/// Multiply-adds of the products alone: what is left when norms are folded in.
double product_flops(const nn::Network<float>& network) {
  double flops = 0;
  for (std::size_t i = 0; i < network.nodes().size(); ++i) {
    const std::string& type = network.architecture().layers[i].type;
    if (type != "conv1d" && type != "conv_transpose1d" && type != "dense") continue;
    const nn::Node<float>& node = network.nodes()[i];
    const std::size_t value = node.inputs[0];
    const nn::Shape in = value == 0 ? network.input() : network.nodes()[value - 1].shape;
    flops += node.layer->flops({&in, 1});
  }
  return flops;
}

struct Timed {
  double seconds = 0;  ///< of one call
  double share = 0;    ///< of the peak
};

/// Runs call(), which takes `flops`, again and again.
template <class Call>
Timed time_share(const nn::Kernels<float>& kernels, double flops, double seconds, const Call& call,
                 std::vector<double>& peaks) {
  call();
  const double once_begin = thread_seconds();
  call();
  const double once = std::max(thread_seconds() - once_begin, 1e-7);
  // Repeats short enough that the machine keeps its speed within one.
  const int calls = std::max(1, static_cast<int>(2e-3 / once));
  std::vector<double> times;
  std::vector<double> shares;
  const double end = wall_seconds() + seconds;
  while (times.size() < 9 || wall_seconds() < end) {
    const double before = peak_gflops(kernels);
    const double begin = thread_seconds();
    for (int i = 0; i < calls; ++i) call();
    const double taken = (thread_seconds() - begin) / calls;
    const double peak = (before + peak_gflops(kernels)) / 2;
    times.push_back(taken);
    shares.push_back(flops / taken * 1e-9 / peak);
    peaks.push_back(peak);
  }
  return {median(std::move(times)), median(std::move(shares))};
}

nn::LayerSpec conv(const char* type, std::string name, Index in, Index out, Index kernel) {
  nn::LayerSpec spec;
  spec.name = std::move(name);
  spec.type = type;
  spec.in = in;
  spec.out = out;
  spec.kernel = kernel;
  spec.stride = kernel == 1 ? 1 : 2;
  spec.padding = kernel == 1 ? 0 : 1;
  spec.initialiser = "he_normal";
  return spec;
}

}  // namespace

Result<nn::Network<float>> bench_network(nn::Shape input) {
  nn::Architecture architecture;
  architecture.input = input;
  const auto add = [&](const nn::LayerSpec& spec, bool is_hidden) {
    architecture.layers.push_back(spec);
    if (!is_hidden) return;
    nn::LayerSpec norm;
    norm.name = spec.name + "_norm";
    norm.type = "batch_norm";
    norm.in = spec.out;
    architecture.layers.push_back(norm);
    nn::LayerSpec rectifier;
    rectifier.name = spec.name + "_leaky";
    rectifier.type = "leaky_relu";
    rectifier.slope = 0.2;
    architecture.layers.push_back(rectifier);
  };
  add(conv("conv1d", "encoder1", input.channels, 32, 4), true);
  add(conv("conv1d", "encoder2", 32, 64, 4), true);
  add(conv("conv1d", "encoder3", 64, 128, 4), true);
  add(conv("conv1d", "code", 128, 16, 1), false);
  add(conv("conv1d", "decoder0", 16, 128, 1), true);
  add(conv("conv_transpose1d", "decoder1", 128, 64, 4), true);
  add(conv("conv_transpose1d", "decoder2", 64, 32, 4), true);
  add(conv("conv_transpose1d", "decoder3", 32, input.channels, 4), false);
  auto made = nn::Network<float>::make(architecture, 1);
  if (!made.ok()) return made.error();
  nn::Network<float> network = std::move(made).value();
  // Running statistics near those of the batch, as behind a training.
  WorkerPool pool(1);
  nn::Pass<float> pass(pool);
  const nn::Matrix<float> x = bench_windows(input, kBatch);
  for (int i = 0; i < 40; ++i) pass.forward(network, x, nn::Mode::kTraining, 0);
  return network;
}

nn::Matrix<float> bench_windows(nn::Shape input, Index count) {
  std::mt19937_64 bits(7);
  nn::Matrix<float> windows(count, input.size());
  for (Index i = 0; i < windows.size(); ++i) {
    double sum = 0;  // of uniform numbers: near enough to a normal one
    for (int k = 0; k < 6; ++k) sum += nn::unit_uniform(bits) - 0.5;
    windows.data()[i] = static_cast<float>(sum * std::sqrt(2.0));
  }
  return windows;
}

InferenceFigures measure_inference(const nn::Network<float>& network,
                                   const nn::Kernels<float>& kernels, double seconds) {
  const nn::Plan plan(network, kernels);
  nn::Plan::Workspace workspace = plan.workspace();
  const nn::Matrix<float> windows = bench_windows(network.input(), kBatch);
  const auto size = static_cast<std::size_t>(windows.cols());
  const double flops = product_flops(network);
  std::vector<double> peaks;
  const Timed one = time_share(
      kernels, flops, seconds,
      [&] {
        plan.run({windows.data(), size}, workspace);
      },
      peaks);
  const Timed batch = time_share(
      kernels, flops * static_cast<double>(kBatch), seconds,
      [&] {
        for (Index i = 0; i < kBatch; ++i) plan.run({&windows(i, 0), size}, workspace);
      },
      peaks);
  InferenceFigures figures;
  figures.instruction_set = kernels.name;
  figures.input = network.input();
  figures.peak_gflops = median(std::move(peaks));
  figures.batch1_us = one.seconds * 1e6;
  figures.batch1_gflops = flops / one.seconds * 1e-9;
  figures.batch1_share = one.share;
  figures.batch64_us = batch.seconds * 1e6 / static_cast<double>(kBatch);
  figures.batch64_gflops = flops * static_cast<double>(kBatch) / batch.seconds * 1e-9;
  figures.batch64_share = batch.share;
  return figures;
}

TrainingFigures measure_training(const nn::Network<float>& network, std::size_t threads,
                                 double seconds) {
  nn::Network<float> trained = network;
  WorkerPool pool(threads);
  nn::Pass<float> pass(pool);
  auto made = nn::Optimiser<float>::make({}, trained.weights().size(), pool);
  ANOMALYD_CHECK(made.ok(), "the defaults of an optimiser are refused");
  nn::Optimiser<float> optimiser = std::move(made).value();
  const nn::Matrix<float> x = bench_windows(network.input(), kBatch);
  nn::Matrix<float> dy;
  const std::array<const nn::Matrix<float>*, 1> gradients{&dy};
  std::uint64_t seed = 0;
  const auto step = [&] {
    pass.forward(trained, x, nn::Mode::kTraining, ++seed);
    nn::mean_squared_error(pass.output(), x, dy);
    pass.backward(gradients, nn::Wanted::kWeights);
    optimiser.step(trained.weights(), pass.gradient());
  };
  for (int i = 0; i < 3; ++i) step();
  std::vector<double> walls;
  std::vector<double> cpus;
  const double end = wall_seconds() + seconds;
  while (walls.size() < 9 || wall_seconds() < end) {
    const double wall = wall_seconds();
    const double cpu = thread_seconds();
    step();
    walls.push_back(wall_seconds() - wall);
    cpus.push_back(thread_seconds() - cpu);
  }
  return {threads, 1 / median(std::move(walls)), 1 / median(std::move(cpus))};
}

double measure_load(const nn::Network<float>& network) {
  nn::TensorFile file;
  network.save("", file);
  file.metadata["architecture"] = nn::to_json(network.architecture());
  const std::string bytes = nn::format_tensor_file(file);
  std::vector<double> times;
  for (int i = 0; i < 21; ++i) {
    const double begin = thread_seconds();
    const auto parsed = nn::parse_tensor_file(bytes);
    ANOMALYD_CHECK(parsed.ok(), "what was written cannot be read");
    const auto architecture =
        nn::parse_architecture(parsed.value().metadata.find("architecture")->second);
    ANOMALYD_CHECK(architecture.ok(), "what was written cannot be read");
    auto loaded = nn::Network<float>::make(architecture.value(), 0);
    ANOMALYD_CHECK(loaded.ok() && loaded.value().load("", parsed.value()).ok(),
                   "what was written cannot be loaded");
    const nn::Plan plan(loaded.value());
    const nn::Plan::Workspace workspace = plan.workspace();
    times.push_back((thread_seconds() - begin) * 1e3);
  }
  return median(std::move(times));
}

double measure_allocations(const nn::Network<float>& network,
                           const std::function<std::uint64_t()>& allocations) {
  constexpr int kCalls = 1000;
  const nn::Plan plan(network);
  nn::Plan::Workspace workspace = plan.workspace();
  const nn::Matrix<float> windows = bench_windows(network.input(), 1);
  const std::uint64_t before = allocations();
  for (int i = 0; i < kCalls; ++i) {
    plan.run({windows.data(), static_cast<std::size_t>(windows.size())}, workspace);
  }
  return static_cast<double>(allocations() - before) / kCalls;
}

nn::TensorFile bench_export(const nn::Network<float>& network) {
  nn::TensorFile file;
  network.save("", file);
  file.metadata["architecture"] = nn::to_json(network.architecture());
  const nn::Matrix<float> x = bench_windows(network.input(), kBatch);
  const nn::Plan plan(network);
  nn::Plan::Workspace workspace = plan.workspace();
  nn::Tensor out;
  for (Index i = 0; i < kBatch; ++i) {
    plan.run({&x(i, 0), static_cast<std::size_t>(x.cols())}, workspace);
    const std::span<const float> y = plan.output_of(workspace);
    out.values.insert(out.values.end(), y.begin(), y.end());
  }
  const nn::Shape input = network.input();
  out.shape = {kBatch, static_cast<std::size_t>(input.samples),
               static_cast<std::size_t>(input.channels)};
  file.tensors["x"] = {out.shape, std::vector<float>(x.data(), x.data() + x.size())};
  file.tensors["y"] = std::move(out);
  return file;
}

}  // namespace anomalyd::app::ctl

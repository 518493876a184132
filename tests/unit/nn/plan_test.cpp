#include "nn/plan.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#include "base/worker_pool.h"
#include "nn/pass.h"
#include "plan_nets.h"
#include "support/catch.h"

namespace anomalyd::nn {
namespace {

using Window = std::vector<float>;

/// Head h of every window, run one after the other.
std::vector<Window> run_plan(const Plan& plan, const std::vector<Window>& windows,
                             std::size_t head = 0) {
  Plan::Workspace workspace = plan.workspace();
  std::vector<Window> results;
  for (const Window& window : windows) {
    plan.run(window, workspace);
    const std::span<const float> out = plan.output_of(workspace, head);
    results.emplace_back(out.begin(), out.end());
  }
  return results;
}

std::vector<Window> run_pass(Network<float> network, const std::vector<Window>& windows,
                             std::size_t head = 0) {
  WorkerPool pool(1);
  Pass<float> pass(pool);
  Matrix<float> x(static_cast<Eigen::Index>(windows.size()), network.input().size());
  for (std::size_t i = 0; i < windows.size(); ++i) {
    std::copy(windows[i].begin(), windows[i].end(), &x(static_cast<Eigen::Index>(i), 0));
  }
  pass.forward(network, x, Mode::kScoring, 0);
  const Matrix<float>& y = pass.output(head);
  std::vector<Window> results;
  for (Eigen::Index i = 0; i < y.rows(); ++i) {
    results.emplace_back(&y(i, 0), &y(i, 0) + y.cols());
  }
  return results;
}

std::vector<Window> some_windows(const Network<float>& network, std::size_t count) {
  std::vector<Window> windows;
  for (std::size_t i = 0; i < count; ++i) windows.push_back(random_window(network, 100 + i));
  return windows;
}

double worst_difference(const std::vector<Window>& a, const std::vector<Window>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  double size = 1;
  for (std::size_t i = 0; i < a.size(); ++i) {
    REQUIRE(a[i].size() == b[i].size());
    for (std::size_t j = 0; j < a[i].size(); ++j) {
      const double off = std::abs(double{a[i][j]} - double{b[i][j]});
      worst = off <= worst ? worst : off;  // so that NaN shows
      size = std::max(size, std::abs(double{b[i][j]}));
    }
  }
  return worst / size;
}

bool same_bits(const Window& a, const Window& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// Counted, for the windows themselves would be pages.
std::size_t different_numbers(const std::vector<Window>& a, const std::vector<Window>& b) {
  REQUIRE(a.size() == b.size());
  std::size_t count = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    REQUIRE(a[i].size() == b[i].size());
    for (std::size_t j = 0; j < a[i].size(); ++j) count += a[i][j] == b[i][j] ? 0U : 1U;
  }
  return count;
}

void check_equals_pass(const Network<float>& network) {
  const std::vector<Window> windows = some_windows(network, 11);
  for (std::size_t head = 0; head < network.heads(); ++head) {
    INFO("head " << head);
    const Plan plan(network);
    CHECK(plan.output(head) == network.output(head));
    CHECK(different_numbers(run_plan(plan, windows, head), run_pass(network, windows, head)) == 0);
  }
}

void check_near_pass(const Network<float>& network) {
  const std::vector<Window> windows = some_windows(network, 11);
  for (std::size_t head = 0; head < network.heads(); ++head) {
    INFO("head " << head);
    CHECK(worst_difference(run_plan(Plan(network), windows, head),
                           run_pass(network, windows, head)) <= 1e-5);
  }
}

LayerSpec spectral(LayerSpec spec) {
  spec.spectral_norm = true;
  return spec;
}

TEST_CASE("A plan by hand: convolution, rectifier and dense", "[nn][plan]") {
  auto made = Network<float>::make(
      {{3, 1}, {conv("c", 1, 1, 2, 1, 0), layer("r", "relu"), layer("d", "dense", 2, 1)}, {}}, 1);
  REQUIRE(made.ok());
  Network<float> network = std::move(made).value();
  // y[t] = relu(x[t] - 2 x[t + 1] + 1); z = 3 y[0] + 4 y[1] - 5.
  const std::vector<float> weights{1, -2, 1, 3, 4, -5};
  std::copy(weights.begin(), weights.end(), network.weights().begin());
  const auto result = run_plan(Plan(network), {{5, 1, 7}, {0, 2, 0}});
  CHECK(result[0] == Window{3 * 4 + 0 - 5});
  CHECK(result[1] == Window{0 + 4 * 3 - 5});
}

TEST_CASE("A plan equals the pass to the last bit where no norm is folded", "[nn][plan]") {
  check_equals_pass(reference_network(false));

  struct Sizes {
    Eigen::Index in, out, kernel, stride, padding, dilation, groups;
  };
  for (const Sizes& s : std::vector<Sizes>{{3, 5, 4, 2, 1, 1, 1},
                                           {4, 6, 3, 1, 1, 1, 2},
                                           {4, 8, 3, 3, 2, 2, 4},
                                           {6, 3, 5, 2, 0, 3, 3},
                                           {2, 1, 3, 1, 1, 1, 1},
                                           {16, 1, 8, 8, 0, 1, 1},
                                           {1, 40, 1, 1, 0, 1, 1},
                                           {8, 2, 2, 4, 0, 1, 1},
                                           {5, 2, 6, 3, 1, 1, 1}}) {
    INFO(s.in << "->" << s.out << " kernel " << s.kernel << " stride " << s.stride << " padding "
              << s.padding << " dilation " << s.dilation << " groups " << s.groups);
    check_equals_pass(plan_network(
        {19, s.in},
        {conv("c", s.in, s.out, s.kernel, s.stride, s.padding, s.dilation, s.groups), leaky("l")}));
    check_equals_pass(plan_network({19, s.in}, {conv_transpose("c", s.in, s.out, s.kernel, s.stride,
                                                               s.padding, s.dilation, s.groups),
                                                leaky("l")}));
  }
}

TEST_CASE("A plan equals the pass for every layer that is no product", "[nn][plan]") {
  check_equals_pass(plan_network(
      {12, 4}, {layer("a", "gelu"), layer("b", "layer_norm", 4), layer("c", "instance_norm", 4),
                layer("d", "sigmoid"), layer("e", "lstm", 4, 6), layer("f", "gru", 6, 4),
                layer("g", "dropout"), layer("h", "gradient_reversal"), layer("i", "batch_norm", 4),
                layer("j", "softmax", 4), reads(layer("k", "concat", 0, 8), {"c", "j"}),
                layer("l", "tanh")}));
}

TEST_CASE("A plan divides by the spectral norm", "[nn][plan]") {
  check_equals_pass(plan_network(
      {16, 3},
      {spectral(conv("a", 3, 8, 3, 1, 1)), leaky("b"), spectral(conv_transpose("c", 8, 4, 4, 2, 1)),
       layer("flat", "reshape", 0, 1), spectral(layer("d", "dense", 128, 3))}));
}

TEST_CASE("A norm is folded into the product before it", "[nn][plan][batch_norm]") {
  check_near_pass(reference_network(true));
  check_near_pass(plan_network(
      {16, 4}, {conv("c", 4, 8, 3, 1, 1, 1, 2), layer("n", "batch_norm", 8), leaky("l")}));
  check_near_pass(plan_network({16, 4}, {conv_transpose("c", 4, 8, 3, 2, 1, 1, 4),
                                         layer("n", "batch_norm", 8), leaky("l")}));
  // Through a reshape, whose channels are not those of the product.
  check_near_pass(plan_network({1, 6}, {layer("d", "dense", 6, 24), layer("r", "reshape", 0, 6),
                                        layer("n", "batch_norm", 6), layer("relu", "relu")}));
}

TEST_CASE("A norm is folded into the product behind it only where no zeros are padded",
          "[nn][plan][batch_norm]") {
  for (const Eigen::Index padding : {0, 1}) {
    INFO("padding " << padding);
    check_near_pass(plan_network(
        {16, 4}, {layer("n", "batch_norm", 4), conv("c", 4, 6, 3, 1, padding, 1, 2), leaky("l")}));
    check_near_pass(plan_network(
        {16, 4}, {layer("n", "batch_norm", 4), conv_transpose("c", 4, 6, 3, 2, padding)}));
  }
  check_near_pass(plan_network({4, 3}, {layer("n", "batch_norm", 3), layer("r", "reshape", 0, 1),
                                        layer("d", "dense", 12, 5)}));
}

TEST_CASE("A norm or rectifier stays by itself where others read what it reads",
          "[nn][plan][batch_norm]") {
  check_near_pass(
      plan_network({16, 4}, {conv("c", 4, 4, 3, 1, 1), layer("n", "batch_norm", 4), leaky("l"),
                             reads(layer("s", "add"), {"c", "l"}), conv("d", 4, 2, 1, 1, 0)}));
  // The norm's own value is a head; so is what comes before the rectifier.
  check_near_pass(plan_network(
      {16, 4}, {conv("c", 4, 4, 3, 1, 1), layer("n", "batch_norm", 4), leaky("l")}, {"n", "l"}));
  check_near_pass(plan_network(
      {16, 4}, {conv("c", 4, 4, 3, 1, 1), leaky("l"), layer("n", "batch_norm", 4)}, {"c", "n"}));
  check_near_pass(
      plan_network({16, 4}, {conv("c", 4, 4, 3, 1, 1), leaky("l"), layer("n", "batch_norm", 4)}));
  // Reshaped so that a channel of the norm is of several channels of the product.
  check_near_pass(plan_network({16, 4}, {conv("c", 4, 6, 3, 1, 1), layer("r", "reshape", 0, 4),
                                         layer("n", "batch_norm", 4)}));
  // Two rectifiers in a row, and a norm behind them.
  check_near_pass(plan_network({16, 4}, {conv("c", 4, 4, 3, 1, 1), leaky("l"), leaky("m", 0.5),
                                         layer("n", "batch_norm", 4)}));
}

TEST_CASE("Skips, several heads and reused memory", "[nn][plan]") {
  const Network<float> network = tangled_network();
  check_near_pass(network);
  const Plan plan(network);
  CHECK(plan.heads() == 3);
  CHECK(plan.workspace_bytes() > 0);
  // A chain of layers of one size needs little more memory than two of its values.
  std::vector<LayerSpec> chain;
  for (int i = 0; i < 20; ++i) chain.push_back(conv("c" + std::to_string(i), 16, 16, 3, 1, 1));
  const Network<float> deep = plan_network({256, 16}, chain);
  check_equals_pass(deep);
  CHECK(Plan(deep).workspace_bytes() < 3 * 256 * 16 * sizeof(float));
}

TEST_CASE("The input may be a head, and be read late", "[nn][plan]") {
  check_equals_pass(
      plan_network({8, 2},
                   {layer("same", "dropout"), conv("c", 2, 8, 3, 1, 1), conv("d", 8, 2, 3, 1, 1),
                    reads(layer("back", "add"), {"input", "d"})},
                   {"same", "back"}));
}

TEST_CASE("A window's bits do not depend on the windows before it, NaN or Inf",
          "[nn][plan][determinism][non-finite]") {
  for (const Network<float>& network : {reference_network(true), tangled_network()}) {
    const Plan plan(network);
    std::vector<Window> windows = some_windows(network, 3);
    const std::vector<Window> clean = run_plan(plan, windows);
    Window broken = windows[0];
    broken[5] = std::numeric_limits<float>::quiet_NaN();
    broken[40] = std::numeric_limits<float>::infinity();
    const std::vector<Window> mixed =
        run_plan(plan, {windows[2], broken, windows[1], windows[0], broken, windows[2]});
    CHECK(same_bits(mixed[0], clean[2]));
    CHECK(same_bits(mixed[2], clean[1]));
    CHECK(same_bits(mixed[3], clean[0]));
    CHECK(same_bits(mixed[5], clean[2]));
    CHECK(std::any_of(mixed[1].begin(), mixed[1].end(), [](float y) { return std::isnan(y); }));
  }
}

TEST_CASE("Fused instruction sets give the same bits", "[nn][plan][determinism]") {
  for (const Network<float>& network : {reference_network(true), tangled_network()}) {
    const std::vector<Window> windows = some_windows(network, 5);
    std::vector<Window> first;
    for (const Kernels<float>& kernels : float_kernels()) {
      INFO(kernels.name);
      const std::vector<Window> results = run_plan(Plan(network, kernels), windows);
      CHECK(worst_difference(results, run_pass(network, windows)) <= 1e-5);
      if (kernels.name == "baseline") continue;
      if (first.empty()) first = results;
      for (std::size_t i = 0; i < results.size(); ++i) CHECK(same_bits(results[i], first[i]));
    }
  }
}

TEST_CASE("Threads share a plan, each with its workspace", "[nn][plan][threads]") {
  const Network<float> network = tangled_network();
  const Plan plan(network);
  const std::vector<Window> windows = some_windows(network, 20);
  const std::vector<Window> expected = run_plan(plan, windows);
  std::vector<std::vector<Window>> results(4);
  std::vector<std::thread> threads;
  for (std::vector<Window>& mine : results) {
    threads.emplace_back([&] { mine = run_plan(plan, windows); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<Window>& mine : results) CHECK(different_numbers(mine, expected) == 0);
}

TEST_CASE("A plan outlives its network and can be moved", "[nn][plan]") {
  std::vector<Window> windows;
  std::vector<Window> expected;
  const auto make = [&] {
    const Network<float> network = tangled_network();
    windows = some_windows(network, 2);
    expected = run_plan(Plan(network), windows);
    return Plan(network);
  };
  Plan plan = make();
  Plan::Workspace workspace = plan.workspace();
  const Plan moved = std::move(plan);
  moved.run(windows[1], workspace);
  const std::span<const float> out = moved.output_of(workspace);
  CHECK(same_bits(Window(out.begin(), out.end()), expected[1]));
}

}  // namespace
}  // namespace anomalyd::nn

// A program of its own, for it counts all that it asks of the heap.
#include <Eigen/Core>
#include <cstdlib>
#include <memory>

#include "heap_count.h"
#include "nn/plan.h"
#include "plan_nets.h"
#include "support/catch.h"

namespace anomalyd::nn {
namespace {

/// Allocations of the first run, and of a hundred more.
std::uint64_t allocations_of(const Network<float>& network) {
  const Plan plan(network);
  Plan::Workspace workspace = plan.workspace();
  const std::vector<float> window = random_window(network, 1);
  const std::uint64_t before = heap_requests();
  for (int i = 0; i < 101; ++i) plan.run(window, workspace);
  return heap_requests() - before;
}

TEST_CASE("The count counts operator new, on cache lines too", "[nn][plan][allocations]") {
  const std::uint64_t before = heap_requests();
  const auto buffer = std::make_unique<Buffer<float>>(100);
  const std::uint64_t after = heap_requests();
  CHECK(buffer->size() == 100);
  CHECK(after == before + 2);
}

TEST_CASE("The count counts Eigen's own", "[nn][plan][allocations]") {
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    !defined(__clang__)
  const std::uint64_t before = heap_requests();
  const Eigen::MatrixXf matrix = Eigen::MatrixXf::Zero(20, 20);
  const std::uint64_t after = heap_requests();
  CHECK(matrix.size() == 400);
  CHECK(after == before + 1);
#else
  CHECK(heap_requests() > 0);  // by operator new alone
#endif
}

TEST_CASE("Running a plan allocates nothing, not even the first time", "[nn][plan][allocations]") {
  CHECK(allocations_of(reference_network(true)) == 0);
  CHECK(allocations_of(reference_network(false)) == 0);
  CHECK(allocations_of(tangled_network()) == 0);
  CHECK(allocations_of(plan_network(
            {12, 4}, {layer("a", "instance_norm", 4), layer("b", "lstm", 4, 6),
                      layer("c", "gru", 6, 5), layer("d", "sigmoid"),
                      reads(layer("e", "concat", 0, 9), {"a", "d"}), layer("f", "softmax", 9)})) ==
        0);
}

}  // namespace
}  // namespace anomalyd::nn

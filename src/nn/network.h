#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "nn/architecture.h"
#include "nn/layer.h"
#include "nn/tensor_file.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// A named array of a network, seen in place.
template <class Scalar>
struct NamedArray {
  std::string name;  ///< "<layer>.weights"
  std::vector<std::size_t> shape;
  std::span<Scalar> values;
  double least = -std::numeric_limits<double>::infinity();  ///< what a file may hold
};

/// What a network costs.
struct NetworkCost {
  std::size_t parameters = 0;  ///< trained numbers
  std::size_t buffers = 0;     ///< numbers that are kept but not trained
  std::size_t bytes = 0;       ///< of both, as float32
  std::size_t values = 0;      ///< of one window in all layers
  double flops = 0;            ///< of one window's forward pass
};

/// Where one layer stands in its network.
template <class Scalar>
struct Node {
  std::string name;
  std::unique_ptr<Layer<Scalar>> layer;
  std::vector<std::size_t> inputs;  ///< values it reads: 0 is the input, i + 1 what node i wrote
  Shape shape;                      ///< of what it writes
  Eigen::Index kept_size = 0;
  std::size_t weights_at = 0;  ///< its parameters in Network::weights()
  std::size_t weight_count = 0;
  std::size_t buffers_at = 0;  ///< in Network::buffers()
  std::size_t buffer_count = 0;
};

/// Layers in order, each reading layers before it, and the numbers of all.
///
/// Shapes    x (n, input().size()); head h gives (n, output(h).size()).
/// Errors    make() returns kInvalidArgument for layers that do not fit each other or exceed
///           kMaxLayers, kMaxParameters, kMaxValues or kMaxFlops, kUnsupported for an unknown
///           type. Nothing is allocated before it is within them.
/// Threads   const access is safe to share; the rest is not. Copies share no numbers.
template <class Scalar>
class Network {
 public:
  static constexpr std::size_t kMaxLayers = 256;
  static constexpr std::size_t kMaxParameters = std::size_t{1} << 24U;
  /// A window's values in all layers and its arithmetic: about a second of work. A file may ask
  /// for no more.
  static constexpr double kMaxValues = 1 << 25;
  static constexpr double kMaxFlops = 8589934592.0;

  /// Weights drawn from `seed`, each array from its own; the same bits on every platform.
  /// `most_numbers`: what its parameters and buffers may be at most, when a file that is to fill
  /// them has no more.
  static Result<Network> make(const Architecture& architecture, std::uint64_t seed,
                              double most_numbers = static_cast<double>(kMaxParameters));

  Network(const Network& other);
  Network(Network&&) noexcept = default;
  Network& operator=(const Network& other);
  Network& operator=(Network&&) noexcept = default;
  ~Network() = default;

  const Architecture& architecture() const { return architecture_; }
  Shape input() const { return architecture_.input; }
  std::size_t heads() const { return heads_.size(); }
  Shape output(std::size_t head = 0) const;
  NetworkCost cost() const;

  /// All parameters one after the other, in the order of the layers; buffers likewise.
  std::span<Scalar> weights() { return weights_; }
  std::span<const Scalar> weights() const { return weights_; }
  std::span<Scalar> buffers() { return buffers_; }
  std::span<const Scalar> buffers() const { return buffers_; }
  std::vector<NamedArray<Scalar>> parameters();
  std::vector<NamedArray<const Scalar>> parameters() const;
  /// Parameters and buffers: all that a file holds.
  std::vector<NamedArray<Scalar>> state();
  std::vector<NamedArray<const Scalar>> state() const;

  /// Writes state() as tensors "<prefix><name>".
  void save(std::string_view prefix, TensorFile& file) const;
  /// Reads them.  Errors  kCorrupt for one that is missing, of another shape or not finite.
  Status load(std::string_view prefix, const TensorFile& file);

  /// The graph, for what runs it: Pass and Plan.
  std::span<const Node<Scalar>> nodes() const { return nodes_; }
  /// Values that are the heads: indices as in Node::inputs.
  std::span<const std::size_t> head_values() const { return heads_; }

 private:
  Network() = default;
  Status build(const Architecture& architecture, double most_numbers);

  Architecture architecture_;
  std::vector<Node<Scalar>> nodes_;
  std::vector<std::size_t> heads_;
  Buffer<Scalar> weights_;
  Buffer<Scalar> buffers_;
};

extern template class Network<float>;
extern template class Network<double>;

}  // namespace anomalyd::nn

#include "nn/network.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "nn/random.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;

template <class Scalar>
MadeLayer<Scalar> make_layer(const LayerType& type, const LayerSpec& spec) {
  if constexpr (std::is_same_v<Scalar, float>) {
    return type.make_float(spec);
  } else {
    return type.make_double(spec);
  }
}

double size_of(Shape shape) {
  return static_cast<double>(shape.samples) * static_cast<double>(shape.channels);
}

double count_of(const std::vector<std::size_t>& shape) {
  double count = 1;
  for (const std::size_t side : shape) count *= static_cast<double>(side);
  return count;
}

std::string shape_text(const std::vector<std::size_t>& shape) {
  std::string text = "[";
  for (const std::size_t side : shape) {
    text += (text.size() > 1 ? ", " : "") + std::to_string(side);
  }
  return text + "]";
}

std::string whole(double value) { return std::to_string(static_cast<std::uint64_t>(value)); }

/// What network.cpp adds up while layers are put together.
struct Load {
  double weights = 0;
  double buffers = 0;
  double values = 0;
  double flops = 0;
};

template <class Scalar>
Status check_load(const Load& load, double most_numbers) {
  using Limits = Network<Scalar>;
  if (load.weights + load.buffers <= most_numbers && load.values <= Limits::kMaxValues &&
      load.flops <= Limits::kMaxFlops) {
    return Done{};
  }
  return Error{ErrorCode::kInvalidArgument, "more than " + std::to_string(Limits::kMaxParameters) +
                                                " parameters, " + whole(Limits::kMaxValues) +
                                                " values or " + whole(Limits::kMaxFlops) +
                                                " floating-point operations a window"};
}

}  // namespace

template <class Scalar>
Status Network<Scalar>::build(const Architecture& architecture, double most_numbers) {
  architecture_ = architecture;
  const auto refuse = [](const std::string& what) {
    return Error{ErrorCode::kInvalidArgument, "network: " + what};
  };
  std::vector<Shape> shapes{architecture.input};
  Load load;
  load.values = size_of(architecture.input);
  if (architecture.input.samples < 1 || architecture.input.channels < 1 ||
      !(load.values <= kMaxValues)) {
    return refuse("input is " + std::to_string(architecture.input.samples) + " samples x " +
                  std::to_string(architecture.input.channels) +
                  " channels, expected at least 1 of each and at most " + whole(kMaxValues) +
                  " values");
  }
  if (architecture.layers.empty() || architecture.layers.size() > kMaxLayers) {
    return refuse(std::to_string(architecture.layers.size()) + " layers, expected 1 to " +
                  std::to_string(kMaxLayers));
  }
  const auto find_value = [&](const std::string& name, std::size_t before) -> std::size_t {
    if (name == "input") return 0;
    for (std::size_t i = 0; i < before; ++i) {
      if (architecture.layers[i].name == name) return i + 1;
    }
    return before + 1;  // none
  };
  for (std::size_t i = 0; i < architecture.layers.size(); ++i) {
    const LayerSpec& spec = architecture.layers[i];
    const std::string where = "layers[" + std::to_string(i) + "] (" + spec.name + "): ";
    const Result<const LayerType*> type = find_layer_type(spec.type);
    if (!type.ok()) return Error{type.error().code, "network: " + where + type.error().message};
    Node<Scalar> node;
    node.name = spec.name;
    if (find_value(spec.name, i) != i + 1) return refuse(where + "the name is taken");
    for (const std::string& name : spec.inputs) {
      const std::size_t value = find_value(name, i);
      if (value > i) return refuse(where + "no layer \"" + name + "\" before it");
      node.inputs.push_back(value);
    }
    if (spec.inputs.empty()) node.inputs.push_back(i);
    if (node.inputs.size() < type.value()->min_inputs ||
        node.inputs.size() > type.value()->max_inputs) {
      return refuse(where + spec.type + " reads " + std::to_string(type.value()->min_inputs) +
                    " to " + std::to_string(type.value()->max_inputs) + " layers, got " +
                    std::to_string(node.inputs.size()));
    }
    MadeLayer<Scalar> layer = make_layer<Scalar>(*type.value(), spec);
    if (!layer.ok()) return Error{layer.error().code, "network: " + where + layer.error().message};
    node.layer = std::move(layer).value();

    std::array<Shape, kMaxInputs> in;
    std::transform(node.inputs.begin(), node.inputs.end(), in.begin(),
                   [&](std::size_t value) { return shapes[value]; });
    const std::span<const Shape> read(in.data(), node.inputs.size());
    const Result<Shape> shape = node.layer->out_shape(read);
    if (!shape.ok()) return Error{shape.error().code, "network: " + where + shape.error().message};
    node.shape = shape.value();
    node.kept_size = node.layer->kept_size(read);
    // Before anything is allocated: the sizes may come from a file.
    const double before_weights = load.weights;
    const double before_buffers = load.buffers;
    for (const ParameterSpec& each : node.layer->parameters()) load.weights += count_of(each.shape);
    for (const BufferSpec& each : node.layer->buffers()) load.buffers += count_of(each.shape);
    load.values += size_of(node.shape) + static_cast<double>(node.kept_size) +
                   node.layer->working_numbers(read);
    load.flops += node.layer->work(read);
    if (Status status = check_load<Scalar>(load, most_numbers); !status.ok()) {
      return refuse(where + status.error().message);
    }
    node.weights_at = static_cast<std::size_t>(before_weights);
    node.weight_count = static_cast<std::size_t>(load.weights - before_weights);
    node.buffers_at = static_cast<std::size_t>(before_buffers);
    node.buffer_count = static_cast<std::size_t>(load.buffers - before_buffers);
    shapes.push_back(node.shape);
    nodes_.push_back(std::move(node));
  }
  for (const std::string& name : architecture.outputs) {
    const std::size_t value = find_value(name, nodes_.size());
    if (value == 0 || value > nodes_.size()) return refuse("outputs: no layer \"" + name + "\"");
    heads_.push_back(value);
  }
  if (heads_.empty()) heads_.push_back(nodes_.size());
  weights_.resize(static_cast<std::size_t>(load.weights));
  buffers_.resize(static_cast<std::size_t>(load.buffers));
  return Done{};
}

template <class Scalar>
Result<Network<Scalar>> Network<Scalar>::make(const Architecture& architecture, std::uint64_t seed,
                                              double most_numbers) {
  Network network;
  most_numbers = std::min(most_numbers, static_cast<double>(kMaxParameters));
  if (Status status = network.build(architecture, most_numbers); !status.ok()) {
    return status.error();
  }
  for (std::size_t i = 0; i < network.nodes_.size(); ++i) {
    const Node<Scalar>& node = network.nodes_[i];
    std::span<Scalar> weights(network.weights_.data() + node.weights_at, node.weight_count);
    const std::uint64_t layer_seed = derive_seed(seed, i);
    std::uint64_t index = 0;
    for (const ParameterSpec& each : node.layer->parameters()) {
      const auto count = static_cast<std::size_t>(count_of(each.shape));
      initialise<Scalar>(each.initialiser, derive_seed(layer_seed, index++), weights.first(count));
      weights = weights.subspan(count);
    }
    Scalar* const buffers = network.buffers_.data() + node.buffers_at;
    Scalar* at = buffers;
    for (const BufferSpec& each : node.layer->buffers()) {
      at = std::fill_n(at, static_cast<std::size_t>(count_of(each.shape)),
                       static_cast<Scalar>(each.initial));
    }
    node.layer->begin(network.weights_.data() + node.weights_at, buffers);
  }
  return network;
}

template <class Scalar>
Network<Scalar>::Network(const Network& other) {
  // Layers hold no numbers: putting them together again gives the same.
  const Status status = build(other.architecture_, static_cast<double>(kMaxParameters));
  ANOMALYD_CHECK(status.ok(), "a network that was made cannot be made again");
  weights_ = other.weights_;
  buffers_ = other.buffers_;
}

template <class Scalar>
Network<Scalar>& Network<Scalar>::operator=(const Network& other) {
  if (this != &other) *this = Network(other);
  return *this;
}

template <class Scalar>
Shape Network<Scalar>::output(std::size_t head) const {
  return nodes_[heads_.at(head) - 1].shape;
}

template <class Scalar>
NetworkCost Network<Scalar>::cost() const {
  NetworkCost cost;
  cost.parameters = weights_.size();
  cost.buffers = buffers_.size();
  cost.bytes = (weights_.size() + buffers_.size()) * sizeof(float);
  cost.values = static_cast<std::size_t>(input().size());
  for (const Node<Scalar>& node : nodes_) {
    std::array<Shape, kMaxInputs> in;
    std::transform(node.inputs.begin(), node.inputs.end(), in.begin(), [&](std::size_t value) {
      return value == 0 ? input() : nodes_[value - 1].shape;
    });
    cost.flops += node.layer->flops({in.data(), node.inputs.size()});
    cost.values += static_cast<std::size_t>(node.shape.size() + node.kept_size);
  }
  return cost;
}

namespace {

/// The named arrays of all nodes: Numbers is Scalar or const Scalar.
template <class Scalar, class Numbers>
void list_parameters(std::span<const Node<Scalar>> nodes, Numbers* weights,
                     std::vector<NamedArray<Numbers>>& out) {
  for (const Node<Scalar>& node : nodes) {
    Numbers* at = weights + node.weights_at;
    for (const ParameterSpec& each : node.layer->parameters()) {
      const auto count = static_cast<std::size_t>(count_of(each.shape));
      out.push_back({node.name + "." + each.name, each.shape, {at, count}});
      at += count;
    }
  }
}

template <class Scalar, class Numbers>
void list_buffers(std::span<const Node<Scalar>> nodes, Numbers* buffers,
                  std::vector<NamedArray<Numbers>>& out) {
  for (const Node<Scalar>& node : nodes) {
    Numbers* at = buffers + node.buffers_at;
    for (const BufferSpec& each : node.layer->buffers()) {
      const auto count = static_cast<std::size_t>(count_of(each.shape));
      out.push_back({node.name + "." + each.name, each.shape, {at, count}, each.least});
      at += count;
    }
  }
}

}  // namespace

template <class Scalar>
std::vector<NamedArray<Scalar>> Network<Scalar>::parameters() {
  std::vector<NamedArray<Scalar>> all;
  list_parameters<Scalar, Scalar>(nodes_, weights_.data(), all);
  return all;
}

template <class Scalar>
std::vector<NamedArray<const Scalar>> Network<Scalar>::parameters() const {
  std::vector<NamedArray<const Scalar>> all;
  list_parameters<Scalar, const Scalar>(nodes_, weights_.data(), all);
  return all;
}

template <class Scalar>
std::vector<NamedArray<Scalar>> Network<Scalar>::state() {
  std::vector<NamedArray<Scalar>> all = parameters();
  list_buffers<Scalar, Scalar>(nodes_, buffers_.data(), all);
  return all;
}

template <class Scalar>
std::vector<NamedArray<const Scalar>> Network<Scalar>::state() const {
  std::vector<NamedArray<const Scalar>> all = parameters();
  list_buffers<Scalar, const Scalar>(nodes_, buffers_.data(), all);
  return all;
}

template <class Scalar>
void Network<Scalar>::save(std::string_view prefix, TensorFile& file) const {
  for (const NamedArray<const Scalar>& array : state()) {
    Tensor tensor{array.shape, {}};
    tensor.values.reserve(array.values.size());
    for (const Scalar value : array.values) tensor.values.push_back(static_cast<float>(value));
    file.tensors[std::string(prefix) + array.name] = std::move(tensor);
  }
}

template <class Scalar>
Status Network<Scalar>::load(std::string_view prefix, const TensorFile& file) {
  for (const NamedArray<Scalar>& array : state()) {
    const std::string name = std::string(prefix) + array.name;
    const auto found = file.tensors.find(name);
    if (found == file.tensors.end()) {
      return Error{ErrorCode::kCorrupt, "tensor \"" + name + "\" is missing"};
    }
    const Tensor& tensor = found->second;
    if (tensor.shape != array.shape || tensor.values.size() != array.values.size()) {
      return Error{ErrorCode::kCorrupt, "tensor \"" + name + "\": shape is " +
                                            shape_text(tensor.shape) + ", expected " +
                                            shape_text(array.shape)};
    }
    for (std::size_t i = 0; i < tensor.values.size(); ++i) {
      if (!std::isfinite(tensor.values[i])) {
        return Error{ErrorCode::kCorrupt,
                     "tensor \"" + name + "\": value " + std::to_string(i) + " is not finite"};
      }
      if (static_cast<double>(tensor.values[i]) < array.least) {
        return Error{ErrorCode::kCorrupt, "tensor \"" + name + "\": value " + std::to_string(i) +
                                              " is " + std::to_string(tensor.values[i]) +
                                              ", expected at least " + std::to_string(array.least)};
      }
      array.values[i] = static_cast<Scalar>(tensor.values[i]);
    }
  }
  return Done{};
}

template class Network<float>;
template class Network<double>;

}  // namespace anomalyd::nn

#include "nn/network.h"

#include <algorithm>

#include "nn/conv1d.h"
#include "nn/dense.h"
#include "nn/leaky_relu.h"
#include "nn/random.h"

namespace anomalyd::nn {
namespace {

template <class Scalar>
using Made = Result<std::unique_ptr<Layer<Scalar>>>;

template <class Scalar, class Concrete>
Made<Scalar> own(Result<Concrete> layer) {
  if (!layer.ok()) return layer.error();
  return std::unique_ptr<Layer<Scalar>>(std::make_unique<Concrete>(std::move(layer).value()));
}

double parameters_of(const LayerSpec& spec) {
  if (spec.type == "leaky_relu") return 0;
  const double kernel = spec.type == "dense" ? 1.0 : static_cast<double>(spec.kernel);
  return kernel * static_cast<double>(spec.in) * static_cast<double>(spec.out) +
         static_cast<double>(spec.out);
}

template <class Scalar>
Made<Scalar> make_layer(const LayerSpec& spec, std::uint64_t seed) {
  const ConvSize size{spec.in, spec.out, spec.kernel, spec.stride, spec.padding};
  if (spec.type == "conv1d") return own<Scalar>(Conv1d<Scalar>::make(size, seed));
  if (spec.type == "conv_transpose1d")
    return own<Scalar>(ConvTranspose1d<Scalar>::make(size, seed));
  if (spec.type == "dense") return own<Scalar>(Dense<Scalar>::make(spec.in, spec.out, seed));
  if (spec.type == "leaky_relu") return own<Scalar>(LeakyRelu<Scalar>::make(spec.slope));
  std::string known;
  for (const std::string_view type : layer_types()) {
    known += (known.empty() ? "" : ", ") + std::string(type);
  }
  return Error{ErrorCode::kUnsupported,
               "unknown layer type \"" + spec.type + "\", known: " + known};
}

}  // namespace

double parameter_count(const Architecture& architecture) {
  double count = 0;
  for (const LayerSpec& spec : architecture.layers) count += parameters_of(spec);
  return count;
}

template <class Scalar>
Result<Network<Scalar>> Network<Scalar>::make(const Architecture& architecture,
                                              std::uint64_t seed) {
  const auto refuse = [](const std::string& what) {
    return Error{ErrorCode::kInvalidArgument, "network: " + what};
  };
  Network network;
  network.architecture_ = architecture;
  Shape shape = architecture.input;
  const auto size_of = [](Shape of) {
    return static_cast<double>(of.samples) * static_cast<double>(of.channels);
  };
  double activations = size_of(shape);
  if (shape.samples < 1 || shape.channels < 1 || !(activations <= kMaxActivations)) {
    return refuse("input is " + std::to_string(shape.samples) + " samples x " +
                  std::to_string(shape.channels) + " channels, expected at least 1 of each and " +
                  "at most " + std::to_string(static_cast<Eigen::Index>(kMaxActivations)) +
                  " values");
  }
  if (architecture.layers.empty() || architecture.layers.size() > kMaxLayers) {
    return refuse(std::to_string(architecture.layers.size()) + " layers, expected 1 to " +
                  std::to_string(kMaxLayers));
  }
  double parameters = 0;
  double products = 0;
  for (std::size_t i = 0; i < architecture.layers.size(); ++i) {
    const LayerSpec& spec = architecture.layers[i];
    const std::string where = "layers[" + std::to_string(i) + "]: ";
    // Before anything is allocated: the sizes may come from a file.
    parameters += parameters_of(spec);
    if (!(parameters <= static_cast<double>(kMaxParameters))) {
      return refuse(where + "more than " + std::to_string(kMaxParameters) + " parameters");
    }
    Made<Scalar> layer = make_layer<Scalar>(spec, derive_seed(seed, i));
    if (!layer.ok()) return Error{layer.error().code, "network: " + where + layer.error().message};
    const Result<Shape> next = layer.value()->out_shape(shape);
    if (!next.ok()) return Error{next.error().code, "network: " + where + next.error().message};
    // A transposed convolution's scratch is what all its inputs add, before it is summed.
    const double scratch = spec.type == "conv_transpose1d"
                               ? static_cast<double>(shape.samples) * parameters_of(spec) /
                                     static_cast<double>(spec.in)
                               : 0.0;
    const double steps = spec.type == "conv_transpose1d"
                             ? static_cast<double>(shape.samples)
                             : static_cast<double>(next.value().samples);
    activations += size_of(next.value()) + scratch;
    products += steps * parameters_of(spec);
    if (!(activations <= kMaxActivations) || !(products <= kMaxProducts)) {
      return refuse(where + "more than " +
                    std::to_string(static_cast<Eigen::Index>(kMaxActivations)) + " values or " +
                    std::to_string(static_cast<Eigen::Index>(kMaxProducts)) +
                    " multiply-adds a window");
    }
    shape = next.value();
    network.layers_.push_back(std::move(layer).value());
  }
  network.output_ = shape;
  network.activation_count_ = static_cast<std::size_t>(activations);
  return network;
}

template <class Scalar>
Network<Scalar>::Network(const Network& other)
    : architecture_(other.architecture_),
      output_(other.output_),
      activation_count_(other.activation_count_) {
  layers_.reserve(other.layers_.size());
  for (const auto& layer : other.layers_) layers_.push_back(layer->clone());
}

template <class Scalar>
Network<Scalar>& Network<Scalar>::operator=(const Network& other) {
  if (this != &other) *this = Network(other);
  return *this;
}

template <class Scalar>
void Network<Scalar>::forward(const Matrix<Scalar>& x, Activations<Scalar>& kept) const {
  ANOMALYD_CHECK(x.cols() == input().size(), "network forward: x must be (n, input size)");
  kept.values.resize(layers_.size() + 1);
  kept.values[0] = x;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    layers_[i]->forward(kept.values[i], kept.values[i + 1]);
  }
}

template <class Scalar>
Matrix<Scalar> Network<Scalar>::backward(const Activations<Scalar>& kept,
                                         const Matrix<Scalar>& dy) {
  ANOMALYD_CHECK(kept.values.size() == layers_.size() + 1,
                 "network backward: no forward() of this network");
  Matrix<Scalar> gradient = dy;
  Matrix<Scalar> next;
  for (std::size_t i = layers_.size(); i > 0; --i) {
    layers_[i - 1]->backward(kept.values[i - 1], gradient, next);
    gradient.swap(next);
  }
  return gradient;
}

template <class Scalar>
void Network<Scalar>::zero_gradients() {
  for (Parameter<Scalar>& parameter : parameters()) {
    std::fill(parameter.gradient.begin(), parameter.gradient.end(), Scalar(0));
  }
}

template <class Scalar>
std::vector<Parameter<Scalar>> Network<Scalar>::parameters() {
  std::vector<Parameter<Scalar>> all;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    for (Parameter<Scalar>& parameter : layers_[i]->parameters()) {
      parameter.name = architecture_.layers[i].name + "." + parameter.name;
      all.push_back(std::move(parameter));
    }
  }
  return all;
}

template <class Scalar>
std::size_t Network<Scalar>::parameter_count() const {
  return static_cast<std::size_t>(nn::parameter_count(architecture_));
}

template class Network<float>;
template class Network<double>;

}  // namespace anomalyd::nn

#include <array>
#include <string>

#include "nn/activations.h"
#include "nn/architecture.h"
#include "nn/conv1d.h"
#include "nn/dense.h"
#include "nn/dropout.h"
#include "nn/gradient_reversal.h"
#include "nn/merge.h"
#include "nn/norms.h"
#include "nn/pooling.h"
#include "nn/recurrent.h"
#include "nn/reparameterise.h"
#include "nn/reshape.h"

namespace anomalyd::nn {
namespace {

using std::string_view;

Result<Initialiser::Kind> initialiser_of(const LayerSpec& spec) {
  if (spec.initialiser.empty()) return Initialiser::Kind::kGlorotUniform;
  return initialiser_kind(spec.initialiser);
}

ConvSize conv_size(const LayerSpec& spec) {
  return {spec.in, spec.out, spec.kernel, spec.stride, spec.padding, spec.dilation, spec.groups};
}

template <class Scalar>
MadeLayer<Scalar> conv1d(const LayerSpec& spec) {
  const auto kind = initialiser_of(spec);
  if (!kind.ok()) return kind.error();
  return make_conv1d<Scalar>(conv_size(spec), {spec.spectral_norm, kind.value()});
}

template <class Scalar>
MadeLayer<Scalar> conv_transpose1d(const LayerSpec& spec) {
  const auto kind = initialiser_of(spec);
  if (!kind.ok()) return kind.error();
  return make_conv_transpose1d<Scalar>(conv_size(spec), {spec.spectral_norm, kind.value()});
}

template <class Scalar>
MadeLayer<Scalar> dense(const LayerSpec& spec) {
  const auto kind = initialiser_of(spec);
  if (!kind.ok()) return kind.error();
  return make_dense<Scalar>(spec.in, spec.out, spec.spectral_norm, kind.value());
}

template <class Scalar>
MadeLayer<Scalar> leaky_relu(const LayerSpec& spec) {
  return make_leaky_relu<Scalar>(spec.slope);
}
template <class Scalar>
MadeLayer<Scalar> relu(const LayerSpec& /*spec*/) {
  return make_relu<Scalar>();
}
template <class Scalar>
MadeLayer<Scalar> gelu(const LayerSpec& /*spec*/) {
  return make_gelu<Scalar>();
}
template <class Scalar>
MadeLayer<Scalar> tanh(const LayerSpec& /*spec*/) {
  return make_tanh<Scalar>();
}
template <class Scalar>
MadeLayer<Scalar> sigmoid(const LayerSpec& /*spec*/) {
  return make_sigmoid<Scalar>();
}
template <class Scalar>
MadeLayer<Scalar> softmax(const LayerSpec& spec) {
  return make_softmax<Scalar>(spec.in);
}
template <class Scalar>
MadeLayer<Scalar> batch_norm(const LayerSpec& spec) {
  return make_batch_norm<Scalar>(spec.in, spec.epsilon, spec.momentum);
}
template <class Scalar>
MadeLayer<Scalar> layer_norm(const LayerSpec& spec) {
  return make_layer_norm<Scalar>(spec.in, spec.epsilon);
}
template <class Scalar>
MadeLayer<Scalar> instance_norm(const LayerSpec& spec) {
  return make_instance_norm<Scalar>(spec.in, spec.epsilon);
}
template <class Scalar>
MadeLayer<Scalar> dropout(const LayerSpec& spec) {
  return make_dropout<Scalar>(spec.rate);
}
template <class Scalar>
MadeLayer<Scalar> max_pool(const LayerSpec& spec) {
  return make_max_pool<Scalar>(spec.in, spec.kernel, spec.stride);
}
template <class Scalar>
MadeLayer<Scalar> average_pool(const LayerSpec& spec) {
  return make_average_pool<Scalar>(spec.in, spec.kernel, spec.stride);
}
template <class Scalar>
MadeLayer<Scalar> upsample(const LayerSpec& spec) {
  return make_upsample<Scalar>(spec.in, spec.stride);
}
template <class Scalar>
MadeLayer<Scalar> gru(const LayerSpec& spec) {
  const auto kind = initialiser_of(spec);
  if (!kind.ok()) return kind.error();
  return make_gru<Scalar>(spec.in, spec.out, kind.value());
}
template <class Scalar>
MadeLayer<Scalar> lstm(const LayerSpec& spec) {
  const auto kind = initialiser_of(spec);
  if (!kind.ok()) return kind.error();
  return make_lstm<Scalar>(spec.in, spec.out, kind.value());
}
template <class Scalar>
MadeLayer<Scalar> add(const LayerSpec& /*spec*/) {
  return make_add<Scalar>();
}
template <class Scalar>
MadeLayer<Scalar> concat(const LayerSpec& spec) {
  return make_concat<Scalar>(spec.out);
}
template <class Scalar>
MadeLayer<Scalar> reshape(const LayerSpec& spec) {
  return make_reshape<Scalar>(spec.out);
}
template <class Scalar>
MadeLayer<Scalar> gradient_reversal(const LayerSpec& /*spec*/) {
  return make_gradient_reversal<Scalar>();
}
template <class Scalar>
MadeLayer<Scalar> reparameterise(const LayerSpec& spec) {
  return make_reparameterise<Scalar>(spec.out);
}

constexpr std::array<string_view, 9> kConvKeys{"in",     "out",           "kernel",
                                               "stride", "padding",       "dilation",
                                               "groups", "spectral_norm", "initialiser"};
constexpr std::array<string_view, 4> kDenseKeys{"in", "out", "spectral_norm", "initialiser"};
constexpr std::array<string_view, 1> kSlopeKeys{"slope"};
constexpr std::array<string_view, 3> kBatchNormKeys{"in", "epsilon", "momentum"};
constexpr std::array<string_view, 2> kNormKeys{"in", "epsilon"};
constexpr std::array<string_view, 1> kDropoutKeys{"rate"};
constexpr std::array<string_view, 3> kPoolKeys{"in", "kernel", "stride"};
constexpr std::array<string_view, 2> kUpsampleKeys{"in", "stride"};
constexpr std::array<string_view, 3> kRecurrentKeys{"in", "out", "initialiser"};
constexpr std::array<string_view, 1> kInKeys{"in"};
constexpr std::array<string_view, 1> kOutKeys{"out"};

template <MadeLayer<float> (*make_float)(const LayerSpec&),
          MadeLayer<double> (*make_double)(const LayerSpec&)>
constexpr LayerType row(string_view name, std::span<const string_view> keys,
                        std::size_t min_inputs = 1, std::size_t max_inputs = 1) {
  return {name, keys, min_inputs, max_inputs, make_float, make_double};
}

constexpr std::array<LayerType, 23> kTypes{
    row<add<float>, add<double>>("add", {}, 2, kMaxInputs),
    row<average_pool<float>, average_pool<double>>("average_pool", kPoolKeys),
    row<batch_norm<float>, batch_norm<double>>("batch_norm", kBatchNormKeys),
    row<concat<float>, concat<double>>("concat", kOutKeys, 2, kMaxInputs),
    row<conv1d<float>, conv1d<double>>("conv1d", kConvKeys),
    row<conv_transpose1d<float>, conv_transpose1d<double>>("conv_transpose1d", kConvKeys),
    row<dense<float>, dense<double>>("dense", kDenseKeys),
    row<dropout<float>, dropout<double>>("dropout", kDropoutKeys),
    row<gelu<float>, gelu<double>>("gelu", {}),
    row<gradient_reversal<float>, gradient_reversal<double>>("gradient_reversal", {}),
    row<gru<float>, gru<double>>("gru", kRecurrentKeys),
    row<instance_norm<float>, instance_norm<double>>("instance_norm", kNormKeys),
    row<layer_norm<float>, layer_norm<double>>("layer_norm", kNormKeys),
    row<leaky_relu<float>, leaky_relu<double>>("leaky_relu", kSlopeKeys),
    row<lstm<float>, lstm<double>>("lstm", kRecurrentKeys),
    row<max_pool<float>, max_pool<double>>("max_pool", kPoolKeys),
    row<relu<float>, relu<double>>("relu", {}),
    row<reparameterise<float>, reparameterise<double>>("reparameterise", kOutKeys),
    row<reshape<float>, reshape<double>>("reshape", kOutKeys),
    row<sigmoid<float>, sigmoid<double>>("sigmoid", {}),
    row<softmax<float>, softmax<double>>("softmax", kInKeys),
    row<tanh<float>, tanh<double>>("tanh", {}),
    row<upsample<float>, upsample<double>>("upsample", kUpsampleKeys),
};

}  // namespace

std::span<const LayerType> layer_types() { return kTypes; }

Result<const LayerType*> find_layer_type(string_view name) {
  std::string known;
  for (const LayerType& type : layer_types()) {
    if (type.name == name) return &type;
    known += (known.empty() ? "" : ", ") + std::string(type.name);
  }
  return Error{ErrorCode::kUnsupported,
               "unknown layer \"" + std::string(name.substr(0, 64)) + "\", known: " + known};
}

}  // namespace anomalyd::nn

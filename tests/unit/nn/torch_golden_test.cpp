#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "layer_check.h"
#include "nn/architecture.h"
#include "nn/tensor_file.h"

// Every case of tests/golden/torch_layers.safetensors: outputs, gradients and buffers of PyTorch.

namespace anomalyd::nn {
namespace {

const TensorFile& golden() {
  static const TensorFile file =
      read_tensor_file(std::string(ANOMALYD_SOURCE_DIR) + "/tests/golden/torch_layers.safetensors")
          .value();
  return file;
}

const Tensor& tensor(const std::string& name) {
  const auto found = golden().tensors.find(name);
  if (found == golden().tensors.end()) FAIL("no tensor " << name);
  return found->second;
}

bool has_tensor(const std::string& name) { return golden().tensors.contains(name); }

std::string text(const std::string& key) { return golden().metadata.find(key)->second; }

Eigen::Index index(std::size_t number) { return static_cast<Eigen::Index>(number); }

/// (n, steps, channels) as rows.
template <class Scalar>
Matrix<Scalar> rows_of(const Tensor& from) {
  REQUIRE(from.shape.size() == 3);
  const Eigen::Map<const Matrix<float>> values(from.values.data(), index(from.shape[0]),
                                               index(from.shape[1] * from.shape[2]));
  return values.template cast<Scalar>();
}

/// The largest difference as a share of the largest value expected.
template <class Scalar>
double difference(const Scalar* found, std::size_t count, const Tensor& expected) {
  REQUIRE(count == expected.values.size());
  double most = 0;
  double largest = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto value = static_cast<double>(expected.values[i]);
    const double off = std::abs(static_cast<double>(found[i]) - value);
    most = off <= most ? most : off;  // NaN stays
    largest = std::max(largest, std::abs(value));
  }
  // Some gradients are zero but for rounding: a norm's of one value, for one.
  return most / std::max(largest, 1e-3);
}

template <class Scalar>
double difference(const Matrix<Scalar>& found, const Tensor& expected) {
  return difference(found.data(), static_cast<std::size_t>(found.size()), expected);
}

template <class Scalar>
double difference(std::span<const Scalar> found, const Tensor& expected) {
  return difference(found.data(), found.size(), expected);
}

LayerSpec spec_of(const std::string& name) {
  auto architecture = parse_architecture(text("case." + name));
  if (!architecture.ok()) FAIL(architecture.error().message);
  return architecture.value().layers[0];
}

template <class Scalar>
MadeLayer<Scalar> make_layer(const LayerSpec& spec) {
  const LayerType* type = find_layer_type(spec.type).value();
  if constexpr (std::is_same_v<Scalar, float>) {
    return type->make_float(spec);
  } else {
    return type->make_double(spec);
  }
}

template <class Scalar>
void check_case(const std::string& name, double tolerance) {
  auto made = make_layer<Scalar>(spec_of(name));
  if (!made.ok()) FAIL(made.error().message);
  const Layer<Scalar>& layer = *made.value();

  std::vector<Shape> in;
  std::vector<Matrix<Scalar>> x;
  for (int i = 0; has_tensor(name + ".x" + std::to_string(i)); ++i) {
    const Tensor& input = tensor(name + ".x" + std::to_string(i));
    x.push_back(rows_of<Scalar>(input));
    in.push_back({index(input.shape[1]), index(input.shape[2])});
  }
  LayerRun<Scalar> run(layer, in);
  run.piece_rows = 2;
  run.seed = std::stoull(text("seed"));
  const auto copy = [](const Tensor& from, std::span<Scalar> to) {
    REQUIRE(from.values.size() == to.size());
    std::transform(from.values.begin(), from.values.end(), to.begin(),
                   [](float value) { return static_cast<Scalar>(value); });
  };
  for (const ParameterSpec& parameter : layer.parameters()) {
    const Tensor& values = tensor(name + "." + parameter.name);
    CHECK(values.shape == parameter.shape);
    copy(values, run.parameter(parameter.name));
  }
  for (const BufferSpec& buffer : layer.buffers()) {
    copy(tensor(name + ".before." + buffer.name), run.buffer(buffer.name));
  }

  const bool is_training = text("mode." + name) == "training";
  run.forward(x, is_training ? Mode::kTraining : Mode::kScoring);
  const Tensor& y = tensor(name + ".y");
  CHECK(run.out() == Shape{index(y.shape[1]), index(y.shape[2])});
  CHECK(difference(run.y, y) < tolerance);
  for (const BufferSpec& buffer : layer.buffers()) {
    INFO(buffer.name);
    CHECK(difference<Scalar>(run.buffer(buffer.name), tensor(name + ".after." + buffer.name)) <
          tolerance);
  }
  if (!is_training) return;

  run.backward(rows_of<Scalar>(tensor(name + ".dy")));
  for (std::size_t i = 0; i < x.size(); ++i) {
    INFO("dx" << i);
    CHECK(difference(run.dx[i], tensor(name + ".dx" + std::to_string(i))) < tolerance);
  }
  for (const ParameterSpec& parameter : layer.parameters()) {
    INFO("gradient of " << parameter.name);
    CHECK(difference<Scalar>(run.gradient_of(parameter.name),
                             tensor(name + ".d." + parameter.name)) < tolerance);
  }
}

std::vector<std::string> cases() {
  constexpr std::string_view kPrefix = "case.";
  std::vector<std::string> names;
  for (const auto& [key, value] : golden().metadata) {
    if (key.starts_with(kPrefix)) names.push_back(key.substr(kPrefix.size()));
  }
  return names;
}

TEST_CASE("layers give PyTorch's outputs, gradients and buffers", "[nn][golden]") {
  for (const std::string& name : cases()) {
    INFO(name);
    check_case<float>(name, 1e-5);
    // What is left is the file's own rounding to float.
    check_case<double>(name, 3e-7);
  }
}

TEST_CASE("every type of layer has a case from PyTorch", "[nn][golden]") {
  std::set<std::string, std::less<>> types;
  for (const std::string& name : cases()) types.insert(spec_of(name).type);
  for (const LayerType& type : layer_types()) {
    INFO(type.name);
    CHECK(types.contains(type.name));
  }
}

}  // namespace
}  // namespace anomalyd::nn

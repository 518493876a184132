#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "nn/layer.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// One layer as a file describes it. Fields that its type does not have stay at their default.
struct LayerSpec {
  std::string name;  ///< of its parameters: "<name>.weights"
  std::string type;  ///< a row of layer_types()
  /// Names of the layers it reads, "input" for the network's own. Empty: the layer before.
  std::vector<std::string> inputs;

  Eigen::Index in = 0;   ///< channels it reads
  Eigen::Index out = 0;  ///< channels it writes; reshape: samples
  Eigen::Index kernel = 1;
  Eigen::Index stride = 1;
  Eigen::Index padding = 0;
  Eigen::Index dilation = 1;
  Eigen::Index groups = 1;
  double slope = 0;            ///< leaky_relu
  double rate = 0;             ///< dropout
  double epsilon = 1e-5;       ///< norms
  double momentum = 0.1;       ///< batch_norm
  bool spectral_norm = false;  ///< dense, conv1d, conv_transpose1d
  std::string initialiser;     ///< of the weights; empty: the type's own
};

/// The shape of a network without its numbers: a graph whose layers are in an order in which each
/// reads only layers before it.
struct Architecture {
  Shape input;
  std::vector<LayerSpec> layers;
  std::vector<std::string> outputs;  ///< names of layers, the heads; empty: the last layer
};

/// A kind of layer that an architecture may name. Adding one is a class and a row in
/// layer_types.cpp.
struct LayerType {
  std::string_view name;
  std::span<const std::string_view> keys;  ///< of LayerSpec's fields, those it has
  std::size_t min_inputs;
  std::size_t max_inputs;
  MadeLayer<float> (*make_float)(const LayerSpec& spec);
  MadeLayer<double> (*make_double)(const LayerSpec& spec);
};

std::span<const LayerType> layer_types();
/// Errors   kUnsupported for an unknown name, listing the known.
Result<const LayerType*> find_layer_type(std::string_view name);

/// {"input":{"channels":2,"samples":256},"layers":[{"type":"conv1d","name":"encoder1",...}]}
/// Fields at their default are left out, but for `in`, `out`, `kernel`, `stride` and `padding`.
std::string to_json(const Architecture& architecture);
/// Errors   kCorrupt for what is not of this form (says where), kUnsupported for an unknown type,
///          listing the known.
Result<Architecture> parse_architecture(std::string_view json);

}  // namespace anomalyd::nn

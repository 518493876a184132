#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "nn/network.h"
#include "nn/random.h"
#include "support/catch.h"

namespace anomalyd::nn {

/// A network of that form whose weights, and running statistics, are none that training would
/// begin with: a norm that is left out shows.
inline Network<float> plan_network(Shape input, std::vector<LayerSpec> layers,
                                   std::vector<std::string> outputs = {}) {
  auto made = Network<float>::make({input, std::move(layers), std::move(outputs)}, 11);
  if (!made.ok()) FAIL(made.error().message);
  Network<float> network = std::move(made).value();
  std::mt19937_64 bits(5);
  const auto draw = [&] { return static_cast<float>(2 * unit_uniform(bits) - 1); };
  for (const NamedArray<float>& array : network.state()) {
    const bool is_variance = array.name.ends_with(".variance");
    const bool is_spectral = array.name.ends_with(".u") || array.name.ends_with(".v");
    for (float& value : array.values) {
      if (is_variance) value = 0.5F + std::abs(draw());
      if (!is_variance && !is_spectral) value += 0.2F * draw();
    }
  }
  return network;
}

inline LayerSpec conv(std::string name, Eigen::Index in, Eigen::Index out, Eigen::Index kernel,
                      Eigen::Index stride, Eigen::Index padding, Eigen::Index dilation = 1,
                      Eigen::Index groups = 1) {
  LayerSpec spec;
  spec.name = std::move(name);
  spec.type = "conv1d";
  spec.in = in;
  spec.out = out;
  spec.kernel = kernel;
  spec.stride = stride;
  spec.padding = padding;
  spec.dilation = dilation;
  spec.groups = groups;
  return spec;
}

inline LayerSpec conv_transpose(std::string name, Eigen::Index in, Eigen::Index out,
                                Eigen::Index kernel, Eigen::Index stride, Eigen::Index padding,
                                Eigen::Index dilation = 1, Eigen::Index groups = 1) {
  LayerSpec spec = conv(std::move(name), in, out, kernel, stride, padding, dilation, groups);
  spec.type = "conv_transpose1d";
  return spec;
}

inline LayerSpec layer(std::string name, std::string type, Eigen::Index in = 0,
                       Eigen::Index out = 0) {
  LayerSpec spec;
  spec.name = std::move(name);
  spec.type = std::move(type);
  spec.in = in;
  spec.out = out;
  return spec;
}

inline LayerSpec leaky(std::string name, double slope = 0.2) {
  LayerSpec spec = layer(std::move(name), "leaky_relu");
  spec.slope = slope;
  return spec;
}

inline LayerSpec reads(LayerSpec spec, std::vector<std::string> inputs) {
  spec.inputs = std::move(inputs);
  return spec;
}

/// The reference net of docs/performance.md.
inline Network<float> reference_network(bool with_norm) {
  std::vector<LayerSpec> layers;
  int count = 0;
  const auto add = [&](LayerSpec spec, bool is_last = false) {
    const std::string number = std::to_string(++count);
    const Eigen::Index out = spec.out;
    layers.push_back(std::move(spec));
    if (is_last) return;
    if (with_norm) layers.push_back(layer("norm" + number, "batch_norm", out));
    layers.push_back(leaky("leaky" + number));
  };
  add(conv("encoder1", 3, 32, 4, 2, 1));
  add(conv("encoder2", 32, 64, 4, 2, 1));
  add(conv("encoder3", 64, 128, 4, 2, 1));
  add(conv("code", 128, 16, 1, 1, 0), true);
  add(conv("decoder0", 16, 128, 1, 1, 0));
  add(conv_transpose("decoder1", 128, 64, 4, 2, 1));
  add(conv_transpose("decoder2", 64, 32, 4, 2, 1));
  add(conv_transpose("decoder3", 32, 3, 4, 2, 1), true);
  return plan_network({128, 3}, std::move(layers));
}

/// Skips, two heads, recurrence, norms of all kinds, pooling: most of what is no product.
inline Network<float> tangled_network() {
  return plan_network(
      {32, 4},
      {conv("first", 4, 16, 3, 1, 1), layer("norm", "batch_norm", 16), leaky("leaky"),
       conv("second", 16, 16, 3, 1, 2, 2), reads(layer("skip", "add"), {"leaky", "second"}),
       layer("layer_norm", "layer_norm", 16), layer("gelu", "gelu"),
       [] {
         LayerSpec pool = layer("pool", "max_pool", 16);
         pool.kernel = 2;
         pool.stride = 2;
         return pool;
       }(),
       layer("gru", "gru", 16, 8), layer("drop", "dropout"), layer("flat", "reshape", 0, 1),
       layer("dense", "dense", 128, 24), layer("dense_norm", "batch_norm", 24),
       layer("relu", "relu"), layer("head", "dense", 24, 5), layer("softmax", "softmax", 5),
       reads(conv_transpose("up", 16, 3, 4, 2, 1), {"pool"}), layer("tanh", "tanh")},
      {"softmax", "tanh", "pool"});
}

inline std::vector<float> random_window(const Network<float>& network, std::uint64_t seed) {
  std::mt19937_64 bits(seed);
  std::vector<float> window(static_cast<std::size_t>(network.input().size()));
  for (float& value : window) value = static_cast<float>(4 * unit_uniform(bits) - 2);
  return window;
}

}  // namespace anomalyd::nn

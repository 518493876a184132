#include <array>
#include <string>

#include "nn/network.h"
#include "nn/strict_json.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;
using nlohmann::json;

constexpr std::size_t kMaxLayersInFile = 64;
constexpr std::uint64_t kMaxSize = std::uint64_t{1} << 24U;
constexpr std::size_t kMaxName = 64;

bool is_name(const std::string& name) {
  if (name.empty() || name.size() > kMaxName) return false;
  for (const char c : name) {
    const bool is_legal = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    if (!is_legal) return false;
  }
  return true;
}

Error corrupt(const std::string& where, const std::string& what) {
  return Error{ErrorCode::kCorrupt, "architecture: " + where + ": " + what};
}

Status read_size(const json& layer, const char* key, std::uint64_t low, const std::string& where,
                 Index& out) {
  const auto value = whole_number(layer, key, low, kMaxSize);
  if (!value) {
    return corrupt(where + "." + key, "expected a whole number of at least " + std::to_string(low));
  }
  out = static_cast<Index>(*value);
  return Done{};
}

Status read_sizes(const json& layer, const std::string& where, LayerSpec& spec) {
  if (Status s = read_size(layer, "in", 1, where, spec.in); !s.ok()) return s;
  if (Status s = read_size(layer, "out", 1, where, spec.out); !s.ok()) return s;
  if (spec.type == "dense") return Done{};
  if (Status s = read_size(layer, "kernel", 1, where, spec.kernel); !s.ok()) return s;
  if (Status s = read_size(layer, "stride", 1, where, spec.stride); !s.ok()) return s;
  return read_size(layer, "padding", 0, where, spec.padding);
}

Result<LayerSpec> parse_layer(const json& layer, const std::string& where) {
  if (!layer.is_object()) return corrupt(where, "expected an object");
  if (const auto key = unknown_key(
          layer, {"name", "type", "in", "out", "kernel", "stride", "padding", "slope"})) {
    return corrupt(where, "unknown key \"" + *key + "\"");
  }
  LayerSpec spec;
  const auto name = layer.find("name");
  if (name == layer.end() || !name->is_string() || !is_name(name->get<std::string>())) {
    return corrupt(where + ".name", "expected 1 to 64 of a-z, 0-9 and _");
  }
  spec.name = name->get<std::string>();
  const auto type = layer.find("type");
  if (type == layer.end() || !type->is_string()) {
    return corrupt(where + ".type", "expected a string");
  }
  spec.type = type->get<std::string>();
  if (spec.type == "leaky_relu") {
    const auto slope = layer.find("slope");
    if (slope == layer.end() || !slope->is_number()) {
      return corrupt(where + ".slope", "expected a number");
    }
    spec.slope = slope->get<double>();
    return spec;
  }
  for (const std::string_view known : layer_types()) {
    if (spec.type != known) continue;
    if (Status status = read_sizes(layer, where, spec); !status.ok()) return status.error();
    return spec;
  }
  std::string known;
  for (const std::string_view each : layer_types())
    known += (known.empty() ? "" : ", ") + std::string(each);
  return Error{ErrorCode::kUnsupported, "architecture: " + where + ".type: unknown layer \"" +
                                            spec.type.substr(0, kMaxName) + "\", known: " + known};
}

}  // namespace

std::span<const std::string_view> layer_types() {
  static constexpr std::array<std::string_view, 4> kTypes{"conv1d", "conv_transpose1d", "dense",
                                                          "leaky_relu"};
  return kTypes;
}

std::string to_json(const Architecture& architecture) {
  json layers = json::array();
  for (const LayerSpec& spec : architecture.layers) {
    json layer{{"name", spec.name}, {"type", spec.type}};
    if (spec.type == "leaky_relu") {
      layer["slope"] = spec.slope;
    } else {
      layer["in"] = static_cast<std::uint64_t>(spec.in);
      layer["out"] = static_cast<std::uint64_t>(spec.out);
      if (spec.type != "dense") {
        layer["kernel"] = static_cast<std::uint64_t>(spec.kernel);
        layer["stride"] = static_cast<std::uint64_t>(spec.stride);
        layer["padding"] = static_cast<std::uint64_t>(spec.padding);
      }
    }
    layers.push_back(std::move(layer));
  }
  const json document{{"input",
                       {{"channels", static_cast<std::uint64_t>(architecture.input.channels)},
                        {"samples", static_cast<std::uint64_t>(architecture.input.samples)}}},
                      {"layers", std::move(layers)}};
  return document.dump();
}

Result<Architecture> parse_architecture(std::string_view text) {
  Result<json> parsed = parse_strict(text, 4);
  if (!parsed.ok()) return Error{parsed.error().code, "architecture: " + parsed.error().message};
  const json& document = parsed.value();
  if (!document.is_object()) return corrupt("$", "expected an object");
  if (const auto key = unknown_key(document, {"input", "layers"})) {
    return corrupt("$", "unknown key \"" + *key + "\"");
  }
  Architecture architecture;
  const auto input = document.find("input");
  if (input == document.end() || !input->is_object()) return corrupt("input", "expected an object");
  if (Status s = read_size(*input, "samples", 1, "input", architecture.input.samples); !s.ok()) {
    return s.error();
  }
  if (Status s = read_size(*input, "channels", 1, "input", architecture.input.channels); !s.ok()) {
    return s.error();
  }
  const auto layers = document.find("layers");
  if (layers == document.end() || !layers->is_array() || layers->empty() ||
      layers->size() > kMaxLayersInFile) {
    return corrupt("layers", "expected an array of 1 to " + std::to_string(kMaxLayersInFile));
  }
  for (std::size_t i = 0; i < layers->size(); ++i) {
    Result<LayerSpec> layer = parse_layer((*layers)[i], "layers[" + std::to_string(i) + "]");
    if (!layer.ok()) return layer.error();
    for (const LayerSpec& before : architecture.layers) {
      if (before.name == layer.value().name) {
        return corrupt("layers[" + std::to_string(i) + "].name",
                       "\"" + before.name + "\" is taken by a layer before");
      }
    }
    architecture.layers.push_back(std::move(layer).value());
  }
  return architecture;
}

}  // namespace anomalyd::nn

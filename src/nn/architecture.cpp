#include "nn/architecture.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "nn/network.h"
#include "nn/strict_json.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;
using nlohmann::json;

constexpr std::size_t kMaxLayersInFile = Network<float>::kMaxLayers;
constexpr std::uint64_t kMaxSize = std::uint64_t{1} << 24U;
constexpr std::size_t kMaxName = 64;
constexpr std::size_t kMaxHeads = 16;

/// A whole number of a LayerSpec, its smallest value, and whether it is always written.
struct SizeField {
  std::string_view key;
  Index LayerSpec::*field;
  std::uint64_t low;
  bool is_always;
};
constexpr std::array<SizeField, 7> kSizes{{{"in", &LayerSpec::in, 1, true},
                                           {"out", &LayerSpec::out, 1, true},
                                           {"kernel", &LayerSpec::kernel, 1, true},
                                           {"stride", &LayerSpec::stride, 1, true},
                                           {"padding", &LayerSpec::padding, 0, true},
                                           {"dilation", &LayerSpec::dilation, 1, false},
                                           {"groups", &LayerSpec::groups, 1, false}}};

struct NumberField {
  std::string_view key;
  double LayerSpec::*field;
  bool is_always;
};
constexpr std::array<NumberField, 4> kNumbers{{{"slope", &LayerSpec::slope, true},
                                               {"rate", &LayerSpec::rate, true},
                                               {"epsilon", &LayerSpec::epsilon, false},
                                               {"momentum", &LayerSpec::momentum, false}}};

bool is_name(const json& value) {
  if (!value.is_string()) return false;
  const std::string& name = value.get_ref<const std::string&>();
  if (name.empty() || name.size() > kMaxName) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

Error corrupt(const std::string& where, const std::string& what) {
  return Error{ErrorCode::kCorrupt, "architecture: " + where + ": " + what};
}

Status read_size(const json& object, std::string_view key, std::uint64_t low,
                 const std::string& where, Index& out) {
  const std::string name(key);
  const auto value = whole_number(object, name.c_str(), low, kMaxSize);
  if (!value) {
    return corrupt(where + "." + name,
                   "expected a whole number of at least " + std::to_string(low));
  }
  out = static_cast<Index>(*value);
  return Done{};
}

Status read_names(const json& object, const char* key, std::size_t most, const std::string& where,
                  std::vector<std::string>& out) {
  const auto names = object.find(key);
  if (names == object.end()) return Done{};
  if (!names->is_array() || names->empty() || names->size() > most ||
      !std::all_of(names->begin(), names->end(), is_name)) {
    return corrupt(where + key,
                   "expected an array of 1 to " + std::to_string(most) + " names of layers");
  }
  for (const json& name : *names) out.push_back(name.get<std::string>());
  return Done{};
}

bool has(const LayerType& type, std::string_view key) {
  return std::find(type.keys.begin(), type.keys.end(), key) != type.keys.end();
}

Status read_fields(const json& layer, const LayerType& type, const std::string& where,
                   LayerSpec& spec) {
  for (const SizeField& size : kSizes) {
    if (!has(type, size.key) || (!size.is_always && !layer.contains(size.key))) continue;
    if (Status s = read_size(layer, size.key, size.low, where, spec.*size.field); !s.ok()) return s;
  }
  for (const NumberField& number : kNumbers) {
    if (!has(type, number.key) || (!number.is_always && !layer.contains(number.key))) continue;
    const auto value = layer.find(number.key);
    if (value == layer.end() || !value->is_number() || !std::isfinite(value->get<double>())) {
      return corrupt(where + "." + std::string(number.key), "expected a number");
    }
    spec.*number.field = value->get<double>();
  }
  if (const auto value = layer.find("spectral_norm"); value != layer.end()) {
    if (!value->is_boolean()) return corrupt(where + ".spectral_norm", "expected true or false");
    spec.spectral_norm = value->get<bool>();
  }
  if (const auto value = layer.find("initialiser"); value != layer.end()) {
    if (!is_name(*value)) return corrupt(where + ".initialiser", "expected a name");
    spec.initialiser = value->get<std::string>();
  }
  return Done{};
}

Result<LayerSpec> parse_layer(const json& layer, const std::string& where) {
  if (!layer.is_object()) return corrupt(where, "expected an object");
  LayerSpec spec;
  const auto name = layer.find("name");
  if (name == layer.end() || !is_name(*name) || *name == "input") {
    return corrupt(where + ".name", "expected 1 to 64 of a-z, 0-9 and _, not \"input\"");
  }
  spec.name = name->get<std::string>();
  const auto type_name = layer.find("type");
  if (type_name == layer.end() || !type_name->is_string()) {
    return corrupt(where + ".type", "expected a string");
  }
  spec.type = type_name->get<std::string>();
  const Result<const LayerType*> type = find_layer_type(spec.type);
  if (!type.ok()) {
    return Error{type.error().code, "architecture: " + where + ".type: " + type.error().message};
  }
  for (const auto& [key, value] : layer.items()) {
    if (key == "name" || key == "type" || key == "inputs" || has(*type.value(), key)) continue;
    return corrupt(where, "unknown key \"" + key.substr(0, kMaxName) + "\"");
  }
  if (Status s = read_names(layer, "inputs", kMaxInputs, where + ".", spec.inputs); !s.ok()) {
    return s.error();
  }
  if (Status s = read_fields(layer, *type.value(), where, spec); !s.ok()) return s.error();
  return spec;
}

json layer_json(const LayerSpec& spec) {
  json layer{{"name", spec.name}, {"type", spec.type}};
  if (!spec.inputs.empty()) layer["inputs"] = spec.inputs;
  const Result<const LayerType*> type = find_layer_type(spec.type);
  ANOMALYD_CHECK(type.ok(), "to_json of an unknown layer type");
  const LayerSpec standard;
  for (const SizeField& size : kSizes) {
    if (!has(*type.value(), size.key)) continue;
    if (size.is_always || spec.*size.field != standard.*size.field) {
      layer[std::string(size.key)] = static_cast<std::uint64_t>(spec.*size.field);
    }
  }
  for (const NumberField& number : kNumbers) {
    if (!has(*type.value(), number.key)) continue;
    if (number.is_always || spec.*number.field != standard.*number.field) {
      layer[std::string(number.key)] = spec.*number.field;
    }
  }
  if (spec.spectral_norm) layer["spectral_norm"] = true;
  if (!spec.initialiser.empty()) layer["initialiser"] = spec.initialiser;
  return layer;
}

}  // namespace

std::string to_json(const Architecture& architecture) {
  json layers = json::array();
  for (const LayerSpec& spec : architecture.layers) layers.push_back(layer_json(spec));
  json document{{"input",
                 {{"channels", static_cast<std::uint64_t>(architecture.input.channels)},
                  {"samples", static_cast<std::uint64_t>(architecture.input.samples)}}},
                {"layers", std::move(layers)}};
  if (!architecture.outputs.empty()) document["outputs"] = architecture.outputs;
  return document.dump();
}

Result<Architecture> parse_architecture(std::string_view text) {
  Result<json> parsed = parse_strict(text, 5);
  if (!parsed.ok()) return Error{parsed.error().code, "architecture: " + parsed.error().message};
  const json& document = parsed.value();
  if (!document.is_object()) return corrupt("$", "expected an object");
  if (const auto key = unknown_key(document, {"input", "layers", "outputs"})) {
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
  if (Status s = read_names(document, "outputs", kMaxHeads, "", architecture.outputs); !s.ok()) {
    return s.error();
  }
  return architecture;
}

}  // namespace anomalyd::nn

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/stream_key.h"
#include "detect/composed_detector.h"
#include "nn/strict_json.h"

namespace anomalyd::detect {
namespace {

using nlohmann::json;

constexpr const char* kFormat = "anomalyd.detector/1";
constexpr int kMaxDepth = 8;

Error corrupt(const std::string& what) { return Error{ErrorCode::kCorrupt, "detector: " + what}; }

Result<std::string> text_of(const json& document, const char* key, std::size_t most) {
  const auto found = document.find(key);
  if (found == document.end() || !found->is_string() || found->get<std::string>().size() > most) {
    return corrupt(std::string(key) + ": expected a string of at most " + std::to_string(most) +
                   " bytes");
  }
  return found->get<std::string>();
}

Result<std::uint64_t> number_of(const json& document, const char* key, std::uint64_t most) {
  const auto value = nn::whole_number(document, key, 0, most);
  if (value) return *value;
  return corrupt(std::string(key) + ": expected a whole number of at most " + std::to_string(most));
}

Status read_channels(const json& document, DetectorInfo& info) {
  const auto found = document.find("channels");
  if (found == document.end() || !found->is_array() || found->empty() ||
      found->size() > kMaxChannels) {
    return corrupt("channels: expected an array of 1 to " + std::to_string(kMaxChannels));
  }
  for (const json& channel : *found) {
    if (!channel.is_string() || !name_is_valid(channel.get<std::string>())) {
      return corrupt("channels: expected names of channels");
    }
    const auto name = channel.get<std::string>();
    if (std::find(info.channels.begin(), info.channels.end(), name) != info.channels.end()) {
      return corrupt("channels: \"" + name + "\" occurs twice");
    }
    info.channels.push_back(name);
  }
  return Done{};
}

Status read_numbers(const json& document, DetectorInfo& info) {
  const auto window = number_of(document, "window_samples", kMaxWindowSamples);
  if (!window.ok()) return window.error();
  const auto hop = number_of(document, "hop_samples", kMaxWindowSamples);
  if (!hop.ok()) return hop.error();
  const auto learn = number_of(document, "learn_windows", kMaxLearnWindows);
  if (!learn.ok()) return learn.error();
  const auto seed = number_of(document, "seed", UINT64_MAX);
  if (!seed.ok()) return seed.error();
  const auto rate = document.find("rate_hz");
  if (rate == document.end() || !rate->is_number()) return corrupt("rate_hz: expected a number");
  info.window_samples = static_cast<std::size_t>(window.value());
  info.hop_samples = static_cast<std::size_t>(hop.value());
  info.learn_windows = static_cast<std::size_t>(learn.value());
  info.seed = seed.value();
  info.rate_hz = rate->get<double>();
  if (const Status sizes = check_sizes(info); !sizes.ok()) {
    return Error{ErrorCode::kCorrupt, sizes.error().message};
  }
  return Done{};
}

/// Everything of the metadata but the version, which is checked last.
Result<DetectorInfo> read_info(const json& document) {
  if (!document.is_object()) return corrupt("expected an object");
  if (const auto key = nn::unknown_key(
          document, {"kind", "version", "channels", "rate_hz", "window_samples", "hop_samples",
                     "normaliser", "learn_windows", "seed", "training_digest", "architecture"})) {
    return corrupt("unknown key \"" + key->substr(0, 64) + "\"");
  }
  DetectorInfo info;
  const Result<std::string> kind = text_of(document, "kind", 64);
  if (!kind.ok()) return kind.error();
  info.kind = kind.value();
  const Result<std::string> normaliser = text_of(document, "normaliser", 64);
  if (!normaliser.ok()) return normaliser.error();
  const Result<NormaliserKind> known = parse_normaliser(normaliser.value());
  if (!known.ok()) return Error{known.error().code, "detector: " + known.error().message};
  info.normaliser = known.value();
  const Result<std::string> digest = text_of(document, "training_digest", 64);
  if (!digest.ok()) return digest.error();
  info.training_digest = digest.value();
  if (const Status status = read_channels(document, info); !status.ok()) return status.error();
  if (const Status status = read_numbers(document, info); !status.ok()) return status.error();
  const bool learns = info.normaliser == NormaliserKind::kStream;
  if (learns != (info.learn_windows > 0)) {
    return corrupt("learn_windows: expected above 0 with the normaliser \"stream\", else 0");
  }
  return info;
}

Status check_finite(const nn::TensorFile& file) {
  for (const auto& [name, tensor] : file.tensors) {
    for (const float value : tensor.values) {
      if (!std::isfinite(value)) return corrupt("tensor \"" + name + "\" holds NaN or Inf");
    }
  }
  return Done{};
}

Result<std::optional<ChannelScale>> read_scale(const nn::TensorFile& file,
                                               const DetectorInfo& info) {
  if (info.normaliser != NormaliserKind::kDomain) return std::optional<ChannelScale>();
  const auto mean = member_tensor(file, "normaliser.mean", {info.channels.size()});
  if (!mean.ok()) return mean.error();
  const auto spread = member_tensor(file, "normaliser.spread", {info.channels.size()});
  if (!spread.ok()) return spread.error();
  for (const float value : spread.value()) {
    if (value < 0) return corrupt("tensor \"normaliser.spread\" is negative");
  }
  return std::optional<ChannelScale>(ChannelScale{{mean.value().begin(), mean.value().end()},
                                                  {spread.value().begin(), spread.value().end()}});
}

Result<Calibration> read_calibration(const nn::TensorFile& file) {
  const auto found = file.tensors.find("calibration");
  if (found == file.tensors.end()) return corrupt("tensor \"calibration\" is missing");
  if (found->second.shape.size() != 1)
    return corrupt("tensor \"calibration\": expected one dimension");
  return Calibration::from_floats(found->second.values);
}

/// What would be saved again must be what was read: no stowaways, no flipped bits.
Result<std::shared_ptr<const Detector>> finished(const nn::TensorFile& file,
                                                 const std::string& version,
                                                 const nn::TensorFile& known,
                                                 std::shared_ptr<const Detector> detector) {
  for (const auto& [tensor, unused] : file.tensors) {
    if (!known.tensors.contains(tensor)) {
      return corrupt("tensor \"" + tensor + "\" is none of the kind \"" + detector->info().kind +
                     "\"");
    }
  }
  for (const auto& [key, unused] : file.metadata) {
    if (!known.metadata.contains(key)) return corrupt("metadata \"" + key + "\" is not known");
  }
  if (detector->info().version != version) {
    return corrupt("version is \"" + version + "\", but the content gives \"" +
                   detector->info().version + "\"");
  }
  return detector;
}

Result<std::shared_ptr<const Detector>> from_tensor_file(const nn::TensorFile& file,
                                                         std::string_view name) {
  const auto format = file.metadata.find("format");
  if (format == file.metadata.end() || format->second != kFormat) {
    return Error{ErrorCode::kUnsupported,
                 "metadata \"format\" is \"" +
                     (format == file.metadata.end() ? "" : format->second.substr(0, 64)) +
                     "\", known: " + kFormat};
  }
  const auto text = file.metadata.find("detector");
  if (text == file.metadata.end()) return corrupt("metadata \"detector\" is missing");
  const Result<json> document = nn::parse_strict(text->second, kMaxDepth);
  if (!document.ok()) return corrupt("metadata \"detector\": " + document.error().message);
  Result<DetectorInfo> info = read_info(document.value());
  if (!info.ok()) return info.error();
  const Result<std::string> version = text_of(document.value(), "version", 64);
  if (!version.ok()) return version.error();
  if (const Status status = check_finite(file); !status.ok()) return status.error();

  DetectorParts parts;
  parts.info = std::move(info).value();
  parts.info.name = name;
  const Result<const MemberRow*> row = find_member(parts.info.kind);
  if (!row.ok()) return Error{ErrorCode::kUnsupported, row.error().message};
  const auto found = document.value().find("architecture");
  const std::string architecture = found == document.value().end() ? "{}" : found->dump();
  if (row.value()->load_detector != nullptr) {
    Result<LoadedDetector> loaded = row.value()->load_detector({parts.info, file, architecture});
    if (!loaded.ok()) return loaded.error();
    return finished(file, version.value(), loaded.value().known, loaded.value().detector);
  }
  if (row.value()->load == nullptr) {
    return Error{ErrorCode::kUnsupported,
                 "detector: the kind \"" + parts.info.kind + "\" has no file"};
  }
  Result<std::optional<ChannelScale>> scale = read_scale(file, parts.info);
  if (!scale.ok()) return scale.error();
  parts.scale = std::move(scale).value();
  Result<Calibration> calibration = read_calibration(file);
  if (!calibration.ok()) return calibration.error();
  parts.calibration = std::move(calibration).value();
  Result<std::unique_ptr<Member>> member = row.value()->load({parts.info, file, architecture});
  if (!member.ok()) return member.error();
  parts.member = std::move(member).value();

  const nn::TensorFile known = to_tensor_file(parts);
  return finished(file, version.value(), known, compose(std::move(parts)));
}

}  // namespace

nn::TensorFile settings_file(const DetectorInfo& info, const std::string& architecture) {
  json document{{"kind", info.kind},
                {"version", info.version},
                {"channels", info.channels},
                {"rate_hz", info.rate_hz},
                {"window_samples", info.window_samples},
                {"hop_samples", info.hop_samples},
                {"normaliser", to_text(info.normaliser)},
                {"learn_windows", info.learn_windows},
                {"seed", info.seed},
                {"training_digest", info.training_digest}};
  if (!architecture.empty()) document["architecture"] = json::parse(architecture);
  nn::TensorFile file;
  file.metadata["format"] = kFormat;
  file.metadata["detector"] = document.dump();
  return file;
}

nn::TensorFile to_tensor_file(const DetectorParts& parts) {
  const DetectorInfo& info = parts.info;
  nn::TensorFile file = settings_file(info, parts.member->architecture());
  if (parts.scale) {
    file.tensors["normaliser.mean"] = {{info.channels.size()}, parts.scale->mean};
    file.tensors["normaliser.spread"] = {{info.channels.size()}, parts.scale->spread};
  }
  std::vector<float> calibration = parts.calibration->to_floats();
  const std::size_t size = calibration.size();
  file.tensors["calibration"] = {{size}, std::move(calibration)};
  parts.member->save(file);
  return file;
}

std::string digest_of(const nn::TensorFile& file) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx",
                static_cast<unsigned long long>(hash_bytes(nn::format_tensor_file(file))));
  return std::string(text).substr(0, 12);
}

Result<std::shared_ptr<const Detector>> parse_detector(std::string_view bytes,
                                                       std::string_view name) {
  Result<nn::TensorFile> file = nn::parse_tensor_file(bytes);
  if (!file.ok()) {
    return Error{file.error().code, std::string(name) + ": " + file.error().message};
  }
  Result<std::shared_ptr<const Detector>> detector = from_tensor_file(file.value(), name);
  if (!detector.ok()) {
    return Error{detector.error().code, std::string(name) + ": " + detector.error().message};
  }
  return detector;
}

Result<std::shared_ptr<const Detector>> load_detector(const std::filesystem::path& path) {
  Result<nn::TensorFile> file = nn::read_tensor_file(path);
  if (!file.ok()) return file.error();
  Result<std::shared_ptr<const Detector>> detector =
      from_tensor_file(file.value(), path.stem().string());
  if (!detector.ok()) {
    return Error{detector.error().code, path.string() + ": " + detector.error().message};
  }
  return detector;
}

}  // namespace anomalyd::detect

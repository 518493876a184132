#include <algorithm>
#include <array>
#include <optional>
#include <ostream>

#include "app/config.h"
#include "app/ctl_train.h"
#include "app/domains.h"
#include "detect/calibration.h"
#include "detect/detector.h"
#include "nn/tensor_file.h"

namespace anomalyd::app::ctl {
namespace {

/// Where the table of the calibration looks: the middle, and far into the tail.
constexpr std::array<double, 8> kShownP{0.5, 0.1, 0.01, 1e-3, 1e-4, 1e-6, 1e-9, 1e-12};

/// What a file holds, as far as it can be read.
struct Contents {
  Result<nn::TensorFile> file;
  Result<std::shared_ptr<const detect::Detector>> detector;
  std::optional<detect::Calibration> calibration;
  std::uint64_t parameters = 0;  ///< of the member: neither normaliser nor calibration
  std::uintmax_t bytes = 0;
};

Contents read_contents(const std::string& path) {
  Contents contents{nn::read_tensor_file(path), detect::load_detector(path), {}, 0, 0};
  std::error_code ignored;
  contents.bytes = std::filesystem::file_size(path, ignored);
  if (ignored) contents.bytes = 0;
  if (!contents.file.ok()) return contents;
  for (const auto& [name, tensor] : contents.file.value().tensors) {
    if (name == "calibration") {
      auto calibration = detect::Calibration::from_floats(tensor.values);
      if (calibration.ok()) contents.calibration = std::move(calibration).value();
    } else if (!name.starts_with("normaliser.")) {
      contents.parameters += tensor.values.size();
    }
  }
  return contents;
}

std::string shape_text(const nn::Tensor& tensor) {
  std::string text;
  for (const std::size_t size : tensor.shape) {
    text += (text.empty() ? "" : ", ") + std::to_string(size);
  }
  return text;
}

std::string info_json(const detect::DetectorInfo& info) {
  std::string out = "{\"name\":" + json_string(info.name) + ",\"kind\":" + json_string(info.kind) +
                    ",\"version\":" + json_string(info.version) + ",\"channels\":[";
  for (std::size_t i = 0; i < info.channels.size(); ++i) {
    out += (i == 0 ? "" : ",") + json_string(info.channels[i]);
  }
  return out + "],\"rate_hz\":" + json_number(info.rate_hz) +
         ",\"window_samples\":" + std::to_string(info.window_samples) +
         ",\"hop_samples\":" + std::to_string(info.hop_samples) +
         ",\"normaliser\":" + json_string(detect::to_text(info.normaliser)) +
         ",\"learn_windows\":" + std::to_string(info.learn_windows) +
         ",\"seed\":" + std::to_string(info.seed) +
         ",\"training_digest\":" + json_string(info.training_digest) + "}";
}

void print_json(const std::string& path, const Contents& contents, std::ostream& out) {
  out << "{\"file\":" << json_string(path) << ",\"bytes\":" << contents.bytes
      << ",\"ok\":" << (contents.detector.ok() ? "true" : "false") << ",\"error\":"
      << (contents.detector.ok() ? "null" : json_string(contents.detector.error().message))
      << ",\"detector\":"
      << (contents.detector.ok() ? info_json(contents.detector.value()->info()) : "null")
      << ",\"parameters\":" << contents.parameters << ",\"tensors\":[";
  if (contents.file.ok()) {
    bool is_first = true;
    for (const auto& [name, tensor] : contents.file.value().tensors) {
      out << (is_first ? "" : ",") << "{\"name\":" << json_string(name) << ",\"shape\":["
          << shape_text(tensor) << "],\"bytes\":" << tensor.values.size() * sizeof(float) << "}";
      is_first = false;
    }
  }
  out << "],\"calibration\":[";
  if (contents.calibration) {
    for (std::size_t i = 0; i < kShownP.size(); ++i) {
      out << (i == 0 ? "" : ",") << "{\"p_value\":" << json_number(kShownP[i])
          << ",\"score\":" << json_number(contents.calibration->quantile(kShownP[i])) << "}";
    }
  }
  out << "]}\n";
}

void print_info(const detect::DetectorInfo& info, std::uint64_t parameters, std::ostream& out) {
  std::string channels;
  for (const std::string& channel : info.channels) {
    channels += (channels.empty() ? "" : ", ") + channel;
  }
  Table table({{"", Table::Align::kLeft}, {"", Table::Align::kLeft}});
  table.add({"detector", info.name});
  table.add({"kind", info.kind});
  table.add({"version", info.version});
  table.add({"channels", channels});
  table.add({"rate_hz", short_number(info.rate_hz, 9)});
  table.add({"window_samples", std::to_string(info.window_samples)});
  table.add({"hop_samples", std::to_string(info.hop_samples)});
  table.add({"normaliser", std::string(detect::to_text(info.normaliser))});
  table.add({"learn_windows", std::to_string(info.learn_windows)});
  table.add({"seed", std::to_string(info.seed)});
  table.add({"training_digest", info.training_digest});
  table.add({"parameters", std::to_string(parameters)});
  table.print(out);
}

void print_text(const Contents& contents, std::ostream& out) {
  if (contents.detector.ok()) {
    print_info(contents.detector.value()->info(), contents.parameters, out);
  }
  if (contents.file.ok()) {
    if (contents.detector.ok()) out << "\n";
    Table table({{"tensor"}, {"shape"}, {"bytes", Table::Align::kRight}});
    for (const auto& [name, tensor] : contents.file.value().tensors) {
      table.add({name, "[" + shape_text(tensor) + "]",
                 std::to_string(tensor.values.size() * sizeof(float))});
    }
    table.print(out);
  }
  if (contents.calibration) {
    out << "\n";
    Table table({{"p-value", Table::Align::kRight}, {"score", Table::Align::kRight}});
    for (const double p : kShownP) {
      table.add({short_number(p, 3), short_number(contents.calibration->quantile(p), 6)});
    }
    table.print(out);
  }
}

}  // namespace

int inspect(const InspectOptions& options, Console& console) {
  const Contents contents = read_contents(options.file);
  if (options.json) {
    print_json(options.file, contents, console.out);
  } else {
    print_text(contents, console.out);
  }
  if (contents.detector.ok()) return kOk;
  return fail(console, contents.detector.error());
}

int check_config(const CheckConfigOptions& options, Console& console) {
  Result<Config> config = load_config(options.path);
  if (config.ok()) {
    Status status = check_exposure(config.value());
    if (status.ok()) status = check_access(config.value());
    if (status.ok()) status = check_domains(config.value());
    if (!status.ok()) config = status.error();
  }
  const std::string errors = config.ok() ? "" : config.error().message;
  if (options.json) {
    console.out << "{\"file\":" << json_string(options.path)
                << ",\"valid\":" << (config.ok() ? "true" : "false") << ",\"errors\":[";
    for (std::size_t begin = 0; begin < errors.size();) {
      const std::size_t end = std::min(errors.find('\n', begin), errors.size());
      console.out << (begin == 0 ? "" : ",") << json_string(errors.substr(begin, end - begin));
      begin = end + 1;
    }
    console.out << "]}\n";
  } else if (!config.ok()) {
    console.err << errors << "\n";
  }
  return config.ok() ? kOk : kFailed;
}

}  // namespace anomalyd::app::ctl

// A detector file from outside, and the parsers inside it on their own: a flipped bit anywhere
// changes the file's version, so that few mutations would come past it.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "detect/calibration.h"
#include "detect/detector.h"
#include "nn/network.h"
#include "nn/plan.h"
#include "nn/tensor_file.h"

namespace {

using namespace anomalyd;

void use(const detect::Detector& detector) {
  const std::size_t channels = detector.info().channels.size();
  const std::size_t values = detector.info().window_samples * channels;
  if (values > 4096) return;  // slow, not wrong
  detect::StreamState state = detector.start(channels);
  std::vector<float> raw(values, 0.5F);
  raw.front() = 3e38F;
  for (int i = 0; i < 100 && detector.progress(state) < 1; ++i) detector.learn(state, raw);
  if (detector.progress(state) < 1) return;
  nn::Matrix<float> window(1, static_cast<Eigen::Index>(values));
  detector.normalise(state, raw, {window.data(), values});
  const detect::StreamState* const states[] = {&state};
  float score = 0;
  detector.score(window, states, {&score, 1});
  static_cast<void>(detector.p_value(state, score));
  static_cast<void>(detector.explain(state, raw));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto detector = detect::parse_detector(bytes, "fuzz"); detector.ok()) {
    use(*detector.value());
  }
  if (const auto file = nn::parse_tensor_file(bytes); file.ok()) {
    // What was read must be written and read again alike.
    if (!nn::parse_tensor_file(nn::format_tensor_file(file.value())).ok()) __builtin_trap();
    for (const auto& [name, tensor] : file.value().tensors) {
      if (const auto made = detect::Calibration::from_floats(tensor.values); made.ok()) {
        for (const double score : {-1e30, 0.0, 1.0, 1e30}) {
          const double p = made.value().p_value(score);
          if (!(p >= detect::kMinPValue && p <= 1)) __builtin_trap();
        }
      }
    }
  }
  if (const auto architecture = nn::parse_architecture(bytes); architecture.ok()) {
    const auto network = nn::Network<float>::make(architecture.value(), 1, 1e5);
    if (network.ok() && network.value().cost().flops < 1e7) {
      const nn::Plan plan(network.value());
      auto workspace = plan.workspace();
      plan.run(std::vector<float>(static_cast<std::size_t>(plan.input().size()), 0.5F), workspace);
    }
  }
  static_cast<void>(detect::Budget::parse(bytes).ok());
  return 0;
}

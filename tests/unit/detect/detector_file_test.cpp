#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "detect/detector.h"
#include "nn/tensor_file.h"
#include "signals.h"
#include "support/catch.h"

namespace anomalyd::detect {
namespace {

std::filesystem::path file_path(const std::string& name) {
  return std::filesystem::temp_directory_path() /
         ("anomalyd_" + std::to_string(::getpid()) + "_" + name + ".safetensors");
}

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string bytes_of(const Detector& detector) {
  const auto path = file_path("saved");
  REQUIRE(detector.save(path).ok());
  std::string bytes = bytes_of(path);
  std::filesystem::remove(path);
  return bytes;
}

/// The file with one change to it, refused; returns the message.
template <class Change>
Error refusal(const std::string& bytes, const Change& change) {
  nn::TensorFile file = nn::parse_tensor_file(bytes).value();
  change(file);
  const auto parsed = parse_detector(nn::format_tensor_file(file), "broken");
  REQUIRE_FALSE(parsed.ok());
  return parsed.error();
}

void replace(std::string& text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  text.replace(at, from.size(), to);
}

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("Saving, loading and saving again gives the same bytes and scores", "[detect][file]") {
  for (const std::string kind : {"pca", "autoencoder", "discriminator"}) {
    for (const NormaliserKind normaliser :
         {NormaliserKind::kDomain, NormaliserKind::kStream, NormaliserKind::kWindow}) {
      const auto detector = fitted(kind, normaliser);
      const auto path = file_path("round");
      REQUIRE(detector->save(path).ok());
      const std::string bytes = bytes_of(path);
      const auto loaded = load_detector(path);
      std::filesystem::remove(path);
      REQUIRE(loaded.ok());
      CHECK(bytes_of(*loaded.value()) == bytes);
      const DetectorInfo& info = loaded.value()->info();
      CHECK(info.name == path.stem().string());
      CHECK(info.version == detector->info().version);
      CHECK(info.kind == kind);
      CHECK(info.channels == detector->info().channels);
      CHECK(info.rate_hz == 1000);
      CHECK(info.hop_samples == 16);
      CHECK(info.learn_windows == detector->info().learn_windows);
      CHECK(info.seed == 5);
      CHECK(info.training_digest == detector->info().training_digest);

      const auto raw = machine(80, 32, 8);
      const StreamState mine = learned(*detector, raw);
      const StreamState theirs = learned(*loaded.value(), raw);
      const auto scores = score_all(*detector, mine, raw);
      CHECK(score_all(*loaded.value(), theirs, raw) == scores);
      CHECK(loaded.value()->p_value(theirs, scores[3]) == detector->p_value(mine, scores[3]));
    }
  }
}

TEST_CASE("A detector that is not fitted has no file", "[detect][file][errors]") {
  DetectorInfo info;
  info.kind = "zscore";
  const auto status = make_online_detector(info).value()->save(file_path("none"));
  REQUIRE_FALSE(status.ok());
  CHECK(holds(status.error().message, "no file"));
}

TEST_CASE("A detector file that lies is refused with the reason", "[detect][file][errors]") {
  const std::string bytes = bytes_of(*fitted("autoencoder", NormaliserKind::kDomain));
  const auto edited = [&](const std::string& from, const std::string& to) {
    return refusal(bytes,
                   [&](nn::TensorFile& file) { replace(file.metadata["detector"], from, to); });
  };
  const auto changed = [&](const auto& change) { return refusal(bytes, change).message; };

  CHECK(
      holds(changed([](auto& f) { f.metadata["format"] = "anomalyd.detector/2"; }),
            "broken: metadata \"format\" is \"anomalyd.detector/2\", known: anomalyd.detector/1"));
  CHECK(holds(changed([](auto& f) { f.metadata.erase("format"); }), "known: anomalyd.detector/1"));
  CHECK(holds(changed([](auto& f) { f.metadata.erase("detector"); }), "is missing"));
  CHECK(holds(changed([](auto& f) { f.metadata["detector"] = "{"; }), "not JSON"));
  CHECK(holds(changed([](auto& f) { f.metadata["detector"] = "7"; }), "expected an object"));
  CHECK(holds(
      edited("\"kind\":\"autoencoder\"", "\"kind\":\"gan\"").message,
      "unknown kind \"gan\", known: autoencoder, discriminator, full, hybrid, pca, standard"));
  CHECK(edited("\"kind\":\"autoencoder\"", "\"kind\":\"gan\"").code == ErrorCode::kUnsupported);
  CHECK(holds(edited("\"kind\":\"autoencoder\"", "\"kind\":\"zscore\"").message, "has no file"));
  CHECK(holds(edited("\"normaliser\":\"domain\"", "\"normaliser\":\"magic\"").message,
              "known: domain, stream, window"));
  CHECK(holds(edited("\"normaliser\":\"domain\"", "\"normaliser\":\"stream\"").message,
              "learn_windows"));
  CHECK(holds(edited("\"window_samples\":32", "\"window_samples\":65537").message,
              "window_samples: expected a whole number of at most 65536"));
  CHECK(holds(edited("\"window_samples\":32", "\"window_samples\":1").message,
              "window_samples is 1"));
  CHECK(holds(edited("\"window_samples\":32", "\"window_samples\":-32").message, "window_samples"));
  CHECK(holds(edited("\"window_samples\":32", "\"window_samples\":40").message,
              "not the detector's"));
  CHECK(holds(edited("\"hop_samples\":16", "\"hop_samples\":0").message, "hop_samples is 0"));
  CHECK(holds(edited("[\"ax\",\"tach\"]", "[\"ax\",\"ax\"]").message, "occurs twice"));
  CHECK(holds(edited("[\"ax\",\"tach\"]", "[]").message, "array of 1 to 256"));
  CHECK(holds(edited("[\"ax\",\"tach\"]", "[\"ax\"]").message, "normaliser.mean"));
  CHECK(holds(edited("\"seed\":5", "\"seed\":5,\"extra\":1").message, "unknown key \"extra\""));
  CHECK(holds(edited("\"seed\":5", "\"seed\":5,\"seed\":5").message, "occurs twice"));
  CHECK(holds(edited("\"seed\":5", "\"seed\":6").message, "but the content gives"));
  CHECK(holds(edited("\"type\":\"conv1d\"", "\"type\":\"attention\"").message,
              "unknown layer \"attention\""));
  CHECK(holds(edited("\"kernel\":8", "\"kernel\":6").message, "autoencoder."));

  CHECK(holds(changed([](auto& f) { f.tensors.erase("calibration"); }),
              "\"calibration\" is missing"));
  CHECK(holds(changed([](auto& f) { f.tensors["calibration"].values[3] = -1; }), "negative scale"));
  CHECK(holds(changed([](auto& f) { f.tensors.erase("autoencoder.encoder1.bias"); }),
              "\"autoencoder.encoder1.bias\" is missing"));
  CHECK(holds(changed([](auto& f) {
                f.tensors["autoencoder.encoder1.bias"].shape = {4, 4};
              }),
              "shape is [4, 4], expected [16]"));
  CHECK(holds(
      changed([](auto& f) { f.tensors["autoencoder.encoder1.bias"].values[2] = std::nanf(""); }),
      "\"autoencoder.encoder1.bias\" holds NaN or Inf"));
  CHECK(holds(changed([](auto& f) { f.tensors["autoencoder.residual"].values[0] = 0; }),
              "expected at least"));
  CHECK(holds(changed([](auto& f) { f.tensors["normaliser.spread"].values[0] = -1; }), "negative"));
  CHECK(holds(changed([](auto& f) { f.tensors["autoencoder.encoder1.bias"].values[2] += 1; }),
              "but the content gives"));
  CHECK(holds(changed([](auto& f) {
                f.tensors["stowaway"] = {{1}, {0}};
              }),
              "tensor \"stowaway\" is none of the kind \"autoencoder\""));
  CHECK(holds(changed([](auto& f) { f.metadata["note"] = "hello"; }), "\"note\" is not known"));
}

TEST_CASE("A PCA file with absurd components is refused", "[detect][file][errors]") {
  const std::string bytes = bytes_of(*fitted("pca", NormaliserKind::kWindow));
  CHECK(holds(refusal(bytes,
                      [](auto& f) {
                        f.tensors["pca.components"] = {{1000, 0}, {}};
                      })
                  .message,
              "1000 components, expected at most 128"));
  CHECK(holds(refusal(bytes,
                      [](auto& f) {
                        f.tensors["pca.components"] = {{}, {1}};
                      })
                  .message,
              "pca.components"));
  CHECK(holds(refusal(bytes, [](auto& f) { f.tensors.erase("pca.mean"); }).message, "pca.mean"));
}

TEST_CASE("Loading names the file", "[detect][file][errors]") {
  const auto missing = load_detector(file_path("missing"));
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.error().code == ErrorCode::kNotFound);
  CHECK(holds(missing.error().message, file_path("missing").string()));
  const auto parsed = parse_detector("short", "x.safetensors");
  CHECK(holds(parsed.error().message, "x.safetensors: 5 bytes"));
}

}  // namespace
}  // namespace anomalyd::detect

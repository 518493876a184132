#include "detect/hybrid.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <string>

#include "signals.h"
#include "support/catch.h"

namespace anomalyd::detect {
namespace {

FitOptions hybrid_options(const std::string& kind = "hybrid") {
  FitOptions options = options_of(kind, NormaliserKind::kStream);
  options.info.learn_windows = 120;
  options.epochs = 10;
  return options;
}

std::shared_ptr<const Detector> fitted_hybrid(const std::string& kind = "hybrid") {
  const auto made = fit_detector({machine(300, 32, 1)}, hybrid_options(kind));
  REQUIRE(made.ok());
  return made.value().detector;
}

std::vector<float> follow(const Detector& detector, StreamState& state,
                          const nn::Matrix<float>& raw) {
  std::vector<float> scores;
  for (Eigen::Index row = 0; row < raw.rows(); ++row) {
    detector.follow(state, row_of(raw, row));
    scores.push_back(score_all(detector, state, raw.row(row)).front());
    detector.update(state, row_of(normalise_all(detector, state, raw.row(row)), 0));
  }
  return scores;
}

std::string saved(const Detector& detector) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("anomalyd_hybrid_" + std::to_string(::getpid()) + ".safetensors");
  REQUIRE(detector.save(path).ok());
  const std::string bytes = nn::format_tensor_file(nn::read_tensor_file(path).value());
  std::filesystem::remove(path);
  return bytes;
}

TEST_CASE("A hybrid learns each stream and finds its faults", "[detect][hybrid]") {
  const auto detector = fitted_hybrid();
  CHECK(detector->is_online());
  const auto recording = machine(280, 32, 21);
  StreamState state = learned(*detector, recording);  // the first 120
  REQUIRE(detector->progress(state) == 1);
  int alarms = 0;
  for (const float score : follow(*detector, state, recording.bottomRows(160))) {
    alarms += detector->p_value(state, score) < 1e-4;
  }
  CHECK(alarms <= 2);
  const auto faulty = machine(20, 32, 23, Fault::kImpulses);
  int found = 0;
  for (Eigen::Index row = 0; row < faulty.rows(); ++row) {
    detector->follow(state, row_of(faulty, row));
    const float score = score_all(*detector, state, faulty.row(row)).front();
    found += detector->p_value(state, score) < 1e-4;
  }
  CHECK(found >= 10);
  const Explanation why = detector->explain(state, row_of(faulty, 19));
  CHECK(std::accumulate(why.contributions.begin(), why.contributions.end(), 0.0) ==
        Approx(1).epsilon(1e-9));
}

TEST_CASE("A hybrid's file is read back to the same bytes and scores", "[detect][hybrid][file]") {
  const auto detector = fitted_hybrid();
  const std::string bytes = saved(*detector);
  const auto again = parse_detector(bytes, "again");
  REQUIRE(again.ok());
  CHECK(again.value()->info().version == detector->info().version);
  CHECK(saved(*again.value()) == bytes);
  StreamState one = learned(*detector, machine(130, 32, 21));
  StreamState two = learned(*again.value(), machine(130, 32, 21));
  CHECK(follow(*detector, one, machine(60, 32, 22)) ==
        follow(*again.value(), two, machine(60, 32, 22)));
}

TEST_CASE("A stream of a hybrid goes on from its archive with the same bits",
          "[detect][hybrid][archive]") {
  const auto detector = fitted_hybrid();
  StreamState state = learned(*detector, machine(130, 32, 21));
  follow(*detector, state, machine(37, 32, 22));
  Archive written;
  detector->archive(state, 2, written);
  const std::vector<std::byte> bytes = written.take();
  StreamState read = detector->start(2);
  Archive archive(bytes);
  detector->archive(read, 2, archive);
  REQUIRE(archive.finish().ok());
  const auto rest = machine(50, 32, 24, Fault::kBroadband);
  CHECK(follow(*detector, read, rest) == follow(*detector, state, rest));
}

TEST_CASE("A hybrid's discriminator has a say, and can be left out", "[detect][hybrid]") {
  const auto with = fitted_hybrid();
  const auto without = fitted_hybrid("hybrid-without-discriminator");
  StreamState one = learned(*with, machine(130, 32, 21));
  StreamState two = learned(*without, machine(130, 32, 21));
  const auto faulty = machine(20, 32, 23, Fault::kBroadband);
  CHECK(follow(*with, one, faulty) != follow(*without, two, faulty));
}

TEST_CASE("A hybrid that cannot be is refused with the reason", "[detect][hybrid][errors]") {
  FitOptions options = hybrid_options();
  options.info.normaliser = NormaliserKind::kDomain;
  const auto refused = fit_detector({machine(300, 32, 1)}, options);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().message.find("expected the normaliser \"stream\"") != std::string::npos);
  FitOptions hasty = hybrid_options();
  hasty.info.learn_windows = 20;
  const auto short_span = fit_detector({machine(300, 32, 1)}, hasty);
  REQUIRE_FALSE(short_span.ok());
  CHECK(short_span.error().message.find("learn_windows is 20, expected at least 40") !=
        std::string::npos);
  const auto few = fit_detector({machine(40, 32, 1)}, hybrid_options());
  REQUIRE_FALSE(few.ok());
  CHECK(few.error().message.find("expected at least 64") != std::string::npos);
  CHECK_FALSE(fit_detector({machine(300, 32, 1)}, hybrid_options("hybrid-without-nobody")).ok());
  FitOptions wide = hybrid_options();
  for (int c = 2; c < 9; ++c) wide.info.channels.push_back("c" + std::to_string(c));
  const auto many = fit_detector({nn::Matrix<float>::Zero(100, 9 * 32)}, wide);
  REQUIRE_FALSE(many.ok());
  CHECK(many.error().message.find("9 channels, expected at most 8") != std::string::npos);

  const std::string bytes = saved(*fitted_hybrid());
  const auto refusal = [&](const std::string& from, const std::string& to) {
    nn::TensorFile file = nn::parse_tensor_file(bytes).value();
    std::string& text = file.metadata["detector"];
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    text.replace(at, from.size(), to);
    const auto parsed = parse_detector(nn::format_tensor_file(file), "broken");
    REQUIRE_FALSE(parsed.ok());
    return parsed.error().message;
  };
  CHECK(refusal("\"discriminator\":{", "\"generator\":{").find("expected the member") !=
        std::string::npos);
  CHECK(refusal("\"seed\":5", "\"seed\":6").find("the content gives") != std::string::npos);
  CHECK(refusal("\"window_samples\":32", "\"window_samples\":16").find("window") !=
        std::string::npos);
  nn::TensorFile file = nn::parse_tensor_file(bytes).value();
  file.tensors["stowaway"] = {{1}, {0.0F}};
  CHECK_FALSE(parse_detector(nn::format_tensor_file(file), "broken").ok());
}

TEST_CASE("A network scores when it has seen enough, at every eighth sample", "[detect][hybrid]") {
  auto network = nn::Network<float>::make(discriminator_architecture(16, 1).value(), 1).value();
  const auto model = std::make_shared<const Discriminator>(
      std::move(network), WindowFeatures({1.0F}), nn::Matrix<float>::Zero(1, 16));
  const MadeMember member = stream_discriminator(model).make();
  History history(1, 64);
  std::vector<float> scores;
  for (int i = 0; i < 48; ++i) {
    const float sample = std::sin(0.7F * static_cast<float>(i));
    history.push({&sample, 1});
    scores.push_back(member->follow(history));
  }
  for (std::size_t i = 0; i < 15; ++i) CHECK(std::isnan(scores[i]));
  int steps = 0;
  for (std::size_t i = 15; i + 1 < scores.size(); ++i) {
    const bool is_new = (i + 2) % kNetworkStep == 0;  // the count after the next push
    if (!is_new) CHECK(scores[i + 1] == scores[i]);
    steps += scores[i + 1] != scores[i];
  }
  CHECK(steps == 4);
  history.interrupt();
  member->interrupt();
  const float sample = 0;
  history.push({&sample, 1});
  CHECK(std::isnan(member->follow(history)));
}

}  // namespace
}  // namespace anomalyd::detect

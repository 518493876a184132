#include "detect/detector.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "signals.h"
#include "support/catch.h"

namespace anomalyd::detect {
namespace {

constexpr NormaliserKind kNormalisers[] = {NormaliserKind::kDomain, NormaliserKind::kStream,
                                           NormaliserKind::kWindow};

TEST_CASE("Trained detectors find a machine's faults and leave the sound one alone",
          "[detect][end-to-end]") {
  for (const std::string kind : {"pca", "autoencoder", "discriminator"}) {
    for (const NormaliserKind normaliser : kNormalisers) {
      INFO(kind << ", normaliser " << static_cast<int>(normaliser));
      const auto detector = fitted(kind, normaliser);
      CHECK_FALSE(detector->is_online());
      const StreamState state = learned(*detector, machine(50, 32, 21));
      REQUIRE(detector->progress(state) == 1);
      for (const float score : score_all(*detector, state, machine(300, 32, 22))) {
        CHECK(detector->p_value(state, score) > 1e-6);
      }
      for (const Fault fault : {Fault::kBroadband, Fault::kImpulses}) {
        int found = 0;
        for (const float score : score_all(*detector, state, machine(50, 32, 23, fault))) {
          found += detector->p_value(state, score) < 1e-6;
        }
        CHECK(found >= 45);
      }
    }
  }
}

TEST_CASE("A window's score has the same bits in any batch and at any alignment",
          "[detect][determinism]") {
  for (const std::string kind : {"pca", "autoencoder", "discriminator", "zscore"}) {
    INFO(kind);
    DetectorInfo info;
    info.kind = "zscore";
    info.window_samples = 32;
    info.hop_samples = 16;
    const auto detector = kind == "zscore" ? make_online_detector(info).value()
                                           : fitted(kind, NormaliserKind::kStream);
    const StreamState state = learned(*detector, machine(100, 32, 31));
    const auto raw = machine(70, 32, 32);
    const std::vector<float> together = score_all(*detector, state, raw);
    std::vector<float> held(64 + 8);
    for (Eigen::Index row = 0; row < raw.rows(); ++row) {
      const auto alone = score_all(*detector, state, raw.row(row));
      CHECK(alone[0] == together[static_cast<std::size_t>(row)]);
      const std::span<float> moved = std::span(held).subspan(static_cast<std::size_t>(row % 8), 64);
      std::copy_n(row_of(raw, row).data(), 64, moved.data());
      std::vector<float> normalised(65);
      detector->normalise(state, moved, std::span(normalised).subspan(1));
      CHECK(std::equal(normalised.begin() + 1, normalised.end(),
                       row_of(normalise_all(*detector, state, raw.row(row)), 0).begin()));
    }
  }
}

TEST_CASE("Windows that are not finite score NaN, and only those", "[detect][non-finite]") {
  for (const std::string kind : {"pca", "autoencoder", "discriminator", "zscore"}) {
    INFO(kind);
    DetectorInfo info;
    info.kind = "zscore";
    info.window_samples = 32;
    info.hop_samples = 16;
    const auto detector = kind == "zscore" ? make_online_detector(info).value()
                                           : fitted(kind, NormaliserKind::kStream);
    StreamState state = learned(*detector, machine(100, 32, 31));
    auto raw = machine(4, 32, 32);
    const std::vector<float> sound = score_all(*detector, state, raw);
    raw(1, 7) = std::numeric_limits<float>::quiet_NaN();
    raw(2, 8) = -std::numeric_limits<float>::infinity();
    raw(3, 9) = 3e38F;
    const std::vector<float> scores = score_all(*detector, state, raw);
    CHECK(scores[0] == sound[0]);
    CHECK(std::isnan(scores[1]));
    CHECK(std::isnan(detector->p_value(state, scores[1])));
    CHECK(std::isnan(scores[2]));
    CHECK(std::isfinite(scores[3]));  // huge is an anomaly, not an accident
    CHECK(detector->p_value(state, scores[3]) < 1e-6);
    const std::vector<float> before = state.member;
    detector->update(state, row_of(normalise_all(*detector, state, raw.row(1)), 0));
    CHECK(state.member == before);
  }
}

TEST_CASE("An explanation names the channel and what it should have been", "[detect][explain]") {
  for (const std::string kind : {"pca", "autoencoder", "discriminator"}) {
    for (const NormaliserKind normaliser : kNormalisers) {
      INFO(kind << ", normaliser " << static_cast<int>(normaliser));
      const auto detector = fitted(kind, normaliser);
      const StreamState state = learned(*detector, machine(50, 32, 41));
      const auto sound = machine(1, 32, 42);
      auto faulty = sound;
      for (Eigen::Index i = 0; i < 64; i += 2) faulty(0, i) += i % 4 == 0 ? 0.5F : -0.5F;
      const Explanation why = detector->explain(state, row_of(faulty, 0));
      REQUIRE(why.contributions.size() == 2);
      CHECK(std::accumulate(why.contributions.begin(), why.contributions.end(), 0.0) ==
            Approx(1).epsilon(1e-12));
      // A channel's noise shrinks its own wave when each window is scaled by itself, which the
      // other channel then disagrees with.
      CHECK(why.contributions[0] > (normaliser == NormaliserKind::kWindow ? 0.5 : 0.9));
      REQUIRE(why.expected.size() == 64);
      // Channel 0 nearer to what it was than to what came, 0.5 away; channel 1 as it is.
      float off = 0;
      for (Eigen::Index i = 0; i < 64; i += 2) {
        off += std::abs(why.expected[static_cast<std::size_t>(i)] - sound(0, i)) / 32.0F;
      }
      CHECK(off < 0.3F);
      for (std::size_t i = 1; i < 64; i += 2) {
        CHECK(std::abs(why.expected[i] - sound(0, static_cast<Eigen::Index>(i))) < 40.0F);
      }
    }
  }
}

TEST_CASE("A window without any error shares the blame equally", "[detect][explain]") {
  const auto flat = nn::Matrix<float>::Constant(300, 64, 5.0F).eval();
  const auto detector =
      fit_detector({flat}, options_of("pca", NormaliserKind::kWindow)).value().detector;
  const StreamState state = detector->start(2);
  const Explanation why = detector->explain(state, row_of(flat, 0));
  CHECK(why.contributions == std::vector<double>{0.5, 0.5});
  CHECK(why.expected == std::vector<float>(64, 5.0F));
}

TEST_CASE("A stream's normaliser is learned from its own first windows and then kept",
          "[detect][normaliser]") {
  const auto detector = fitted("pca", NormaliserKind::kStream);
  StreamState state = detector->start(2);
  // Ten times as loud, and offset: another mounting of the same machine.
  auto windows = machine(200, 32, 51);
  windows = (windows.array() * 10.0F + 3.0F).matrix().eval();
  for (Eigen::Index row = 0; row < 50; ++row) {
    CHECK(detector->progress(state) == Approx(static_cast<double>(row) / 50));
    detector->learn(state, row_of(windows, row));
  }
  REQUIRE(detector->progress(state) == 1);
  CHECK(state.normaliser.size() == 4);
  CHECK(state.normaliser[0] == Approx(9.81 * 10 + 3).epsilon(1e-2));
  const StreamState kept = learned(*detector, windows);
  detector->learn(state, row_of(windows, 60));  // too late: nothing changes
  CHECK(state.normaliser == kept.normaliser);
  for (const float score : score_all(*detector, state, windows.bottomRows(150))) {
    CHECK(detector->p_value(state, score) > 1e-6);
  }
}

TEST_CASE("Detectors of the domain and of the window score a new stream at once",
          "[detect][normaliser]") {
  for (const NormaliserKind normaliser : {NormaliserKind::kDomain, NormaliserKind::kWindow}) {
    const auto detector = fitted("pca", normaliser);
    CHECK(detector->progress(detector->start(2)) == 1);
    CHECK(detector->start(2).bytes() == 0);
  }
}

TEST_CASE("The window normaliser takes loudness away, so that it alone is no anomaly",
          "[detect][normaliser]") {
  const auto detector = fitted("pca", NormaliserKind::kWindow);
  const StreamState state = detector->start(2);
  const auto sound = machine(20, 32, 61);
  const nn::Matrix<float> loud = (sound.array() * 8.0F).matrix();
  const auto quiet_scores = score_all(*detector, state, sound);
  const auto loud_scores = score_all(*detector, state, loud);
  for (std::size_t i = 0; i < quiet_scores.size(); ++i) {
    CHECK(loud_scores[i] == Approx(quiet_scores[i]).epsilon(1e-3));
  }
}

TEST_CASE("Every kind is in the table", "[detect]") {
  std::string names;
  for (const MemberKind& kind : member_kinds()) {
    names += std::string(kind.name) + (kind.trained ? " trained" : "") +
             (kind.online ? " online" : "") + "; ";
  }
  CHECK(names ==
        "autoencoder trained; discriminator trained; full online; hybrid trained; pca trained; "
        "standard online; tiny online; "
        "zscore online; ");
}

}  // namespace
}  // namespace anomalyd::detect

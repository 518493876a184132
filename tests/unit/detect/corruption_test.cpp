#include "detect/corruption.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>
#include <string>
#include <vector>

#include "detect/window_features.h"
#include "support/catch.h"

namespace anomalyd::detect {
namespace {

constexpr std::size_t kSamples = 64;

/// Channel c is a wave of its own phase around c.
std::vector<float> waves(std::size_t channels, double shift = 0) {
  std::vector<float> window;
  for (std::size_t i = 0; i < kSamples; ++i) {
    for (std::size_t c = 0; c < channels; ++c) {
      const double at = 0.3 * (static_cast<double>(i) + shift) + static_cast<double>(c);
      window.push_back(static_cast<float>(std::sin(at) + 0.3 * std::sin(2.7 * at)));
    }
  }
  return window;
}

Corruption kind_at(std::size_t i) { return static_cast<Corruption>(i); }

std::vector<float> corrupted(Corruption kind, std::size_t channels, std::uint64_t seed) {
  std::vector<float> window = waves(channels);
  std::mt19937_64 bits(seed);
  corrupt(kind, waves(channels, 1000), channels, bits, window);
  return window;
}

/// The first and the last sample that is not as it was, and how many.
struct Changed {
  std::size_t first = kSamples;
  std::size_t last = 0;
  std::size_t count = 0;
};
Changed changed(const std::vector<float>& before, const std::vector<float>& after,
                std::size_t channels, std::size_t channel) {
  Changed found;
  for (std::size_t i = 0; i < kSamples; ++i) {
    if (before[i * channels + channel] == after[i * channels + channel]) continue;
    found.first = std::min(found.first, i);
    found.last = i;
    ++found.count;
  }
  return found;
}

TEST_CASE("Every kind of corruption has a name, changes windows and gives numbers",
          "[detect][corruption]") {
  std::set<std::string> names;
  for (std::size_t k = 0; k < kCorruptions; ++k) {
    const std::string name(to_text(kind_at(k)));
    INFO(name);
    CHECK(names.insert(name).second);
    for (const std::size_t channels : {1, 3}) {
      int moved = 0;
      for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        const auto window = corrupted(kind_at(k), channels, seed);
        CHECK(std::all_of(window.begin(), window.end(), [](float v) { return std::isfinite(v); }));
        moved += window != waves(channels);
      }
      CHECK(moved >= 18);
    }
  }
}

TEST_CASE("The same bits corrupt alike, others otherwise", "[detect][corruption][determinism]") {
  for (std::size_t k = 0; k < kCorruptions; ++k) {
    INFO(to_text(kind_at(k)));
    CHECK(corrupted(kind_at(k), 2, 7) == corrupted(kind_at(k), 2, 7));
    CHECK(corrupted(kind_at(k), 2, 7) != corrupted(kind_at(k), 2, 8));
  }
}

TEST_CASE("A spike is at most three samples of some channels, wild ones", "[detect][corruption]") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto before = waves(3);
    const auto after = corrupted(Corruption::kSpike, 3, seed);
    std::size_t touched = 0;
    for (std::size_t c = 0; c < 3; ++c) {
      const Changed found = changed(before, after, 3, c);
      touched += found.count > 0;
      CHECK(found.count <= 3);
      if (found.count == 0) continue;
      CHECK(found.last - found.first + 1 == found.count);
      const std::size_t at = found.first * 3 + c;
      CHECK(std::abs(after[at] - before[at]) > 0.5F);
    }
    CHECK(touched >= 1);
  }
}

TEST_CASE("A flat stretch holds one value, a reversed one the same values backwards",
          "[detect][corruption]") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto before = waves(1);
    const auto flat = corrupted(Corruption::kFlat, 1, seed);
    const Changed held = changed(before, flat, 1, 0);
    REQUIRE(held.count > 0);
    std::set<float> values(flat.begin() + static_cast<std::ptrdiff_t>(held.first),
                           flat.begin() + static_cast<std::ptrdiff_t>(held.last) + 1);
    CHECK(values.size() == 1);

    auto reversed = corrupted(Corruption::kReverse, 1, seed);
    const Changed turned = changed(before, reversed, 1, 0);
    REQUIRE(turned.count > 0);
    for (std::size_t i = turned.first; i <= turned.last; ++i) {
      CHECK(reversed[i] == before[turned.first + turned.last - i]);
    }
  }
}

TEST_CASE("A smoothed stretch is smoother, a scaled one keeps its mean", "[detect][corruption]") {
  const auto roughness = [](const std::vector<float>& x) {
    double sum = 0;
    for (std::size_t i = 2; i < x.size(); ++i) {
      sum += std::abs(static_cast<double>(x[i] - 2 * x[i - 1] + x[i - 2]));
    }
    return sum;
  };
  std::vector<float> rough = waves(1);
  for (std::size_t i = 0; i < rough.size(); ++i) rough[i] += i % 2 == 0 ? 0.2F : -0.2F;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    std::vector<float> smoothed = rough;
    std::mt19937_64 bits(seed);
    corrupt(Corruption::kSmooth, waves(1, 1000), 1, bits, smoothed);
    CHECK(roughness(smoothed) < roughness(rough));

    const auto before = waves(1);
    const auto scaled = corrupted(Corruption::kScale, 1, seed);
    double difference = 0;
    for (std::size_t i = 0; i < kSamples; ++i) {
      difference += static_cast<double>(scaled[i]) - static_cast<double>(before[i]);
    }
    CHECK(std::abs(difference) < 1e-4);
  }
}

TEST_CASE("Decoupling leaves one channel at least as it was", "[detect][corruption]") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    const auto before = waves(3);
    const auto after = corrupted(Corruption::kDecouple, 3, seed);
    std::size_t kept = 0;
    for (std::size_t c = 0; c < 3; ++c) kept += changed(before, after, 3, c).count == 0;
    CHECK(kept >= 1);
    CHECK(kept <= 2);
  }
}

TEST_CASE("A splice is another window's stretch, with or without a step", "[detect][corruption]") {
  int joined = 0;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    std::vector<float> window(kSamples, 0.0F);
    const std::vector<float> other(kSamples, 5.0F);
    std::mt19937_64 bits(seed);
    corrupt(Corruption::kSplice, other, 1, bits, window);
    const float most = *std::max_element(window.begin(), window.end());
    // Joined without a step, another constant is no change at all.
    joined += most == 0.0F;
    CHECK((most == 0.0F || most == 5.0F));
  }
  CHECK(joined > 5);
  CHECK(joined < 25);
}

TEST_CASE("What is drawn changes the window enough to be seen", "[detect][corruption]") {
  std::set<Corruption> drawn;
  int unchanged = 0;
  std::mt19937_64 bits(3);
  for (int i = 0; i < 400; ++i) {
    std::vector<float> window = waves(2);
    drawn.insert(corrupt_somehow(waves(2, 1000), 2, bits, window));
    float most = 0;
    const auto before = waves(2);
    for (std::size_t k = 0; k < window.size(); ++k) {
      most = std::max(most, std::abs(window[k] - before[k]));
    }
    unchanged += most < kLeastChange;
  }
  CHECK(drawn.size() == kCorruptions);
  CHECK(unchanged < 10);
}

TEST_CASE("A window's features are its values, its form and its slope", "[detect][corruption]") {
  nn::Matrix<float> windows(1, 6);
  windows << 0, 10, 1, 10, 2, 14;  // channels 0 1 2 and 10 10 14
  const WindowFeatures features = WindowFeatures::of(windows, 2);
  CHECK(features.slopes()[0] == Approx(1));
  CHECK(features.slopes()[1] == Approx(std::sqrt(8.0)));
  std::vector<float> out(18);
  features.write({windows.data(), 6}, out);
  const double spread = std::sqrt(2.0 / 3.0);
  CHECK(out[0] == Approx(0));
  CHECK(out[1] == Approx(-1 / spread));
  CHECK(out[2] == Approx(0));
  CHECK(out[12] == Approx(2));
  CHECK(out[13] == Approx(1 / spread));
  CHECK(out[14] == Approx(1));
  CHECK(out[15] == Approx(14));
  CHECK(out[17] == Approx(4 / std::sqrt(8.0)));
  const std::vector<float> wild{0, 1e38F, -3e38F, -1e38F, 3e38F, 0};
  features.write(wild, out);
  for (const float each : out) CHECK(std::abs(each) <= WindowFeatures::kMost);
}

}  // namespace
}  // namespace anomalyd::detect

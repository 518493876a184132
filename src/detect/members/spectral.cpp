#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <limits>

#include "detect/members/spectrum.h"
#include "detect/members/stream_member.h"

namespace anomalyd::detect {
namespace {

constexpr std::size_t kRing = 128;
constexpr std::size_t kEvery = 8;  // samples between two transforms
constexpr std::size_t kAhead = 5;  // points guessed after the newest, as in the source
constexpr std::size_t kSlopePoints = 5;
constexpr std::size_t kNeighbours = 3;  // of the log spectrum that are averaged
constexpr double kSmall = 1e-6;
constexpr std::size_t kMostChannels = 8;
constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

/// Spectral residual: how much the last samples stand out of the window once its log spectrum has
/// been freed of what is smooth in it; (saliency - mean) / mean, the largest of the last kEvery
/// samples and of the channels.
///
/// Numerics  double; learns nothing.
/// Cost      two transforms of kRing points a channel once in kEvery samples; 16 bytes a channel.
///           Up to kMostChannels channels, the first ones.
/// Source    Ren et al. 2019 (SR): windowed saliency with points guessed ahead.
class SpectralResidual final : public StreamMember {
 public:
  explicit SpectralResidual(std::size_t channels)
      : energy_(std::min(channels, kMostChannels), 0.0) {}

  float follow(const History& history) override {
    if (history.run() < kRing) {
      score_ = kNone;
    } else if (history.count() % kEvery == 0) {
      double largest = 0;
      for (std::size_t c = 0; c < energy_.size(); ++c) {
        energy_[c] = saliency(history, c);
        largest = std::max(largest, energy_[c]);
      }
      score_ = static_cast<float>(largest);
    }
    return score_;
  }

  void learn(const History& /*history*/, std::size_t /*back*/, std::size_t /*clean*/) override {}

  void shares(const History& /*history*/, std::span<double> channels) const override {
    double sum = 0;
    for (const double energy : energy_) sum += energy;
    std::fill(channels.begin(), channels.end(), 0.0);
    for (std::size_t c = 0; c < energy_.size(); ++c) {
      channels[c] = sum > 0 ? energy_[c] / sum : 1.0 / static_cast<double>(energy_.size());
    }
  }

  std::size_t span() const override { return kEvery; }
  std::size_t context() const override { return kRing; }
  std::size_t bytes() const override { return sizeof *this + energy_.capacity() * sizeof(double); }
  double operations() const override {
    return static_cast<double>(energy_.size() * 30 * kRing * 7 / kEvery);
  }
  std::unique_ptr<StreamMember> clone() const override {
    return std::make_unique<SpectralResidual>(*this);
  }

  void archive(Archive& archive) override {
    archive.sized(energy_, "energies");
    archive(score_);
  }

 private:
  static double saliency(const History& history, std::size_t c) {
    const float* values = history.last(c, kRing - kAhead);
    const std::size_t n = kRing - kAhead;
    std::array<std::complex<double>, kRing> spectrum{};
    double slope = 0;
    for (std::size_t i = 1; i <= kSlopePoints; ++i) {
      slope += static_cast<double>(values[n - 1] - values[n - 1 - i]) / static_cast<double>(i) /
               static_cast<double>(kSlopePoints);
    }
    const double ahead =
        static_cast<double>(values[n - kSlopePoints]) + slope * static_cast<double>(kSlopePoints);
    for (std::size_t i = 0; i < kRing; ++i) {
      spectrum[i] = i < n ? static_cast<double>(values[i]) : ahead;
    }
    fourier(spectrum);
    std::array<double, kRing> logs{};
    for (std::size_t k = 0; k < kRing; ++k)
      logs[k] = 0.5 * std::log(std::norm(spectrum[k]) + kSmall);
    for (std::size_t k = 0; k < kRing; ++k) {
      double mean = 0;
      for (std::size_t i = 0; i < kNeighbours; ++i) {
        mean += logs[(k + kRing + i - kNeighbours / 2) % kRing] / kNeighbours;
      }
      // Its phase with the amplitude of the residual; conjugate, so that the transform goes back.
      const double amplitude = std::sqrt(std::norm(spectrum[k]) + kSmall);
      spectrum[k] = std::conj(spectrum[k]) * (std::exp(logs[k] - mean) / amplitude);
    }
    fourier(spectrum);
    double mean = 0;
    double largest = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double value = std::abs(spectrum[i]);
      mean += value / static_cast<double>(n);
      if (i + kEvery >= n) largest = std::max(largest, value);
    }
    return std::max(0.0, (largest - mean) / (mean + kSmall));
  }

  std::vector<double> energy_;
  float score_ = kNone;
};

}  // namespace

MadeMember make_spectral(const StreamTraits& traits, const MemberSize& /*size*/) {
  if (traits.samples < 4 * kRing) return nullptr;
  return std::make_unique<SpectralResidual>(traits.channels);
}

}  // namespace anomalyd::detect

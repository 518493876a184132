#include "detect/residual.h"

#include <algorithm>

#include "base/check.h"

namespace anomalyd::detect {

std::vector<double> channel_energies(std::span<const float> window, std::span<const float> expected,
                                     std::size_t channels) {
  ANOMALYD_CHECK(window.size() == expected.size() && window.size() % channels == 0,
                 "residual: a window of whole samples was expected");
  std::vector<double> energies(channels, 0.0);
  for (std::size_t i = 0; i < window.size(); i += channels) {
    for (std::size_t c = 0; c < channels; ++c) {
      const double residual =
          static_cast<double>(window[i + c]) - static_cast<double>(expected[i + c]);
      energies[c] += residual * residual;
    }
  }
  const std::size_t samples = window.size() / channels;
  for (double& energy : energies) energy /= static_cast<double>(samples);
  return energies;
}

ResidualScale ResidualScale::of(const std::vector<std::vector<double>>& energies) {
  ANOMALYD_CHECK(!energies.empty(), "residual: no held-out windows");
  std::vector<double> sums(energies.front().size(), 0.0);
  for (const std::vector<double>& row : energies) {
    for (std::size_t c = 0; c < sums.size(); ++c) sums[c] += row[c];
  }
  std::vector<float> usual;
  usual.reserve(sums.size());
  for (const double sum : sums) {
    usual.push_back(
        static_cast<float>(std::clamp(sum / static_cast<double>(energies.size()), kFloor, 1e30)));
  }
  return ResidualScale(std::move(usual));
}

std::vector<double> ResidualScale::shares(std::span<const double> energies) const {
  ANOMALYD_CHECK(energies.size() == usual_.size(), "residual: other channels than at the fit");
  std::vector<double> shares;
  shares.reserve(energies.size());
  for (std::size_t c = 0; c < energies.size(); ++c) {
    shares.push_back(energies[c] / static_cast<double>(usual_[c]) /
                     static_cast<double>(energies.size()));
  }
  return shares;
}

float ResidualScale::score(std::span<const double> energies) const {
  double sum = 0;
  for (const double share : shares(energies)) sum += share;
  return static_cast<float>(sum);
}

float ResidualScale::score(std::span<const float> window, std::span<const float> expected) const {
  const std::size_t channels = usual_.size();
  ANOMALYD_CHECK(window.size() == expected.size() && window.size() % channels == 0,
                 "residual: a window of whole samples was expected");
  const auto samples = static_cast<double>(window.size() / channels);
  double sum = 0;
  for (std::size_t c = 0; c < channels; ++c) {
    double energy = 0;
    for (std::size_t i = c; i < window.size(); i += channels) {
      const double residual = static_cast<double>(window[i]) - static_cast<double>(expected[i]);
      energy += residual * residual;
    }
    sum += energy / samples / static_cast<double>(usual_[c]) / static_cast<double>(channels);
  }
  return static_cast<float>(sum);
}

}  // namespace anomalyd::detect

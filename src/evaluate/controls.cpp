#include "evaluate/controls.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace anomalyd::evaluate {
namespace {

// The surprise of a control that is sure; the largest a calibrated detector can have.
constexpr double kSure = 15;
constexpr std::size_t kBins = 100;

/// The index-th of many generators that grow from one seed. Source: SplitMix64.
std::uint64_t mix(std::uint64_t seed, std::uint64_t index) {
  std::uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31U);
}

std::size_t bin_of(std::size_t row, const Series& series) {
  return (row - series.train) * kBins / (series.samples() - series.train);
}

/// For each hundredth of the judged part the share of its samples that are anomalous.
std::array<double, kBins> truth_by_bin(const Series& series) {
  std::array<double, kBins> marked{};
  std::array<double, kBins> all{};
  for (std::size_t i = series.train; i < series.samples(); ++i) {
    ++all[bin_of(i, series)];
    if (series.truth[i] != 0) ++marked[bin_of(i, series)];
  }
  for (std::size_t b = 0; b < kBins; ++b) {
    if (all[b] > 0) marked[b] /= all[b];
  }
  return marked;
}

std::vector<double> clock_surprise(ProtocolKind protocol, const Dataset& dataset,
                                   std::size_t index) {
  const Series& series = dataset.series[index];
  std::vector<double> surprise(series.samples(), 0);
  if (protocol == ProtocolKind::kSkab) {
    for (std::size_t i = series.train; i < series.samples(); ++i) {
      if (kSkabClock.contains(i - series.train)) surprise[i] = kSure;
    }
    return surprise;
  }
  std::array<double, kBins> share{};
  if (protocol == ProtocolKind::kRecordings) {
    // A recording is wholly normal or faulty: what the others are would tell what this one is not.
    for (std::size_t b = 0; b < kBins; ++b) share[b] = static_cast<double>(b) / kBins;
  } else {
    for (std::size_t s = 0; s < dataset.series.size(); ++s) {
      if (s == index) continue;
      const std::array<double, kBins> other = truth_by_bin(dataset.series[s]);
      for (std::size_t b = 0; b < kBins; ++b) {
        share[b] += other[b] / static_cast<double>(dataset.series.size() - 1);
      }
    }
  }
  for (std::size_t i = series.train; i < series.samples(); ++i) {
    surprise[i] = kSure * share[bin_of(i, series)];
  }
  return surprise;
}

}  // namespace

std::optional<Control> find_control(std::string_view name) {
  if (name == "random") return Control::kRandom;
  if (name == "constant") return Control::kConstant;
  if (name == "clock") return Control::kClock;
  return std::nullopt;
}

SampleScores control_scores(Control control, ProtocolKind protocol, const Dataset& dataset,
                            std::size_t index, std::uint64_t seed) {
  const std::size_t n = dataset.series[index].samples();
  SampleScores scores;
  switch (control) {
    case Control::kRandom: {
      const std::uint64_t own = mix(seed, index);
      for (std::size_t i = 0; i < n; ++i) {
        // In (0, 1]: its logarithm is finite.
        const double p = static_cast<double>((mix(own, i) >> 11U) + 1) * 0x1.0p-53;
        scores.surprise.push_back(-std::log10(p));
      }
      break;
    }
    case Control::kConstant:
      scores.surprise.assign(n, kSure);
      break;
    case Control::kClock:
      scores.surprise = clock_surprise(protocol, dataset, index);
      break;
  }
  scores.score = scores.surprise;
  scores.scored.assign(n, 1);
  scores.known_at.resize(n);
  std::iota(scores.known_at.begin(), scores.known_at.end(), std::size_t{0});
  return scores;
}

}  // namespace anomalyd::evaluate

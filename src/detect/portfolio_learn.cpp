#include "detect/portfolio_learn.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "detect/members/spectrum.h"
#include "detect/portfolio_inject.h"

namespace anomalyd::detect {
namespace {

constexpr double kWarmUp = 0.3;   // of the span: members that know little score anything
constexpr double kUnseen = 0.25;  // of the span: what anomalies are put into, to choose
// Anomalies of a stream need not be like those that were put in: nobody loses all say.
constexpr double kLeastWeight = 0.3;
constexpr std::size_t kMostLags = 4096;
constexpr std::size_t kMostSpectra = 8;

/// Raw scores of every member, by member and then by sample.
struct RawScores {
  std::size_t samples = 0;
  std::vector<std::vector<float>> of;
};

/// Follows and learns the span. `early` gets the members as they were `before` samples from its
/// end.
RawScores replay(MemberSet& members, const Recording& span, std::size_t hop, std::size_t at,
                 std::optional<MemberSet>& early) {
  RawScores raw;
  raw.samples = span.samples();
  raw.of.assign(members.slots().size(), {});
  auto next_break = span.breaks.begin();
  for (std::size_t i = 0; i < raw.samples; ++i) {
    if (next_break != span.breaks.end() && *next_break == i) {
      members.learn();
      members.interrupt();
      ++next_break;
    }
    if (i == at) early.emplace(members);
    members.follow(span.sample(i));
    for (std::size_t m = 0; m < raw.of.size(); ++m) raw.of[m].push_back(members.slots()[m].raw);
    if ((i + 1) % hop == 0) members.learn();
  }
  members.learn();
  return raw;
}

using Surprises = std::vector<std::optional<Surprise>>;

/// Which of two halves a sample of the span belongs to: blocks in turn, so that both halves have
/// seen all of the span, and scores that depend on each other are mostly in one of them.
class Folds {
 public:
  Folds(std::size_t begin, std::size_t end)
      : begin_(begin), block_(std::max<std::size_t>(1, (end - begin) / kBlocks)) {}
  std::size_t of(std::size_t sample) const { return (sample - begin_) / block_ % 2; }

 private:
  static constexpr std::size_t kBlocks = 10;
  std::size_t begin_;
  std::size_t block_;
};

/// Each member's calibration by the samples begin..end-1, those of one fold or (2) of both.
Surprises fit_surprises(const RawScores& raw, std::size_t begin, std::size_t end,
                        const Folds& folds, std::size_t fold) {
  Surprises surprises(raw.of.size());
  std::vector<float> scores;
  for (std::size_t m = 0; m < raw.of.size(); ++m) {
    scores.clear();
    for (std::size_t i = begin; i < end; ++i) {
      if (std::isnan(raw.of[m][i])) continue;
      if (fold == 2 || folds.of(i) == fold) scores.push_back(raw.of[m][i]);
    }
    Result<Surprise> fitted = Surprise::fit(scores);
    if (fitted.ok()) surprises[m] = std::move(fitted).value();
  }
  return surprises;
}

/// Window scores of the samples from `begin` on: the mean surprise as MemberSet::follow() makes it,
/// each sample by the calibrations of the other fold; the highest of each hop.
std::vector<float> window_scores(const RawScores& raw, std::span<const MemberSet::Slot> slots,
                                 const std::array<Surprises, 2>& surprises, const Folds& folds,
                                 std::size_t begin, std::size_t hop) {
  constexpr std::size_t kSmooth = MemberSet::kSmoothSamples;
  std::vector<float> means;
  std::vector<float> scores;
  float highest = 0;
  for (std::size_t i = begin; i < raw.samples; ++i) {
    const Surprises& other = surprises[1 - folds.of(i)];
    float sum = 0;
    float weights = 0;
    for (std::size_t m = 0; m < slots.size(); ++m) {
      if (!other[m] || !(slots[m].weight > 0) || std::isnan(raw.of[m][i])) continue;
      sum += slots[m].weight * other[m]->of(raw.of[m][i]);
      weights += slots[m].weight;
    }
    means.push_back(weights > 0 ? sum / weights : 0);
    const std::size_t n = std::min(means.size(), kSmooth);
    float total = 0;
    for (std::size_t j = means.size() - n; j < means.size(); ++j) total += means[j];
    highest = std::max(highest, total / static_cast<float>(n));
    if (means.size() % hop != 0) continue;
    scores.push_back(highest);
    highest = 0;
  }
  return scores;
}

/// The chooser: each member's weight by how many of the anomalies put into the span's last
/// `unseen` samples it finds, against the best of them. `early` has not learned those samples.
void weigh_members(MemberSet& early, std::span<MemberSet::Slot> slots, const Recording& span,
                   std::size_t unseen) {
  for (std::size_t m = 0; m < slots.size(); ++m) early.slots()[m].surprise = slots[m].surprise;
  Recording clean;
  clean.channels = span.channels;
  clean.values.assign(span.values.end() - static_cast<std::ptrdiff_t>(unseen * span.channels),
                      span.values.end());
  const std::vector<double> recall = injected_recall(early, clean);
  const double best = recall.empty() ? 0 : *std::max_element(recall.begin(), recall.end());
  if (!(best > 0)) return;
  for (std::size_t m = 0; m < slots.size(); ++m) {
    slots[m].weight *= static_cast<float>(kLeastWeight + (1 - kLeastWeight) * recall[m] / best);
  }
}

}  // namespace

StreamTraits traits_of(const Recording& span, std::size_t hop) {
  StreamTraits traits;
  traits.channels = span.channels;
  traits.samples = span.samples();
  traits.hop = hop;
  const std::size_t lags = std::min(kMostLags, traits.samples / 2);
  if (lags < 8) return traits;
  std::vector<double> mean(lags + 1, 0.0);
  std::vector<float> series(traits.samples);
  const std::size_t channels = std::min(kMostSpectra, span.channels);
  for (std::size_t c = 0; c < channels; ++c) {
    for (std::size_t i = 0; i < traits.samples; ++i) {
      series[i] = span.values[i * span.channels + c];
    }
    const std::vector<double> r = autocorrelation(series, lags);
    for (std::size_t lag = 0; lag <= lags; ++lag) {
      mean[lag] += r[lag] / static_cast<double>(channels);
    }
  }
  const Periods found = find_periods(mean);
  traits.period = found.period;
  traits.slow_period = found.slow;
  return traits;
}

Result<LearnedPortfolio> learn_portfolio(const Preset& preset, const Recording& span,
                                         std::size_t hop) {
  MemberSet members(preset, traits_of(span, hop));
  // The members as they were before the last part of the span, which anomalies are put into.
  std::optional<MemberSet> early;
  const auto unseen = static_cast<std::size_t>(kUnseen * static_cast<double>(span.samples()));
  const std::size_t at = preset.chooses ? span.samples() - unseen : span.samples();
  const RawScores raw = replay(members, span, hop, at, early);
  const auto begin = static_cast<std::size_t>(kWarmUp * static_cast<double>(raw.samples));
  const Folds folds(begin, raw.samples);
  const Surprises all = fit_surprises(raw, begin, raw.samples, folds, 2);
  const std::span<MemberSet::Slot> slots = members.slots();
  for (std::size_t m = 0; m < slots.size(); ++m) {
    slots[m].weight = all[m] ? 1.0F : 0.0F;
    if (all[m]) slots[m].surprise = *all[m];
  }
  if (early) weigh_members(*early, slots, span, unseen);
  const std::array<Surprises, 2> halves{fit_surprises(raw, begin, raw.samples, folds, 0),
                                        fit_surprises(raw, begin, raw.samples, folds, 1)};
  Result<Calibration> calibration =
      Calibration::fit(window_scores(raw, slots, halves, folds, begin, hop));
  if (!calibration.ok()) return calibration.error();
  return LearnedPortfolio{std::move(members), std::move(calibration).value()};
}

}  // namespace anomalyd::detect

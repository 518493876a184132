#include "detect/portfolio_learn.h"

#include <algorithm>
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
  std::size_t stretch = 0;
  TimeNs time = span.times.empty() ? kNoTime : span.times.front();
  for (std::size_t i = 0; i < raw.samples; ++i) {
    if (stretch < span.breaks.size() && span.breaks[stretch] == i) {
      members.learn();
      members.interrupt();
      ++stretch;
      if (time != kNoTime) time = span.times[stretch];
    }
    if (i == at) early.emplace(members);
    members.follow(span.sample(i), time, span.step);
    for (std::size_t m = 0; m < raw.of.size(); ++m) raw.of[m].push_back(members.slots()[m].raw);
    if ((i + 1) % hop == 0) members.learn();
    if (time != kNoTime) time += span.step;
  }
  members.learn();
  return raw;
}

/// Counts the scores of the samples from `begin` on in a member's tails. Returns the surprises,
/// each from the scores before it; none where a member never scored.
std::vector<float> count_scores(std::span<const float> raw, std::size_t begin,
                                MemberSet::Slot& slot) {
  RunningTail tail;
  tail.set_range(raw.subspan(begin));
  std::vector<float> surprises;
  for (const float score : raw.subspan(begin)) {
    surprises.push_back(tail.surprise(score));
    tail.add(tail.bin_of(score));
  }
  slot.moving = tail;
  slot.steady = tail;
  return surprises;
}

/// Window scores as MemberSet::follow() makes them of the samples' surprises: the highest of each
/// hop.
std::vector<float> window_scores(const std::vector<std::vector<float>>& surprises,
                                 std::span<const MemberSet::Slot> slots, std::size_t hop) {
  std::vector<float> scores;
  SmoothMean mean;
  float highest = 0;
  const std::size_t samples = surprises.empty() ? 0 : surprises.front().size();
  for (std::size_t i = 0; i < samples; ++i) {
    SurpriseSum sum;
    for (std::size_t m = 0; m < slots.size(); ++m) {
      sum.add(*slots[m].row, slots[m].weight, surprises[m][i]);
    }
    highest = std::max(highest, sum.score(mean));
    if ((i + 1) % hop != 0) continue;
    scores.push_back(highest);
    highest = 0;
  }
  return scores;
}

/// The chooser: each member's weight by how many of the anomalies put into the span's last
/// `unseen` samples it finds, against the best of them. `early` has not learned those samples.
void weigh_members(MemberSet& early, std::span<MemberSet::Slot> slots, const Recording& span,
                   std::size_t unseen) {
  for (std::size_t m = 0; m < slots.size(); ++m) early.slots()[m].steady = slots[m].steady;
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
                                         std::size_t hop, std::span<const TrainedMember> trained) {
  MemberSet members(preset, traits_of(span, hop), trained);
  // The members as they were before the last part of the span, which anomalies are put into.
  std::optional<MemberSet> early;
  const auto unseen = static_cast<std::size_t>(kUnseen * static_cast<double>(span.samples()));
  const std::size_t at = preset.chooses ? span.samples() - unseen : span.samples();
  const RawScores raw = replay(members, span, hop, at, early);
  const auto begin = static_cast<std::size_t>(kWarmUp * static_cast<double>(raw.samples));
  const std::span<MemberSet::Slot> slots = members.slots();
  std::vector<std::vector<float>> surprises;
  for (std::size_t m = 0; m < slots.size(); ++m) {
    surprises.push_back(count_scores(raw.of[m], begin, slots[m]));
  }
  if (early) weigh_members(*early, slots, span, unseen);
  const std::vector<float> scores = window_scores(surprises, slots, hop);
  Result<Calibration> calibration = Calibration::fit(scores);
  if (!calibration.ok()) return calibration.error();
  return LearnedPortfolio{std::move(members), std::move(calibration).value()};
}

}  // namespace anomalyd::detect

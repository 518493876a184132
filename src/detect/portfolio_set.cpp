#include "detect/portfolio_set.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace anomalyd::detect {
namespace {

using std::string_view_literals::operator""sv;

constexpr std::array kTinyMembers{"state"sv, "level"sv, "ridge-short"sv, "spike"sv};
constexpr std::array kStandardMembers{"state"sv, "profile-64"sv, "ridge"sv,     "profile-96"sv,
                                      "level"sv, "profile-48"sv, "templates"sv, "ridge-short"sv};
constexpr std::array kFullMembers{
    "state"sv,      "profile-64"sv, "ridge"sv,       "profile-96"sv, "level"sv,
    "profile-48"sv, "templates"sv,  "ridge-short"sv, "subspace"sv,   "seasonal"sv,
    "profile-32"sv, "spike"sv,      "polynomial"sv,  "spectral"sv,   "half-space-trees"sv};

constexpr std::array<Preset, 3> kPresets{{
    {"standard", kStandardMembers, {3584, 64, 512, 32}, 240UL << 10U, 200'000, 16384, true},
    {"full", kFullMembers, {8192, 96, 2048, 64}, 2UL << 20U, 1'000'000, 32768, true},
    {"tiny", kTinyMembers, {0, 8, 64, 8}, 7UL << 10U, 1200, 2048, false},
}};

std::size_t context_of(std::span<const MemberSet::Slot> slots) {
  std::size_t most = 1;
  for (const MemberSet::Slot& slot : slots) most = std::max(most, slot.member->context());
  return most;
}

std::vector<MemberSet::Slot> members_of(const Preset& preset, const StreamTraits& traits) {
  std::vector<MemberSet::Slot> slots;
  std::size_t bytes = 0;
  double operations = 0;
  for (const std::string_view name : preset.members) {
    const StreamMemberRow* row = find_stream_member(name);
    ANOMALYD_CHECK(row != nullptr, "portfolio: a preset names an unknown member");
    MadeMember member = row->make(traits, preset.size);
    if (member == nullptr) continue;
    if (bytes + member->bytes() > preset.most_bytes ||
        operations + member->operations() > preset.most_operations) {
      continue;
    }
    bytes += member->bytes();
    operations += member->operations();
    MemberSet::Slot slot;
    slot.row = row;
    slot.member = std::move(member);
    if (row->is_guarded) slot.surprised.assign(traits.hop, 0);
    slots.push_back(std::move(slot));
  }
  return slots;
}

}  // namespace

const Preset* find_preset(std::string_view kind) {
  for (const Preset& preset : kPresets) {
    if (preset.kind == kind) return &preset;
  }
  return nullptr;
}

Result<Surprise> Surprise::fit(std::span<const float> scores) {
  const Result<Calibration> calibration = Calibration::fit(scores);
  if (!calibration.ok()) return calibration.error();
  Surprise made;
  constexpr double kStep = static_cast<double>(kMost) / (kKnots - 1);
  float last = *std::min_element(scores.begin(), scores.end());
  made.scores_[0] = last;
  for (std::size_t i = 1; i < kKnots; ++i) {
    const double at = calibration.value().quantile(std::pow(10.0, -kStep * static_cast<double>(i)));
    if (!(at < static_cast<double>(std::numeric_limits<float>::max()))) break;
    last = std::max(last, static_cast<float>(at));
    made.scores_[i] = last;
    made.known_ = i + 1;
  }
  const double beyond = calibration.value().p_value(std::numeric_limits<double>::max());
  made.top_ = std::min(kMost, static_cast<float>(-std::log10(beyond)));
  return made;
}

float Surprise::of(float score) const {
  if (!(score > scores_[0])) return 0;
  constexpr float kStep = kMost / static_cast<float>(kKnots - 1);
  const auto end = scores_.begin() + static_cast<std::ptrdiff_t>(known_);
  const auto above = std::upper_bound(scores_.begin(), end, score);
  if (above == end) return top_;
  const float high = *above;
  const float low = *(above - 1);
  const float part = high > low ? (score - low) / (high - low) : 0;
  return kStep * (static_cast<float>(above - scores_.begin() - 1) + part);
}

MemberSet::MemberSet(const Preset& preset, const StreamTraits& traits)
    : traits_(traits),
      slots_(members_of(preset, traits)),
      history_(traits.channels, context_of(slots_) + traits.hop + 1) {}

MemberSet::MemberSet(const MemberSet& other)
    : traits_(other.traits_),
      history_(other.history_),
      pending_(other.pending_),
      sums_(other.sums_),
      summed_(other.summed_) {
  for (const Slot& slot : other.slots_) {
    slots_.push_back({slot.row, slot.member->clone(), slot.surprise, slot.weight, slot.raw,
                      slot.recent, slot.clean, slot.held, slot.surprised});
  }
}

float MemberSet::follow(std::span<const float> sample) {
  ANOMALYD_CHECK(pending_ < traits_.hop, "portfolio: more samples than a hop wait");
  history_.push(sample);
  float sum = 0;
  float weights = 0;
  for (Slot& slot : slots_) {
    slot.raw = slot.member->follow(history_);
    const float surprise = slot.surprise.of(slot.raw);
    if (slot.row->is_guarded) slot.surprised[pending_] = surprise >= kGuard ? 1 : 0;
    if (!(slot.weight > 0) || std::isnan(slot.raw)) continue;
    const float weighted = slot.weight * surprise;
    slot.recent += (weighted - slot.recent) / static_cast<float>(kSmoothSamples);
    sum += weighted;
    weights += slot.weight;
  }
  ++pending_;
  if (!(weights > 0)) return std::numeric_limits<float>::quiet_NaN();
  sums_[summed_ % kSmoothSamples] = sum / weights;
  ++summed_;
  const std::size_t n = std::min(summed_, kSmoothSamples);
  float total = 0;
  for (std::size_t i = 0; i < n; ++i) total += sums_[i];
  return total / static_cast<float>(n);
}

void MemberSet::learn() {
  for (Slot& slot : slots_) {
    for (std::size_t i = 0; i < pending_; ++i) {
      const bool is_odd = slot.row->is_guarded && slot.surprised[i] != 0;
      slot.held = is_odd ? slot.held + 1 : slot.held - std::min<std::size_t>(slot.held, 1);
      if (is_odd && slot.held <= traits_.samples) {
        slot.clean = 0;
      } else {
        slot.member->learn(history_, pending_ - 1 - i, ++slot.clean);
      }
    }
  }
  pending_ = 0;
}

void MemberSet::skip() {
  if (pending_ == 0) return;
  pending_ = 0;
  for (Slot& slot : slots_) slot.clean = 0;
}

void MemberSet::interrupt() {
  pending_ = 0;
  summed_ = 0;
  history_.interrupt();
  for (Slot& slot : slots_) {
    slot.member->interrupt();
    slot.recent = 0;
    slot.clean = 0;
  }
}

std::vector<double> MemberSet::shares() const {
  std::vector<double> sum(traits_.channels, 0.0);
  std::vector<double> part(traits_.channels, 0.0);
  double total = 0;
  for (const Slot& slot : slots_) {
    if (!(slot.recent > 0)) continue;
    slot.member->shares(history_, part);
    for (std::size_t c = 0; c < sum.size(); ++c) {
      sum[c] += static_cast<double>(slot.recent) * part[c];
    }
    total += static_cast<double>(slot.recent);
  }
  for (double& value : sum) {
    value = total > 0 ? value / total : 1.0 / static_cast<double>(sum.size());
  }
  return sum;
}

std::size_t MemberSet::bytes() const {
  std::size_t total = sizeof *this + slots_.capacity() * sizeof(Slot) + history_.bytes();
  for (const Slot& slot : slots_) total += slot.member->bytes() + slot.surprised.capacity();
  return total;
}

double MemberSet::operations() const {
  double total = 0;
  for (const Slot& slot : slots_) total += slot.member->operations();
  return total;
}

}  // namespace anomalyd::detect

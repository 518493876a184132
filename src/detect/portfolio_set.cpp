#include "detect/portfolio_set.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace anomalyd::detect {
namespace {

using std::string_view_literals::operator""sv;

constexpr std::array kTinyMembers{"state"sv,      "level"sv, "ridge-short"sv,
                                  "polynomial"sv, "range"sv, "level-short"sv};
constexpr std::array kStandardMembers{
    "state"sv,      "level"sv, "ridge-short"sv, "polynomial"sv, "range"sv,   "level-short"sv,
    "profile-96"sv, "ridge"sv, "profile-128"sv, "profile-64"sv, "calendar"sv};
constexpr std::array kFullMembers{"state"sv,       "level"sv,       "ridge-short"sv, "polynomial"sv,
                                  "range"sv,       "level-short"sv, "profile-96"sv,  "ridge"sv,
                                  "profile-128"sv, "profile-64"sv,  "calendar"sv,    "templates"sv,
                                  "subspace"sv,    "profile-48"sv,  "seasonal"sv};

constexpr std::array kTrainedMembers{"discriminator"sv};

constexpr std::array<Preset, 4> kPresets{{
    {"hybrid", kStandardMembers, {3072, 64, 512, 32}, 240UL << 10U, 200'000, 16384, true},
    {"standard", kStandardMembers, {3072, 64, 512, 32}, 240UL << 10U, 200'000, 16384, true},
    {"full", kFullMembers, {8192, 96, 2048, 64}, 2UL << 20U, 1'000'000, 32768, true},
    {"tiny", kTinyMembers, {0, 8, 64, 8}, 7UL << 10U, 1200, 2048, false},
}};

std::size_t context_of(std::span<const MemberSet::Slot> slots) {
  std::size_t most = 1;
  for (const MemberSet::Slot& slot : slots) most = std::max(most, slot.member->context());
  return most;
}

MemberSet::Slot slot_of(const StreamMemberRow& row, MadeMember member, std::size_t hop) {
  MemberSet::Slot slot;
  slot.row = &row;
  slot.member = std::move(member);
  slot.waiting.assign(hop, RunningTail::kNoBin);
  return slot;
}

std::vector<MemberSet::Slot> members_of(const Preset& preset, const StreamTraits& traits,
                                        std::span<const TrainedMember> trained) {
  std::vector<MemberSet::Slot> slots;
  for (const TrainedMember& each : trained) {
    if (each.row->name == preset.without) continue;
    slots.push_back(slot_of(*each.row, each.make(), traits.hop));
    slots.back().weight = each.weight;
  }
  std::size_t bytes = 0;
  double operations = 0;
  MadeMember least;
  const StreamMemberRow* least_row = nullptr;
  for (const std::string_view name : preset.members) {
    if (name == preset.without) continue;
    const StreamMemberRow* row = find_stream_member(name);
    ANOMALYD_CHECK(row != nullptr, "portfolio: a preset names an unknown member");
    MadeMember member = row->make(traits, preset.size);
    if (member == nullptr) continue;
    if (bytes + member->bytes() > preset.most_bytes ||
        operations + member->operations() > preset.most_operations) {
      if (least == nullptr || member->bytes() < least->bytes()) {
        least = std::move(member);
        least_row = row;
      }
      continue;
    }
    bytes += member->bytes();
    operations += member->operations();
    slots.push_back(slot_of(*row, std::move(member), traits.hop));
  }
  // A stream too wide for the budget is watched by one member all the same.
  if (slots.empty() && least != nullptr) {
    slots.push_back(slot_of(*least_row, std::move(least), traits.hop));
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

Result<Preset> make_preset(std::string_view name) {
  const std::size_t at = name.find(kWithout);
  const Preset* found = find_preset(name.substr(0, at));
  const Error unknown{ErrorCode::kInvalidArgument,
                      "detector: no preset \"" + std::string(name.substr(0, 64)) +
                          "\", expected one of them, or PRESET-without-MEMBER of its members"};
  if (found == nullptr) return unknown;
  Preset preset = *found;
  if (at == std::string_view::npos) return preset;
  const std::string_view left_out = name.substr(at + kWithout.size());
  std::vector<std::string_view> known(preset.members.begin(), preset.members.end());
  if (preset.kind == "hybrid") {
    known.insert(known.end(), kTrainedMembers.begin(), kTrainedMembers.end());
  }
  const auto member = std::find(known.begin(), known.end(), left_out);
  if (member == known.end()) return unknown;
  preset.without = *member;
  return preset;
}

MemberSet::MemberSet(const Preset& preset, const StreamTraits& traits,
                     std::span<const TrainedMember> trained)
    : traits_(traits),
      slots_(members_of(preset, traits, trained)),
      history_(traits.channels, context_of(slots_) + traits.hop + 1) {}

MemberSet::MemberSet(const MemberSet& other)
    : traits_(other.traits_),
      history_(other.history_),
      pending_(other.pending_),
      smooth_(other.smooth_),
      steady_smooth_(other.steady_smooth_),
      steady_score_(other.steady_score_) {
  for (const Slot& slot : other.slots_) {
    slots_.push_back({slot.row, slot.member->clone(), slot.moving, slot.steady, slot.weight,
                      slot.raw, slot.recent, slot.clean, slot.held, slot.waiting});
  }
}

float MemberSet::follow(std::span<const float> sample, TimeNs time, TimeNs step) {
  ANOMALYD_CHECK(pending_ < traits_.hop, "portfolio: more samples than a hop wait");
  history_.push(sample, time, step);
  SurpriseSum sum;
  SurpriseSum steady_sum;
  bool is_scored = false;
  for (Slot& slot : slots_) {
    slot.raw = slot.member->follow(history_);
    const float steady = slot.steady.surprise(slot.raw);
    const float surprise = 0.5F * (steady + slot.moving.surprise(slot.raw));
    const std::uint8_t bin = slot.steady.bin_of(slot.raw);
    slot.waiting[pending_] = steady >= kGuard ? static_cast<std::uint8_t>(bin | kOdd) : bin;
    slot.moving.add(bin);
    sum.add(*slot.row, slot.weight, surprise);
    steady_sum.add(*slot.row, slot.weight, steady);
    if (!(slot.weight > 0) || std::isnan(slot.raw)) continue;
    is_scored = true;
    slot.recent += (slot.weight * surprise - slot.recent) / static_cast<float>(kSmoothSamples);
  }
  ++pending_;
  steady_score_ = steady_sum.score(steady_smooth_);
  return is_scored ? sum.score(smooth_) : std::numeric_limits<float>::quiet_NaN();
}

void MemberSet::learn() {
  for (Slot& slot : slots_) {
    for (std::size_t i = 0; i < pending_; ++i) {
      const bool is_odd = (slot.waiting[i] & kOdd) != 0;
      const auto bin = static_cast<std::uint8_t>(slot.waiting[i] & ~kOdd);
      // At most half a span more, so that one that has lasted long is over in time too.
      slot.held = is_odd ? std::min(slot.held + 1, traits_.samples + traits_.samples / 2)
                         : slot.held - std::min<std::size_t>(slot.held, 1);
      const bool is_left_out = is_odd && slot.held <= traits_.samples;
      if (!is_left_out) slot.steady.add(bin);
      if (is_left_out && slot.row->is_guarded) {
        slot.clean = 0;
      } else {
        slot.member->learn(history_, pending_ - 1 - i, ++slot.clean);
      }
    }
  }
  pending_ = 0;
}

void MemberSet::archive(Archive& archive) {
  history_.archive(archive);
  archive.within(pending_, 0, std::min<std::uint64_t>(traits_.hop, history_.count()),
                 "the samples that wait to be learned");
  smooth_.archive(archive);
  steady_smooth_.archive(archive);
  archive(steady_score_);
  archive.same(static_cast<std::uint32_t>(slots_.size()), "the number of members");
  for (Slot& slot : slots_) {
    std::string name(slot.row->name);
    archive.text(name, 64, "letters of a member's name");
    if (name != slot.row->name) {
      archive.fail("a member " + name + ", expected " + std::string(slot.row->name));
    }
    if (!archive.ok()) return;
    slot.member->archive(archive);
    slot.moving.archive(archive);
    slot.steady.archive(archive);
    archive(slot.weight, slot.raw, slot.recent, slot.clean, slot.held);
    archive.sized(slot.waiting, "bins that wait");
  }
}

void MemberSet::skip() {
  if (pending_ == 0) return;
  pending_ = 0;
  for (Slot& slot : slots_) slot.clean = 0;
}

void MemberSet::interrupt() {
  pending_ = 0;
  smooth_.clear();
  steady_smooth_.clear();
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
  for (const Slot& slot : slots_) total += slot.member->bytes() + slot.waiting.capacity();
  return total;
}

double MemberSet::operations() const {
  double total = 0;
  for (const Slot& slot : slots_) total += slot.member->operations();
  return total;
}

}  // namespace anomalyd::detect

#include <algorithm>
#include <cmath>
#include <limits>

#include "detect/members/stream_member.h"

namespace anomalyd::detect {
namespace {

constexpr TimeNs kSlot = 1800 * kNsPerSecond;
constexpr std::size_t kDaySlots = 48;
constexpr std::size_t kWeekSlots = 7 * kDaySlots;
constexpr std::size_t kMostChannels = 8;
// Values that a slot remembers in full: what is older fades.
constexpr float kMostValues = 400;
// A slot's own variance of few values is mostly chance: it counts for n / (n + 4).
constexpr double kVariancePrior = 4;
constexpr double kFloor = 0.03;  // of a channel's spread
constexpr double kPoolMemory = 5000;

/// Number, mean and variance of one channel's values: ChannelMoments in half its bytes, fading.
struct Moments {
  float count = 0;
  float mean = 0;
  float variance = 0;

  void add(float value) {
    count += 1;
    const float distance = value - mean;
    mean += distance / count;
    variance = (1 - 1 / count) * (variance + distance * distance / count);
  }
  /// As if the other's values had been added here.
  void merge(const Moments& other) {
    if (!(other.count > 0)) return;
    const float held = std::min(count, kMostValues);
    const float part = other.count / (held + other.count);
    const float distance = other.mean - mean;
    variance =
        (1 - part) * variance + part * other.variance + part * (1 - part) * distance * distance;
    mean += part * distance;
    count = held + other.count;
  }
};

/// The half hours of the week, and of the day while a week has not gone round: each channel's
/// newest value against the mean and variance of the values in the same half hour of earlier days;
/// the largest |z| over channels.
///
/// Units     half hours of UTC; without times it has no score.
/// Numerics  a half hour is compared with whole ones that are over, never with itself.
/// Cost      30 operations a sample and channel; 384 slots of 12 bytes a channel, up to
///           kMostChannels of them, the first ones.
class Calendar final : public StreamMember {
 public:
  explicit Calendar(std::size_t channels)
      : channels_(std::min(channels, kMostChannels)),
        all_channels_(channels),
        day_(kDaySlots * channels_),
        week_(kWeekSlots * channels_),
        open_(channels_),
        pooled_(channels_, 0.0),
        energy_(channels_, 0.0) {}

  float follow(const History& history) override {
    constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
    const TimeNs time = history.time(0);
    if (time == kNoTime) return kNone;
    double largest = -1;
    for (std::size_t c = 0; c < channels_; ++c) {
      const Moments* usual = usual_at(time, c);
      energy_[c] = 0;
      if (usual == nullptr) continue;
      const auto n = static_cast<double>(usual->count);
      const double variance =
          (n * static_cast<double>(usual->variance) + kVariancePrior * pooled_[c]) /
          (n + kVariancePrior);
      const double distance = static_cast<double>(history.at(c, 0) - usual->mean);
      energy_[c] = distance * distance / (variance + kFloor * kFloor);
      largest = std::max(largest, energy_[c]);
    }
    return largest < 0 ? kNone : static_cast<float>(std::sqrt(largest));
  }

  void learn(const History& history, std::size_t back, std::size_t /*clean*/) override {
    const TimeNs time = history.time(back);
    if (time == kNoTime) return;
    const std::int64_t slot = time / kSlot;
    if (slot != open_slot_) close();
    open_slot_ = slot;
    for (std::size_t c = 0; c < channels_; ++c) {
      const float value = history.at(c, back);
      if (const Moments* usual = usual_at(time, c); usual != nullptr) {
        if (c == 0) pool_count_ = std::min(pool_count_ + 1, kPoolMemory);
        const double distance = static_cast<double>(value - usual->mean);
        pooled_[c] +=
            (std::min(distance * distance, 9 * pooled_[c] + 1) - pooled_[c]) / pool_count_;
      }
      open_[c].add(value);
    }
  }

  void shares(const History& /*history*/, std::span<double> channels) const override {
    double sum = 0;
    for (const double energy : energy_) sum += energy;
    for (std::size_t c = 0; c < all_channels_; ++c) {
      const double own = c < channels_ ? energy_[c] : 0;
      channels[c] = sum > 0 ? own / sum : 1.0 / static_cast<double>(all_channels_);
    }
  }

  std::size_t span() const override { return 1; }
  std::size_t context() const override { return 1; }
  std::size_t bytes() const override {
    return sizeof *this +
           (day_.capacity() + week_.capacity() + open_.capacity()) * sizeof(Moments) +
           (pooled_.capacity() + energy_.capacity()) * sizeof(double);
  }
  double operations() const override { return 30.0 * static_cast<double>(channels_); }
  std::unique_ptr<StreamMember> clone() const override { return std::make_unique<Calendar>(*this); }

  void archive(Archive& archive) override {
    const auto each = [](Archive& a, Moments& m) { a(m.count, m.mean, m.variance); };
    archive.sized(day_, "slots of the day", each);
    archive.sized(week_, "slots of the week", each);
    archive.sized(open_, "open slots", each);
    archive(open_slot_, pool_count_);
    archive.sized(pooled_, "pooled variances");
    archive.sized(energy_, "energies");
  }

 private:
  Moments& in_day(std::int64_t slot, std::size_t c) {
    return day_[static_cast<std::size_t>(slot) % kDaySlots * channels_ + c];
  }
  Moments& in_week(std::int64_t slot, std::size_t c) {
    return week_[static_cast<std::size_t>(slot) % kWeekSlots * channels_ + c];
  }

  /// Null while neither the day nor the week has been there.
  const Moments* usual_at(TimeNs time, std::size_t c) {
    const std::int64_t slot = time / kSlot;
    const Moments& week = in_week(slot, c);
    if (week.count > 0) return &week;
    const Moments& day = in_day(slot, c);
    return day.count > 0 ? &day : nullptr;
  }

  void close() {
    for (std::size_t c = 0; c < channels_; ++c) {
      in_week(open_slot_, c).merge(open_[c]);
      in_day(open_slot_, c).merge(open_[c]);
      open_[c] = {};
    }
  }

  std::size_t channels_;
  std::size_t all_channels_;
  std::vector<Moments> day_;   // (kDaySlots, channels)
  std::vector<Moments> week_;  // (kWeekSlots, channels)
  std::vector<Moments> open_;  // of the half hour that is not over
  std::int64_t open_slot_ = 0;
  std::vector<double> pooled_;  // mean squared distance of each channel, all slots
  std::vector<double> energy_;
  double pool_count_ = 0;
};

}  // namespace

MadeMember make_calendar(const StreamTraits& traits, const MemberSize& /*size*/) {
  return std::make_unique<Calendar>(traits.channels);
}

}  // namespace anomalyd::detect

#include "stream/resampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace anomalyd::stream {
namespace {

constexpr std::uint16_t kMaxGroup = 1024;
constexpr std::uint16_t kLonely = 16;  // samples after which one from far ahead is given up
constexpr std::uint32_t kLockSamples = 64;
constexpr double kFastGain = 1.0 / 8;   // of the phase while the grid is young
constexpr double kSlowGain = 1.0 / 64;  // after that: a clock 0.75 / 64 = 1.2 % off still locks

bool complete(std::span<const float> values) {
  for (const float value : values) {
    if (std::isnan(value)) return false;
  }
  return true;
}

bool same_values(std::span<const float> a, std::span<const float> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](float x, float y) { return x == y || (std::isnan(x) && std::isnan(y)); });
}

/// True when a sample says nothing that the last slot does not have.
bool repeats(std::span<const float> values, std::span<const float> last) {
  return std::equal(values.begin(), values.end(), last.begin(), last.end(),
                    [](float x, float y) { return x == y || std::isnan(x); });
}

/// True when no channel has a value in both: two parts of one sample.
bool complementary(std::span<const float> a, std::span<const float> b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!std::isnan(a[i]) && !std::isnan(b[i])) return false;
  }
  return true;
}

}  // namespace

double Resampler::slots_after_next(const GridRules& rules, TimeNs time) const {
  // The difference is exact in integers; doubles would lose nanoseconds of an epoch time.
  const double since = static_cast<double>(time - anchor_) - phase_ns_;
  return since / rules.period_ns - static_cast<double>(next_);
}

TimeNs Resampler::slot_time(const GridRules& rules, std::int64_t slots_back) const {
  return anchor_ +
         std::llround(static_cast<double>(next_ - slots_back) * rules.period_ns + phase_ns_);
}

double Resampler::latest(const GridRules& rules) const {
  const double most = static_cast<double>(rules.max_gap_ns) / rules.period_ns;
  return 0.75 + std::min(static_cast<double>(group_ - 1), most);
}

Arrival Resampler::push(const GridRules& rules, TimeNs time, std::span<const float> values,
                        SlotSink& sink) {
  if (!started()) {
    if (held_ == nullptr && complete(values)) {
      restart(rules, time, values, sink);
      newest_ = time;
      return Arrival::kPlaced;
    }
    newest_ = held_ == nullptr ? time : std::max(newest_, time);
    const Arrival arrival = hold(time, values);
    drain(rules, false, sink);
    return arrival;
  }
  newest_ = std::max(newest_, time);
  if (time < last_time_) return Arrival::kLate;
  if (time == last_time_) {
    if (group_ == 1 && repeats(values, sink.last_slot())) return Arrival::kDuplicate;
    if (held_ != nullptr) return Arrival::kLate;
    group_ = std::max(
        group_, std::min<std::uint16_t>(static_cast<std::uint16_t>(same_stamp_ + 1), kMaxGroup));
  }
  if (held_ == nullptr) {
    const double error = slots_after_next(rules, time);
    if (error < earliest()) {
      note_stamp(time);
      if (++excess_in_a_row_ <= rules.max_filled) return Arrival::kExcess;
      restart(rules, time, values, sink);
      return Arrival::kPlaced;
    }
    if (error <= latest(rules) && complete(values)) {
      place(rules, time, values, error, sink);
      return Arrival::kPlaced;
    }
  }
  const Arrival arrival = hold(time, values);
  drain(rules, false, sink);
  return arrival;
}

void Resampler::flush(const GridRules& rules, SlotSink& sink) {
  if (held_ != nullptr) drain(rules, true, sink);
}

void Resampler::restart(const GridRules& rules, TimeNs time, std::span<const float> values,
                        SlotSink& sink) {
  const bool again = started();
  anchor_ = time;
  phase_ns_ = 0;
  next_ = 0;
  placed_ = 0;
  last_time_ = time - 1;
  if (again) sink.on_break();
  place(rules, time, values, 0, sink);
}

void Resampler::note_stamp(TimeNs time) {
  if (time == last_time_) {
    if (same_stamp_ < kMaxGroup) ++same_stamp_;
    group_ = std::max(group_, same_stamp_);
  } else {
    // A group has ended. One that was larger than the others is forgotten in time.
    if (same_stamp_ < group_) {
      group_ = static_cast<std::uint16_t>(group_ - (group_ - same_stamp_ + 7) / 8);
    }
    same_stamp_ = 1;
  }
  last_time_ = time;
}

void Resampler::place(const GridRules& rules, TimeNs time, std::span<const float> values,
                      double error, SlotSink& sink) {
  note_stamp(time);
  // Within a group the stamps swing by its size: only what is beyond that moves the phase.
  const double gain = placed_ < kLockSamples ? kFastGain : kSlowGain;
  if (group_ == 1) {
    phase_ns_ += gain * error * rules.period_ns;
  } else if (std::abs(error) > static_cast<double>(group_) / 2) {
    phase_ns_ += kSlowGain / group_ * error * rules.period_ns;
  }
  excess_in_a_row_ = 0;
  ++next_;
  if (placed_ < kLockSamples) ++placed_;
  sink.on_slot(values);
}

Arrival Resampler::hold(TimeNs time, std::span<const float> values) {
  if (held_ == nullptr) held_ = std::make_unique<std::vector<Held>>();
  // Behind those of the same stamp: their order is the order they were measured in.
  auto at = std::upper_bound(held_->begin(), held_->end(), time,
                             [](TimeNs t, const Held& held) { return t < held.time; });
  std::uint16_t group = 1;
  for (auto same = at; same != held_->begin() && std::prev(same)->time == time; --same) {
    std::vector<float>& other = std::prev(same)->values;
    if (group_ == 1 && same_values(other, values)) return Arrival::kDuplicate;
    if (complementary(other, values)) {
      for (std::size_t i = 0; i < values.size(); ++i) {
        if (std::isnan(other[i])) other[i] = values[i];
      }
      return Arrival::kHeld;
    }
    if (group < kMaxGroup) ++group;
  }
  group_ = std::max(group_, group);
  held_->insert(at, Held{time, {values.begin(), values.end()}});
  return Arrival::kHeld;
}

void Resampler::fill_hole(std::int64_t slots, std::span<const float> after, SlotSink& sink) {
  const auto last = sink.last_slot();
  const std::vector<float> before(last.begin(), last.end());
  std::vector<float> between(after.size());
  for (std::int64_t i = 1; i <= slots; ++i) {
    const float share = static_cast<float>(i) / static_cast<float>(slots + 1);
    for (std::size_t c = 0; c < after.size(); ++c) {
      between[c] = before[c] + share * (after[c] - before[c]);
    }
    ++next_;
    sink.on_slot(between);
  }
}

void Resampler::drain(const GridRules& rules, bool all, SlotSink& sink) {
  std::size_t taken = 0;
  std::vector<Held>& held = *held_;
  while (taken < held.size() && place_held(rules, taken, all, sink)) ++taken;
  held.erase(held.begin(), held.begin() + static_cast<std::ptrdiff_t>(taken));
  if (taken > 0 && held.size() == 1 && ++lonely_ > kLonely) {
    ++excess_;
    held.clear();
    newest_ = last_time_;
  }
  if (held.size() != 1) lonely_ = 0;
  if (held.empty()) held_.reset();
}

bool Resampler::place_held(const GridRules& rules, std::size_t at, bool all, SlotSink& sink) {
  const Held& head = (*held_)[at];
  const std::size_t after = held_->size() - at - 1;
  const bool full = after >= rules.max_held;
  const bool waited = all || full || newest_ - head.time >= rules.lateness_ns;
  // The rest of an incomplete sample comes next or not at all.
  if (!complete(head.values) && after == 0 && !waited) return false;
  if (!started()) {
    restart(rules, head.time, head.values, sink);
    return true;
  }
  const double error = slots_after_next(rules, head.time);
  if (error > latest(rules)) {
    const TimeNs missing = slot_time(rules, 0);
    if (!waited && newest_ - missing < rules.lateness_ns) return false;
    if (error * rules.period_ns > static_cast<double>(rules.max_gap_ns) ||
        error > static_cast<double>(rules.max_filled)) {
      if (!all && !full && !confirms(rules, head, after)) return false;
      restart(rules, head.time, head.values, sink);
      return true;
    }
    fill_hole(static_cast<std::int64_t>(std::llround(error)), head.values, sink);
  }
  const double placed_error = slots_after_next(rules, head.time);
  if (placed_error < earliest()) {
    note_stamp(head.time);
    ++excess_;
    ++excess_in_a_row_;
  } else {
    place(rules, head.time, head.values, placed_error, sink);
  }
  return true;
}

bool Resampler::confirms(const GridRules& rules, const Held& head, std::size_t after) const {
  if (after == 0) return false;
  const TimeNs next = (*(held_->end() - static_cast<std::ptrdiff_t>(after))).time;
  return static_cast<double>(next - head.time) <=
         std::max(static_cast<double>(rules.max_gap_ns), 3 * rules.period_ns);
}

void Resampler::archive(Archive& archive, double period_ns, std::size_t channels) {
  // All that a slot's time is made of: it cannot overflow.
  constexpr TimeNs kMostTime = TimeNs{1} << 62;
  constexpr double kMostPhase = 0x1.0p60;
  constexpr double kMostGrid = 0x1.0p61;
  archive.within(anchor_, 0, kMostTime, "the start of a grid");
  archive.within(phase_ns_, -kMostPhase, kMostPhase, "the phase of a grid");
  archive.within(next_, 0, static_cast<std::int64_t>(std::min(kMostGrid / period_ns, kMostGrid)),
                 "the slots of a grid");
  archive.within(last_time_, -1, kMostTime, "the last time");
  archive.within(newest_, 0, kMostTime, "the newest time");
  archive.within(placed_, 0, kLockSamples, "the samples placed");
  archive(excess_, excess_in_a_row_);
  archive.within(group_, 1, kMaxGroup, "the size of a group");
  archive.within(same_stamp_, 1, kMaxGroup, "the samples of a stamp");
  archive.within(lonely_, 0, kLonely, "the samples after a lonely one");
  std::vector<Held> held;
  if (held_ != nullptr) held.swap(*held_);
  archive.list(held, std::numeric_limits<std::uint32_t>::max(),
               sizeof(TimeNs) + channels * sizeof(float), "samples held",
               [&](Archive& a, Held& sample) {
                 a.within(sample.time, 0, kMostTime, "the time of a sample");
                 if (a.reads()) sample.values.assign(channels, 0.0F);
                 a.raw(std::span(sample.values));
               });
  if (archive.reads() &&
      !std::is_sorted(held.begin(), held.end(),
                      [](const Held& a, const Held& b) { return a.time < b.time; })) {
    archive.fail("samples held are not in order of time");
  }
  held_ = held.empty() ? nullptr : std::make_unique<std::vector<Held>>(std::move(held));
}

std::size_t Resampler::bytes() const {
  std::size_t total = 0;
  if (held_ != nullptr) {
    total += sizeof(std::vector<Held>) + held_->capacity() * sizeof(Held);
    for (const Held& held : *held_) total += held.values.capacity() * sizeof(float);
  }
  return total;
}

}  // namespace anomalyd::stream

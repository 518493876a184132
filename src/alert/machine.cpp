#include "alert/machine.h"

#include <algorithm>
#include <cmath>

namespace anomalyd::alert {
namespace {

/// True when `end` is `hold` or more after `since`; right for any two times.
bool held_long_enough(TimeNs since, TimeNs end, std::int64_t hold) {
  TimeNs passed = 0;
  if (__builtin_sub_overflow(end, since, &passed)) return end > since;
  return passed >= hold;
}

}  // namespace

Change Machine::step(const Rules& rules, TimeNs window_start, TimeNs window_end, double p,
                     double score) {
  is_peak_ = false;
  if (std::isnan(p)) return Change::kNone;
  const bool is_anomalous = p <= rules.fire_p;
  const bool is_clear = !is_anomalous && p > rules.clear_p;

  if (phase_ == Phase::kQuiet) {
    if (!is_anomalous) return Change::kNone;
    start_ = window_start;
    last_bad_end_ = held_until_ = window_end;
    anomalous_ = 1;
    peak_p_ = p;
    peak_score_ = score;
    is_peak_ = true;
    const bool fires = rules.confirm_windows <= 1;
    phase_ = fires ? Phase::kFiring : Phase::kPending;
    return fires ? Change::kFired : Change::kPending;
  }

  if (is_clear) {
    if (phase_ == Phase::kFiring && !held_long_enough(held_until_, window_end, rules.hold_ns)) {
      return Change::kNone;
    }
    return close();
  }

  held_until_ = std::max(held_until_, window_end);
  if (!is_anomalous) {
    const bool is_over =
        phase_ == Phase::kPending && held_long_enough(last_bad_end_, window_end, rules.hold_ns);
    return is_over ? close() : Change::kNone;
  }
  last_bad_end_ = std::max(last_bad_end_, window_end);
  is_peak_ = take_peak(p, score);
  if (phase_ == Phase::kFiring) return Change::kNone;
  if (++anomalous_ < rules.confirm_windows) return Change::kNone;
  phase_ = Phase::kFiring;
  return Change::kFired;
}

Change Machine::close() {
  is_peak_ = false;
  const Phase before = phase_;
  phase_ = Phase::kQuiet;
  switch (before) {
    case Phase::kPending:
      return Change::kCancelled;
    case Phase::kFiring:
      return Change::kResolved;
    case Phase::kQuiet:
      break;
  }
  return Change::kNone;
}

void Machine::archive(Archive& archive) {
  archive(start_, last_bad_end_, held_until_, peak_p_, peak_score_, anomalous_);
  archive.choice(phase_, Phase::kFiring, "the phase of an alert");
  archive(is_peak_);
}

bool Machine::take_peak(double p, double score) {
  if (p > peak_p_ || (p == peak_p_ && !(score > peak_score_))) return false;
  peak_p_ = p;
  peak_score_ = score;
  return true;
}

}  // namespace anomalyd::alert

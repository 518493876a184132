#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/archive.h"
#include "base/time.h"

namespace anomalyd::stream {

/// How the samples of a stream come onto an even grid.
struct GridRules {
  double period_ns = 0;          ///< of the grid; > 0
  std::int64_t lateness_ns = 0;  ///< how long a missing sample is waited for, in event time
  std::int64_t max_gap_ns = 0;   ///< a longer hole is a break; a shorter one is interpolated
  std::size_t max_held = 0;      ///< most samples held while waiting; then the wait is over
  std::size_t max_filled = 0;    ///< a hole of more slots is a break too
};

/// What became of a sample. kHeld samples come out (or do not) with a later one.
enum class Arrival : std::uint8_t { kPlaced, kHeld, kDuplicate, kLate, kExcess };

/// Receives the grid's slots in order.
class SlotSink {
 public:
  virtual ~SlotSink() = default;
  virtual void on_slot(std::span<const float> values) = 0;
  /// The grid starts anew: what came before is not continued.
  virtual void on_break() = 0;
  /// The values of the last slot; only asked after on_slot(). May be NaN in places.
  virtual std::span<const float> last_slot() const = 0;
};

/// Puts the samples of one stream onto an even grid, as a function of their order and time
/// stamps alone. Samples are counted onto the grid's slots rather than interpolated, so that an
/// evenly sampled signal comes through bit for bit whatever its time stamps' jitter:
///
///  - a stamp within 3/4 period after the next slot's time, or up to 3/2 before it, takes the
///    slot; the grid's phase follows the stamps slowly, so that a sensor clock up to about 1 %
///    off needs no correction;
///  - a later stamp leaves a hole: the sample is held until the missing one comes or `lateness`
///    has passed; then the hole is filled linearly if it is at most `max_gap` and `max_filled`,
///    else the grid starts anew, as soon as a second sample confirms the first: a lone stamp from
///    far ahead is a wrong clock and is dropped once the stream has gone on without it;
///  - samples that share a stamp with other values were delivered together: they are spread over
///    slots in their order, and the tolerance follows the size of such groups;
///  - a sample that lacks channels waits for one of the same stamp that has them;
///  - equal stamp and equal values is a repeat, unless the stream's samples come in groups; an
///    older stamp is late; a stamp too early for its slot is one sample too many. All three are
///    dropped and told apart. When nothing but surplus comes, the grid starts anew.
///
/// Units    values pass through; times as TimeNs, 0 <= time < 2^62 (the caller sees to it).
/// Cost     placing a complete sample in order: no allocation.
/// Threads  one at a time.
class Resampler {
 public:
  Arrival push(const GridRules& rules, TimeNs time, std::span<const float> values, SlotSink& sink);
  /// Places what is held, as if `lateness` had passed: at the end of a recording.
  void flush(const GridRules& rules, SlotSink& sink);

  /// Event time of slot `slots_back` before the next one (1: the last placed).
  TimeNs slot_time(const GridRules& rules, std::int64_t slots_back) const;
  TimeNs newest() const { return newest_; }
  bool started() const { return next_ > 0; }
  /// Held samples that turned out to be one too many, since the last call.
  std::uint32_t take_excess() { return std::exchange(excess_, 0); }
  std::size_t bytes() const;
  /// Of a stream of `channels` channels on a grid of this period.
  void archive(Archive& archive, double period_ns, std::size_t channels);

 private:
  struct Held {
    TimeNs time;
    std::vector<float> values;
  };

  double slots_after_next(const GridRules& rules, TimeNs time) const;
  double latest(const GridRules& rules) const;
  double earliest() const { return -1.5 - static_cast<double>(group_ - 1); }
  bool confirms(const GridRules& rules, const Held& head, std::size_t after) const;
  void note_stamp(TimeNs time);
  void place(const GridRules& rules, TimeNs time, std::span<const float> values, double error,
             SlotSink& sink);
  void restart(const GridRules& rules, TimeNs time, std::span<const float> values, SlotSink& sink);
  Arrival hold(TimeNs time, std::span<const float> values);
  void drain(const GridRules& rules, bool all, SlotSink& sink);
  /// Places the held sample at `at`, or drops it as one too many. False when it must wait.
  bool place_held(const GridRules& rules, std::size_t at, bool all, SlotSink& sink);
  void fill_hole(std::int64_t slots, std::span<const float> after, SlotSink& sink);

  TimeNs anchor_ = 0;         // event time of slot 0 plus the phase's whole part
  double phase_ns_ = 0;       // what the stamps say the anchor is off by
  std::int64_t next_ = 0;     // number of the slot to be filled next
  TimeNs last_time_ = 0;      // stamp of the last sample that was placed or was one too many
  TimeNs newest_ = 0;         // largest stamp seen
  std::uint32_t placed_ = 0;  // since the grid started, saturating
  std::uint32_t excess_ = 0;  // held, then dropped
  std::uint32_t excess_in_a_row_ = 0;
  std::uint16_t group_ = 1;                  // about how many samples share a stamp
  std::uint16_t same_stamp_ = 1;             // that share the last one
  std::uint16_t lonely_ = 0;                 // samples placed while one from far ahead waits
  std::unique_ptr<std::vector<Held>> held_;  // sorted by time; null in ordinary streams
};

}  // namespace anomalyd::stream

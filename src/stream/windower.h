#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/sample_batch.h"
#include "base/time.h"
#include "stream/resampler.h"

namespace anomalyd::stream {

/// Shared by all streams that have them.
using ChannelNames = std::shared_ptr<const std::vector<std::string>>;

/// How a domain's streams are cut into windows.
struct WindowRules {
  ChannelNames channels;  ///< null: those of the stream's first samples
  double rate_hz = 0;     ///< of the grid; 0: found from the first samples
  std::size_t window_samples = 128;
  std::size_t hop_samples = 64;
  std::int64_t lateness_ns = 2 * kNsPerSecond;
  std::int64_t max_gap_ns = 5 * kNsPerSecond;
};

/// What happened to the samples of a stream so far. All of them are counted in `samples`.
struct WindowerCounts {
  std::uint64_t samples = 0;
  std::uint64_t duplicate = 0;   ///< the same stamp and values again
  std::uint64_t late = 0;        ///< older than what was placed
  std::uint64_t excess = 0;      ///< more samples than the grid has slots
  std::uint64_t time_range = 0;  ///< before 1970 or after 2116
  std::uint64_t breaks = 0;      ///< gaps longer than max_gap

  void add(const WindowerCounts& other);
  void archive(Archive& archive);
};

class Windower;

/// Receives the windows of a stream, in order.
class WindowSink {
 public:
  virtual ~WindowSink() = default;
  /// A window is complete; take it with Windower::copy_window(). `start` and `end` are event
  /// times: of its first sample, and one period after its last.
  virtual void on_window(Windower& windower, TimeNs start, TimeNs end) = 0;
  /// The stream was interrupted for longer than max_gap.
  virtual void on_gap(Windower& windower) = 0;
};

/// Cuts one stream into windows: channels in a fixed order, an even grid (Resampler), a ring of
/// the last `window_samples` slots, a window every `hop_samples`. What the rules leave open
/// (channels, rate) is found from the stream's first samples, which are held for that long.
///
/// Shapes   a window is (window_samples, channels), time-major.
/// Numerics a channel that is missing from a sample keeps its last value for max_gap, then it is
///          NaN, and so are the windows' values there.
/// Cost     a sample in order: no allocation, its values are copied once.
/// Threads  one at a time.
class Windower {
 public:
  Windower();
  ~Windower();
  Windower(Windower&&) noexcept;
  Windower& operator=(Windower&&) noexcept;

  /// `rules` must be the same in every call.
  void push(const WindowRules& rules, const Schema& schema, TimeNs time,
            std::span<const float> values, WindowSink& sink);
  /// Places what still waits for late or first samples: at the end of a recording.
  void flush(const WindowRules& rules, WindowSink& sink);

  /// True when channels and rate are known.
  bool discovered() const { return period_ns_ > 0; }
  std::span<const std::string> channels() const;
  double rate_hz() const { return period_ns_ > 0 ? 1e9 / period_ns_ : 0; }
  void copy_window(std::span<float> out) const;
  const WindowerCounts& counts() const { return counts_; }
  /// What was counted before it was made anew.
  void set_counts(const WindowerCounts& counts) { counts_ = counts; }
  TimeNs newest() const { return newest_; }
  std::size_t bytes() const;  ///< heap bytes beside the ring
  /// Walks all that it holds but its counts, under these rules: read into a new one, it goes on to
  /// the last bit.
  void archive(const WindowRules& rules, Archive& archive);

  /// Asks the cache for what the next push() will touch.
  void prefetch() const { __builtin_prefetch(ring_.get() + std::size_t{head_} * channel_count_); }

 private:
  struct Discovery;
  struct DiscoverySample;
  class Ring;

  static bool only_repeats(const std::vector<DiscoverySample>& samples);
  void discover(const WindowRules& rules, WindowSink& sink, bool at_end);
  void begin(const WindowRules& rules, ChannelNames channels, double period_ns);
  void map_schema(const Schema& schema);
  void push_grid(const WindowRules& rules, TimeNs time, std::span<const float> values,
                 WindowSink& sink);
  GridRules grid_rules(const WindowRules& rules) const;
  void archive_discovery(const WindowRules& rules, Archive& archive);
  void archive_grid(const WindowRules& rules, Archive& archive);

  Resampler resampler_;
  double period_ns_ = 0;
  std::unique_ptr<float[]> ring_;  // (window_samples, channels)
  std::uint32_t head_ = 0;         // slot of the ring written next
  std::uint32_t filled_ = 0;
  std::uint32_t until_window_ = 0;
  std::uint16_t channel_count_ = 0;
  bool identity_ = false;  // the schema's order is ours
  std::uint64_t schema_hash_ = 0;
  std::uint16_t schema_size_ = 0;  // a hash alone could be made to collide
  TimeNs newest_ = 0;
  WindowerCounts counts_;
  ChannelNames channels_;
  std::unique_ptr<std::vector<std::int16_t>> mapping_;   // schema position -> channel, -1: none
  std::unique_ptr<std::vector<std::uint32_t>> missing_;  // slots in a row without a value
  std::unique_ptr<Discovery> discovery_;
};

}  // namespace anomalyd::stream

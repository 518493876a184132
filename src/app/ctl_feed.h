#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <queue>
#include <span>
#include <string_view>
#include <vector>

#include "app/ctl_send.h"
#include "base/result.h"
#include "base/time.h"

namespace anomalyd::app::ctl {

/// Gives one stream's samples in order.
class SampleSource {
 public:
  virtual ~SampleSource() = default;
  virtual std::size_t channels() const = 0;
  /// False at the end.
  virtual Result<bool> next(TimeNs& time, std::span<float> values) = 0;
};

/// Merges streams in event time, a slice of one stream after a slice of another, so that all of
/// them progress together: none gets ahead of another by more than a slice or by `lead_ns`.
/// Source i is stream i of the batch. The order within a stream is the source's.
/// Threads   one at a time.
class Interleaver {
 public:
  struct Rules {
    std::size_t slice_rows = 64;
    std::int64_t lead_ns = 50'000'000;
  };
  Interleaver(std::vector<std::unique_ptr<SampleSource>> sources, Rules rules);

  /// Adds samples not later than `horizon` until the batch has `max_rows`.
  /// Errors   the sources'.
  Status fill(SendBatch& batch, std::size_t max_rows, TimeNs horizon);
  /// Time of the sample that comes next; nothing at the end. Only after fill().
  std::optional<TimeNs> next_time() const;

 private:
  struct Next {
    TimeNs time;
    std::uint32_t source;
    bool operator>(const Next& other) const {
      return time != other.time ? time > other.time : source > other.source;
    }
  };
  Result<bool> read(std::uint32_t source, TimeNs& time);

  const Rules rules_;
  std::vector<std::unique_ptr<SampleSource>> sources_;
  std::vector<std::vector<float>> values_;  // of each source's next sample
  std::priority_queue<Next, std::vector<Next>, std::greater<>> queue_;
  bool started_ = false;
};

/// How fast event time passes: `speed` times the wall clock, or 0 for as fast as it goes.
/// Errors   kInvalidArgument for text that is neither a number above 0 nor "max".
Result<double> parse_speed(std::string_view text);

/// "now", RFC 3339 or integer nanoseconds.
Result<TimeNs> parse_start(std::string_view text, const Clock& clock);

struct Pace {
  double speed = 0;
  TimeNs begin = 0;                     ///< event time when the wall clock is at `started`
  std::chrono::nanoseconds started{0};  ///< Clock::elapsed()
};

/// Sends all samples of the interleaver, each not before its time has come. A paced feed sends
/// what is due about every 100 ms.
/// Errors   the sources' and the sender's.
/// Threads  `sent` (samples) may be read and `stop` be set from other threads.
Status feed(Interleaver& samples, Sender& sender, const Pace& pace, std::size_t batch_rows,
            const Clock& clock, const Sleep& sleep, std::atomic<std::uint64_t>& sent,
            const std::atomic<bool>& stop);

/// One connection's part of the work.
struct Lane {
  std::unique_ptr<Interleaver> samples;
  std::unique_ptr<Sender> sender;
};

struct FeedReport {
  SendCounts counts;
  std::size_t streams = 0;
  double seconds = 0;
  std::string refusal;
};

/// Runs the lanes, each on a thread of its own, with a progress line; ends all when one fails.
/// Prints the report, or the error, and gives the exit status: kFailed also when samples were
/// refused.
int run_feed(std::vector<Lane> lanes, std::size_t streams, std::uint64_t total_samples,
             double speed, TimeNs begin, std::size_t batch_rows, bool json, Console& console);

}  // namespace anomalyd::app::ctl

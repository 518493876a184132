#include "app/ctl_feed.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <ostream>
#include <thread>

namespace anomalyd::app::ctl {
namespace {

using std::chrono::nanoseconds;

constexpr nanoseconds kTick = std::chrono::milliseconds(100);

void print_report(const FeedReport& report, bool json, std::ostream& out) {
  const auto rate =
      report.seconds > 0 ? static_cast<double>(report.counts.accepted) / report.seconds : 0.0;
  const SendCounts& counts = report.counts;
  if (json) {
    out << "{\"streams\":" << report.streams << ",\"samples\":" << counts.accepted
        << ",\"refused\":" << counts.refused << ",\"requests\":" << counts.requests
        << ",\"retries\":" << counts.retries << ",\"seconds\":" << json_number(report.seconds)
        << ",\"samples_per_second\":" << json_number(rate) << "}\n";
    return;
  }
  Table table({{"", Table::Align::kLeft}, {"", Table::Align::kRight}});
  table.add({"streams", std::to_string(report.streams)});
  table.add({"samples", std::to_string(counts.accepted)});
  table.add({"refused", std::to_string(counts.refused)});
  table.add({"requests", std::to_string(counts.requests)});
  table.add({"retries", std::to_string(counts.retries)});
  table.add({"seconds", short_number(report.seconds, 4)});
  table.add({"samples/s", std::to_string(std::llround(rate))});
  table.print(out);
}

std::string progress_text(std::uint64_t sent, std::uint64_t total, double seconds) {
  const double share = total == 0 ? 0 : static_cast<double>(sent) / static_cast<double>(total);
  std::string text = progress_bar(share) + "  " + std::to_string(sent) + " samples";
  if (seconds > 0) {
    text += ", " + std::to_string(std::llround(static_cast<double>(sent) / seconds)) + "/s";
  }
  if (share > 0) text += ", " + duration_text(seconds / share - seconds) + " left";
  return text;
}

}  // namespace

Interleaver::Interleaver(std::vector<std::unique_ptr<SampleSource>> sources, Rules rules)
    : rules_(rules), sources_(std::move(sources)) {
  for (const auto& source : sources_) values_.emplace_back(source->channels());
}

Result<bool> Interleaver::read(std::uint32_t source, TimeNs& time) {
  return sources_[source]->next(time, values_[source]);
}

std::optional<TimeNs> Interleaver::next_time() const {
  if (queue_.empty()) return {};
  return queue_.top().time;
}

Status Interleaver::fill(SendBatch& batch, std::size_t max_rows, TimeNs horizon) {
  if (!started_) {
    for (std::uint32_t i = 0; i < sources_.size(); ++i) {
      TimeNs time = 0;
      const Result<bool> row = read(i, time);
      if (!row.ok()) return row.error();
      if (row.value()) queue_.push({time, i});
    }
    started_ = true;
  }
  while (!queue_.empty() && batch.size() < max_rows && queue_.top().time <= horizon) {
    Next next = queue_.top();
    queue_.pop();
    TimeNs until = horizon;
    if (!queue_.empty()) {
      TimeNs led = 0;
      if (!__builtin_add_overflow(queue_.top().time, rules_.lead_ns, &led)) {
        until = std::min(until, led);
      }
    }
    bool more = true;
    for (std::size_t rows = 0;
         more && rows < rules_.slice_rows && batch.size() < max_rows && next.time <= until;
         ++rows) {
      batch.add(next.source, next.time, values_[next.source]);
      const Result<bool> row = read(next.source, next.time);
      if (!row.ok()) return row.error();
      more = row.value();
    }
    if (more) queue_.push(next);
  }
  return Done{};
}

Result<double> parse_speed(std::string_view text) {
  if (text == "max") return 0.0;
  double speed = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), speed);
  if (ec == std::errc() && end == text.data() + text.size() && speed > 0 && speed <= 1e9) {
    return speed;
  }
  return Error{ErrorCode::kInvalidArgument,
               "--speed: expected a number above 0 or max, got '" + std::string(text) + "'"};
}

Result<TimeNs> parse_start(std::string_view text, const Clock& clock) {
  if (text == "now") return clock.now();
  TimeNs ns = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), ns);
  if (ec == std::errc() && end == text.data() + text.size()) return ns;
  Result<TimeNs> time = parse_rfc3339(text);
  if (time.ok()) return time;
  return Error{
      ErrorCode::kInvalidArgument,
      "--start: expected now, RFC 3339 or integer nanoseconds, got '" + std::string(text) + "'"};
}

Status feed(Interleaver& samples, Sender& sender, const Pace& pace, std::size_t batch_rows,
            const Clock& clock, const Sleep& sleep, std::atomic<std::uint64_t>& sent,
            const std::atomic<bool>& stop) {
  SendBatch batch;
  while (!stop.load(std::memory_order_relaxed)) {
    TimeNs horizon = std::numeric_limits<TimeNs>::max();
    if (pace.speed > 0) {
      // In double: beyond int64 it is the end of time anyway.
      const double passed = static_cast<double>((clock.elapsed() - pace.started).count());
      const double due = static_cast<double>(pace.begin) + passed * pace.speed;
      if (due < 9.2e18) horizon = pace.begin + static_cast<TimeNs>(passed * pace.speed);
    }
    batch.clear();
    Status filled = samples.fill(batch, std::min(batch_rows, sender.max_rows()), horizon);
    if (!filled.ok()) return filled;
    if (batch.size() > 0) {
      Status taken = sender.send(batch, sleep);
      if (!taken.ok()) return taken;
      sent.fetch_add(batch.size(), std::memory_order_relaxed);
    }
    const std::optional<TimeNs> next = samples.next_time();
    if (!next) break;
    if (*next > horizon) sleep(kTick);
  }
  return Done{};
}

int run_feed(std::vector<Lane> lanes, std::size_t streams, std::uint64_t total_samples,
             double speed, TimeNs begin, std::size_t batch_rows, bool json, Console& console) {
  const Clock& clock = system_clock();
  const Pace pace{speed, begin, clock.elapsed()};
  std::atomic<std::uint64_t> sent{0};
  std::atomic<bool> stop{false};
  std::atomic<std::size_t> running{lanes.size()};
  std::vector<std::optional<Error>> errors(lanes.size());
  // In short naps, so that a lane that waits ends soon when another has failed.
  const Sleep sleep = [&](nanoseconds time) {
    const nanoseconds end = clock.elapsed() + time;
    while (!stop.load() && clock.elapsed() < end) {
      std::this_thread::sleep_for(std::min(end - clock.elapsed(), nanoseconds(kTick)));
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    threads.emplace_back([&, i] {
      const Status done =
          feed(*lanes[i].samples, *lanes[i].sender, pace, batch_rows, clock, sleep, sent, stop);
      if (!done.ok()) {
        errors[i] = done.error();
        stop.store(true);
      }
      running.fetch_sub(1);
    });
  }
  const auto seconds = [&] {
    return std::chrono::duration<double>(clock.elapsed() - pace.started).count();
  };
  Progress progress(console);
  while (running.load() > 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    progress.update([&] { return progress_text(sent.load(), total_samples, seconds()); });
  }
  for (std::thread& thread : threads) thread.join();
  progress.finish();

  FeedReport report;
  report.streams = streams;
  report.seconds = seconds();
  for (const Lane& lane : lanes) {
    const SendCounts& counts = lane.sender->counts();
    report.counts.accepted += counts.accepted;
    report.counts.refused += counts.refused;
    report.counts.requests += counts.requests;
    report.counts.retries += counts.retries;
    if (report.refusal.empty()) report.refusal = lane.sender->refusal();
  }
  for (const auto& error : errors) {
    if (!error) continue;
    if (report.counts.accepted > 0) {
      console.err << "anomalyctl: stopped after " << report.counts.accepted << " samples\n";
    }
    return fail(console, *error, exit_of_server_error(*error));
  }
  print_report(report, json, console.out);
  if (report.counts.refused == 0) return kOk;
  console.err << "anomalyctl: the server refused samples: " << report.refusal << "\n";
  return kFailed;
}

}  // namespace anomalyd::app::ctl

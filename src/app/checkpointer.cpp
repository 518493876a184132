#include "app/checkpointer.h"

#include <algorithm>
#include <future>
#include <utility>

namespace anomalyd::app {
namespace {

using SteadyClock = std::chrono::steady_clock;

// A shard stands still for one: some milliseconds.
constexpr std::size_t kSliceStreams = 256;
constexpr std::size_t kSliceBytes = 1UL << 20U;
constexpr int kIdleTimes = 4;
constexpr std::chrono::seconds kFillingEvery{1};
constexpr std::chrono::milliseconds kLook{20};

/// Waits until the promise behind it is kept or dropped, or `given_up()`.
template <class Value, class GivenUp>
std::optional<Value> await(std::future<Value> future, const GivenUp& given_up) {
  while (future.wait_for(kLook) != std::future_status::ready) {
    if (given_up()) return {};
  }
  return future.get();
}

}  // namespace

Checkpointer::Checkpointer(std::vector<stream::Shard*> shards, AlertWriter& writer,
                           store::Journal& journal, std::chrono::nanoseconds interval)
    : shards_(std::move(shards)),
      writer_(writer),
      journal_(journal),
      interval_(interval),
      written_(shards_.size()),
      owed_(shards_.size()) {
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    stream::ShardStreams& streams = shards_[i]->stopped_streams();
    written_[i] = {streams.position(), streams.save_counters()};
  }
  position_ = least_written();
}

Checkpointer::~Checkpointer() { stop(); }

void Checkpointer::start() {
  thread_ = std::thread([this] { run(); });
}

void Checkpointer::request() {
  {
    const std::lock_guard lock(mutex_);
    is_requested_ = true;
  }
  wake_.notify_one();
}

void Checkpointer::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

bool Checkpointer::finish(std::chrono::nanoseconds bound) {
  stop();
  deadline_ = SteadyClock::now() + bound;
  is_stopping_ = false;
  return round([this](std::size_t shard, const Task& task) {
    task(shards_[shard]->stopped_streams());
    return true;
  });
}

void Checkpointer::run() {
  const RunOn run_on = [this](std::size_t shard, Task task) {
    return run_between(shard, std::move(task));
  };
  std::chrono::nanoseconds pause = interval_;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      // A journal that fills up does not wait for the time.
      const auto due = SteadyClock::now() + pause;
      do {
        wake_.wait_until(lock,
                         std::min<SteadyClock::time_point>(due, SteadyClock::now() + kFillingEvery),
                         [&] { return is_stopping_ || is_requested_; });
      } while (!is_stopping_ && !is_requested_ && SteadyClock::now() < due && !is_filling());
      if (is_stopping_) return;
      is_requested_ = false;
    }
    const auto begin = SteadyClock::now();
    round(run_on);
    pause =
        std::max<std::chrono::nanoseconds>(interval_, kIdleTimes * (SteadyClock::now() - begin));
  }
}

bool Checkpointer::is_filling() const {
  const store::JournalFigures figures = journal_.figures();
  return figures.needed_bytes > figures.max_bytes / 2;
}

bool Checkpointer::round(const RunOn& run_on) {
  const auto begin = SteadyClock::now();
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    if (!checkpoint(i, run_on)) return false;
  }
  position_ = least_written();
  journal_.passed(position_);
  last_seconds_ = std::chrono::duration<double>(SteadyClock::now() - begin).count();
  ++rounds_;
  return true;
}

std::uint64_t Checkpointer::least_written() const {
  std::uint64_t least = written_.front().position;
  for (const Row& row : written_) least = std::min(least, row.position);
  return least;
}

bool Checkpointer::checkpoint(std::size_t shard, const RunOn& run_on) {
  Row now;
  std::vector<std::uint32_t>& owed = owed_[shard];
  const bool is_noted = run_on(shard, [&](stream::ShardStreams& streams) {
    now.position = streams.position();
    now.state = streams.save_counters();
    // Some may yet be owed from a round that did not get through.
    const auto changed = streams.take_changed();
    owed.insert(owed.end(), changed.begin(), changed.end());
  });
  if (!is_noted) return false;
  // Nothing came: the database has it all.
  if (owed.empty() && now.position == written_[shard].position) return true;
  do {
    store::ShardCheckpoint slice;
    slice.shard = static_cast<std::uint32_t>(shard);
    const bool is_saved = run_on(shard, [&](stream::ShardStreams& streams) {
      std::size_t bytes = 0;
      for (std::size_t i = 0; i < std::min(owed.size(), kSliceStreams) && bytes < kSliceBytes;
           ++i) {
        const std::uint32_t number = owed[owed.size() - 1 - i];
        slice.streams.push_back(
            {streams.streams()[number].key, streams.position(), streams.save(number)});
        bytes += slice.streams.back().state.size();
      }
    });
    if (!is_saved) return false;
    const std::size_t left = owed.size() - slice.streams.size();
    const Row& row = left == 0 ? now : written_[shard];
    slice.position = row.position;
    slice.state = row.state;
    if (!write(slice)) return false;
    owed.resize(left);
  } while (!owed.empty());
  written_[shard] = std::move(now);
  return true;
}

bool Checkpointer::write(const store::ShardCheckpoint& slice) {
  const std::size_t count = slice.streams.size();
  std::size_t bytes = 0;
  for (const auto& stream : slice.streams) bytes += stream.state.size();
  const auto given_up = [&] { return is_stopping_ || SteadyClock::now() >= deadline_; };
  auto promise = std::make_shared<std::promise<bool>>();
  auto future = promise->get_future();
  const auto done = [promise](bool is_written) { promise->set_value(is_written); };
  while (!writer_.checkpoint(slice, done)) {
    // There is room only once the database takes writes again.
    if (given_up()) return false;
    std::this_thread::sleep_for(kLook);
  }
  const auto written = await(std::move(future), given_up);
  if (!written.value_or(false)) return false;
  streams_ += count;
  bytes_ += bytes;
  return true;
}

bool Checkpointer::run_between(std::size_t shard, Task task) {
  // The task uses what is on our stack: it must not run once nobody waits for it.
  struct Call {
    std::mutex mutex;
    bool is_wanted = true;
    std::promise<bool> done;
  };
  auto call = std::make_shared<Call>();
  auto future = call->done.get_future();
  const bool is_asked =
      shards_[shard]->between([call, task = std::move(task)](stream::ShardStreams& streams) {
        const std::lock_guard lock(call->mutex);
        if (!call->is_wanted) return;
        task(streams);
        call->done.set_value(true);
      });
  if (!is_asked) return false;
  if (await(std::move(future), [&] { return is_stopping_.load(); })) return true;
  const std::lock_guard lock(call->mutex);
  call->is_wanted = false;
  return false;
}

}  // namespace anomalyd::app

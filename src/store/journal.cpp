#include "store/journal.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "store/journal_files.h"
#include "store/journal_segment.h"

namespace anomalyd::store {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t kEnoughBytes = 1UL << 20U;  // to commit before the interval is over
constexpr std::chrono::milliseconds kIdleTurn{500};

}  // namespace

std::string_view to_text(Sync sync) {
  return sync == Sync::kAlways ? "always" : sync == Sync::kInterval ? "interval" : "never";
}

class Journal::Impl {
 public:
  Impl(FileSystem& files, JournalOptions options, const Clock& clock)
      : options_(std::move(options)), files_(files, options_, clock) {}

  Status open() {
    Status status = files_.open();
    next_ = files_.last() + 1;
    publish();
    return status;
  }

  Status replay(std::uint64_t after, const Visitor& visit) {
    ANOMALYD_CHECK(!thread_.joinable(), "a journal is replayed before it is started");
    Status status = files_.replay(after, visit);
    publish();
    return status;
  }

  void start(std::uint64_t at_least) {
    ANOMALYD_CHECK(!thread_.joinable(), "a journal is started once");
    next_ = std::max(next_, at_least + 1);
    publish();
    thread_ = std::thread([this] { run(); });
  }

  Status append(std::string record, Kept kept) {
    // One that is larger than a part of the whole might never find room: it would be refused, sent
    // again, and refused.
    const std::uint64_t most = std::min<std::uint64_t>(kMaxPayloadBytes, options_.max_bytes / 4);
    if (record.size() - kRecordHeaderBytes > most) {
      return Error{ErrorCode::kInvalidArgument,
                   "journal: a record of " + std::to_string(record.size()) + " bytes, at most " +
                       std::to_string(most) +
                       " are allowed (a quarter of store.journal_max_bytes)"};
    }
    seal_record(record);
    const std::lock_guard lock(mutex_);
    if (is_stopping_) return Error{ErrorCode::kUnavailable, "journal: it is being stopped"};
    if (trouble_) return *trouble_;
    if (waiting_bytes_ > 0 && waiting_bytes_ + record.size() > options_.queue_bytes) {
      return Error{ErrorCode::kUnavailable,
                   "journal: the disk is behind: " + std::to_string(waiting_bytes_) + " of " +
                       std::to_string(options_.queue_bytes) + " bytes wait to be written"};
    }
    if (waiting_.empty()) first_waits_since_ = SteadyClock::now();
    waiting_bytes_ += record.size();
    waiting_.push_back({std::move(record), std::move(kept)});
    if (waiting_.size() == 1 || waiting_bytes_ >= kEnoughBytes) wake_.notify_one();
    return Done{};
  }

  void passed(std::uint64_t position) {
    const std::lock_guard lock(mutex_);
    passed_ = std::max(passed_, position);
  }

  std::optional<Error> trouble() const {
    const std::lock_guard lock(mutex_);
    return trouble_;
  }

  JournalFigures figures() const {
    const std::lock_guard lock(mutex_);
    JournalFigures figures = figures_;
    figures.queued_bytes = waiting_bytes_;
    return figures;
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      is_stopping_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
  }

 private:
  struct Waiting {
    std::string record;
    Kept kept;
  };

  void run() {
    std::vector<Waiting> group;
    while (take(group)) {
      if (!group.empty()) {
        commit(group);
        group.clear();
      } else if (trouble()) {
        try_again();
      }
      files_.prune(wanted_prune(), false);
      publish();
    }
    files_.close();
  }

  /// Waits for a group that is due, or for a turn without one. False when there is no more to do.
  bool take(std::vector<Waiting>& group) {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, trouble_ ? options_.retry_every : kIdleTurn,
                   [&] { return is_stopping_ || !waiting_.empty(); });
    if (options_.sync == Sync::kInterval) {
      wake_.wait_until(lock, first_waits_since_ + options_.interval, [&] {
        return is_stopping_ || waiting_.empty() || waiting_bytes_ >= kEnoughBytes;
      });
    }
    if (waiting_.empty()) return !is_stopping_;
    group.swap(waiting_);
    group_bytes_ = std::exchange(waiting_bytes_, 0);
    return true;
  }

  std::uint64_t wanted_prune() const {
    const std::lock_guard lock(mutex_);
    return passed_;
  }

  void commit(std::vector<Waiting>& group) {
    std::vector<std::string_view> records;
    records.reserve(group.size());
    for (std::size_t i = 0; i < group.size(); ++i) {
      number_record(group[i].record, next_ + i);
      records.push_back(group[i].record);
    }
    const auto begin = SteadyClock::now();
    Status status = files_.commit(next_, records);
    if (!status.ok()) {
      note_failure(status.error());
      // After a failed sync nobody can tell what of the segment is on the disk: all that is not
      // confirmed is written once more, into a new one. That also is all there is to try when
      // passed segments fill the disk.
      files_.prune(wanted_prune(), status.error().code == ErrorCode::kExhausted);
      status = files_.commit(next_, records);
      if (!status.ok()) note_failure(status.error());
    }
    const double seconds = std::chrono::duration<double>(SteadyClock::now() - begin).count();
    if (status.ok()) {
      set_trouble({});
      const std::uint64_t first = next_;
      next_ += group.size();
      note_commit(group.size(), seconds);
      for (std::size_t i = 0; i < group.size(); ++i) group[i].kept(first + i);
      return;
    }
    set_trouble(status.error());
    for (const Waiting& refused : group) refused.kept(status.error());
  }

  void try_again() {
    const std::optional<Error> why = trouble();
    files_.prune(wanted_prune(), why && why->code == ErrorCode::kExhausted);
    // Of one that was too large for the limit, others must not suffer for ever.
    const Status status =
        files_.probe(next_, std::min<std::uint64_t>(group_bytes_, options_.segment_bytes));
    set_trouble(status.ok() ? std::nullopt : std::optional(status.error()));
  }

  void set_trouble(std::optional<Error> error) {
    bool changed = false;
    {
      const std::lock_guard lock(mutex_);
      changed = trouble_.has_value() != error.has_value();
      trouble_ = error;
    }
    if (!changed) return;
    if (error) {
      log::error("journal: samples are refused until it can be written again",
                 {{"error", error->message}});
    } else {
      log::info("journal: it can be written again");
    }
  }

  void note_failure(const Error& error) {
    {
      const std::lock_guard lock(mutex_);
      ++figures_.failures;
    }
    if (unsigned suppressed = 0; failures_.allow(suppressed)) {
      log::warn("journal: a write failed; what is not confirmed is written anew",
                {{"error", error.message}, {"suppressed", std::to_string(suppressed)}});
    }
  }

  void note_commit(std::size_t records, double seconds) {
    const std::lock_guard lock(mutex_);
    figures_.records += records;
    ++figures_.commits;
    figures_.commit_seconds += seconds;
    figures_.position = next_ - 1;
  }

  void publish() {
    const std::lock_guard lock(mutex_);
    figures_.position = next_ - 1;
    figures_.bytes = files_.bytes();
    figures_.needed_bytes = files_.bytes_after(passed_);
    figures_.max_bytes = options_.max_bytes;
    figures_.segments = files_.count();
    figures_.queue_capacity = options_.queue_bytes;
    figures_.damage = files_.damage();
  }

  const JournalOptions options_;
  SegmentFiles files_;      // of the thread, once that runs
  std::uint64_t next_ = 1;  // the same: the position that the next record gets
  std::uint64_t group_bytes_ = 0;
  log::Throttle failures_;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  std::vector<Waiting> waiting_;
  std::size_t waiting_bytes_ = 0;
  SteadyClock::time_point first_waits_since_;
  std::optional<Error> trouble_;
  std::uint64_t passed_ = 0;
  bool is_stopping_ = false;
  JournalFigures figures_;

  std::thread thread_;
};

Journal::Journal(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Journal::~Journal() { impl_->stop(); }

Result<std::unique_ptr<Journal>> Journal::open(FileSystem& files, JournalOptions options,
                                               const Clock& clock) {
  auto impl = std::make_unique<Impl>(files, std::move(options), clock);
  if (Status status = impl->open(); !status.ok()) return status.error();
  return std::unique_ptr<Journal>(new Journal(std::move(impl)));
}

Status Journal::replay(std::uint64_t after, const Visitor& visit) {
  return impl_->replay(after, visit);
}
void Journal::start(std::uint64_t at_least) { impl_->start(at_least); }
Status Journal::append(std::string record, Kept kept) {
  return impl_->append(std::move(record), std::move(kept));
}
void Journal::passed(std::uint64_t position) { impl_->passed(position); }
std::optional<Error> Journal::trouble() const { return impl_->trouble(); }
JournalFigures Journal::figures() const { return impl_->figures(); }
void Journal::stop() { impl_->stop(); }

}  // namespace anomalyd::store

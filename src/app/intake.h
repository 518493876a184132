#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/sample_batch.h"
#include "store/journal.h"
#include "stream/dispatcher.h"

namespace anomalyd::app {

/// The one step between a codec and the shards: room in their queues, then the journal, then the
/// shards, then the answer to the sender. What is accepted is in the journal, and what is in the
/// journal has been, or after a crash will be, scored.
///
/// Threads   safe from any thread.
class Intake {
 public:
  Intake(stream::Dispatcher& dispatcher, store::Journal& journal)
      : dispatcher_(dispatcher), journal_(journal) {}

  struct Refused {
    enum class Why {
      kQueueFull,  ///< a shard is behind
      kDiskFull,   ///< the journal's disk is full, or the journal is at its limit
      kJournal,    ///< the journal's disk fails or is behind
      kTooLarge,   ///< for one record of the journal
    };
    Why why;
    std::string message;
  };
  /// Nothing: accepted.
  using Answer = std::function<void(std::optional<Refused>)>;
  /// Answers once: before it returns, or later on the journal's thread, which must not wait.
  void accept(SampleBatch batch, Answer answer);

 private:
  static Refused refused_by(const Error& error);

  stream::Dispatcher& dispatcher_;
  store::Journal& journal_;
};

}  // namespace anomalyd::app

#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <unordered_set>

#include "base/sample_batch.h"
#include "http/tokens.h"

namespace anomalyd::app {

/// Holds tokens to the streams that they may bring: those that match the token's patterns, and no
/// more of them than it may have. What a token has brought once it keeps until the daemon ends, as
/// the shards remember streams as long.
///
/// Cost      nothing for a token without limits; else one look-up a run, and a pattern's match a
///           new stream. Eight bytes and a little a stream and token.
/// Threads   safe from any thread.
class StreamQuota {
 public:
  /// `max_streams` is for tokens that have patterns but no limit of their own.
  explicit StreamQuota(std::size_t max_streams) : max_streams_(max_streams) {}

  /// What was taken out of a batch.
  struct Refused {
    std::size_t foreign = 0;  ///< samples of streams that are not the token's
    std::size_t excess = 0;   ///< samples of streams that are too many
    std::string message;      ///< about the first of them; empty when there is none
    std::size_t samples() const { return foreign + excess; }
  };
  /// Takes out of `batch` what the token may not bring.
  Refused hold(const http::Token& token, SampleBatch& batch);

 private:
  enum class Verdict : std::uint8_t { kGood, kForeign, kExcess };
  using Known = std::unordered_set<std::uint64_t>;  // hashes of keys
  Verdict judge(const http::Token& token, Known& known, const Run& run, std::string_view key) const;

  const std::size_t max_streams_;
  std::mutex mutex_;
  std::map<std::string, Known> known_;  // by the token's name; guarded by mutex_
};

}  // namespace anomalyd::app

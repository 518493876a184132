#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/sample_batch.h"
#include "http/tokens.h"

namespace anomalyd::app {

/// Holds tokens to the streams that they may bring: those that match the token's patterns, and no
/// more of them than it may have. What a token has brought once it keeps until the daemon ends or
/// the token is taken away, while the shards keep
/// streams over restarts: after one a token may bring as many new ones again.
///
/// Cost      nothing for a token without limits; else, for every run of a batch, a match with each
///           of its patterns (not under the lock) and a look-up. Some 40 bytes a stream and token.
/// Threads   safe from any thread.
class StreamQuota {
 public:
  /// `max_streams` is for tokens that have patterns but no limit of their own.
  explicit StreamQuota(std::size_t max_streams) : max_streams_(max_streams) {}

  /// What was taken out of a batch.
  struct Refused {
    std::size_t foreign = 0;           ///< samples of streams that are not the token's
    std::size_t excess = 0;            ///< samples of streams that are too many
    std::string message;               ///< about the first of them; empty when there is none
    std::vector<std::uint64_t> fresh;  ///< hashes of the streams that settle() decides about
    std::size_t samples() const { return foreign + excess; }
  };
  /// Takes out of `batch` what the token may not bring. Streams that are new have their place in
  /// the quota from now on, but keep it only if settle() says so.
  Refused hold(const http::Token& token, SampleBatch& batch);
  /// Once for each hold(): whether the rest of that batch was accepted. If not, it has used up
  /// nothing.
  void settle(const http::Token& token, const Refused& held, bool is_accepted);
  /// Forgets tokens that are not among these.
  void keep_only(const std::vector<http::Token>& tokens);

 private:
  /// By the key's hash: how many batches with it are neither accepted nor refused; 0: it is kept.
  using Known = std::unordered_map<std::uint64_t, std::uint32_t>;

  const std::size_t max_streams_;
  std::mutex mutex_;
  std::map<std::string, Known> known_;  // by the token's name; guarded by mutex_
};

}  // namespace anomalyd::app

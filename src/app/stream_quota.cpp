#include "app/stream_quota.h"

#include <fnmatch.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace anomalyd::app {
namespace {

std::string message_about(const http::Token& token, std::string_view key, bool is_foreign,
                          std::size_t limit) {
  std::string text = "the token " + token.name;
  if (is_foreign) return text + " may not bring the stream " + std::string(key) + " (its streams=)";
  return text + " has brought " + std::to_string(limit) +
         " streams, which is all that it may (max_streams): no room for " + std::string(key);
}

bool fits(const http::Token& token, std::string_view key) {
  if (token.streams.empty()) return true;
  const std::string name(key.substr(0, key.find('{')));
  return std::any_of(token.streams.begin(), token.streams.end(), [&](const std::string& glob) {
    return fnmatch(glob.c_str(), name.c_str(), 0) == 0;
  });
}

/// The runs of `batch` that are marked, in their order.
SampleBatch only(const SampleBatch& batch, const std::vector<bool>& is_good) {
  SampleBatch kept;
  const auto runs = batch.runs();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (!is_good[i]) continue;
    const std::vector<std::string>& channels = batch.schema_of(runs[i]).channels;
    const std::vector<std::string_view> names(channels.begin(), channels.end());
    const auto block = kept.append_block(batch.key(runs[i]), kept.schema(names), runs[i].rows);
    const auto times = batch.times(runs[i]);
    const auto values = batch.values(runs[i]);
    std::copy(times.begin(), times.end(), block.times.begin());
    std::copy(values.begin(), values.end(), block.values.begin());
  }
  return kept;
}

}  // namespace

StreamQuota::Refused StreamQuota::hold(const http::Token& token, SampleBatch& batch) {
  Refused refused;
  if (token.streams.empty() && token.max_streams == 0) return refused;
  const std::size_t limit = token.max_streams == 0 ? max_streams_ : token.max_streams;
  const auto runs = batch.runs();
  std::vector<bool> is_good(runs.size(), true);
  const auto refuse = [&](std::size_t run, bool is_foreign) {
    is_good[run] = false;
    (is_foreign ? refused.foreign : refused.excess) += runs[run].rows;
    if (refused.message.empty()) {
      refused.message = message_about(token, batch.key(runs[run]), is_foreign, limit);
    }
  };
  // Known streams too: a reload may have changed the patterns.
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (!fits(token, batch.key(runs[i]))) refuse(i, true);
  }
  {
    const std::lock_guard lock(mutex_);
    Known& known = known_[token.name];
    for (std::size_t i = 0; i < runs.size(); ++i) {
      if (!is_good[i]) continue;
      const std::uint64_t hash = runs[i].key_hash;
      auto found = known.find(hash);
      if (found == known.end()) {
        if (known.size() >= limit) {
          refuse(i, false);
          continue;
        }
        found = known.emplace(hash, 0).first;
      } else if (found->second == 0) {
        continue;
      }
      ++found->second;
      refused.fresh.push_back(hash);
    }
  }
  if (refused.samples() > 0) batch = only(batch, is_good);
  return refused;
}

void StreamQuota::settle(const http::Token& token, const Refused& held, bool is_accepted) {
  if (held.fresh.empty()) return;
  const std::lock_guard lock(mutex_);
  Known& known = known_[token.name];
  for (const std::uint64_t hash : held.fresh) {
    if (is_accepted) {
      known[hash] = 0;
      continue;
    }
    // Gone, or kept because another batch with it was accepted.
    const auto found = known.find(hash);
    if (found == known.end() || found->second == 0) continue;
    if (--found->second == 0) known.erase(found);
  }
}

void StreamQuota::keep_only(const std::vector<http::Token>& tokens) {
  const std::lock_guard lock(mutex_);
  std::erase_if(known_, [&](const auto& one) {
    return std::none_of(tokens.begin(), tokens.end(),
                        [&](const http::Token& token) { return token.name == one.first; });
  });
}

}  // namespace anomalyd::app

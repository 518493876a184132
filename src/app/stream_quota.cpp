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

StreamQuota::Verdict StreamQuota::judge(const http::Token& token, Known& known, const Run& run,
                                        std::string_view key) const {
  // Patterns may have changed by a reload: what is known is only what counts.
  if (!token.streams.empty()) {
    const std::string name(key.substr(0, key.find('{')));
    const bool fits = std::any_of(
        token.streams.begin(), token.streams.end(),
        [&](const std::string& glob) { return fnmatch(glob.c_str(), name.c_str(), 0) == 0; });
    if (!fits) return Verdict::kForeign;
  }
  if (known.count(run.key_hash) == 1) return Verdict::kGood;
  const std::size_t limit = token.max_streams == 0 ? max_streams_ : token.max_streams;
  if (known.size() >= limit) return Verdict::kExcess;
  known.insert(run.key_hash);
  return Verdict::kGood;
}

StreamQuota::Refused StreamQuota::hold(const http::Token& token, SampleBatch& batch) {
  Refused refused;
  if (token.streams.empty() && token.max_streams == 0) return refused;
  const auto runs = batch.runs();
  std::vector<bool> is_good(runs.size(), true);
  {
    const std::lock_guard lock(mutex_);
    Known& known = known_[token.name];
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const Verdict verdict = judge(token, known, runs[i], batch.key(runs[i]));
      if (verdict == Verdict::kGood) continue;
      is_good[i] = false;
      const bool is_foreign = verdict == Verdict::kForeign;
      (is_foreign ? refused.foreign : refused.excess) += runs[i].rows;
      if (refused.message.empty()) {
        refused.message = message_about(token, batch.key(runs[i]), is_foreign, known.size());
      }
    }
  }
  if (refused.samples() > 0) batch = only(batch, is_good);
  return refused;
}

}  // namespace anomalyd::app

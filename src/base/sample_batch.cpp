#include "base/sample_batch.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/stream_key.h"

namespace anomalyd {
namespace {

bool same_names(const std::vector<std::string>& have, std::span<const std::string_view> want) {
  return std::equal(have.begin(), have.end(), want.begin(), want.end());
}

std::uint32_t narrow(std::size_t value) {
  ANOMALYD_CHECK(value <= std::numeric_limits<std::uint32_t>::max(), "batch over 4 Gi entries");
  return static_cast<std::uint32_t>(value);
}

}  // namespace

std::uint32_t SampleBatch::schema(std::span<const std::string_view> channels) {
  return schema_within(channels, std::numeric_limits<std::size_t>::max()).value();
}

std::optional<std::uint32_t> SampleBatch::schema_within(std::span<const std::string_view> channels,
                                                        std::size_t limit) {
  if (last_schema_ < schemas_.size() && same_names(schemas_[last_schema_].channels, channels)) {
    return last_schema_;
  }
  joined_.clear();
  for (const std::string_view name : channels) {
    joined_ += name;
    joined_ += '\n';  // never part of a name
  }
  const std::uint64_t hash = hash_bytes(joined_);
  const auto first = schema_index_.find(hash);
  // Different names with one hash are possible; the others are behind the first.
  for (std::size_t i = first == schema_index_.end() ? schemas_.size() : first->second;
       i < schemas_.size(); ++i) {
    if (schemas_[i].hash == hash && same_names(schemas_[i].channels, channels)) {
      return last_schema_ = narrow(i);
    }
  }
  if (schemas_.size() >= limit) return std::nullopt;
  last_schema_ = narrow(schemas_.size());
  schema_index_.try_emplace(hash, last_schema_);
  Schema& added = schemas_.emplace_back();
  added.channels.assign(channels.begin(), channels.end());
  added.hash = hash;
  return last_schema_;
}

void SampleBatch::reserve(std::size_t runs, std::size_t rows, std::size_t values,
                          std::size_t key_bytes) {
  runs_.reserve(runs_.size() + runs);
  times_.reserve(times_.size() + rows);
  values_.reserve(values_.size() + values);
  keys_.reserve(keys_.size() + key_bytes);
}

Run& SampleBatch::open_run(std::string_view key, std::uint32_t schema) {
  Run run;
  run.key_hash = hash_bytes(key);
  run.key_begin = narrow(keys_.size());
  run.key_bytes = narrow(key.size());
  run.schema = schema;
  run.time_begin = narrow(times_.size());
  run.value_begin = narrow(values_.size());
  keys_ += key;
  return runs_.emplace_back(run);
}

void SampleBatch::append(std::string_view key, std::uint32_t schema, TimeNs time,
                         std::span<const float> values) {
  ANOMALYD_CHECK(schema < schemas_.size() && values.size() == schemas_[schema].channels.size(),
                 "append: one value a channel");
  const bool extends =
      !runs_.empty() && runs_.back().schema == schema && this->key(runs_.back()) == key;
  Run& run = extends ? runs_.back() : open_run(key, schema);
  ++run.rows;
  times_.push_back(time);
  values_.insert(values_.end(), values.begin(), values.end());
}

SampleBatch::Block SampleBatch::append_block(std::string_view key, std::uint32_t schema,
                                             std::size_t rows) {
  ANOMALYD_CHECK(schema < schemas_.size(), "append_block: unknown schema");
  Run& run = open_run(key, schema);
  run.rows = narrow(rows);
  const std::size_t count = rows * schemas_[schema].channels.size();
  times_.resize(times_.size() + rows);
  values_.resize(values_.size() + count);
  return {std::span(times_).last(rows), std::span(values_).last(count)};
}

std::size_t SampleBatch::bytes() const {
  return keys_.capacity() + runs_.capacity() * sizeof(Run) + times_.capacity() * sizeof(TimeNs) +
         values_.capacity() * sizeof(float);
}

}  // namespace anomalyd

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/time.h"

namespace anomalyd {

/// The most channels a stream may have.
inline constexpr std::size_t kMaxChannels = 256;

/// The channels of a run, in the order of its values. `hash` is over the names in that order,
/// so that a shard sees with one comparison that nothing changed.
struct Schema {
  std::vector<std::string> channels;
  std::uint64_t hash = 0;
};

/// Consecutive samples of one stream: `rows` time stamps and, time-major, rows x channels values.
struct Run {
  std::uint64_t key_hash = 0;
  std::uint32_t key_begin = 0;
  std::uint32_t key_bytes = 0;
  std::uint32_t schema = 0;
  std::uint32_t time_begin = 0;
  std::uint32_t rows = 0;
  std::uint32_t value_begin = 0;
};

/// What one request brings: samples of any number of streams, in the order they came, in five
/// flat arrays. It is what a codec writes, the journal keeps and a shard reads.
///
/// Units     times as TimeNs, values in the sensor's own units; a missing channel is NaN.
///           No value is infinite: a codec refuses those.
/// Cost      appending does not allocate once the arrays have grown.
/// Threads   none of its own; shared as const once it is filled.
class SampleBatch {
 public:
  /// The number of a schema with these channel names, added if it is new. Looks at the schema
  /// that was asked for last first; the cost does not grow with the number of schemas.
  std::uint32_t schema(std::span<const std::string_view> channels);
  /// The same, but nothing is added when that would make more than `limit` of them.
  std::optional<std::uint32_t> schema_within(std::span<const std::string_view> channels,
                                             std::size_t limit);
  std::size_t schemas() const { return schemas_.size(); }
  std::size_t schema_size(std::uint32_t schema) const { return schemas_[schema].channels.size(); }

  /// Room for that much more, when the codec can tell from the size of the body.
  void reserve(std::size_t runs, std::size_t rows, std::size_t values, std::size_t key_bytes);

  /// Appends one sample; values.size() must be the schema's channel count. A sample of the same
  /// stream and schema as the one before extends its run. `key` is a StreamKey's text form.
  void append(std::string_view key, std::uint32_t schema, TimeNs time,
              std::span<const float> values);

  /// Starts a run of `rows` samples and returns where its times and values go.
  struct Block {
    std::span<TimeNs> times;
    std::span<float> values;
  };
  Block append_block(std::string_view key, std::uint32_t schema, std::size_t rows);

  std::size_t samples() const { return times_.size(); }
  bool empty() const { return times_.empty(); }
  /// Bytes held, for limits and gauges.
  std::size_t bytes() const;

  std::span<const Run> runs() const { return runs_; }
  const Schema& schema_of(const Run& run) const { return schemas_[run.schema]; }
  std::string_view key(const Run& run) const {
    return std::string_view(keys_).substr(run.key_begin, run.key_bytes);
  }
  std::span<const TimeNs> times(const Run& run) const {
    return std::span(times_).subspan(run.time_begin, run.rows);
  }
  std::span<const float> values(const Run& run) const {
    return std::span(values_).subspan(run.value_begin,
                                      run.rows * schemas_[run.schema].channels.size());
  }

 private:
  Run& open_run(std::string_view key, std::uint32_t schema);

  std::string keys_;
  std::vector<Schema> schemas_;
  std::unordered_map<std::uint64_t, std::uint32_t> schema_index_;  // hash -> first with it
  std::string joined_;                                             // scratch of schema()
  std::uint32_t last_schema_ = 0;
  std::vector<Run> runs_;
  std::vector<TimeNs> times_;
  std::vector<float> values_;
};

}  // namespace anomalyd

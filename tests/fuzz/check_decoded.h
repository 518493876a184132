#pragma once

#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "base/stream_key.h"
#include "ingest/codec.h"
#include "ingest/reject_body.h"

namespace anomalyd::ingest {

/// What holds of whatever a codec made of any bytes.
inline void check_decoded(const Decoded& decoded, const CodecLimits& limits) {
  const SampleBatch& batch = decoded.batch;
  std::size_t samples = 0;
  for (const Run& run : batch.runs()) {
    const auto key = StreamKey::parse(batch.key(run));
    ANOMALYD_CHECK(key.ok() && key.value().text() == batch.key(run), "a key is in its text form");
    ANOMALYD_CHECK(run.key_hash == hash_bytes(batch.key(run)), "a key has its hash");
    const auto& channels = batch.schema_of(run).channels;
    ANOMALYD_CHECK(!channels.empty() && channels.size() <= kMaxChannels, "a run has channels");
    for (const std::string& channel : channels) {
      ANOMALYD_CHECK(name_is_valid(channel), "a channel has a name");
    }
    ANOMALYD_CHECK(run.rows > 0, "a run has rows");
    ANOMALYD_CHECK(batch.times(run).size() == run.rows, "a row has a time");
    for (const TimeNs time : batch.times(run)) {
      ANOMALYD_CHECK(time >= kFirstTime && time < kEndTime, "a time is one that a stream takes");
    }
    for (const float value : batch.values(run)) {
      ANOMALYD_CHECK(!std::isinf(value), "no value is infinite");
    }
    samples += run.rows;
  }
  ANOMALYD_CHECK(samples == batch.samples(), "every sample is in a run");
  ANOMALYD_CHECK(samples <= limits.max_rows, "no more samples than allowed");
  ANOMALYD_CHECK(batch.schemas() <= limits.max_schemas, "no more schemas than allowed");
  ANOMALYD_CHECK(
      decoded.rejected == std::accumulate(std::begin(decoded.rejected_by_reason),
                                          std::end(decoded.rejected_by_reason), std::size_t{0}),
      "every refusal has a reason");
  ANOMALYD_CHECK(decoded.rejects.size() == std::min(decoded.rejected, kMaxRejects),
                 "refusals are kept up to a bound");
  for (const Reject& reject : decoded.rejects) {
    ANOMALYD_CHECK(reject.line > 0 && !reject.message.empty() && reject.text.size() <= 256,
                   "a refusal says where and why");
  }
  if (decoded.rejected > 0) {
    // None of these may throw, whatever bytes the messages repeat.
    ANOMALYD_CHECK(!influx_v1_body(decoded).empty() && !influx_v2_body(decoded).empty() &&
                       !influx_v3_body(decoded).empty() && !problem_errors(decoded).empty(),
                   "an answer can be written");
  }
}

}  // namespace anomalyd::ingest

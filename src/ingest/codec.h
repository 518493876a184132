#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/sample_batch.h"
#include "base/stream_key.h"
#include "base/time.h"

namespace anomalyd::ingest {

/// Why a line or an object was refused. Closed: each is a value of the metric's label `reason`.
enum class Reason : std::uint8_t {
  kSyntax,   ///< does not parse
  kKey,      ///< name, label or channel that cannot be one (see name_is_valid)
  kTime,     ///< no time, or one that CodecLimits does not admit
  kValue,    ///< not a finite float32, or no number among the fields
  kTooMany,  ///< more channels, labels, depth, rows or bytes in a line than allowed
  kReasons,  // the number of reasons
};
std::string_view to_string(Reason reason);

struct Reject {
  std::size_t line = 0;  ///< 1-based: line of the body, or element of a JSON array
  Reason reason = Reason::kSyntax;
  std::string message;  ///< what was found and what was expected, with the offending text cut
  std::string text;     ///< the line itself, at most 256 bytes of it
};

/// What a body held: the good samples, and what was refused.
struct Decoded {
  SampleBatch batch;
  std::vector<Reject> rejects;  ///< the first kMaxRejects of them
  std::size_t rejected = 0;     ///< all of them: lines, or elements of a JSON array
  std::size_t rejected_by_reason[static_cast<std::size_t>(Reason::kReasons)] = {};
  bool over_max_rows = false;      ///< some were refused because the request has too many
  std::size_t skipped_fields = 0;  ///< text fields of line protocol, which are no numbers
  /// Not the codecs': samples taken out because of who sent them, and what is said of that.
  std::size_t denied = 0;
  std::string denied_message;
};
inline constexpr std::size_t kMaxRejects = 100;

/// Times that a stream takes; what is outside comes from a wrong clock or unit. The end leaves
/// room to add any two times.
inline constexpr TimeNs kFirstTime = 0;
inline constexpr TimeNs kEndTime = TimeNs{1} << 62;  // 2116-02-20T23:53:38Z

struct CodecLimits {
  std::size_t max_rows = 1UL << 20U;     ///< samples a request
  std::size_t max_schemas = 1UL << 12U;  ///< different lists of channels a request
  std::size_t max_json_depth = 16;
  /// Of line protocol and NDJSON, without its end. A JSON document may be as long as the body.
  std::size_t max_line_bytes = 1UL << 20U;
  std::size_t max_channels = kMaxChannels;  ///< of a sample, at most kMaxChannels
  std::size_t max_labels = kMaxLabels;      ///< of a stream, at most kMaxLabels
  /// How far ahead of `now` a sample's time may lie; 0: as far as it likes. One sample from next
  /// year would make all that come after it late.
  std::int64_t max_future_ns = 0;
  /// How far behind `now` it may lie; 0: as far as it likes, from 1970 on. What a clock that was
  /// never set says is decades back.
  std::int64_t max_past_ns = 0;

  /// Why `time` is not admitted at `now`; empty when it is.
  std::string_view refusal_of(TimeNs time, TimeNs now) const {
    if (time < kFirstTime) return "before 1970: expected a time from 1970 to 2116-02-20";
    if (time >= kEndTime) return "after 2116-02-20: expected a time from 1970 to 2116-02-20";
    if (max_future_ns != 0 && time > now && time - now > max_future_ns) {
      return "too far in the future";
    }
    if (max_past_ns != 0 && time < now && now - time > max_past_ns) return "too far in the past";
    return {};
  }
};
/// A longer body is refused whole; the HTTP layer's own limit comes first.
inline constexpr std::size_t kMaxBodyBytes = 1UL << 30U;

/// Influx line protocol. Measurement and tags make the stream, fields the channels.
/// `unit_ns` is the precision (1, 1e3, 1e6, 1e9, 60e9, 3600e9); `now` is for lines without time.
/// A bad line is refused and the others are kept.
/// Errors    in out.rejects: nothing else fails. Names that begin with '_' are refused, as InfluxDB
///           does; a tag or a field given twice in a line too.
/// Cost      no allocation a line once `out` has grown.
/// Source    the line protocol reference of InfluxDB 2; conventions listed in docs/ingest.md.
void decode_line_protocol(std::string_view body, std::int64_t unit_ns, TimeNs now,
                          const CodecLimits& limits, Decoded& out);

/// POST /api/v1/samples: one object or an array of them. `body` must have
/// simdjson::SIMDJSON_PADDING (64) readable bytes behind its end.
///   row:     {"stream":"pump","labels":{"site":"a"},"time":T,"values":{"ax":0.1}}
///   columns:
///   {"stream":"pump","labels":{},"start":T,"rate_hz":25600,"channels":{"ax":[..],"ay":[..]}}
/// T is RFC 3339 text or integer nanoseconds; a row without "time" gets `now`. A null is a
/// missing value, but an element without any number is refused. Row i of a column form is at
/// start + round(i * 1e9 / rate_hz), exactly. A refused element leaves the others; a document
/// that does not parse keeps what came before the broken place and has one refusal that says
/// where (one that is cut off, or is no UTF-8, is found out before its first element).
void decode_json(std::string_view body, TimeNs now, const CodecLimits& limits, Decoded& out);
/// The same objects, one a line.
void decode_ndjson(std::string_view body, TimeNs now, const CodecLimits& limits, Decoded& out);

}  // namespace anomalyd::ingest

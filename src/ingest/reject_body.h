#pragma once

#include <string>

#include "ingest/codec.h"

namespace anomalyd::ingest {

// What senders of Influx line protocol read in the body of a 400 when some or all lines of a
// request were refused; the good ones are kept. Text of a sender that is no UTF-8 comes back
// with replacement characters. All need decoded.rejected > 0; those of versions 1 and 2 can do
// with decoded.denied > 0.
// Source   InfluxDB 1.8, 2.7 and 3 Core; conventions in docs/ingest.md.

/// {"error":"partial write: line 2: ... dropped=1"}: Telegraf looks for "partial write".
std::string influx_v1_body(const Decoded& decoded);
/// {"code":"invalid","message":"... line 2 (1-based): ...","line":2}
std::string influx_v2_body(const Decoded& decoded);
/// {"error":"partial write of line protocol occurred","data":[{"error_message":...,
/// "line_number":2,"original_line":"..."}]}
std::string influx_v3_body(const Decoded& decoded);

/// The `errors` member of a problem+json answer: a JSON array of
/// {"line":2,"reason":"value","detail":"...","text":"..."}, at most kMaxRejects of them.
std::string problem_errors(const Decoded& decoded);

}  // namespace anomalyd::ingest

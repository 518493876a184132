#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace anomalyd::ingest {

/// What a gzip (RFC 1952, also of several members) or zlib (RFC 1950) body unpacks to. Behind
/// the result's end are 64 more bytes of capacity, the padding that the JSON codecs ask for.
/// Errors   kExhausted when it is more than `max_bytes`; kCorrupt when it is cut off, fails its
///          checksum, or has something else behind it.
/// Cost     holds at most max_bytes, whatever the body claims.
Result<std::string> gunzip(std::string_view body, std::size_t max_bytes);

/// `body` as one gzip member.
/// Errors   kExhausted when there is no memory for it.
Result<std::string> gzip(std::string_view body);

}  // namespace anomalyd::ingest

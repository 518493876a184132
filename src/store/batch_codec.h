#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/sample_batch.h"

namespace anomalyd::store {

/// Appends a batch as the journal keeps it (JOURNAL.md): about one byte a time stamp of an even
/// series, four a value. decode_batch() gives a batch that a shard cannot tell from this one.
void encode_batch(const SampleBatch& batch, std::string& out);

/// Errors   kUnsupported for a version of the encoding that a newer daemon wrote, kCorrupt for
///          anything that encode_batch() does not write: a count that the bytes left cannot hold,
///          an invalid key or channel name, an infinite value, bytes left over. The message has
///          the offset.
/// Cost     nothing is allocated for a count before the bytes that it needs are known to be there.
/// Threads  both are safe from any thread.
Result<SampleBatch> decode_batch(std::string_view bytes);

}  // namespace anomalyd::store

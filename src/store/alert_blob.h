#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "alert/alert.h"
#include "base/result.h"

namespace anomalyd::store {

/// The parts of an alert that the database keeps as bytes, because nobody asks for rows by them.
/// Little-endian; a list is a u32 count and its elements, a text a u32 length and its bytes.
///
///   context        u32 1, i64 start, f64 rate_hz, channels (texts), actual (f32s), expected (f32s)
///   contributions  u32 1, list of (channel (text), f64 share)
///
/// An empty context is no bytes at all. The leading 1 is the layout's version.
///
/// Errors    decoding gives kCorrupt for bytes that end early, go on too long or count more than
///           there is, and kUnsupported for another version. Nothing is allocated by a count that
///           was not held against the bytes that are there.
std::vector<std::byte> encode_context(const alert::Context& context);
Result<alert::Context> decode_context(std::span<const std::byte> bytes);

std::vector<std::byte> encode_contributions(std::span<const alert::Contribution> contributions);
Result<std::vector<alert::Contribution>> decode_contributions(std::span<const std::byte> bytes);

}  // namespace anomalyd::store

#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace anomalyd::store {

/// CRC-32C (Castagnoli) of `bytes`: reflected, initial value and final xor all ones; that of
/// "123456789" is 0xE3069283.
/// Cost     the processor's instruction where it has one (x86-64 with SSE 4.2), else a table.
/// Threads  safe from any thread.
std::uint32_t crc32c(std::string_view bytes);

/// The same without the processor's instruction.
std::uint32_t crc32c_by_table(std::string_view bytes);

}  // namespace anomalyd::store

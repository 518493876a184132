#pragma once

#include <cstdint>

namespace anomalyd {

/// How often this program asked for memory so far, by whatever name: malloc and its relatives,
/// which operator new and Eigen call. Under AddressSanitizer and ThreadSanitizer, which have their
/// own malloc, and without glibc: by operator new alone.
///
/// Part of the programs that count (heap_count.cpp replaces malloc in them), not of a library.
///
/// Threads   safe; the count is of all threads.
std::uint64_t heap_requests();

}  // namespace anomalyd

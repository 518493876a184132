#pragma once

// Of this module only: numbers of files, least significant byte first.

#include <bit>
#include <concepts>
#include <cstring>
#include <string>
#include <string_view>

namespace anomalyd::store {

static_assert(std::endian::native == std::endian::little, "files are written as memory is");

template <std::integral Int>
void put(char* at, Int value) {
  std::memcpy(at, &value, sizeof value);
}
template <std::integral Int>
void append_number(std::string& out, Int value) {
  const std::size_t at = out.size();
  out.resize(at + sizeof value);
  put(out.data() + at, value);
}
/// `bytes` must hold it.
template <std::integral Int>
Int get(std::string_view bytes, std::size_t at) {
  Int value = 0;
  std::memcpy(&value, bytes.substr(at).data(), sizeof value);
  return value;
}

}  // namespace anomalyd::store

#include <cstdint>
#include <string_view>

#include "check_decoded.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace anomalyd::ingest;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  CodecLimits limits;
  limits.max_schemas = 8;  // so that short inputs reach it too
  Decoded decoded;
  decode_line_protocol(body, size % 2 == 0 ? 1 : 1'000'000'000, 7, limits, decoded);
  check_decoded(decoded, limits);
  return 0;
}

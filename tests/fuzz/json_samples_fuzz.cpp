#include <cstdint>
#include <string>
#include <string_view>

#include "check_decoded.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace anomalyd::ingest;
  // The codec asks for 64 readable bytes behind the body; what they hold must not matter.
  std::string padded(reinterpret_cast<const char*>(data), size);
  padded.append(64, " ]}"[size % 3]);
  CodecLimits limits;
  limits.max_rows = 64;
  limits.max_schemas = 8;
  Decoded decoded;
  decode_json(std::string_view(padded).substr(0, size), 7, limits, decoded);
  check_decoded(decoded, limits);
  return 0;
}

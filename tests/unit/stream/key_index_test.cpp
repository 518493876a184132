#include "stream/key_index.h"

#include "support/catch.h"

namespace anomalyd::stream {
namespace {

TEST_CASE("KeyIndex finds every number again, also under equal hashes", "[stream][key_index]") {
  KeyIndex index;
  for (std::uint32_t i = 0; i < 10'000; ++i)
    index.add(i % 100 == 0 ? 7 : i * 0x9E3779B97F4A7C15U, i);
  bool all = true;
  for (std::uint32_t i = 0; i < 10'000; ++i) {
    const std::uint64_t hash = i % 100 == 0 ? 7 : i * 0x9E3779B97F4A7C15U;
    all = all && index.find(hash, [&](std::uint32_t n) { return n == i; }) == i;
  }
  CHECK(all);
  CHECK(index.find(7, [](std::uint32_t) { return false; }) == KeyIndex::kNone);
  CHECK(index.find(12345, [](std::uint32_t) { return true; }) == KeyIndex::kNone);
}

}  // namespace
}  // namespace anomalyd::stream

#include "ingest/gzip.h"

#include <zlib.h>

#include <random>

#include "support/catch.h"

namespace anomalyd::ingest {
namespace {

TEST_CASE("gunzip undoes gzip, with padding behind the end", "[ingest][gzip]") {
  std::mt19937_64 bits(1);
  for (const std::size_t size : {0UL, 1UL, 511UL, 4096UL, 70000UL, 1000000UL}) {
    std::string text;
    for (std::size_t i = 0; i < size; ++i) text += static_cast<char>('a' + bits() % 20);
    const auto packed = gzip(text);
    REQUIRE(packed.ok());
    const auto again = gunzip(packed.value(), size);
    REQUIRE(again.ok());
    CHECK(again.value() == text);
    CHECK(again.value().capacity() >= size + 64);
  }
}

TEST_CASE("gunzip takes several members, and zlib's own wrapper", "[ingest][gzip]") {
  CHECK(gunzip(gzip("one ").value() + gzip("two").value(), 100).value() == "one two");
  std::string zlib(100, '\0');
  uLongf size = zlib.size();
  REQUIRE(compress(reinterpret_cast<Bytef*>(zlib.data()), &size,
                   reinterpret_cast<const Bytef*>("text"), 4) == Z_OK);
  zlib.resize(size);
  CHECK(gunzip(zlib, 100).value() == "text");
}

TEST_CASE("gunzip stops a bomb at the limit", "[ingest][gzip][errors]") {
  const std::string bomb = gzip(std::string(50'000'000, '\0')).value();
  REQUIRE(bomb.size() < 100'000);
  const auto refused = gunzip(bomb, 1'000'000);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == ErrorCode::kExhausted);
  CHECK(refused.error().message == "gzip: unpacks to more than 1000000 bytes");
  CHECK(gunzip(gzip("12345").value(), 4).error().code == ErrorCode::kExhausted);
  CHECK(gunzip(gzip("12345").value(), 5).ok());
}

TEST_CASE("gunzip refuses what is cut off, damaged or not gzip", "[ingest][gzip][errors]") {
  const std::string good = gzip("some text that is long enough").value();
  for (std::size_t size = 0; size < good.size(); ++size) {
    INFO(size);
    const auto refused = gunzip(good.substr(0, size), 1000);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == ErrorCode::kCorrupt);
  }
  std::string damaged = good;
  damaged[damaged.size() - 6] = static_cast<char>(damaged[damaged.size() - 6] ^ 1);
  CHECK(gunzip(damaged, 1000).error().code == ErrorCode::kCorrupt);
  CHECK(gunzip("m v=1 1\n", 1000).error().code == ErrorCode::kCorrupt);
  CHECK(gunzip(good + "x", 1000).error().message.find("behind its end") != std::string::npos);
}

}  // namespace
}  // namespace anomalyd::ingest

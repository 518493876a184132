#include "store/batch_codec.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "store/crc32c.h"
#include "support/catch.h"

namespace anomalyd::store {
namespace {

constexpr TimeNs kMin = std::numeric_limits<TimeNs>::min();
constexpr TimeNs kMax = std::numeric_limits<TimeNs>::max();

std::uint32_t schema(SampleBatch& batch, std::vector<std::string_view> channels) {
  return batch.schema(channels);
}

/// What a shard can see of a batch.
void check_same(const SampleBatch& a, const SampleBatch& b) {
  REQUIRE(a.samples() == b.samples());
  REQUIRE(a.runs().size() == b.runs().size());
  for (std::size_t i = 0; i < a.runs().size(); ++i) {
    const Run& x = a.runs()[i];
    const Run& y = b.runs()[i];
    REQUIRE(x.key_hash == y.key_hash);
    REQUIRE(a.key(x) == b.key(y));
    REQUIRE(a.schema_of(x).hash == b.schema_of(y).hash);
    REQUIRE(a.schema_of(x).channels == b.schema_of(y).channels);
    const auto times = a.times(x);
    REQUIRE(std::equal(times.begin(), times.end(), b.times(y).begin(), b.times(y).end()));
    const auto values = a.values(x);
    REQUIRE(values.size() == b.values(y).size());
    REQUIRE(std::memcmp(values.data(), b.values(y).data(), values.size_bytes()) == 0);
  }
}

SampleBatch sample() {
  SampleBatch batch;
  const auto unused = schema(batch, {"unused"});
  const auto xyz = schema(batch, {"ax", "ay", "az"});
  const auto one = schema(batch, {"p"});
  static_cast<void>(unused);
  const float nan = std::nanf("0x1234");
  for (int i = 0; i < 100; ++i) {
    const float value = static_cast<float>(i);
    batch.append("pump{site=\"a\"}", xyz, 1'700'000'000'000'000'000 + i * 10'000'000LL,
                 std::vector<float>{value, -0.0F, i == 7 ? nan : 1.5F});
  }
  batch.append("valve", one, kMin, std::vector<float>{1});
  batch.append("valve", one, kMax, std::vector<float>{std::numeric_limits<float>::max()});
  batch.append("valve", one, 0, std::vector<float>{2});
  batch.append("pump{site=\"a\"}", one, 5, std::vector<float>{3});
  return batch;
}

std::string encoded(const SampleBatch& batch) {
  std::string bytes;
  encode_batch(batch, bytes);
  return bytes;
}

TEST_CASE("CRC-32C is Castagnoli's, with the processor's help and without", "[store][journal]") {
  CHECK(crc32c("123456789") == 0xE3069283);
  CHECK(crc32c("") == 0);
  std::mt19937_64 bits(3);
  std::string bytes;
  for (int size = 0; size < 300; ++size) {
    CHECK(crc32c(bytes) == crc32c_by_table(bytes));
    bytes += static_cast<char>(bits());
  }
}

TEST_CASE("A batch comes back from its bytes as it was", "[store][journal]") {
  const SampleBatch batch = sample();
  const std::string bytes = encoded(batch);
  const auto decoded = decode_batch(bytes);
  REQUIRE(decoded.ok());
  check_same(batch, decoded.value());
  CHECK(encoded(decoded.value()) == bytes);
}

TEST_CASE("An even series takes one byte a time stamp", "[store][journal]") {
  SampleBatch batch;
  const auto one = schema(batch, {"p"});
  for (int i = 0; i < 1000; ++i) {
    batch.append("pump", one, 1'700'000'000'000'000'000 + i * 10'000'000LL, std::vector<float>{0});
  }
  CHECK(encoded(batch).size() < 5 * 1000 + 50);
}

TEST_CASE("A batch that is cut off anywhere is refused", "[store][journal]") {
  const std::string bytes = encoded(sample());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto decoded = decode_batch(std::string_view(bytes).substr(0, size));
    REQUIRE(!decoded.ok());
    CHECK(decoded.error().code == ErrorCode::kCorrupt);
  }
  CHECK(!decode_batch(bytes + '\0').ok());
}

TEST_CASE("What no encoder writes is refused, and said where", "[store][journal]") {
  const auto refusal = [](std::string bytes) {
    const auto decoded = decode_batch(bytes);
    return decoded.ok() ? std::string("taken") : decoded.error().message;
  };
  const std::string infinite("\x01\x01\x01\x01p\x01\x00\x01k\x01\x00\x00\x00\x80\x7f", 15);
  const std::string good("\x01\x01\x01\x01p\x01\x00\x01k\x01\x00\x00\x00\x80\x3f", 15);
  CHECK(refusal(good) == "taken");
  CHECK(refusal(infinite) == "batch: byte 15: values: an infinite one");
  CHECK(decode_batch("\x02").error().code == ErrorCode::kUnsupported);
  CHECK(refusal("\x02") == "a batch of version 2, expected 1");
  // Counts that nothing could hold.
  CHECK(refusal("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01") ==
        "batch: byte 11: schemas: 18446744073709551615 do not fit into the 0 bytes left");
  CHECK(refusal(std::string("\x01\x01\x01\x01p\x01\x00\x01k\xff\xff\x03\x00\x00\x00\x80\x3f",
                            17)) == "batch: byte 12: rows: 65535 do not fit into the 5 bytes left");
  // A number longer than it need be, a key that is none, a schema twice, one without a run.
  CHECK(refusal(std::string("\x01\x81\x00", 3)) == "batch: byte 1: schemas: expected a number");
  CHECK(refusal(std::string("\x01\x01\x01\x01p\x01\x00\x01{\x01\x00\x00\x00\x80\x3f", 15)) ==
        "batch: byte 9: key: not a stream's");
  CHECK(refusal(std::string("\x01\x02\x01\x01p\x01\x01p\x00", 9)) ==
        "batch: byte 8: schema: there twice");
  CHECK(refusal(std::string("\x01\x01\x01\x01p\x00", 6)) ==
        "batch: byte 6: schemas: one without a run");
  CHECK(refusal(std::string("\x01\x01\x01\x01p\x01\x01\x01k\x01\x00\x00\x00\x80\x3f", 15)) ==
        "batch: byte 7: schema: number 1");
}

}  // namespace
}  // namespace anomalyd::store

#include "base/sample_batch.h"

#include <array>

#include "base/stream_key.h"
#include "support/catch.h"

namespace anomalyd {
namespace {

constexpr std::array<std::string_view, 2> kAxAy{"ax", "ay"};
constexpr std::array<std::string_view, 1> kP{"p"};

TEST_CASE("SampleBatch joins neighbouring samples of a stream into one run", "[base][batch]") {
  SampleBatch batch;
  const auto accelerometer = batch.schema(kAxAy);
  batch.append("a", accelerometer, 10, std::array{1.0F, 2.0F});
  batch.append("a", accelerometer, 20, std::array{3.0F, 4.0F});
  batch.append("b", batch.schema(kP), 5, std::array{9.0F});
  batch.append("a", batch.schema(kAxAy), 30, std::array{5.0F, 6.0F});
  CHECK(batch.samples() == 4);
  REQUIRE(batch.runs().size() == 3);
  const Run& first = batch.runs()[0];
  CHECK(batch.key(first) == "a");
  CHECK(first.key_hash == hash_bytes("a"));
  CHECK(batch.times(first)[1] == 20);
  CHECK(batch.values(first)[3] == 4.0F);
  CHECK(batch.schema_of(batch.runs()[1]).channels == std::vector<std::string>{"p"});
  CHECK(batch.runs()[2].schema == accelerometer);
}

TEST_CASE("SampleBatch finds a schema again and adds none beyond a limit", "[base][batch]") {
  SampleBatch batch;
  std::vector<std::string> names;
  for (int i = 0; i < 100; ++i) names.push_back("c" + std::to_string(i));
  for (std::uint32_t i = 0; i < 100; ++i) {
    const std::array<std::string_view, 1> one{names[i]};
    CHECK(batch.schema(one) == i);
  }
  for (std::uint32_t i = 100; i > 0; --i) {
    const std::array<std::string_view, 1> one{names[i - 1]};
    CHECK(batch.schema_within(one, 100) == i - 1);
  }
  CHECK(batch.schema(kAxAy) == 100);
  CHECK(batch.schema_within(kP, 101) == std::nullopt);
  CHECK(batch.schemas() == 101);
  CHECK(batch.schema_within(kAxAy, 0) == 100);
}

TEST_CASE("SampleBatch takes a block of samples at once", "[base][batch]") {
  SampleBatch batch;
  auto block = batch.append_block("fast", batch.schema(kAxAy), 3);
  REQUIRE(block.values.size() == 6);
  for (std::size_t i = 0; i < 3; ++i) block.times[i] = static_cast<TimeNs>(i);
  block.values[5] = 7;
  CHECK(batch.values(batch.runs()[0])[5] == 7.0F);
  CHECK(batch.samples() == 3);
}

}  // namespace
}  // namespace anomalyd

#include "store/alert_blob.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "support/catch.h"

namespace anomalyd::store {
namespace {

std::string hex(std::span<const std::byte> bytes) {
  std::string out;
  for (const std::byte byte : bytes) {
    out += "0123456789abcdef"[std::to_integer<unsigned>(byte) >> 4U];
    out += "0123456789abcdef"[std::to_integer<unsigned>(byte) & 0xfU];
  }
  return out;
}

alert::Context make_context() {
  alert::Context context;
  context.start = -2;
  context.rate_hz = 1;
  context.channels = {"ax", "y"};
  context.actual = {1, -2};
  context.expected = {0.5F, std::numeric_limits<float>::quiet_NaN()};
  return context;
}

TEST_CASE("A context's bytes are as written down", "[store][blob]") {
  // By hand: version 1, start -2, rate 1.0, 2 channels, 2 + 2 floats.
  CHECK(hex(encode_context(make_context())) ==
        "01000000"
        "feffffffffffffff"
        "000000000000f03f"
        "02000000"
        "02000000"
        "6178"
        "01000000"
        "79"
        "02000000"
        "0000803f"
        "000000c0"
        "02000000"
        "0000003f"
        "0000c07f");
  const std::vector<alert::Contribution> contributions{{"y", 1.0}};
  CHECK(hex(encode_contributions(contributions)) ==
        "01000000"
        "01000000"
        "01000000"
        "79"
        "000000000000f03f");
}

TEST_CASE("Contexts and contributions round-trip", "[store][blob]") {
  const alert::Context context = decode_context(encode_context(make_context())).value();
  CHECK(context.start == -2);
  CHECK(context.rate_hz == 1);
  CHECK(context.channels == std::vector<std::string>{"ax", "y"});
  CHECK(context.actual == std::vector<float>{1, -2});
  REQUIRE(context.expected.size() == 2);
  CHECK(context.expected[0] == 0.5F);
  CHECK(std::isnan(context.expected[1]));

  CHECK(encode_context({}).empty());
  CHECK(decode_context({}).value().channels.empty());

  const std::vector<alert::Contribution> none;
  CHECK(decode_contributions(encode_contributions(none)).value().empty());
  const std::vector<alert::Contribution> two{{"ax", 0.75}, {"", 0.25}};
  const auto read = decode_contributions(encode_contributions(two)).value();
  REQUIRE(read.size() == 2);
  CHECK(read[0].channel == "ax");
  CHECK(read[0].share == 0.75);
  CHECK(read[1].channel.empty());
  CHECK(read[1].share == 0.25);
}

TEST_CASE("Bytes that end early or go on too long are corrupt", "[store][blob][errors]") {
  const std::vector<std::byte> context = encode_context(make_context());
  const std::vector<alert::Contribution> list{{"ax", 0.75}, {"y", 0.25}};
  const std::vector<std::byte> contributions = encode_contributions(list);
  for (std::size_t size = 1; size < context.size(); ++size) {
    const auto refused = decode_context(std::span(context).first(size));
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == ErrorCode::kCorrupt);
    CHECK(refused.error().message.find(std::to_string(size) + " bytes") != std::string::npos);
  }
  for (std::size_t size = 0; size < contributions.size(); ++size) {
    const auto refused = decode_contributions(std::span(contributions).first(size));
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == ErrorCode::kCorrupt);
  }
  auto longer = context;
  longer.push_back(std::byte{0});
  CHECK(decode_context(longer).error().code == ErrorCode::kCorrupt);
  longer = contributions;
  longer.push_back(std::byte{0});
  CHECK(decode_contributions(longer).error().code == ErrorCode::kCorrupt);
}

TEST_CASE("Another layout version is not guessed at", "[store][blob][errors]") {
  auto bytes = encode_context(make_context());
  bytes[0] = std::byte{2};
  const auto refused = decode_context(bytes);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == ErrorCode::kUnsupported);
  CHECK(refused.error().message == "context: layout version 2, expected 1");
}

TEST_CASE("A huge count is refused before anything is allocated", "[store][blob][errors]") {
  const auto context = encode_context(make_context());
  // The counts of channels, of a channel's bytes, of actual and of expected.
  for (const std::size_t at : {20U, 24U, 35U, 47U}) {
    auto bytes = context;
    std::memset(bytes.data() + at, 0xff, 4);
    INFO(at);
    CHECK(decode_context(bytes).error().code == ErrorCode::kCorrupt);
  }
}

TEST_CASE("Mutated bytes never do more than fail", "[store][blob][errors]") {
  std::mt19937_64 bits(7);
  const auto context = encode_context(make_context());
  std::size_t refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    auto bytes = context;
    for (std::size_t edit = 0; edit <= bits() % 4; ++edit) {
      bytes[bits() % bytes.size()] = static_cast<std::byte>(bits() & 0xffU);
    }
    bytes.resize(bits() % 8 == 0 ? bits() % bytes.size() : bytes.size());
    refused += decode_context(bytes).ok() ? 0 : 1;
    static_cast<void>(decode_contributions(bytes).ok());
  }
  CHECK(refused > 1000);
}

}  // namespace
}  // namespace anomalyd::store

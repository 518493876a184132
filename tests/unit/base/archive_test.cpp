#include "base/archive.h"

#include <array>
#include <limits>

#include "support/catch.h"

namespace anomalyd {
namespace {

enum class Colour : std::uint8_t { kRed, kGreen, kBlue };

struct Fields {
  bool flag = false;
  std::uint16_t small = 0;
  std::int64_t time = 0;
  float value = 0;
  double exact = 0;
  Colour colour = Colour::kRed;
  std::string name;
  std::vector<float> values;
  std::array<std::uint8_t, 3> fixed{};
  std::vector<std::string> names;

  void archive(Archive& archive) {
    archive(flag, small, time, value, exact);
    archive.choice(colour, Colour::kBlue, "the colour");
    archive.text(name, 8, "letters");
    archive.list(values, 0, 4, "values");
    archive.sized(fixed, "fixed ones");
    archive.list(names, 4, sizeof(std::uint32_t), "names",
                 [](Archive& a, std::string& each) { a.text(each, 8, "letters"); });
  }
};

Fields example() {
  return {true, 7, -3, 0.5F, 0.1, Colour::kBlue, "pump", {1, 2, 3}, {4, 5, 6}, {"a", ""}};
}

std::vector<std::byte> bytes_of(Fields fields) {
  Archive archive;
  fields.archive(archive);
  CHECK(archive.finish().ok());
  return archive.take();
}

TEST_CASE("An archive's bytes are as written down", "[base][archive]") {
  Archive archive;
  bool flag = true;
  std::uint16_t small = 0x0102;
  std::string text = "ab";
  archive(flag, small);
  archive.text(text, 8, "letters");
  const std::vector<std::byte> bytes = archive.take();
  const std::array<unsigned char, 9> expected{1, 2, 1, 2, 0, 0, 0, 'a', 'b'};
  REQUIRE(bytes.size() == expected.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    CHECK(static_cast<unsigned char>(bytes[i]) == expected[i]);
  }
}

TEST_CASE("The walk that writes reads back", "[base][archive]") {
  const std::vector<std::byte> bytes = bytes_of(example());
  Archive archive(bytes);
  Fields read;
  read.archive(archive);
  REQUIRE(archive.finish().ok());
  CHECK(read.flag);
  CHECK(read.small == 7);
  CHECK(read.time == -3);
  CHECK(read.value == 0.5F);
  CHECK(read.exact == 0.1);
  CHECK(read.colour == Colour::kBlue);
  CHECK(read.name == "pump");
  CHECK(read.values == std::vector<float>{1, 2, 3});
  CHECK(read.fixed == std::array<std::uint8_t, 3>{4, 5, 6});
  CHECK(read.names == std::vector<std::string>{"a", ""});
}

TEST_CASE("Bytes that end early or go on too long are corrupt, and the place is told",
          "[base][archive][errors]") {
  std::vector<std::byte> bytes = bytes_of(example());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const std::span<const std::byte> cut(bytes.data(), size);
    Archive archive(cut);
    Fields read;
    read.archive(archive);
    const Status done = archive.finish();
    REQUIRE(!done.ok());
    CHECK(done.error().code == ErrorCode::kCorrupt);
    CHECK(done.error().message.find(" of " + std::to_string(size) + ": ") != std::string::npos);
  }
  bytes.push_back(std::byte{0});
  Archive archive(bytes);
  Fields read;
  read.archive(archive);
  CHECK(archive.finish().error().message.find("go on after the last field") != std::string::npos);
}

TEST_CASE("What is out of its range is refused and leaves what was there",
          "[base][archive][errors]") {
  const auto written = [](auto value) {
    Archive archive;
    archive(value);
    return archive.take();
  };
  const auto message = [](Archive& archive) { return archive.finish().error().message; };
  {
    const auto bytes = written(std::int32_t{11});
    Archive archive(bytes);
    std::int32_t value = 3;
    archive.within(value, 0, 10, "the level");
    CHECK(value == 3);
    CHECK(message(archive) == "at byte 4 of 4: the level is 11, expected 0 to 10");
  }
  {
    const auto bytes = written(std::numeric_limits<double>::quiet_NaN());
    Archive archive(bytes);
    double value = 3;
    archive.within(value, 0, 10, "the level");
    CHECK(value == 3);
    CHECK(!archive.ok());
  }
  {
    const auto bytes = written(std::uint8_t{2});
    Archive archive(bytes);
    bool flag = false;
    archive(flag);
    CHECK(!archive.ok());
  }
  {
    const auto bytes = written(std::uint8_t{3});
    Archive archive(bytes);
    Colour colour = Colour::kGreen;
    archive.choice(colour, Colour::kBlue, "the colour");
    CHECK(colour == Colour::kGreen);
    CHECK(!archive.ok());
  }
  {
    const auto bytes = written(std::uint32_t{4});
    Archive archive(bytes);
    std::array<std::uint8_t, 3> fixed{1, 2, 3};
    archive.sized(fixed, "bins");
    CHECK(message(archive) == "at byte 4 of 4: bins is 4, expected 3 to 3");
    CHECK(fixed[0] == 1);
  }
}

TEST_CASE("A count is held against the bytes before anything is allocated",
          "[base][archive][errors]") {
  Archive writer;
  std::uint32_t count = 0xffffffff;
  writer(count);
  const std::vector<std::byte> bytes = writer.take();
  {
    Archive archive(bytes);
    std::vector<double> values;
    archive.list(values, 0, std::numeric_limits<std::size_t>::max(), "values");
    CHECK(values.capacity() == 0);
    CHECK(archive.finish().error().message.find("do not fit into the 0 bytes left") !=
          std::string::npos);
  }
  {
    Archive archive(bytes);
    std::string text;
    archive.text(text, 100, "letters");
    CHECK(archive.finish().error().message.find("expected 0 to 100") != std::string::npos);
  }
}

TEST_CASE("After the first error nothing is read", "[base][archive][errors]") {
  Archive writer;
  std::uint8_t wrong = 9;
  std::uint32_t next = 5;
  writer(wrong, next);
  const std::vector<std::byte> bytes = writer.take();
  Archive archive(bytes);
  bool flag = true;
  std::uint32_t kept = 77;
  archive(flag, kept);
  archive.fail("another word");
  CHECK(flag);
  CHECK(kept == 77);
  CHECK(archive.finish().error().message.find("a flag is 9") != std::string::npos);
}

}  // namespace
}  // namespace anomalyd

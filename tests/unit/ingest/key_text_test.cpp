#include "ingest/key_text.h"

#include <random>
#include <vector>

#include "support/catch.h"

namespace anomalyd::ingest {
namespace {

std::string piece(std::mt19937_64& bits, std::size_t longest) {
  static const std::vector<std::string> kPieces = {"a",  "b",  "Z", "0", "_",    "-",    " ",
                                                   "\"", "\\", "=", ",", "{",    "}",    "ä",
                                                   "漢", "\n", ".", "/", "\x7f", "\xff", "pump"};
  std::string text;
  for (std::size_t n = bits() % (longest + 1); n > 0; --n) {
    // Mostly good pieces, so that many keys are good.
    text += kPieces[bits() % (bits() % 4 == 0 ? kPieces.size() : 4)];
  }
  return text;
}

TEST_CASE("KeyText writes what StreamKey writes, and refuses what it refuses",
          "[ingest][key_text]") {
  std::mt19937_64 bits(11);
  KeyText key;
  int good = 0;
  for (int i = 0; i < 60000; ++i) {
    const std::size_t longest = bits() % 50 == 0 ? 700 : 5;
    const std::string name = piece(bits, longest);
    std::vector<Label> labels;
    for (std::size_t n = bits() % (bits() % 40 == 0 ? 40 : 5); n > 0; --n) {
      labels.push_back({piece(bits, 3) + (bits() % 3 == 0 ? "" : std::to_string(bits() % 90)),
                        piece(bits, longest)});
    }
    key.clear();
    for (const Label& label : labels) key.add(label.name, label.value);
    const bool built = key.build(name);
    const auto expected = StreamKey::make(name, labels);
    INFO(name << ' ' << labels.size());
    REQUIRE(built == expected.ok());
    if (!built) {
      REQUIRE_FALSE(key.message().empty());
      continue;
    }
    ++good;
    REQUIRE(key.text() == expected.value().text());
  }
  CHECK(good > 5000);
}

TEST_CASE("KeyText says what is wrong with a key", "[ingest][key_text][errors]") {
  KeyText key;
  key.clear();
  key.add("l", "1");
  key.add("l", "2");
  CHECK_FALSE(key.build("a"));
  CHECK(key.reason() == Reason::kKey);
  CHECK(key.message() == "label 'l' given twice");
  key.clear();
  for (int i = 0; i < 33; ++i) key.add(std::string(1, static_cast<char>('A' + i)), "x");
  CHECK_FALSE(key.build("a"));
  CHECK(key.reason() == Reason::kTooMany);
}

TEST_CASE("RepeatFinder finds a repeated name", "[ingest][key_text]") {
  RepeatFinder finder;
  const std::vector<std::string_view> different = {"b", "a", "c"};
  const std::vector<std::string_view> repeated = {"b", "a", "c", "a"};
  CHECK(finder.find(different) == nullptr);
  REQUIRE(finder.find(repeated) != nullptr);
  CHECK(*finder.find(repeated) == "a");
}

}  // namespace
}  // namespace anomalyd::ingest

#include "store/journal_segment.h"

#include <random>
#include <vector>

#include "store/crc32c.h"
#include "store/little_endian.h"
#include "support/catch.h"

namespace anomalyd::store {
namespace {

std::string record(std::uint64_t position, const std::string& payload) {
  std::string bytes = begin_record();
  bytes += payload;
  seal_record(bytes);
  number_record(bytes, position);
  return bytes;
}

/// Ten records, from position 5 on; `starts` gets where each begins.
std::string segment(std::vector<std::size_t>* starts = nullptr) {
  std::string bytes = encode_segment_header({5, 1234});
  for (std::uint64_t i = 5; i < 15; ++i) {
    if (starts != nullptr) starts->push_back(bytes.size());
    bytes += record(i, std::string(i * 3, static_cast<char>('a' + i)));
  }
  return bytes;
}

std::vector<std::uint64_t> positions(SegmentReader& reader) {
  std::vector<std::uint64_t> found;
  while (const auto view = reader.next()) {
    found.push_back(view->position);
    const char letter = static_cast<char>('a' + view->position);
    CHECK(view->payload == std::string(view->position * 3, letter));
  }
  return found;
}

using Positions = std::vector<std::uint64_t>;
const Positions kAll{5, 6, 7, 8, 9, 10, 11, 12, 13, 14};

TEST_CASE("Records come back in order", "[store][journal]") {
  const std::string bytes = segment();
  auto reader = SegmentReader::open(bytes).value();
  REQUIRE(reader.header());
  CHECK(reader.header()->first == 5);
  CHECK(reader.header()->created == 1234);
  CHECK(positions(reader) == kAll);
  CHECK(reader.good_end() == bytes.size());
  CHECK(reader.damaged() == 0);
}

TEST_CASE("A segment's name has its first position", "[store][journal]") {
  CHECK(segment_name(42) == "00000000000000000042.journal");
  CHECK(position_in_name(segment_name(42)) == 42);
  CHECK(position_in_name(segment_name(~std::uint64_t{0})) == ~std::uint64_t{0});
  CHECK(!position_in_name("42.journal"));
  CHECK(!position_in_name("0000000000000000004x.journal"));
  CHECK(!position_in_name("99999999999999999999.journal"));
  CHECK(!position_in_name("00000000000000000042.journam"));
}

TEST_CASE("A tail cut anywhere leaves the records before it", "[store][journal]") {
  std::vector<std::size_t> starts;
  const std::string bytes = segment(&starts);
  for (std::size_t size = kSegmentHeaderBytes; size < bytes.size(); ++size) {
    auto reader = SegmentReader::open(std::string_view(bytes).substr(0, size)).value();
    const auto found = positions(reader);
    // The padding behind a record is not part of it.
    CHECK(found.size() <= kAll.size());
    CHECK(found == Positions(kAll.begin(), kAll.begin() + static_cast<long>(found.size())));
    for (std::size_t i = 0; i + 1 < starts.size(); ++i) {
      if (starts[i + 1] <= size) CHECK(found.size() > i);
    }
    CHECK(reader.good_end() <= size);
    CHECK(reader.damaged() == 0);
  }
}

TEST_CASE("Any damaged byte costs one record, and is counted", "[store][journal]") {
  std::vector<std::size_t> starts;
  const std::string bytes = segment(&starts);
  for (std::size_t at = kSegmentHeaderBytes; at < starts.back(); ++at) {
    std::string bad = bytes;
    bad[at] = static_cast<char>(bad[at] ^ 0x40);
    auto reader = SegmentReader::open(bad).value();
    Positions expected;
    std::size_t lost = starts.size();
    for (std::size_t i = 0; i < starts.size(); ++i) {
      const bool is_in = at >= starts[i] && (i + 1 == starts.size() || at < starts[i + 1]);
      // Behind the payload there may be padding, which nobody looks at.
      const bool is_padding = is_in && at >= starts[i] + kRecordHeaderBytes + kAll[i] * 3;
      if (is_in && !is_padding) {
        lost = i;
      } else {
        expected.push_back(kAll[i]);
      }
    }
    CHECK(positions(reader) == expected);
    CHECK(reader.damaged() == (lost < starts.size() ? 1 : 0));
    if (lost < starts.size()) {
      CHECK(reader.first_damage() == starts[lost]);
      CHECK(reader.damaged_bytes() == starts[lost + 1] - starts[lost]);
    }
    CHECK(reader.good_end() == bytes.size());
  }
}

TEST_CASE("A damaged header costs no record", "[store][journal]") {
  for (std::size_t at = 0; at < kSegmentHeaderBytes; ++at) {
    std::string bad = segment();
    bad[at] = static_cast<char>(bad[at] ^ 1);
    auto reader = SegmentReader::open(bad).value();
    CHECK(!reader.header());
    CHECK(positions(reader) == kAll);
  }
}

TEST_CASE("Segments of other versions and files are refused by name", "[store][journal]") {
  std::string newer = segment();
  put(newer.data() + 8, std::uint32_t{2});
  put(newer.data() + 28, crc32c(std::string_view(newer).substr(0, 28)));
  const auto refused = SegmentReader::open(newer);
  REQUIRE(!refused.ok());
  CHECK(refused.error().code == ErrorCode::kUnsupported);
  CHECK(refused.error().message == "a journal of version 2, expected 1");
  std::string other = segment();
  other[0] = 'x';
  put(other.data() + 28, crc32c(std::string_view(other).substr(0, 28)));
  CHECK(SegmentReader::open(other).error().code == ErrorCode::kCorrupt);
}

TEST_CASE("A record that stands behind a newer one is passed over", "[store][journal]") {
  // What a disk kept of an older file in the same blocks must not come to life again.
  const std::string bytes = encode_segment_header({7, 0}) + record(7, std::string(21, 'h')) +
                            record(6, std::string(18, 'g')) + record(8, std::string(24, 'i'));
  auto reader = SegmentReader::open(bytes).value();
  CHECK(positions(reader) == Positions{7, 8});
  CHECK(reader.damaged() == 1);
}

TEST_CASE("Going over bytes that look like records takes linear time", "[store][journal]") {
  // Headers that are whole, each of a payload that is damaged and holds the next ones.
  std::string bytes = encode_segment_header({1, 0});
  const std::string head = record(1, std::string(1U << 16U, 'x')).substr(0, kRecordHeaderBytes);
  while (bytes.size() < (8U << 20U)) bytes += head;
  auto reader = SegmentReader::open(bytes).value();
  CHECK(!reader.next());  // with a CRC of 64 KiB for each of the 350,000 this would take minutes
}

}  // namespace
}  // namespace anomalyd::store

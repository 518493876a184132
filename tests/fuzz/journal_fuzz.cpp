// A segment of the journal, and the batches in it: whatever the bytes are, reading them ends, in
// order, and what is a batch is encoded to the same bytes again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "store/batch_codec.h"
#include "store/journal_segment.h"

namespace {

using namespace anomalyd;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_batch(std::string_view bytes) {
  const auto batch = store::decode_batch(bytes);
  if (!batch.ok()) {
    require(!batch.error().message.empty() && batch.error().message.size() < 300);
    return;
  }
  std::string again;
  store::encode_batch(batch.value(), again);
  require(again == bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  check_batch(bytes);

  auto reader = store::SegmentReader::open(bytes);
  if (!reader.ok()) return 0;
  std::uint64_t last = 0;
  std::size_t good_bytes = 0;
  while (const auto record = reader.value().next()) {
    require(record->position > last);
    last = record->position;
    good_bytes += store::kRecordHeaderBytes + record->payload.size();
    check_batch(record->payload);
  }
  require(reader.value().good_end() <= size);
  require(good_bytes + reader.value().damaged_bytes() <= size);
  require((reader.value().damaged() == 0) == (reader.value().damaged_bytes() == 0));
  return 0;
}

// The state of a stream as the database hands it back, under a domain that the first byte picks:
// an error, or a stream that goes on. With a hash that was made to fit, or few mutations would
// come past it.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "../unit/stream/recorded.h"

namespace {

using namespace anomalyd;
using namespace anomalyd::stream;

const std::vector<SampleBatch>& more() {
  static const std::vector<SampleBatch> batches = [] {
    // The seeds' own signal, from where they end, and a gap with what comes after it.
    std::vector<SentSample> sent = sent_samples(1, 1700, 500, 5);
    sent.erase(sent.begin(), sent.end() - 160);
    for (std::size_t i = 0; i < sent.size(); ++i) {
      sent[i].key = "s";
      if (i >= 120) sent[i].time += 60 * kNsPerSecond;
    }
    return batches_of(sent, 40, 1);
  }();
  return batches;
}

void use(std::size_t which, std::span<const std::byte> bytes) {
  static const std::vector<std::shared_ptr<const DomainSet>> domains = [] {
    std::vector<std::shared_ptr<const DomainSet>> all;
    for (std::size_t i = 0; i < kFuzzedDomains; ++i) all.push_back(set_of(fuzzed_domain(i)));
    return all;
  }();
  OutcomeLog log;
  ShardStreams shard({}, {}, domains[which % domains.size()], log);
  if (!shard.restore_counters(bytes).ok() && shard.samples() != 0) __builtin_trap();
  if (!shard.restore("s", 1, bytes).ok()) {
    if (!shard.streams().empty()) __builtin_trap();
    return;
  }
  std::uint64_t position = 1;
  for (const SampleBatch& batch : more()) {
    const std::vector<std::byte> again = shard.save(0);
    ShardStreams other({}, {}, domains[which % domains.size()], log);
    static_cast<void>(other.restore("s", 1, again).ok());
    shard.process(batch, ++position);
  }
  shard.flush();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  use(data[0], {bytes + 1, size - 1});
  use(data[0], sealed_again({bytes + 1, bytes + size}));
  return 0;
}

#include "store/batch_codec.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/stream_key.h"
#include "store/little_endian.h"

namespace anomalyd::store {
namespace {

constexpr char kVersion = 1;
constexpr std::size_t kMaxNameBytes = 255;
constexpr std::size_t kMaxVarintBytes = 10;

void append_varint(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>(static_cast<unsigned char>(value | 0x80U));
    value >>= 7U;
  }
  out += static_cast<char>(value);
}

// Small numbers of either sign become small numbers.
std::uint64_t zigzag(std::uint64_t value) { return (value << 1U) ^ (0 - (value >> 63U)); }
std::uint64_t unzigzag(std::uint64_t value) { return (value >> 1U) ^ (0 - (value & 1U)); }

void append_text(std::string& out, std::string_view text) {
  append_varint(out, text.size());
  out += text;
}

/// Reads on from a place; once anything is amiss, every read gives 0 and `problem` says what.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : bytes_(bytes) {}

  std::size_t left() const { return bytes_.size() - at_; }
  bool is_good() const { return problem_.empty(); }
  void fail(std::string_view what) {
    if (problem_.empty()) problem_ = "byte " + std::to_string(at_) + ": " + std::string(what);
    at_ = bytes_.size();
  }
  const std::string& problem() const { return problem_; }

  std::uint64_t varint(std::string_view what) {
    // Most are one byte.
    if (at_ < bytes_.size() && static_cast<unsigned char>(bytes_[at_]) < 0x80) {
      return static_cast<unsigned char>(bytes_[at_++]);
    }
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < kMaxVarintBytes && at_ + i < bytes_.size(); ++i) {
      const auto byte = static_cast<unsigned char>(bytes_[at_ + i]);
      if (i == kMaxVarintBytes - 1 && byte > 1) break;
      value |= static_cast<std::uint64_t>(byte & 0x7fU) << (7 * i);
      if (byte < 0x80) {
        if (byte == 0) break;  // it could have been shorter: not what encode_batch() writes
        at_ += i + 1;
        return value;
      }
    }
    fail(std::string(what) + ": expected a number");
    return 0;
  }
  /// A count of things of which each takes at least `bytes_each` of what is left.
  std::size_t count(std::string_view what, std::size_t bytes_each) {
    const std::uint64_t value = varint(what);
    if (value > left() / bytes_each) {
      fail(std::string(what) + ": " + std::to_string(value) + " do not fit into the " +
           std::to_string(left()) + " bytes left");
      return 0;
    }
    return static_cast<std::size_t>(value);
  }
  std::string_view text(std::string_view what, std::size_t most) {
    const std::size_t size = count(what, 1);
    if (size > most) {
      fail(std::string(what) + ": " + std::to_string(size) + " bytes, expected at most " +
           std::to_string(most));
      return {};
    }
    return take(size);
  }
  /// What left() has been checked for.
  std::string_view take(std::size_t size) {
    const std::string_view taken = bytes_.substr(at_, size);
    at_ += taken.size();
    return taken;
  }

 private:
  std::string_view bytes_;
  std::size_t at_ = 0;
  std::string problem_;
};

void read_schemas(Cursor& cursor, SampleBatch& batch) {
  const std::size_t schemas = cursor.count("schemas", 1);
  std::vector<std::string_view> channels;
  for (std::size_t i = 0; i < schemas && cursor.is_good(); ++i) {
    const std::size_t count = cursor.count("channels", 2);
    if (count > kMaxChannels) cursor.fail("channels: " + std::to_string(count));
    channels.clear();
    for (std::size_t c = 0; c < count && cursor.is_good(); ++c) {
      const std::string_view name = cursor.text("channel", kMaxNameBytes);
      if (cursor.is_good() && !name_is_valid(name)) cursor.fail("channel: not a valid name");
      channels.push_back(name);
    }
    if (cursor.is_good() && batch.schema(channels) != i) cursor.fail("schema: there twice");
  }
}

void read_run(Cursor& cursor, std::uint32_t schema, std::string_view key, SampleBatch& batch) {
  const std::size_t rows = cursor.count("rows", 1 + batch.schema_size(schema) * sizeof(float));
  if (rows == 0) cursor.fail("rows: expected at least one");
  if (!cursor.is_good()) return;
  const auto block = batch.append_block(key, schema, rows);
  std::uint64_t time = 0;
  std::uint64_t step = 0;
  for (TimeNs& out : block.times) {
    step += unzigzag(cursor.varint("time"));
    time += step;
    out = static_cast<TimeNs>(time);
  }
  const std::size_t bytes = block.values.size() * sizeof(float);
  if (cursor.left() < bytes) cursor.fail("values: cut off");
  if (!cursor.is_good() || bytes == 0) return;
  std::memcpy(block.values.data(), cursor.take(bytes).data(), bytes);
  bool is_finite = true;
  for (const float value : block.values) is_finite &= !std::isinf(value);
  if (!is_finite) cursor.fail("values: an infinite one");
}

}  // namespace

void encode_batch(const SampleBatch& batch, std::string& out) {
  out += kVersion;
  // The schemas in use, numbered anew in the order in which runs have them.
  std::vector<const Schema*> schemas;
  std::unordered_map<std::uint32_t, std::size_t> numbers;
  for (const Run& run : batch.runs()) {
    if (numbers.try_emplace(run.schema, schemas.size()).second) {
      schemas.push_back(&batch.schema_of(run));
    }
  }
  append_varint(out, schemas.size());
  for (const Schema* schema : schemas) {
    append_varint(out, schema->channels.size());
    for (const std::string& name : schema->channels) append_text(out, name);
  }
  append_varint(out, batch.runs().size());
  std::uint32_t last_schema = 0;
  std::size_t last_number = 0;
  for (const Run& run : batch.runs()) {
    if (run.schema != last_schema || &run == batch.runs().data()) {
      last_schema = run.schema;
      last_number = numbers.at(run.schema);
    }
    append_varint(out, last_number);
    append_text(out, batch.key(run));
    append_varint(out, run.rows);
    std::uint64_t time = 0;
    std::uint64_t step = 0;
    for (const TimeNs at : batch.times(run)) {
      const std::uint64_t now = static_cast<std::uint64_t>(at);
      append_varint(out, zigzag(now - time - step));
      step = now - time;
      time = now;
    }
    const auto values = batch.values(run);
    out.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  }
}

Result<SampleBatch> decode_batch(std::string_view bytes) {
  Cursor cursor(bytes);
  SampleBatch batch;
  const std::uint64_t version = cursor.varint("version");
  if (cursor.is_good() && version != kVersion) {
    return Error{version > kVersion ? ErrorCode::kUnsupported : ErrorCode::kCorrupt,
                 "a batch of version " + std::to_string(version) + ", expected 1"};
  }
  read_schemas(cursor, batch);
  const std::size_t runs = cursor.count("runs", 4);
  std::string_view last_key;
  std::uint64_t unused = 0;  // the first schema that no run had: they are numbered in that order
  for (std::size_t i = 0; i < runs && cursor.is_good(); ++i) {
    const std::uint64_t schema = cursor.varint("schema");
    if (schema >= batch.schemas() || schema > unused) {
      cursor.fail("schema: number " + std::to_string(schema));
    }
    if (schema == unused) ++unused;
    const std::string_view key = cursor.text("key", kMaxKeyBytes);
    if (!cursor.is_good()) break;
    if (i == 0 || key != last_key) {
      const auto parsed = StreamKey::parse(key);
      if (!parsed.ok() || parsed.value().text() != key) cursor.fail("key: not a stream's");
    }
    last_key = key;
    if (cursor.is_good()) read_run(cursor, static_cast<std::uint32_t>(schema), key, batch);
  }
  if (cursor.is_good() && unused != batch.schemas()) cursor.fail("schemas: one without a run");
  if (cursor.is_good() && cursor.left() > 0) {
    cursor.fail(std::to_string(cursor.left()) + " bytes left over");
  }
  if (!cursor.is_good()) return Error{ErrorCode::kCorrupt, "batch: " + cursor.problem()};
  return batch;
}

}  // namespace anomalyd::store

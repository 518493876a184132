#include "store/alert_blob.h"

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace anomalyd::store {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the blobs are little-endian: swap here for another machine");

constexpr std::uint32_t kVersion = 1;

class Writer {
 public:
  template <class T>
  void put(T value) {
    append(&value, sizeof value);
  }
  void text(std::string_view value) {
    put(static_cast<std::uint32_t>(value.size()));
    append(value.data(), value.size());
  }
  void floats(std::span<const float> values) {
    put(static_cast<std::uint32_t>(values.size()));
    append(values.data(), values.size_bytes());
  }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  void append(const void* data, std::size_t size) {
    if (size == 0) return;
    const std::size_t at = bytes_.size();
    bytes_.resize(at + size);
    std::memcpy(bytes_.data() + at, data, size);
  }
  std::vector<std::byte> bytes_;
};

/// Reads in order; after the first thing that is not there, everything reads as zero or empty
/// and ok() is false.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <class T>
  T get() {
    T value{};
    const std::span<const std::byte> found = take(sizeof value);
    if (!found.empty()) std::memcpy(&value, found.data(), sizeof value);
    return value;
  }
  /// A count of elements that take at least `element_bytes` each.
  std::size_t count(std::size_t element_bytes) {
    const std::size_t found = get<std::uint32_t>();
    if (found > bytes_.size() / element_bytes) {
      is_ok_ = false;
      return 0;
    }
    return found;
  }
  std::string text() {
    const std::span<const std::byte> found = take(count(1));
    return {reinterpret_cast<const char*>(found.data()), found.size()};
  }
  std::vector<float> floats() {
    std::vector<float> values(count(sizeof(float)));
    const std::span<const std::byte> found = take(values.size() * sizeof(float));
    if (!found.empty()) std::memcpy(values.data(), found.data(), found.size());
    return values;
  }
  bool ok() const { return is_ok_; }
  bool at_end() const { return is_ok_ && bytes_.empty(); }

 private:
  std::span<const std::byte> take(std::size_t size) {
    if (!is_ok_ || size > bytes_.size()) {
      is_ok_ = false;
      return {};
    }
    const std::span<const std::byte> found = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return found;
  }
  std::span<const std::byte> bytes_;
  bool is_ok_ = true;
};

/// Checks the leading version and says what is wrong otherwise.
Status begin(Reader& reader, const char* what, std::size_t size) {
  const auto version = reader.get<std::uint32_t>();
  if (!reader.ok()) {
    return Error{ErrorCode::kCorrupt,
                 std::string(what) + ": " + std::to_string(size) + " bytes, too short"};
  }
  if (version != kVersion) {
    return Error{ErrorCode::kUnsupported, std::string(what) + ": layout version " +
                                              std::to_string(version) + ", expected " +
                                              std::to_string(kVersion)};
  }
  return Done{};
}

Error does_not_add_up(const char* what, std::size_t size) {
  return Error{ErrorCode::kCorrupt, std::string(what) + ": counts and length (" +
                                        std::to_string(size) + " bytes) do not agree"};
}

}  // namespace

std::vector<std::byte> encode_context(const alert::Context& context) {
  if (context.channels.empty() && context.actual.empty() && context.expected.empty()) return {};
  Writer out;
  out.put(kVersion);
  out.put(context.start);
  out.put(context.rate_hz);
  out.put(static_cast<std::uint32_t>(context.channels.size()));
  for (const std::string& channel : context.channels) out.text(channel);
  out.floats(context.actual);
  out.floats(context.expected);
  return out.take();
}

Result<alert::Context> decode_context(std::span<const std::byte> bytes) {
  if (bytes.empty()) return alert::Context{};
  Reader in(bytes);
  const Status begun = begin(in, "context", bytes.size());
  if (!begun.ok()) return begun.error();
  alert::Context context;
  context.start = in.get<TimeNs>();
  context.rate_hz = in.get<double>();
  const std::size_t channels = in.count(sizeof(std::uint32_t));
  context.channels.reserve(channels);
  for (std::size_t i = 0; i < channels; ++i) context.channels.push_back(in.text());
  context.actual = in.floats();
  context.expected = in.floats();
  if (!in.at_end()) return does_not_add_up("context", bytes.size());
  return context;
}

std::vector<std::byte> encode_contributions(std::span<const alert::Contribution> contributions) {
  Writer out;
  out.put(kVersion);
  out.put(static_cast<std::uint32_t>(contributions.size()));
  for (const alert::Contribution& contribution : contributions) {
    out.text(contribution.channel);
    out.put(contribution.share);
  }
  return out.take();
}

Result<std::vector<alert::Contribution>> decode_contributions(std::span<const std::byte> bytes) {
  Reader in(bytes);
  const Status begun = begin(in, "contributions", bytes.size());
  if (!begun.ok()) return begun.error();
  const std::size_t count = in.count(sizeof(std::uint32_t) + sizeof(double));
  std::vector<alert::Contribution> contributions;
  contributions.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    std::string channel = in.text();
    const double share = in.get<double>();
    contributions.push_back({std::move(channel), share});
  }
  if (!in.at_end()) return does_not_add_up("contributions", bytes.size());
  return contributions;
}

}  // namespace anomalyd::store

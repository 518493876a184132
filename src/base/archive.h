#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/result.h"

namespace anomalyd {

/// What an archive holds as it is in memory: numbers of a fixed size.
template <class T>
concept ArchiveNumber = std::is_arithmetic_v<T> && !std::is_same_v<T, bool>;

/// One walk over the fields of a state that writes them or reads them back, so that the two
/// cannot drift apart: each class has one `archive(Archive&)` that names every field once.
///
/// Little-endian; numbers at their size, a bool is a byte, a list is a u32 count and its elements,
/// a text a u32 length and its bytes. Nothing says what is where: the layout is the walk, and
/// whoever holds the bytes writes the version of it in front.
///
/// Errors    Bytes that are read are not trusted. A count is held against the bytes that are left
///           before anything is allocated; what is read out of its range is refused. The first
///           error stays, and what is read after it leaves its object as it was: a walk needs no
///           `if` for it, only to look at ok() before it builds something upon a number. finish()
///           returns it: kCorrupt with the place.
/// Threads   one at a time.
class Archive {
 public:
  /// Writes.
  Archive() = default;
  /// Reads; the bytes must outlive it.
  explicit Archive(std::span<const std::byte> bytes) : left_(bytes), size_(bytes.size()) {
    reads_ = true;
  }

  bool reads() const { return reads_; }
  bool ok() const { return !error_; }
  /// Bytes that are left to read.
  std::size_t left() const { return left_.size(); }

  /// Fields in order, each a number or a bool, of any value.
  template <class... Fields>
  void operator()(Fields&... fields) {
    (field(fields), ...);
  }

  /// A number that must lie in [low, high] when it is read; NaN does not.
  template <ArchiveNumber T>
  void within(T& value, std::type_identity_t<T> low, std::type_identity_t<T> high,
              std::string_view what) {
    T found = value;
    field(found);
    if (!ok()) return;
    if (reads_ && !(found >= low && found <= high)) {
      fail(std::string(what) + " is " + std::to_string(found) + ", expected " +
           std::to_string(low) + " to " + std::to_string(high));
      return;
    }
    value = found;
  }

  /// An enumerator from 0 to `last`.
  template <class Enum>
  void choice(Enum& value, Enum last, std::string_view what) {
    auto number = static_cast<std::uint8_t>(value);
    within(number, 0, static_cast<std::uint8_t>(last), what);
    value = static_cast<Enum>(number);
  }

  /// What both sides know already: it must be the same when it is read.
  template <ArchiveNumber T>
  void same(T value, std::string_view what) {
    within(value, value, value, what);
  }

  /// A list that has its size already, of numbers of any value or of what `each` walks.
  template <class Container>
  void sized(Container& list, std::string_view what) {
    same(static_cast<std::uint32_t>(list.size()), what);
    raw(std::span<typename Container::value_type>(list));
  }
  template <class Container, class Each>
  void sized(Container& list, std::string_view what, const Each& each) {
    same(static_cast<std::uint32_t>(list.size()), what);
    for (auto& element : list) each(*this, element);
  }

  /// A list of `least` to `most` numbers.
  template <ArchiveNumber T>
  void list(std::vector<T>& values, std::size_t least, std::size_t most, std::string_view what) {
    const std::size_t found = count(values.size(), least, most, sizeof(T), what);
    if (!ok()) return;
    if (reads_) values.resize(found);
    raw(std::span(values));
  }
  /// The same of what `each` walks, which takes at least `least_bytes`.
  template <class T, class Each>
  void list(std::vector<T>& values, std::size_t most, std::size_t least_bytes,
            std::string_view what, const Each& each) {
    const std::size_t found = count(values.size(), 0, most, least_bytes, what);
    if (!ok()) return;
    if (reads_) values.resize(found);
    for (T& value : values) each(*this, value);
  }

  /// Numbers whose number both sides know; nothing is said of it.
  template <ArchiveNumber T>
  void raw(std::span<T> values) {
    bytes(std::as_writable_bytes(values));
  }

  void text(std::string& value, std::size_t most, std::string_view what) {
    const std::size_t found = count(value.size(), 0, most, 1, what);
    if (!ok()) return;
    if (reads_) value.resize(found);
    bytes(std::as_writable_bytes(std::span(value)));
  }

  /// A u32 count of elements that take at least `least_bytes` each.
  std::size_t count(std::size_t value, std::size_t least, std::size_t most, std::size_t least_bytes,
                    std::string_view what);

  /// Refuses what was read. The first word stands.
  void fail(std::string_view what);
  /// The same unless the numbers are finite.
  void require_finite(std::span<const float> values, std::string_view what);

  /// After the last field: the error of a reader, or that it has not read all.
  Status finish();
  /// What was written.
  std::vector<std::byte> take() { return std::move(written_); }

 private:
  void field(bool& value) {
    auto number = static_cast<std::uint8_t>(value);
    within(number, 0, 1, "a flag");
    value = number != 0;
  }
  template <ArchiveNumber T>
  void field(T& value) {
    bytes(std::as_writable_bytes(std::span(&value, 1)));
  }
  void bytes(std::span<std::byte> values);

  bool reads_ = false;
  std::span<const std::byte> left_;
  std::size_t size_ = 0;
  bool error_ = false;
  std::string message_;
  std::vector<std::byte> written_;
};

static_assert(std::endian::native == std::endian::little,
              "archives are little-endian: swap in Archive::bytes() for another machine");

}  // namespace anomalyd

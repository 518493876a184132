#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/stream_key.h"
#include "ingest/codec.h"

namespace anomalyd::ingest {

/// Writes the text form of a stream's key from views of the request, sorted and escaped, without
/// the strings of a StreamKey. The text is that of StreamKey::make() to the byte.
/// Cost      no allocation unless the key is refused.
/// Threads   none of its own.
class KeyText {
 public:
  /// Refuses a key with more than `max_labels` of them, at most kMaxLabels.
  explicit KeyText(std::size_t max_labels = kMaxLabels);
  void clear();
  /// Keeps the views until build(). A label too many, or a second one of the same name, makes
  /// build() fail.
  void add(std::string_view label, std::string_view value);

  /// False when the key is refused: reason() and message() say why.
  bool build(std::string_view name);
  /// The same for a name, labels and values that are known to need no care (see is_careless)
  /// and to be within their lengths; on false nothing but build() says why.
  bool build_careless(std::string_view name);

  std::string_view text() const { return {text_.data(), size_}; }
  Reason reason() const { return reason_; }
  const std::string& message() const { return message_; }

 private:
  struct LabelText {
    std::string_view name;
    std::string_view value;
  };

  bool refuse(Reason reason, std::string message);
  bool check(std::string_view name);

  const std::size_t max_labels_;
  std::array<LabelText, kMaxLabels> labels_;  // sorted by name
  std::size_t count_ = 0;
  std::size_t label_bytes_ = 0;
  bool too_many_ = false;
  std::string_view twice_;  // a label name given twice
  bool has_twice_ = false;
  std::array<char, kMaxKeyBytes> text_;
  std::size_t size_ = 0;
  Reason reason_ = Reason::kKey;
  std::string message_;
};

/// Finds a name that is given twice.
/// Cost   n log n; no allocation once it has seen as many names.
class RepeatFinder {
 public:
  /// Null when all are different.
  const std::string_view* find(std::span<const std::string_view> names);

 private:
  std::vector<std::string_view> sorted_;
};

/// name_is_valid() at the price of one look-up a byte for names without rare characters.
bool is_name(std::string_view name);

}  // namespace anomalyd::ingest

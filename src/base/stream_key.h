#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace anomalyd {

struct Label {
  std::string name;
  std::string value;
  friend bool operator==(const Label&, const Label&) = default;
};

/// The limits of a key; a longer one is refused.
inline constexpr std::size_t kMaxKeyBytes = 1024;
inline constexpr std::size_t kMaxLabels = 32;

/// A stream's name and labels. The text form is its identity: `pump` or
/// `pump{site="a",unit="7"}`, labels sorted by name, `\` and `"` in a value escaped by `\`.
/// Threads   a value; safe to share when const.
class StreamKey {
 public:
  StreamKey() = default;
  /// Errors   kInvalidArgument for an empty name, a repeated label, a character that is not
  ///          allowed (see name_is_valid), more than kMaxLabels labels or kMaxKeyBytes bytes.
  static Result<StreamKey> make(std::string_view name, std::vector<Label> labels);
  /// The inverse of text().
  static Result<StreamKey> parse(std::string_view text);

  const std::string& text() const { return text_; }
  const std::string& name() const { return name_; }
  const std::vector<Label>& labels() const { return labels_; }

 private:
  std::string text_;
  std::string name_;
  std::vector<Label> labels_;
};

/// True when `name` may name a stream, a label or a channel: 1 to 255 bytes of UTF-8 without
/// control characters and without any of `{ } " \ = ,`.
bool name_is_valid(std::string_view name);
/// True when `value` may be a label's value: UTF-8 without control characters, at most 512 bytes.
bool label_value_is_valid(std::string_view value);

/// Appends `value` as it stands between the quotes of a key's text form.
void append_escaped_label(std::string& out, std::string_view value);

/// The hash by which a key's text form is looked up, and streams are spread over shards.
std::uint64_t hash_bytes(std::string_view bytes);

}  // namespace anomalyd

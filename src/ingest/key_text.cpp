#include "ingest/key_text.h"

#include <algorithm>

#include "base/check.h"
#include "ingest/byte_class.h"
#include "ingest/reject.h"

namespace anomalyd::ingest {
namespace {

constexpr std::string_view kNameRule =
    "expected 1 to 255 bytes of UTF-8 without control characters and without { } \" \\ = ,";

bool is_label_value(std::string_view value) {
  return (value.size() <= 512 && is_careless(value)) || label_value_is_valid(value);
}

std::size_t escapes_in(std::string_view value) {
  return static_cast<std::size_t>(
      std::count_if(value.begin(), value.end(), [](char c) { return c == '"' || c == '\\'; }));
}

char* put(char* out, std::string_view text) { return out + text.copy(out, text.size()); }

char* put_escaped(char* out, std::string_view value) {
  for (const char c : value) {
    if (c == '"' || c == '\\') *out++ = '\\';
    *out++ = c;
  }
  return out;
}

}  // namespace

bool is_name(std::string_view name) {
  return (!name.empty() && name.size() <= 255 && is_careless(name)) || name_is_valid(name);
}

const std::string_view* RepeatFinder::find(std::span<const std::string_view> names) {
  sorted_.assign(names.begin(), names.end());
  std::sort(sorted_.begin(), sorted_.end());
  const auto twice = std::adjacent_find(sorted_.begin(), sorted_.end());
  return twice == sorted_.end() ? nullptr : &*twice;
}

KeyText::KeyText(std::size_t max_labels) : max_labels_(max_labels) {
  ANOMALYD_CHECK(max_labels <= kMaxLabels, "a limit of labels that a key can hold");
}

void KeyText::clear() {
  count_ = 0;
  label_bytes_ = 0;
  too_many_ = false;
  has_twice_ = false;
}

void KeyText::add(std::string_view label, std::string_view value) {
  if (count_ == max_labels_) {
    too_many_ = true;
    return;
  }
  std::size_t at = count_;
  while (at > 0) {
    const int order = label.compare(labels_[at - 1].name);
    if (order > 0) break;
    if (order == 0) {
      has_twice_ = true;
      twice_ = label;
    }
    labels_[at] = labels_[at - 1];
    --at;
  }
  labels_[at] = {label, value};
  ++count_;
  label_bytes_ += label.size() + value.size() + 4;  // {name="value" and , for the others
}

bool KeyText::refuse(Reason reason, std::string message) {
  reason_ = reason;
  message_ = std::move(message);
  return false;
}

bool KeyText::build_careless(std::string_view name) {
  const std::size_t size = name.size() + label_bytes_ + (count_ > 0 ? 1 : 0);
  if (too_many_ || has_twice_ || size > text_.size()) return false;
  char* out = put(text_.data(), name);
  char before = '{';
  for (std::size_t i = 0; i < count_; ++i) {
    *out++ = before;
    before = ',';
    out = put(out, labels_[i].name);
    *out++ = '=';
    *out++ = '"';
    out = put(out, labels_[i].value);
    *out++ = '"';
  }
  if (count_ > 0) *out++ = '}';
  size_ = size;
  return true;
}

bool KeyText::check(std::string_view name) {
  if (!is_name(name)) {
    return refuse(Reason::kKey,
                  "stream name '" + std::string(shown(name)) + "': " + std::string(kNameRule));
  }
  if (too_many_) {
    return refuse(Reason::kTooMany,
                  "more than " + std::to_string(max_labels_) + " labels on one stream");
  }
  for (std::size_t i = 0; i < count_; ++i) {
    if (!is_name(labels_[i].name)) {
      return refuse(Reason::kKey, "label name '" + std::string(shown(labels_[i].name)) +
                                      "': " + std::string(kNameRule));
    }
    if (!is_label_value(labels_[i].value)) {
      return refuse(Reason::kKey, "value of label '" + std::string(shown(labels_[i].name)) +
                                      "': expected at most 512 bytes of UTF-8 without control "
                                      "characters, got '" +
                                      std::string(shown(labels_[i].value)) + "'");
    }
  }
  if (has_twice_) {
    return refuse(Reason::kKey, "label '" + std::string(shown(twice_)) + "' given twice");
  }
  return true;
}

bool KeyText::build(std::string_view name) {
  if (!check(name)) return false;
  std::size_t size = name.size() + label_bytes_ + (count_ > 0 ? 1 : 0);
  for (std::size_t i = 0; i < count_; ++i) size += escapes_in(labels_[i].value);
  if (size > text_.size()) {
    return refuse(Reason::kTooMany, "a stream's name and labels take " + std::to_string(size) +
                                        " bytes, at most " + std::to_string(kMaxKeyBytes) +
                                        " are allowed");
  }
  char* out = put(text_.data(), name);
  for (std::size_t i = 0; i < count_; ++i) {
    *out++ = i == 0 ? '{' : ',';
    out = put(put(out, labels_[i].name), "=\"");
    out = put_escaped(out, labels_[i].value);
    *out++ = '"';
  }
  if (count_ > 0) *out++ = '}';
  size_ = size;
  return true;
}

}  // namespace anomalyd::ingest

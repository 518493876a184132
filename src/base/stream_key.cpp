#include "base/stream_key.h"

#include <algorithm>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace anomalyd {
namespace {

bool is_utf8(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = p + text.size();
  while (p < end) {
    if (*p < 0x80) {
      ++p;
      continue;
    }
    const int more = *p >= 0xf0 && *p <= 0xf4  ? 3
                     : (*p & 0xf0U) == 0xe0    ? 2
                     : *p >= 0xc2 && *p < 0xe0 ? 1
                                               : 0;
    if (more == 0 || end - p <= more) return false;
    if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) ||
        (*p == 0xf4 && p[1] > 0x8f)) {
      return false;  // overlong, surrogate or beyond U+10FFFF
    }
    for (int i = 1; i <= more; ++i) {
      if ((p[i] & 0xc0U) != 0x80) return false;
    }
    p += more + 1;
  }
  return true;
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

Error bad_key(const std::string& what) {
  return Error{ErrorCode::kInvalidArgument, "stream key: " + what};
}

std::string quoted(std::string_view text) { return "'" + std::string(text.substr(0, 64)) + "'"; }

}  // namespace

bool name_is_valid(std::string_view name) {
  return !name.empty() && name.size() <= 255 &&
         name.find_first_of("{}\"\\=,") == std::string_view::npos && !has_control(name) &&
         is_utf8(name);
}

bool label_value_is_valid(std::string_view value) {
  return value.size() <= 512 && !has_control(value) && is_utf8(value);
}

void append_escaped_label(std::string& out, std::string_view value) {
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
}

std::uint64_t hash_bytes(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

Result<StreamKey> StreamKey::make(std::string_view name, std::vector<Label> labels) {
  if (!name_is_valid(name)) return bad_key("not a name: " + quoted(name));
  if (labels.size() > kMaxLabels) {
    return bad_key(std::to_string(labels.size()) + " labels, at most " +
                   std::to_string(kMaxLabels) + " are allowed");
  }
  std::sort(labels.begin(), labels.end(),
            [](const Label& a, const Label& b) { return a.name < b.name; });
  StreamKey key;
  key.name_ = name;
  key.text_ = name;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (!name_is_valid(labels[i].name)) {
      return bad_key("not a label name: " + quoted(labels[i].name));
    }
    if (!label_value_is_valid(labels[i].value)) {
      return bad_key("not a value for label " + labels[i].name + ": " + quoted(labels[i].value));
    }
    if (i > 0 && labels[i].name == labels[i - 1].name) {
      return bad_key("label " + labels[i].name + " given twice");
    }
    key.text_ += i == 0 ? "{" : ",";
    key.text_ += labels[i].name;
    key.text_ += "=\"";
    append_escaped_label(key.text_, labels[i].value);
    key.text_ += '"';
  }
  if (!labels.empty()) key.text_ += '}';
  if (key.text_.size() > kMaxKeyBytes) {
    return bad_key(std::to_string(key.text_.size()) + " bytes, at most " +
                   std::to_string(kMaxKeyBytes) + " are allowed");
  }
  key.labels_ = std::move(labels);
  return key;
}

Result<StreamKey> StreamKey::parse(std::string_view text) {
  const std::size_t brace = text.find('{');
  if (brace == std::string_view::npos) return make(text, {});
  if (text.back() != '}') return bad_key("no closing brace: " + quoted(text));
  std::vector<Label> labels;
  std::size_t at = brace + 1;
  const std::size_t last = text.size() - 1;
  while (at < last) {
    const std::size_t equals = text.find("=\"", at);
    if (equals == std::string_view::npos)
      return bad_key("expected name=\"value\": " + quoted(text));
    Label label{std::string(text.substr(at, equals - at)), ""};
    at = equals + 2;
    while (at < last && text[at] != '"') {
      if (text[at] == '\\') ++at;
      if (at < last) label.value += text[at++];
    }
    if (at >= last) return bad_key("no closing quote: " + quoted(text));
    ++at;
    labels.push_back(std::move(label));
    if (at < last && text[at++] != ',')
      return bad_key("expected ',' between labels: " + quoted(text));
  }
  return make(text.substr(0, brace), std::move(labels));
}

std::string_view StreamKey::label(std::string_view name) const {
  for (const Label& label : labels_) {
    if (label.name == name) return label.value;
  }
  return {};
}

}  // namespace anomalyd

#include "base/stream_key.h"

#include <algorithm>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/text.h"

namespace anomalyd {
namespace {

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

}  // namespace anomalyd

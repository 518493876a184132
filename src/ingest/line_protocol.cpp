#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/check.h"
#include "ingest/byte_class.h"
#include "ingest/codec.h"
#include "ingest/key_text.h"
#include "ingest/number.h"
#include "ingest/reject.h"

namespace anomalyd::ingest {
namespace {

using std::string_view;

string_view between(const char* begin, const char* end) {
  return {begin, static_cast<std::size_t>(end - begin)};
}

const char* find_byte(const char* begin, const char* end, char c) {
  return static_cast<const char*>(std::memchr(begin, c, static_cast<std::size_t>(end - begin)));
}

bool is_blank(char c) { return c == ' ' || c == '\t'; }

/// The quote that closes a string whose first byte is at `p`; null when there is none.
const char* closing_quote(const char* p, const char* end) {
  for (; p < end; ++p) {
    if (*p == '\\') {
      ++p;
    } else if (*p == '"') {
      return p;
    }
  }
  return nullptr;
}

std::optional<bool> read_boolean(string_view text) {
  for (const string_view name : {"t", "T", "true", "True", "TRUE"}) {
    if (text == name) return true;
  }
  for (const string_view name : {"f", "F", "false", "False", "FALSE"}) {
    if (text == name) return false;
  }
  return std::nullopt;
}

/// Reads an integer and its suffix i or u, which is the last byte. Null when it is none, or has
/// more than 64 bits.
const char* read_integer(const char* begin, const char* end, double& value) {
  const auto read = [&](auto whole) -> const char* {
    const auto [stop, error] = std::from_chars(begin, end - 1, whole);
    value = static_cast<double>(whole);
    return error == std::errc() ? stop + 1 : nullptr;
  };
  return end[-1] == 'i' ? read(std::int64_t{0}) : read(std::uint64_t{0});
}

constexpr string_view kReserved = "': names that begin with _ are reserved";

/// One body's decoding. Each part of a line has a quick way, which takes what senders nearly
/// always write and otherwise gives up without a word, and a careful way, which knows all the
/// rules and makes all the refusals.
class LineDecoder {
 public:
  LineDecoder(std::int64_t unit_ns, TimeNs now, const CodecLimits& limits, Decoded& out)
      : unit_ns_(unit_ns), now_(now), limits_(limits), out_(out), key_(limits.max_labels) {
    ANOMALYD_CHECK(limits.max_channels <= kMaxChannels, "a limit of channels that fits values_");
  }

  void decode(string_view body);

 private:
  enum class Kind { kNumber, kText, kBad };

  const char* line_end(const char* line, const char* end);
  const char* line_end_past_strings(const char* line, const char* end);
  void decode_line(const char* p, const char* end);

  bool read_head(const char*& p, const char* end);
  bool read_head_quickly(const char*& p, const char* end);
  bool read_head_carefully(const char*& p, const char* end);
  bool read_fields_like_last(const char*& p, const char* end);
  bool read_fields(const char*& p, const char* end);
  bool read_field_name(const char*& p, const char* end, string_view& name);
  Kind read_value(const char*& p, const char* end, string_view name, double& value);
  bool take_schema();
  std::optional<TimeNs> read_time(const char* p, const char* end);

  string_view unescape(const char*& p, const char* end, string_view special);
  bool refuse(Reason reason, std::initializer_list<string_view> message);
  void reserve(std::size_t line_bytes, std::size_t body_bytes);

  const std::int64_t unit_ns_;
  const TimeNs now_;
  const CodecLimits limits_;
  Decoded& out_;

  std::size_t line_number_ = 0;
  string_view line_;
  bool may_span_lines_ = false;  // the line has a quote, so perhaps newlines
  bool strings_close_ = true;    // false once a string was found open at the end of the body

  KeyText key_;
  string_view head_;  // as the last line that had it wrote it: key_ holds its text
  std::array<float, kMaxChannels> values_{};
  std::size_t count_ = 0;
  std::size_t texts_ = 0;
  std::vector<string_view> written_names_;  // of the fields, as the last line wrote them
  std::uint32_t schema_ = 0;                // theirs; only valid when written_names_ is not empty
  std::vector<string_view> names_;
  RepeatFinder repeats_;
  std::string scratch_;    // unescaped names of one line
  std::string last_line_;  // a last line without newline, with one
};

bool LineDecoder::refuse(Reason reason, std::initializer_list<string_view> message) {
  add_reject(out_, line_number_, reason, message, line_);
  return false;
}

/// The text up to the first of the bytes `special` that has no backslash before it. A backslash
/// stands for itself before any other byte.
string_view LineDecoder::unescape(const char*& p, const char* end, string_view special) {
  const std::size_t begin = scratch_.size();
  for (; p < end; ++p) {
    if (*p == '\\' && p + 1 < end && special.find(p[1]) != string_view::npos) {
      ++p;
    } else if (special.find(*p) != string_view::npos) {
      break;
    }
    scratch_ += *p;
  }
  return string_view(scratch_).substr(begin);
}

bool LineDecoder::read_head_quickly(const char*& p, const char* end) {
  const char* const begin = p;
  const char* at = token_end(begin);
  const string_view name = between(begin, at);
  if (name.empty() || name.size() > 255 || *begin == '_') return false;
  key_.clear();
  while (*at == ',') {
    const char* const label = ++at;
    at = token_end(label);
    const char* const value = at + 1;
    if (*at != '=' || at == label || at - label > 255 || *label == '_') return false;
    at = token_end(value);
    if (at == value || at - value > 512) return false;
    key_.add(between(label, value - 1), between(value, at));
  }
  if (*at != ' ' || at >= end || !key_.build_careless(name)) return false;
  p = at;
  return true;
}

bool LineDecoder::read_head_carefully(const char*& p, const char* end) {
  scratch_.clear();
  scratch_.reserve(line_.size());  // the views into it must stay
  key_.clear();
  const string_view name = unescape(p, end, ", ");
  if (name.empty()) return refuse(Reason::kSyntax, {"expected a measurement before the first ','"});
  if (name.front() == '_') return refuse(Reason::kKey, {"measurement '", shown(name), kReserved});
  while (p < end && *p == ',') {
    ++p;
    const string_view label = unescape(p, end, ",= ");
    if (label.empty() || p >= end || *p != '=') {
      return refuse(Reason::kSyntax, {"tag '", shown(label), "': expected name=value"});
    }
    if (label.front() == '_') return refuse(Reason::kKey, {"tag '", shown(label), kReserved});
    ++p;
    const string_view value = unescape(p, end, ",= ");
    if (value.empty()) {
      return refuse(Reason::kSyntax, {"tag '", shown(label), "': expected a value after '='"});
    }
    if (p < end && *p == '=') {
      return refuse(Reason::kSyntax,
                    {"tag '", shown(label), "': a '=' in a value needs a backslash before it"});
    }
    key_.add(label, value);
  }
  if (p >= end) return refuse(Reason::kSyntax, {"expected fields after the measurement and tags"});
  if (!key_.build(name)) return refuse(key_.reason(), {key_.message()});
  return true;
}

bool LineDecoder::read_head(const char*& p, const char* end) {
  if (!head_.empty() && static_cast<std::size_t>(end - p) > head_.size() &&
      p[head_.size()] == ' ' && std::memcmp(p, head_.data(), head_.size()) == 0) {
    p += head_.size();
    return true;
  }
  const char* const begin = p;
  head_ = {};
  if (!read_head_quickly(p, end) && !read_head_carefully(p, end)) return false;
  head_ = between(begin, p);
  return true;
}

/// Reads a field's value. A float, an integer with its suffix, or a boolean is a number.
LineDecoder::Kind LineDecoder::read_value(const char*& p, const char* end, string_view name,
                                          double& value) {
  const char* const begin = p;
  if (begin < end && *begin == '"') {
    const char* const close = closing_quote(begin + 1, end);
    if (close == nullptr) {
      refuse(Reason::kSyntax, {"field '", shown(name), "': its string is not closed"});
      return Kind::kBad;
    }
    p = close + 1;
    return Kind::kText;
  }
  const char* stop = begin;
  while (stop < end && *stop != ',' && *stop != ' ') ++stop;
  p = stop;
  const string_view text = between(begin, stop);
  if (const std::optional<bool> truth = read_boolean(text)) {
    value = *truth ? 1 : 0;
    return Kind::kNumber;
  }
  const char* read = nullptr;
  if (text.size() > 1 && (text.back() == 'i' || text.back() == 'u')) {
    read = read_integer(begin, stop, value);
  } else {
    const bool plus = text.size() > 1 && text[0] == '+' && text[1] != '-';
    read = read_number(begin + (plus ? 1 : 0), stop, value);
  }
  if (read != stop) {
    refuse(Reason::kValue,
           {"field '", shown(name), "': expected a number, a boolean or a quoted string, got '",
            shown(text), "'"});
    return Kind::kBad;
  }
  if (!fits_float(value)) {
    refuse(Reason::kValue,
           {"field '", shown(name), "': '", shown(text), "' is beyond what a float32 holds"});
    return Kind::kBad;
  }
  return Kind::kNumber;
}

/// The quick way for fields: the names of the last line again, each with a plain number.
bool LineDecoder::read_fields_like_last(const char*& p, const char* end) {
  const char* at = p;
  const std::size_t fields = written_names_.size();
  for (std::size_t i = 0; i < fields; ++i) {
    const string_view name = written_names_[i];
    if (i > 0 && *at++ != ',') return false;
    // Byte by byte: a call of memcmp costs more than a name is long.
    for (const char c : name) {
      if (*at != c) return false;  // also at the newline that ends the line
      ++at;
    }
    if (*at++ != '=') return false;
    double value = 0;
    at = read_number(at, end, value);
    if (at == nullptr || !fits_float(value)) return false;
    values_[i] = static_cast<float>(value);
  }
  if (fields == 0 || (at < end && *at != ' ')) return false;
  count_ = fields;
  texts_ = 0;
  p = at;
  return true;
}

bool LineDecoder::read_field_name(const char*& p, const char* end, string_view& name) {
  const char* const begin = p;
  const char* const stop = token_end(begin);
  name = between(begin, stop);
  if (stop < end && *stop == '=' && !name.empty() && name.size() <= 255 && *begin != '_') {
    p = stop;
    return true;
  }
  name = unescape(p, end, ",= ");
  if (name.empty() || p >= end || *p != '=') {
    return refuse(Reason::kSyntax, {"field '", shown(name), "': expected name=value, got '",
                                    shown(between(begin, end)), "'"});
  }
  if (name.front() == '_') return refuse(Reason::kKey, {"field '", shown(name), kReserved});
  if (!is_name(name)) {
    return refuse(Reason::kKey, {"field '", shown(name),
                                 "': expected 1 to 255 bytes of UTF-8 without control characters "
                                 "and without { } \" \\ = ,"});
  }
  return true;
}

bool LineDecoder::read_fields(const char*& p, const char* end) {
  scratch_.clear();
  scratch_.reserve(line_.size());
  written_names_.clear();
  names_.clear();
  texts_ = 0;
  for (;;) {
    const char* const begin = p;
    string_view name;
    if (!read_field_name(p, end, name)) return false;
    const string_view written = between(begin, p);
    ++p;
    double value = 0;
    const Kind kind = read_value(p, end, name, value);
    if (kind == Kind::kBad) return false;
    if (kind == Kind::kText) {
      ++texts_;
    } else if (names_.size() == limits_.max_channels) {
      return refuse(Reason::kTooMany,
                    {"more than ", std::to_string(limits_.max_channels), " fields with numbers"});
    } else {
      values_[names_.size()] = static_cast<float>(value);
      names_.push_back(name);
      written_names_.push_back(written);
    }
    if (p >= end || *p == ' ') break;
    if (*p != ',') {
      const string_view rest = shown(between(p, end));
      return refuse(Reason::kSyntax,
                    {"field '", shown(name), "': expected ',' or ' ' after it, got '", rest, "'"});
    }
    ++p;
  }
  return take_schema();
}

bool LineDecoder::take_schema() {
  count_ = names_.size();
  if (names_.empty()) {
    return refuse(Reason::kValue, {"expected at least one field that is a number or a boolean"});
  }
  if (const string_view* twice = repeats_.find(names_)) {
    return refuse(Reason::kKey, {"field '", shown(*twice), "' given twice"});
  }
  const auto schema = out_.batch.schema_within(names_, limits_.max_schemas);
  if (!schema) {
    return refuse(Reason::kTooMany, {"more than ", std::to_string(limits_.max_schemas),
                                     " different lists of fields in one request"});
  }
  schema_ = *schema;
  // The template of read_fields_like_last() knows nothing of strings between the numbers.
  if (texts_ > 0) written_names_.clear();
  return true;
}

std::optional<TimeNs> LineDecoder::read_time(const char* p, const char* end) {
  while (p < end && *p == ' ') ++p;
  if (p >= end) return now_;
  std::int64_t count = 0;
  TimeNs time = 0;
  const auto [stop, error] = std::from_chars(p, end, count);
  if (error == std::errc::invalid_argument || stop != end) {
    refuse(Reason::kTime, {"expected an integer time stamp, got '", shown(between(p, end)), "'"});
    return std::nullopt;
  }
  if (error != std::errc() || __builtin_mul_overflow(count, unit_ns_, &time)) {
    refuse(Reason::kTime, {"time stamp '", shown(between(p, end)),
                           "' with this precision is beyond int64 nanoseconds: expected a time "
                           "from 1970 to 2116-02-20"});
    return std::nullopt;
  }
  if (const string_view why = limits_.refusal_of(time, now_); !why.empty()) {
    refuse(Reason::kTime, {"time stamp '", shown(between(p, end)), "' is ", to_rfc3339(time), ", ",
                           why, ": check the clock and the precision"});
    return std::nullopt;
  }
  return time;
}

void LineDecoder::decode_line(const char* p, const char* end) {
  while (end > p && (is_blank(end[-1]) || end[-1] == '\r')) --end;
  if (p == end || *p == '#') return;
  line_ = between(p, end);
  if (line_.size() > limits_.max_line_bytes) {
    refuse(Reason::kTooMany, {"a line of ", std::to_string(line_.size()), " bytes, at most ",
                              std::to_string(limits_.max_line_bytes), " are taken"});
    return;
  }
  if (out_.batch.samples() >= limits_.max_rows) {
    out_.over_max_rows = true;
    refuse(Reason::kTooMany,
           {"more than ", std::to_string(limits_.max_rows), " samples in one request"});
    return;
  }
  if (!read_head(p, end)) return;
  while (p < end && *p == ' ') ++p;
  if (!read_fields_like_last(p, end) && !read_fields(p, end)) {
    written_names_.clear();
    return;
  }
  const std::optional<TimeNs> time = read_time(p, end);
  if (!time) return;
  out_.batch.append(key_.text(), schema_, *time, std::span(values_).first(count_));
  out_.skipped_fields += texts_;
}

/// Where the line that begins at `line` ends: its newline, or the end of the body. A newline
/// inside a string does not end a line.
const char* LineDecoder::line_end(const char* line, const char* end) {
  const char* const newline = find_byte(line, end, '\n');
  const char* const stop = newline == nullptr ? end : newline;
  may_span_lines_ = find_byte(line, stop, '"') != nullptr && *line != '#';
  if (!may_span_lines_) return stop;
  return line_end_past_strings(line, end);
}

const char* LineDecoder::line_end_past_strings(const char* line, const char* end) {
  bool in_fields = false;
  bool at_value = false;  // just after the '=' of a field: a quote here opens a string
  for (const char* p = line; p < end; ++p) {
    if (*p == '\n') return p;
    if (*p == '"' && at_value) {
      const char* const stop = strings_close_ ? closing_quote(p + 1, end) : nullptr;
      if (stop == nullptr) {
        // Nothing closes it. Then only this line is lost, not the rest of the body; and no
        // later string can close either, so this search is made once.
        strings_close_ = false;
        const char* const newline = find_byte(p, end, '\n');
        return newline == nullptr ? end : newline;
      }
      p = stop;
      at_value = false;
      continue;
    }
    at_value = in_fields && *p == '=';
    if (*p == ' ') in_fields = true;
    if (*p == '\\' && p + 1 < end && p[1] != '\n') ++p;
  }
  return end;
}

/// Guesses from the first line how much the body will need.
void LineDecoder::reserve(std::size_t line_bytes, std::size_t body_bytes) {
  const std::size_t lines = std::min(body_bytes / (line_bytes + 1) + 1, limits_.max_rows);
  const std::size_t runs = std::min<std::size_t>(lines, 128);  // or one, if all is one stream's
  out_.batch.reserve(runs, lines, lines * count_, runs * key_.text().size());
}

void LineDecoder::decode(string_view body) {
  const char* p = body.data();
  const char* end = p + body.size();
  std::size_t next_number = 1;
  bool is_first = true;
  while (p < end) {
    while (p < end && is_blank(*p)) ++p;
    if (p == end) break;
    const char* line = p;
    const char* stop = line_end(p, end);
    line_number_ = next_number++;
    if (stop != end) {
      p = stop + 1;
    } else {
      // The quick ways lean on a newline behind the line.
      last_line_.assign(line, stop);
      last_line_ += '\n';
      line = last_line_.data();
      stop = line + last_line_.size() - 1;
      p = end;
    }
    decode_line(line, stop);
    if (may_span_lines_) {
      next_number += static_cast<std::size_t>(std::count(line, stop, '\n'));
    }
    if (is_first && !out_.batch.empty()) {
      is_first = false;
      reserve(line_.size(), static_cast<std::size_t>(end - p));
    }
  }
}

}  // namespace

void decode_line_protocol(std::string_view body, std::int64_t unit_ns, TimeNs now,
                          const CodecLimits& limits, Decoded& out) {
  if (body.size() > kMaxBodyBytes) {
    add_reject(out, 1, Reason::kTooMany,
               {"a body of ", std::to_string(body.size()), " bytes, at most ",
                std::to_string(kMaxBodyBytes), " are taken"},
               {});
    return;
  }
  LineDecoder(unit_ns, now, limits, out).decode(body);
}

}  // namespace anomalyd::ingest

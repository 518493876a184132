#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "ingest/codec.h"
#include "ingest/key_text.h"
#include "ingest/number.h"
#include "ingest/reject.h"

namespace anomalyd::ingest {
namespace {

using simdjson::simdjson_result;
using std::string_view;
namespace ondemand = simdjson::ondemand;

constexpr std::size_t kPadding = 64;
static_assert(simdjson::SIMDJSON_PADDING <= kPadding);

enum Member : unsigned {
  kStream = 1U,
  kLabels = 2U,
  kTime = 4U,
  kValues = 8U,
  kStart = 16U,
  kRate = 32U,
  kChannels = 64U,
};
constexpr unsigned kRowOnly = kTime | kValues;
constexpr unsigned kColumnsOnly = kStart | kRate | kChannels;
struct MemberName {
  string_view name;
  unsigned bit;
};
constexpr std::array<MemberName, 7> kMembers = {{{"stream", kStream},
                                                 {"labels", kLabels},
                                                 {"time", kTime},
                                                 {"values", kValues},
                                                 {"start", kStart},
                                                 {"rate_hz", kRate},
                                                 {"channels", kChannels}}};

/// What became of an element or a part of one. After kBroken the document cannot be read on.
enum class Outcome { kTaken, kRefused, kBroken };

/// How far the JSON value at the front of `text` goes, and how deep it nests.
struct Extent {
  std::size_t bytes = 0;
  std::size_t depth = 0;
};
Extent extent_of(string_view text) {
  Extent extent;
  std::size_t open = 0;
  bool in_string = false;
  for (; extent.bytes < text.size(); ++extent.bytes) {
    const char c = text[extent.bytes];
    if (in_string) {
      if (c == '\\') {
        ++extent.bytes;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      extent.depth = std::max(extent.depth, ++open);
    } else if (c == '}' || c == ']') {
      if (open > 0) --open;
      if (open == 0) {
        ++extent.bytes;
        break;
      }
    } else if (c == ',' && open == 0) {
      break;
    }
  }
  extent.bytes = std::min(extent.bytes, text.size());
  return extent;
}

string_view kind_of(char first) {
  switch (first) {
    case '{':
      return "an object";
    case '[':
      return "an array";
    case '"':
      return "a string";
    case 't':
    case 'f':
      return "a boolean";
    case 'n':
      return "null";
    default:
      return first == '-' || (first >= '0' && first <= '9') ? "a number" : "no JSON value";
  }
}

bool is_punctuation(char c) { return c == ',' || c == ':' || c == ']' || c == '}'; }

string_view trimmed(string_view text) {
  constexpr string_view kBlank = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kBlank);
  if (begin == string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

/// One reference token of a JSON pointer (RFC 6901).
std::string token(string_view name) {
  std::string text = "/";
  for (const char c : shown(name)) {
    if (c == '~') {
      text += "~0";
    } else if (c == '/') {
      text += "~1";
    } else {
      text += c;
    }
  }
  return text;
}

/// Decodes documents of samples. Everything that comes out of simdjson is taken in the order of
/// the text, as its on-demand interface wants it, and each result is looked at: an error may
/// show only where the broken place is reached.
class JsonDecoder {
 public:
  JsonDecoder(TimeNs now, const CodecLimits& limits, Decoded& out)
      : now_(now), limits_(limits), out_(out), key_(limits.max_labels) {}

  /// `capacity` bytes from text.data() on may be read.
  void decode(string_view text, std::size_t capacity, std::size_t line, bool array_allowed);

 private:
  Outcome read_elements(ondemand::document& document);
  Outcome read_element(simdjson_result<ondemand::object> found);
  Outcome read_member(string_view name, ondemand::value& value);
  Outcome read_stream(ondemand::value& value);
  Outcome read_labels(ondemand::value& value);
  Outcome read_time(string_view member, ondemand::value& value, TimeNs& time);
  Outcome check_time(string_view member, TimeNs time);
  Outcome read_rate(ondemand::value& value);
  Outcome read_values(ondemand::value& value);
  Outcome read_channels(ondemand::value& value);
  Outcome read_channel(string_view name, ondemand::value& value);
  Outcome add_name(string_view member, string_view name);
  Outcome read_sample(ondemand::value& value, const char* member, float& number);
  Outcome finish();
  Outcome finish_row(std::uint32_t schema);
  Outcome finish_columns(std::uint32_t schema);

  Outcome refuse(Reason reason, const std::string& pointer,
                 std::initializer_list<string_view> message);
  Outcome refuse_kind(Reason reason, const std::string& pointer, string_view expected,
                      ondemand::value& value);
  Outcome broken(string_view why);
  std::string in(string_view member) const { return token(member); }
  std::string in(string_view member, string_view name) const { return token(member) + token(name); }

  const TimeNs now_;
  const CodecLimits limits_;
  Decoded& out_;
  ondemand::parser parser_;

  // the document
  string_view text_;
  bool array_allowed_ = false;
  ondemand::document* document_ = nullptr;  // once it is open
  std::size_t number_ = 0;                  // of the line, or of the array's element
  std::string prefix_;                      // of pointers: "/3" for an array's element
  const char* begin_ = nullptr;             // of the element

  // the element
  unsigned seen_ = 0;
  string_view stream_;
  KeyText key_;
  TimeNs time_ = 0;
  double rate_hz_ = 0;
  std::vector<string_view> names_;
  std::vector<float> numbers_;  // of values, or of channels one after the other
  std::size_t rows_ = 0;        // of each channel
  bool has_number_ = false;
  RepeatFinder repeats_;
};

Outcome JsonDecoder::refuse(Reason reason, const std::string& pointer,
                            std::initializer_list<string_view> message) {
  std::string joined = prefix_ + pointer;
  joined += joined.empty() ? "" : ": ";
  for (const string_view part : message) joined += part;
  const auto left = static_cast<std::size_t>(text_.data() + text_.size() - begin_);
  const string_view rest(begin_, std::min<std::size_t>(left, 256));
  add_reject(out_, number_, reason, {joined}, rest.substr(0, extent_of(rest).bytes));
  return Outcome::kRefused;
}

Outcome JsonDecoder::refuse_kind(Reason reason, const std::string& pointer, string_view expected,
                                 ondemand::value& value) {
  const string_view found = value.raw_json_token();
  if (found.empty() || is_punctuation(found.front())) return broken("a value is missing");
  const char first = found.front();
  if (first == '{' || first == '[') {
    // From the value to the end of the text: its nesting is counted to where it closes.
    const std::string path = prefix_ + pointer;
    const auto outside = static_cast<std::size_t>(std::count(path.begin(), path.end(), '/'));
    const auto left = static_cast<std::size_t>(text_.data() + text_.size() - found.data());
    if (outside + extent_of({found.data(), left}).depth > limits_.max_json_depth) {
      return refuse(Reason::kTooMany, pointer,
                    {"nested deeper than ", std::to_string(limits_.max_json_depth)});
    }
  }
  const bool is_misspelt = first == '"' && expected == "a string";
  const string_view kind = is_misspelt ? "one with a broken escape" : kind_of(first);
  const bool is_short = kind == "a number" || kind == "a string" || kind == "no JSON value";
  return refuse(reason, pointer,
                {"expected ", expected, ", got ", kind, is_short ? " " : "",
                 is_short ? shown(trimmed(found)) : ""});
}

Outcome JsonDecoder::broken(string_view why) {
  const char* at = nullptr;
  std::string where;
  if (document_ != nullptr && document_->current_location().get(at) == simdjson::SUCCESS &&
      at >= text_.data() && at <= text_.data() + text_.size()) {
    where = " near byte " + std::to_string(at - text_.data());
  }
  add_reject(
      out_, std::max<std::size_t>(1, number_), Reason::kSyntax,
      {prefix_, prefix_.empty() ? "" : ": ", why, where,
       array_allowed_ ? "; what came before it was kept" : ""},
      begin_ == nullptr ? text_ : text_.substr(static_cast<std::size_t>(begin_ - text_.data())));
  return Outcome::kBroken;
}

Outcome JsonDecoder::read_stream(ondemand::value& value) {
  if (value.get_string().get(stream_) != simdjson::SUCCESS) {
    return refuse_kind(Reason::kSyntax, in("stream"), "a string", value);
  }
  return Outcome::kTaken;
}

Outcome JsonDecoder::read_labels(ondemand::value& value) {
  ondemand::object object;
  if (value.get_object().get(object) != simdjson::SUCCESS) {
    return refuse_kind(Reason::kSyntax, in("labels"), "an object of strings", value);
  }
  for (auto field : object) {
    string_view name;
    string_view text;
    ondemand::value label;
    if (field.error() != simdjson::SUCCESS) return broken("the labels do not parse");
    if (field.unescaped_key().get(name) != simdjson::SUCCESS) {
      return refuse(Reason::kSyntax, in("labels"), {"a name is not a JSON string"});
    }
    if (field.value().get(label) != simdjson::SUCCESS) return broken("the labels do not parse");
    if (label.get_string().get(text) != simdjson::SUCCESS) {
      return refuse_kind(Reason::kSyntax, in("labels", name), "a string", label);
    }
    key_.add(name, text);
  }
  return Outcome::kTaken;
}

Outcome JsonDecoder::read_time(string_view member, ondemand::value& value, TimeNs& time) {
  string_view text;
  if (value.get_string().get(text) == simdjson::SUCCESS) {
    const auto parsed = parse_rfc3339(text);
    if (!parsed.ok()) return refuse(Reason::kTime, in(member), {parsed.error().message});
    time = parsed.value();
    return check_time(member, time);
  }
  std::int64_t whole = 0;
  if (value.get_int64().get(whole) == simdjson::SUCCESS) {
    time = whole;
    return check_time(member, time);
  }
  return refuse_kind(Reason::kTime, in(member),
                     "RFC 3339 text or integer nanoseconds within 64 bits", value);
}

Outcome JsonDecoder::check_time(string_view member, TimeNs time) {
  const string_view why = limits_.refusal_of(time, now_);
  if (why.empty()) return Outcome::kTaken;
  return refuse(Reason::kTime, in(member),
                {to_rfc3339(time), " is ", why, ": check the sender's clock"});
}

Outcome JsonDecoder::read_rate(ondemand::value& value) {
  double rate = 0;
  if (value.get_double().get(rate) != simdjson::SUCCESS || !(rate > 0 && rate <= 1e9)) {
    return refuse_kind(Reason::kTime, in("rate_hz"), "a number above 0 and at most 1e9", value);
  }
  rate_hz_ = rate;
  return Outcome::kTaken;
}

Outcome JsonDecoder::add_name(string_view member, string_view name) {
  if (!is_name(name)) {
    return refuse(Reason::kKey, in(member, name),
                  {"expected a name of 1 to 255 bytes of UTF-8 without control characters and "
                   "without { } \" \\ = ,"});
  }
  if (names_.size() == limits_.max_channels) {
    return refuse(Reason::kTooMany, in(member),
                  {"more than ", std::to_string(limits_.max_channels), " channels"});
  }
  names_.push_back(name);
  return Outcome::kTaken;
}

/// The value of the channel whose name came last.
Outcome JsonDecoder::read_sample(ondemand::value& value, const char* member, float& number) {
  double wide = 0;
  if (value.get_double().get(wide) == simdjson::SUCCESS && fits_float(wide)) {
    number = static_cast<float>(wide);
    has_number_ = true;
    return Outcome::kTaken;
  }
  const simdjson_result<bool> null{value.is_null()};
  if (null.error() == simdjson::SUCCESS && null.value_unsafe()) {
    number = std::numeric_limits<float>::quiet_NaN();
    return Outcome::kTaken;
  }
  return refuse_kind(Reason::kValue, in(member, names_.back()),
                     "a number that a float32 holds, or null", value);
}

Outcome JsonDecoder::read_values(ondemand::value& value) {
  ondemand::object object;
  if (value.get_object().get(object) != simdjson::SUCCESS) {
    return refuse_kind(Reason::kSyntax, in("values"), "an object of numbers", value);
  }
  for (auto field : object) {
    string_view channel;
    ondemand::value found;
    if (field.error() != simdjson::SUCCESS) return broken("the values do not parse");
    if (field.unescaped_key().get(channel) != simdjson::SUCCESS) {
      return refuse(Reason::kSyntax, in("values"), {"a name is not a JSON string"});
    }
    if (field.value().get(found) != simdjson::SUCCESS) return broken("the values do not parse");
    if (const Outcome named = add_name("values", channel); named != Outcome::kTaken) return named;
    float sample = 0;
    const Outcome read = read_sample(found, "values", sample);
    if (read != Outcome::kTaken) return read;
    numbers_.push_back(sample);
  }
  rows_ = 1;
  return Outcome::kTaken;
}

Outcome JsonDecoder::read_channel(string_view channel, ondemand::value& value) {
  ondemand::array array;
  if (value.get_array().get(array) != simdjson::SUCCESS) {
    return refuse_kind(Reason::kSyntax, in("channels", channel), "an array of numbers", value);
  }
  if (const Outcome named = add_name("channels", channel); named != Outcome::kTaken) return named;
  const std::size_t room = limits_.max_rows - std::min(limits_.max_rows, out_.batch.samples());
  std::size_t count = 0;
  for (auto item : array) {
    ondemand::value found;
    if (item.get(found) != simdjson::SUCCESS) return broken("the channels do not parse");
    if (++count > room) {
      out_.over_max_rows = true;
      return refuse(Reason::kTooMany, in("channels", channel),
                    {"more than ", std::to_string(limits_.max_rows), " samples in one request"});
    }
    float sample = 0;
    const Outcome read = read_sample(found, "channels", sample);
    if (read != Outcome::kTaken) return read;
    numbers_.push_back(sample);
  }
  if (names_.size() == 1) rows_ = count;
  if (count != rows_) {
    return refuse(Reason::kSyntax, in("channels", channel),
                  {"expected as many values as channel '", shown(names_.front()),
                   "' has: ", std::to_string(rows_), ", got ", std::to_string(count)});
  }
  return Outcome::kTaken;
}

Outcome JsonDecoder::read_channels(ondemand::value& value) {
  ondemand::object object;
  if (value.get_object().get(object) != simdjson::SUCCESS) {
    return refuse_kind(Reason::kSyntax, in("channels"), "an object of arrays", value);
  }
  for (auto field : object) {
    string_view name;
    ondemand::value found;
    if (field.error() != simdjson::SUCCESS) return broken("the channels do not parse");
    if (field.unescaped_key().get(name) != simdjson::SUCCESS) {
      return refuse(Reason::kSyntax, in("channels"), {"a name is not a JSON string"});
    }
    if (field.value().get(found) != simdjson::SUCCESS) return broken("the channels do not parse");
    const Outcome read = read_channel(name, found);
    if (read != Outcome::kTaken) return read;
  }
  return Outcome::kTaken;
}

Outcome JsonDecoder::read_member(string_view name, ondemand::value& value) {
  const auto* const known = std::find_if(kMembers.begin(), kMembers.end(),
                                         [&](const MemberName& row) { return row.name == name; });
  if (known == kMembers.end()) {
    return refuse_kind(Reason::kSyntax, in(name),
                       "one of stream, labels, time, values or stream, labels, start, rate_hz, "
                       "channels",
                       value);
  }
  if ((seen_ & known->bit) != 0) return refuse(Reason::kSyntax, in(name), {"given twice"});
  seen_ |= known->bit;
  if ((seen_ & kRowOnly) != 0 && (seen_ & kColumnsOnly) != 0) {
    return refuse(Reason::kSyntax, in(name),
                  {"time and values belong to one form, start, rate_hz and channels to the other"});
  }
  switch (known->bit) {
    case kStream:
      return read_stream(value);
    case kLabels:
      return read_labels(value);
    case kTime:
    case kStart:
      return read_time(name, value, time_);
    case kValues:
      return read_values(value);
    case kRate:
      return read_rate(value);
    default:
      return read_channels(value);
  }
}

Outcome JsonDecoder::finish_row(std::uint32_t schema) {
  out_.batch.append(key_.text(), schema, (seen_ & kTime) != 0 ? time_ : now_, numbers_);
  return Outcome::kTaken;
}

Outcome JsonDecoder::finish_columns(std::uint32_t schema) {
  // A long double has 64 bits of mantissa or more: i * 1e9 is exact, the quotient is rounded
  // once, and nothing adds up from row to row.
  const auto offset = [this](std::size_t row) {
    return static_cast<long double>(row) * 1e9L / static_cast<long double>(rate_hz_);
  };
  TimeNs last = 0;
  if (offset(rows_ - 1) > 9.2e18L ||
      __builtin_add_overflow(time_, std::llround(offset(rows_ - 1)), &last)) {
    return refuse(Reason::kTime, in("rate_hz"),
                  {"the last of ", std::to_string(rows_),
                   " samples is beyond int64 nanoseconds: expected times from 1970 to 2116-02-20"});
  }
  if (const Outcome outcome = check_time("rate_hz", last); outcome != Outcome::kTaken) {
    return outcome;
  }
  const auto block = out_.batch.append_block(key_.text(), schema, rows_);
  // A whole step: integers are quicker, and the same. With two rows or more it fits into 64 bits,
  // which was seen to above; with one it may be as large as infinity.
  const bool is_whole = rows_ > 1 && std::fmod(1e9, rate_hz_) == 0;
  const auto step = is_whole ? static_cast<TimeNs>(1e9 / rate_hz_) : 0;
  for (std::size_t row = 0; row < rows_; ++row) {
    block.times[row] =
        time_ + (is_whole ? static_cast<TimeNs>(row) * step : std::llround(offset(row)));
  }
  const std::size_t columns = names_.size();
  for (std::size_t column = 0; column < columns; ++column) {
    const float* const from = numbers_.data() + column * rows_;
    float* const to = block.values.data() + column;
    for (std::size_t row = 0; row < rows_; ++row) to[row * columns] = from[row];
  }
  return Outcome::kTaken;
}

Outcome JsonDecoder::finish() {
  const bool is_columns = (seen_ & kColumnsOnly) != 0;
  const unsigned needed = kStream | (is_columns ? kColumnsOnly : unsigned{kValues});
  for (const MemberName& member : kMembers) {
    if ((needed & ~seen_ & member.bit) != 0) {
      return refuse(Reason::kSyntax, "", {"expected a member '", member.name, "'"});
    }
  }
  if (!key_.build(stream_)) return refuse(key_.reason(), "", {key_.message()});
  if (!has_number_) {
    return refuse(Reason::kValue, in(is_columns ? "channels" : "values"),
                  {"expected at least one number"});
  }
  if (const string_view* twice = repeats_.find(names_)) {
    return refuse(Reason::kKey, in(is_columns ? "channels" : "values", *twice), {"given twice"});
  }
  if (out_.batch.samples() + rows_ > limits_.max_rows) {
    out_.over_max_rows = true;
    return refuse(Reason::kTooMany, "",
                  {"more than ", std::to_string(limits_.max_rows), " samples in one request"});
  }
  const auto schema = out_.batch.schema_within(names_, limits_.max_schemas);
  if (!schema) {
    return refuse(Reason::kTooMany, "",
                  {"more than ", std::to_string(limits_.max_schemas),
                   " different lists of channels in one request"});
  }
  return is_columns ? finish_columns(*schema) : finish_row(*schema);
}

Outcome JsonDecoder::read_element(simdjson_result<ondemand::object> found) {
  seen_ = 0;
  stream_ = {};
  key_.clear();
  time_ = 0;
  names_.clear();
  numbers_.clear();
  rows_ = 0;
  has_number_ = false;
  ondemand::object object;
  // NOLINTNEXTLINE(performance-move-const-arg): get() is for rvalues only
  if (std::move(found).get(object) != simdjson::SUCCESS) return broken("the object does not parse");
  for (auto field : object) {
    string_view key;
    ondemand::value value;
    if (field.error() != simdjson::SUCCESS) return broken("the object does not parse");
    if (field.unescaped_key().get(key) != simdjson::SUCCESS) {
      return refuse(Reason::kSyntax, "", {"a name is not a JSON string"});
    }
    if (field.value().get(value) != simdjson::SUCCESS) return broken("the object does not parse");
    const Outcome read = read_member(key, value);
    if (read != Outcome::kTaken) return read;
  }
  return finish();
}

Outcome JsonDecoder::read_elements(ondemand::document& document) {
  ondemand::array array;
  if (document.get_array().get(array) != simdjson::SUCCESS) {
    return broken("the array does not parse: is it cut off?");
  }
  number_ = 0;
  for (auto item : array) {
    ++number_;
    prefix_ = "/" + std::to_string(number_ - 1);
    ondemand::value value;
    if (item.get(value) != simdjson::SUCCESS) return broken("the array does not parse");
    const string_view raw = value.raw_json_token();
    if (raw.empty() || is_punctuation(raw.front())) return broken("a value is missing");
    begin_ = raw.data();
    const Outcome read = raw.front() == '{' ? read_element(value.get_object())
                                            : refuse_kind(Reason::kSyntax, "", "an object", value);
    if (read == Outcome::kBroken) return read;
  }
  prefix_.clear();
  return Outcome::kTaken;
}

/// The line, from 1, in which a text first is no UTF-8; a newline is never part of a character.
std::size_t line_of_bad_utf8(string_view text) {
  std::size_t line = 1;
  while (!text.empty()) {
    const std::size_t newline = std::min(text.find('\n'), text.size());
    if (!simdjson::validate_utf8(text.data(), newline)) break;
    text.remove_prefix(std::min(newline + 1, text.size()));
    ++line;
  }
  return line;
}

void JsonDecoder::decode(string_view text, std::size_t capacity, std::size_t line,
                         bool array_allowed) {
  text_ = text;
  number_ = line;
  array_allowed_ = array_allowed;
  document_ = nullptr;
  prefix_.clear();
  const string_view bare = trimmed(text);
  begin_ = bare.empty() ? text.data() : bare.data();
  const char first = bare.empty() ? '\0' : bare.front();
  if (first != '{' && !(first == '[' && array_allowed)) {
    broken(array_allowed ? "expected an object or an array of objects" : "expected an object");
    return;
  }
  ondemand::document document;
  const simdjson::error_code error =
      parser_.iterate(simdjson::padded_string_view(text.data(), text.size(), capacity))
          .get(document);
  if (error == simdjson::UTF8_ERROR) number_ += line_of_bad_utf8(text) - 1;
  if (error != simdjson::SUCCESS) {
    broken(simdjson::error_message(error));
    return;
  }
  document_ = &document;
  const Outcome read = first == '[' ? read_elements(document) : read_element(document.get_object());
  if (read == Outcome::kTaken && document.current_location().error() == simdjson::SUCCESS) {
    broken("expected nothing after the end of the document");
  }
  document_ = nullptr;
}

bool fits(string_view body, Decoded& out) {
  if (body.size() <= kMaxBodyBytes) return true;
  add_reject(out, 1, Reason::kTooMany,
             {"a body of ", std::to_string(body.size()), " bytes, at most ",
              std::to_string(kMaxBodyBytes), " are taken"},
             {});
  return false;
}

string_view without_byte_order_mark(string_view body) {
  return body.starts_with("\xef\xbb\xbf") ? body.substr(3) : body;
}

}  // namespace

void decode_json(std::string_view body, TimeNs now, const CodecLimits& limits, Decoded& out) {
  if (!fits(body, out)) return;
  const string_view text = without_byte_order_mark(body);
  JsonDecoder(now, limits, out).decode(text, text.size() + kPadding, 1, true);
}

void decode_ndjson(std::string_view body, TimeNs now, const CodecLimits& limits, Decoded& out) {
  if (!fits(body, out)) return;
  JsonDecoder decoder(now, limits, out);
  string_view rest = without_byte_order_mark(body);
  for (std::size_t line = 1; !rest.empty(); ++line) {
    const std::size_t newline = std::min(rest.find('\n'), rest.size());
    const string_view text = rest.substr(0, newline);
    if (text.size() > limits.max_line_bytes) {
      add_reject(out, line, Reason::kTooMany,
                 {"a line of ", std::to_string(text.size()), " bytes, at most ",
                  std::to_string(limits.max_line_bytes),
                  " are taken: send an array as application/json, or shorter blocks"},
                 text);
    } else if (!trimmed(text).empty()) {
      decoder.decode(text, rest.size() + kPadding, line, false);
    }
    rest.remove_prefix(std::min(newline + 1, rest.size()));
  }
}

}  // namespace anomalyd::ingest

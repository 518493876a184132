#include "app/ctl_send.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/text.h"
#include "http/secret_file.h"
#include "ingest/gzip.h"

namespace anomalyd::app::ctl {
namespace {

using std::chrono::nanoseconds;

constexpr nanoseconds kFirstWait = std::chrono::milliseconds(50);
constexpr nanoseconds kLongestWait = std::chrono::seconds(5);
constexpr std::int64_t kMostRetryAfterSeconds = 60;

Error refuse(std::string message) { return Error{ErrorCode::kInvalidArgument, std::move(message)}; }

/// The number right behind `before`; nothing when the text does not have it.
std::optional<std::uint64_t> number_behind(std::string_view text, std::string_view before) {
  const std::size_t at = text.find(before);
  if (at == std::string_view::npos) return {};
  std::uint64_t number = 0;
  const char* const begin = text.data() + at + before.size();
  const auto [end, ec] = std::from_chars(begin, text.data() + text.size(), number);
  if (ec != std::errc()) return {};
  return number;
}

/// Seconds of a Retry-After; the other form, a date, counts as not given.
std::optional<nanoseconds> retry_after(const http::Response& response) {
  for (const http::Parameter& header : response.headers) {
    if (!equals_any_case(header.name, "Retry-After")) continue;
    std::int64_t seconds = 0;
    const char* const last = header.value.data() + header.value.size();
    const auto [end, ec] = std::from_chars(header.value.data(), last, seconds);
    if (ec != std::errc() || end != last || seconds < 0) return {};
    return std::chrono::seconds(std::min(seconds, kMostRetryAfterSeconds));
  }
  return {};
}

void append_integer(std::string& out, std::int64_t value) {
  char digits[24];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

/// Line protocol gives these bytes a meaning; a backslash before them takes it away.
std::string escaped(std::string_view text, std::string_view special) {
  std::string out;
  for (const char c : text) {
    if (special.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

/// Line protocol: names that begin with '_' are reserved, a line that begins with '#' is a
/// comment, a tag cannot be empty, and a backslash at its end would escape what comes behind it.
Status check_lines(const SendStream& stream) {
  const auto cannot = [&](std::string_view what, std::string_view text) {
    return refuse("line protocol cannot carry the " + std::string(what) + " '" + std::string(text) +
                  "' of stream " + stream.key.text() + ": the rows format can");
  };
  const std::string& name = stream.key.name();
  if (name.front() == '_' || name.front() == '#') return cannot("name", name);
  for (const Label& label : stream.key.labels()) {
    if (label.name.front() == '_') return cannot("label", label.name);
    if (label.value.empty() || label.value.back() == '\\') {
      return cannot("label value", label.name + "=" + label.value);
    }
  }
  for (const std::string& channel : stream.channels) {
    if (channel.front() == '_') return cannot("channel", channel);
  }
  return Done{};
}

std::string line_head(const StreamKey& key) {
  std::string head = escaped(key.name(), ", ");
  for (const Label& label : key.labels()) {
    head += "," + escaped(label.name, ",= ") + "=" + escaped(label.value, ",= ");
  }
  return head + " ";
}

std::string json_head(const StreamKey& key) {
  std::string head = "{\"stream\":" + json_string(key.name()) + ",\"labels\":{";
  bool is_first = true;
  for (const Label& label : key.labels()) {
    head += (is_first ? "" : ",") + json_string(label.name) + ":" + json_string(label.value);
    is_first = false;
  }
  return head + "},";
}

}  // namespace

Result<std::unique_ptr<http::Client>> make_client(const std::string& url, const ServerFlags& flags,
                                                  std::chrono::milliseconds timeout) {
  http::ClientOptions options;
  options.timeout = timeout;
  options.tls = {flags.ca_file, flags.certificate, flags.key};
  if (!flags.token_file.empty()) {
    auto text = http::read_secret_file(flags.token_file, 4096, http::Secrecy::kSecret);
    if (!text.ok()) return text.error();
    std::string& token = text.value();
    while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
    const bool is_word =
        std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7f; });
    if (token.empty() || !is_word) {
      return Error{ErrorCode::kInvalidArgument,
                   flags.token_file + ": expected a token on a line, and nothing else"};
    }
    options.token = std::move(token);
  }
  return http::Client::make(url, std::move(options));
}

std::string server_detail(const http::Response& response) {
  const std::string status = std::to_string(response.status) + ": ";
  const auto body = nlohmann::json::parse(response.body, nullptr, false);
  if (body.is_object()) {
    for (const char* key : {"detail", "message", "error", "title"}) {
      const auto found = body.find(key);
      if (found != body.end() && found->is_string()) return status + found->get<std::string>();
    }
  }
  constexpr std::size_t kMostBytes = 200;
  std::string text = response.body.substr(0, kMostBytes);
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return status + (text.empty() ? "no reason given" : text);
}

Exit exit_of_server_error(const Error& error) {
  return error.code == ErrorCode::kUnavailable ? kUnreachable : kFailed;
}

Result<WireFormat> parse_wire_format(std::string_view name) {
  if (name == "line-protocol") return WireFormat::kLineProtocol;
  if (name == "rows") return WireFormat::kRows;
  if (name == "columns") return WireFormat::kColumns;
  return refuse("--format: expected line-protocol, rows or columns, got '" + std::string(name) +
                "'");
}

void SendBatch::add(std::uint32_t stream, TimeNs time, std::span<const float> values) {
  rows_.push_back({stream, values_.size(), time});
  values_.insert(values_.end(), values.begin(), values.end());
}

void SendBatch::clear() {
  rows_.clear();
  values_.clear();
}

Result<Encoder> Encoder::make(WireFormat format, std::vector<SendStream> streams) {
  Encoder encoder(format, std::move(streams));
  for (const SendStream& stream : encoder.streams_) {
    std::vector<std::string> fields;
    if (format == WireFormat::kLineProtocol) {
      const Status possible = check_lines(stream);
      if (!possible.ok()) return possible.error();
      encoder.heads_.push_back(line_head(stream.key));
      for (const std::string& channel : stream.channels) {
        fields.push_back(escaped(channel, ",= ") + "=");
      }
    } else {
      encoder.heads_.push_back(json_head(stream.key));
      for (const std::string& channel : stream.channels) {
        fields.push_back(json_string(channel) + ":");
      }
    }
    encoder.fields_.push_back(std::move(fields));
  }
  return encoder;
}

std::string_view Encoder::target() const {
  return format_ == WireFormat::kLineProtocol ? "/api/v2/write?precision=ns" : "/api/v1/samples";
}

std::string_view Encoder::content_type() const {
  return format_ == WireFormat::kLineProtocol ? "text/plain; charset=utf-8"
                                              : "application/x-ndjson";
}

std::string Encoder::encode(const SendBatch& batch, std::size_t first, std::size_t last) const {
  std::string out;
  if (format_ == WireFormat::kColumns) {
    while (first < last) {
      const std::size_t end = columns_end(batch, first, last);
      append_columns(out, batch, first, end);
      first = end;
    }
    return out;
  }
  const bool is_json = format_ == WireFormat::kRows;
  for (; first < last; ++first) {
    const SendBatch::Row& row = batch.row(first);
    const std::vector<std::string>& fields = fields_[row.stream];
    const std::span<const float> values = batch.values(row, fields.size());
    out += heads_[row.stream];
    if (is_json) {
      out += "\"time\":";
      append_integer(out, row.time);
      out += ",\"values\":{";
    }
    bool is_first = true;
    for (std::size_t i = 0; i < fields.size(); ++i) {
      if (std::isnan(values[i])) continue;
      if (!is_first) out += ',';
      is_first = false;
      out += fields[i];
      append_float(out, values[i]);
    }
    if (is_json) {
      out += "}}\n";
    } else {
      out += ' ';
      append_integer(out, row.time);
      out += '\n';
    }
  }
  return out;
}

/// Where the rows end that one column object can hold: one stream, each stamp within half a
/// period of the object's own grid.
std::size_t Encoder::columns_end(const SendBatch& batch, std::size_t first,
                                 std::size_t last) const {
  const SendBatch::Row& head = batch.row(first);
  const double period = 1e9 / streams_[head.stream].rate_hz;
  // With numbers of 16 bytes at most, this stays below the daemon's limit of a line.
  constexpr std::size_t kMaxValues = 50'000;
  const std::size_t channels = std::max<std::size_t>(fields_[head.stream].size(), 1);
  last = std::min(last, first + std::max<std::size_t>(kMaxValues / channels, 1));
  std::size_t at = first + 1;
  for (; at < last && batch.row(at).stream == head.stream; ++at) {
    const double even = static_cast<double>(at - first) * period;
    const auto is = static_cast<double>(batch.row(at).time - head.time);
    if (std::abs(is - even) > period / 2) break;
  }
  return at;
}

void Encoder::append_columns(std::string& out, const SendBatch& batch, std::size_t first,
                             std::size_t last) const {
  const SendBatch::Row& head = batch.row(first);
  const std::vector<std::string>& fields = fields_[head.stream];
  out += heads_[head.stream] + "\"start\":";
  append_integer(out, head.time);
  out += ",\"rate_hz\":" + json_number(streams_[head.stream].rate_hz) + ",\"channels\":{";
  for (std::size_t i = 0; i < fields.size(); ++i) {
    out += (i == 0 ? "" : ",") + fields[i] + "[";
    for (std::size_t at = first; at < last; ++at) {
      if (at > first) out += ',';
      const float value = batch.values(batch.row(at), fields.size())[i];
      if (std::isnan(value)) {
        out += "null";
      } else {
        append_float(out, value);
      }
    }
    out += "]";
  }
  out += "}}\n";
}

Sender::Sender(std::unique_ptr<http::Client> client, Encoder encoder, SendOptions options)
    : client_(std::move(client)), encoder_(std::move(encoder)), options_(options) {}

Status Sender::send(const SendBatch& batch, const Sleep& sleep) {
  return send_range(batch, 0, batch.size(), sleep);
}

/// In pieces of max_rows_, which may become smaller on the way.
Status Sender::send_range(const SendBatch& batch, std::size_t first, std::size_t last,
                          const Sleep& sleep) {
  while (first < last) {
    const std::size_t end = first + std::min(last - first, max_rows_);
    Status sent = send_rows(batch, first, end, sleep);
    if (!sent.ok()) return sent;
    first = end;
  }
  return Done{};
}

Status Sender::send_rows(const SendBatch& batch, std::size_t first, std::size_t last,
                         const Sleep& sleep) {
  std::string body = encoder_.encode(batch, first, last);
  std::vector<http::Parameter> headers;
  if (options_.gzip) {
    auto packed = ingest::gzip(body);
    if (!packed.ok()) return packed.error();
    body = std::move(packed).value();
    headers.push_back({"Content-Encoding", "gzip"});
  }
  nanoseconds wait = kFirstWait;
  nanoseconds busy{0};
  nanoseconds away{0};
  for (;;) {
    ++counts_.requests;
    const Result<http::Response> answer =
        client_->send("POST", encoder_.target(), body, encoder_.content_type(), headers);
    if (!answer.ok()) {
      const bool may_return = reached_ && answer.error().code == ErrorCode::kUnavailable;
      if (!may_return || away >= options_.away_for) return answer.error();
      away += wait;
    } else {
      reached_ = true;
      away = nanoseconds(0);
      const http::Response& response = answer.value();
      if (response.status == 413 && last - first > 1) {
        max_rows_ = std::min(max_rows_, (last - first + 1) / 2);
        ++counts_.retries;
        return send_range(batch, first, last, sleep);
      }
      if (response.status != 503 && response.status != 429) {
        return take_answer(response, last - first);
      }
      if (busy >= options_.busy_for) {
        return Error{ErrorCode::kExhausted, "the server stays busy: " + server_detail(response)};
      }
      // Never less than it asks for; more when it keeps asking.
      wait = std::max(wait, retry_after(response).value_or(nanoseconds(0)));
      busy += wait;
    }
    ++counts_.retries;
    sleep(wait);
    wait = std::min(wait * 2, std::max(wait, kLongestWait));
  }
}

Status Sender::take_answer(const http::Response& response, std::size_t rows) {
  if (response.status / 100 == 2) {
    counts_.accepted += rows;
    return Done{};
  }
  const std::string detail = server_detail(response);
  // A partial write: what is good was kept, and the answer says how much of it was not.
  std::optional<std::uint64_t> refused;
  if (response.status == 400) {
    refused = number_behind(detail, "partial write: ");
    if (const auto kept = number_behind(detail, " refused, ")) {
      refused = rows - std::min<std::uint64_t>(rows, *kept);
    }
  }
  if (!refused) return refuse("the server refused the samples: " + detail);
  counts_.refused += std::min<std::uint64_t>(*refused, rows);
  counts_.accepted += rows - std::min<std::uint64_t>(*refused, rows);
  if (refusal_.empty()) {
    refusal_ = detail;
    const auto body = nlohmann::json::parse(response.body, nullptr, false);
    // The detail counts; the reason is in the list beside it.
    if (body.is_object() && body.contains("errors") && body["errors"].is_array() &&
        !body["errors"].empty() && body["errors"][0].is_object()) {
      refusal_ += ": " + body["errors"][0].value("detail", std::string());
    }
  }
  return Done{};
}

}  // namespace anomalyd::app::ctl

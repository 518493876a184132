#include "alert/alert_json.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

namespace anomalyd::alert {
namespace {

/// nlohmann knows floats as doubles only, which would print 0.1F with 17 digits; so numbers are
/// written here, and it does what is easily done wrong: strings.
std::string quote(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

template <class Number>
void append_number(std::string& out, Number value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  out.append(digits, end);
}

/// Writes `{...}` or `[...]`: opens on making, puts commas between, closes by close().
class Group {
 public:
  Group(std::string& out, char open, char close) : out_(out), close_(close) { out_ += open; }
  std::string& next() {
    if (!is_first_) out_ += ',';
    is_first_ = false;
    return out_;
  }
  std::string& key(std::string_view name) {
    next() += quote(name);
    out_ += ':';
    return out_;
  }
  void text(std::string_view name, std::string_view value) { key(name) += quote(value); }
  void text_or_null(std::string_view name, std::string_view value) {
    key(name) += value.empty() ? "null" : quote(value);
  }
  void time(std::string_view name, TimeNs value) { text(name, to_rfc3339(value)); }
  void time_or_null(std::string_view name, TimeNs value) {
    text_or_null(name, value == 0 ? "" : to_rfc3339(value));
  }
  void number(std::string_view name, double value) { append_number(key(name), value); }
  void close() { out_ += close_; }

 private:
  std::string& out_;
  const char close_;
  bool is_first_ = true;
};

/// {"ax":[...],...} of a (samples, channels) block. A name that comes twice would hide a column,
/// but a stream's channel names differ.
void append_columns(std::string& out, const std::vector<std::string>& channels,
                    std::span<const float> values) {
  Group columns(out, '{', '}');
  for (std::size_t c = 0; c < channels.size(); ++c) {
    Group column(columns.key(channels[c]), '[', ']');
    for (std::size_t at = c; at < values.size(); at += channels.size()) {
      append_number(column.next(), values[at]);
    }
    column.close();
  }
  columns.close();
}

void append_context(std::string& out, const Context& context) {
  if (context.channels.empty()) {
    out += "null";
    return;
  }
  Group object(out, '{', '}');
  object.time("start", context.start);
  object.number("rate_hz", context.rate_hz);
  Group names(object.key("channels"), '[', ']');
  for (const std::string& channel : context.channels) names.next() += quote(channel);
  names.close();
  append_columns(object.key("actual"), context.channels, context.actual);
  append_columns(object.key("expected"), context.channels, context.expected);
  object.close();
}

}  // namespace

std::string to_json(const Alert& alert, bool with_context) {
  std::string out;
  Group object(out, '{', '}');
  object.text("id", alert.id);
  object.text("stream", alert.stream.text());
  object.text("name", alert.stream.name());
  Group labels(object.key("labels"), '{', '}');
  for (const Label& label : alert.stream.labels()) labels.text(label.name, label.value);
  labels.close();
  object.text("domain", alert.domain);
  object.text("detector", alert.detector);
  object.text("detector_version", alert.detector_version);
  object.text("state", to_string(alert.state));
  object.time("start", alert.start);
  object.time("end", alert.end);
  object.time_or_null("fired_at", alert.fired_at);
  object.time_or_null("resolved_at", alert.resolved_at);
  object.text_or_null("end_reason", alert.end_reason);
  object.number("threshold_p_value", alert.threshold_p);
  Group peak(object.key("peak"), '{', '}');
  peak.time("time", alert.peak_time);
  peak.number("score", alert.peak_score);
  peak.number("p_value", alert.peak_p);
  peak.close();
  Group shares(object.key("contributions"), '[', ']');
  for (const Contribution& contribution : alert.contributions) {
    Group share(shares.next(), '{', '}');
    share.text("channel", contribution.channel);
    share.number("share", contribution.share);
    share.close();
  }
  shares.close();
  if (with_context) append_context(object.key("context"), alert.context);
  object.close();
  return out;
}

}  // namespace anomalyd::alert

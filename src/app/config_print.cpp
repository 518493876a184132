#include <charconv>

#include "app/config.h"
#include "app/config_reader.h"
#include "base/text.h"

namespace anomalyd::app {
namespace {

/// A TOML basic string. The config's texts hold no control characters, but what is printed must
/// parse whatever they hold.
std::string quote(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out = "\"";
  for (const char c : text) {
    if (is_control(c)) {
      const auto byte = static_cast<unsigned char>(c);
      out += "\\u00";
      out += kDigits[byte >> 4U];
      out += kDigits[byte & 0xfU];
    } else {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
  }
  return out + '"';
}

std::string print(const std::string& text) { return quote(text); }
std::string print(const std::filesystem::path& path) { return quote(path.string()); }
std::string print(std::chrono::nanoseconds duration) { return quote(print_duration(duration)); }
std::string print(std::size_t value) { return std::to_string(value); }
std::string print(bool value) { return value ? "true" : "false"; }
std::string print(int value) { return std::to_string(value); }
std::string print(std::uint32_t value) { return std::to_string(value); }

std::string print(double value) {
  char digits[32];
  std::string text(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  // 1e+20 would be fine, but 100 would read as a whole number: true to its kind.
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string print(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) out += (out.size() > 1 ? ", " : "") + quote(text);
  return out + "]";
}

std::string print(detect::NormaliserKind kind) { return quote(to_text(kind)); }
std::string print(store::Sync sync) { return quote(to_text(sync)); }
std::string print(log::Level level) { return quote(to_text(level)); }
std::string print(log::Format format) { return quote(to_text(format)); }

class Printer {
 public:
  void section(std::string_view header) {
    if (!out_.empty()) out_ += '\n';
    out_ += header;
    out_ += '\n';
  }
  template <class Value>
  void key(std::string_view name, const Value& value) {
    out_ += std::string(name) + " = " + print(value) + '\n';
  }
  template <class Value>
  void key(std::string_view name, const std::optional<Value>& value, std::string_view otherwise) {
    if (value) {
      key(name, *value);
    } else {
      out_ += "# " + std::string(name) + " =   # " + std::string(otherwise) + '\n';
    }
  }
  void line(std::string_view text) { (out_ += text) += '\n'; }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

void print_domain(Printer& out, const DomainConfig& domain) {
  out.section("[[domain]]");
  out.key("name", domain.name);
  std::string labels;
  for (const auto& [name, glob] : domain.labels) {
    labels += (labels.empty() ? " " : ", ") + quote(name) + " = " + quote(glob);
  }
  out.line("match = { streams = " + print(domain.streams) + ", labels = {" + labels +
           (labels.empty() ? "} }" : " } }"));
  out.key("detector", domain.detector);
  out.key("channels", domain.channels, "the detector's; without a file the stream's own");
  out.key("rate_hz", domain.rate_hz, "the detector's; without a file the stream's own");
  out.key("window_samples", domain.window_samples, "the detector's; without a file 128");
  out.key("hop_samples", domain.hop_samples,
          "the detector's; without a file half a window, 4096 at most");
  out.key("normaliser", domain.normaliser, "the detector's; without a file \"stream\"");
  out.key("learn_windows", domain.learn_windows, "the detector's; without a file 100");
  out.key("lateness", domain.lateness);
  out.key("max_gap", domain.max_gap);
  out.key("false_alerts", domain.false_alerts_text);
  out.key("clear_factor", domain.clear_factor);
  out.key("confirm_windows", domain.confirm_windows);
  out.key("hold", domain.hold);
  out.section("[domain.train]");
  out.key("kind", domain.train.kind);
  out.key("epochs", domain.train.epochs);
  out.key("patience", domain.train.patience);
  out.key("learning_rate", domain.train.learning_rate);
  out.key("batch_windows", domain.train.batch_windows);
  out.key("seed", domain.train.seed);
}

}  // namespace

std::string print_config(const Config& config) {
  Printer out;
  out.section("[http]");
  out.key("listen", config.listen);
  const auto path = [&](std::string_view name, const std::filesystem::path& value,
                        std::string_view otherwise) {
    out.key(name, value.empty() ? std::nullopt : std::optional(value), otherwise);
  };
  path("tokens", config.tokens, "none: everybody may do everything");
  path("tls_certificate", config.tls.certificate, "none: plain HTTP");
  path("tls_key", config.tls.key, "none");
  path("tls_client_ca", config.tls.client_ca, "none: clients need no certificate");
  out.key("insecure", config.insecure);
  out.key("threads", config.http.threads);
  out.key("workers", config.http.workers);
  out.key("max_body_bytes", config.http.limits.max_body_bytes);
  out.key("max_header_bytes", config.http.limits.max_header_bytes);
  out.key("max_target_bytes", config.http.limits.max_target_bytes);
  out.key("max_connections", config.http.limits.max_connections);
  out.key("max_connection_requests", config.http.limits.max_connection_requests);
  out.key("request_timeout", std::chrono::nanoseconds(config.http.limits.request_timeout));
  out.key("idle_timeout", std::chrono::nanoseconds(config.http.limits.idle_timeout));
  out.section("[ingest]");
  out.key("max_rows", config.ingest.max_rows);
  out.key("max_json_depth", config.ingest.max_json_depth);
  out.key("max_channels", config.ingest.max_channels);
  out.key("max_labels", config.ingest.max_labels);
  out.key("max_decompressed_bytes", config.max_decompressed_bytes);
  out.key("max_future", std::chrono::nanoseconds(config.ingest.max_future_ns));
  out.key("max_past", std::chrono::nanoseconds(config.ingest.max_past_ns));
  out.section("[stream]");
  out.key("shards", config.shards);
  out.key("queue_samples", config.queue_samples);
  out.key("max_streams", config.max_streams);
  out.key("score_history_bytes", config.score_history_bytes);
  out.section("[models]");
  out.key("directory", config.models_directory);
  out.section("[store]");
  out.key("directory", config.store_directory);
  out.key("alert_retention", config.alert_retention);
  out.key("sync", config.sync);
  out.key("journal_max_bytes", config.journal_max_bytes);
  out.key("journal_retention", config.journal_retention);
  out.key("checkpoint_interval", config.checkpoint_interval);
  out.section("[daemon]");
  out.key("drain_timeout", std::chrono::nanoseconds(config.drain_timeout));
  out.section("[log]");
  out.key("level", config.log_level);
  out.key("format", config.log_format);
  for (const DomainConfig& domain : config.domains) print_domain(out, domain);
  return out.take();
}

}  // namespace anomalyd::app

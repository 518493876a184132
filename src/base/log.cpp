#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <cstdio>
#include <memory>

#include "base/time.h"

namespace anomalyd::log {
namespace {

struct LevelRow {
  std::string_view name;
  Level level;
  spdlog::level::level_enum spdlog_level;
  std::string_view priority;  // syslog's, as sd-daemon(3) reads it
};
constexpr std::array<LevelRow, 5> kLevels{{
    {"debug", Level::kDebug, spdlog::level::debug, "<7>"},
    {"info", Level::kInfo, spdlog::level::info, "<6>"},
    {"warn", Level::kWarn, spdlog::level::warn, "<4>"},
    {"error", Level::kError, spdlog::level::err, "<3>"},
    {"fatal", Level::kFatal, spdlog::level::critical, "<2>"},
}};

std::atomic<Format> format_setting{Format::kLogfmt};
std::atomic<bool> journald_setting{false};

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto made = std::make_shared<spdlog::logger>("anomalyd",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    made->flush_on(spdlog::level::debug);
    return made;
  }();
  return *instance;
}

const LevelRow& row(Level level) { return kLevels[static_cast<std::size_t>(level)]; }

void append_json(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(c));
      out += escape.data();
    } else {
      out += c;
    }
  }
  out += '"';
}

/// A logfmt value: bare where it can be, else quoted as a JSON string is.
void append_logfmt(std::string& out, std::string_view text) {
  bool bare = !text.empty();
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == '"' || c == '=' || c == '\\') bare = false;
  }
  if (bare) {
    out += text;
  } else {
    append_json(out, text);
  }
}

}  // namespace

std::string_view to_text(Level level) { return row(level).name; }

std::string_view to_text(Format format) { return format == Format::kJson ? "json" : "logfmt"; }

void configure(Level level, Format format, bool journald) {
  logger().set_level(row(level).spdlog_level);
  format_setting = format;
  journald_setting = journald;
}

void write(Level level, std::string_view message, Fields fields) {
  if (!logger().should_log(row(level).spdlog_level)) return;
  const bool journald = journald_setting;
  std::string line;
  if (journald) line += row(level).priority;
  const std::string time = to_rfc3339(system_clock().now() / 1'000'000 * 1'000'000);
  if (format_setting == Format::kJson) {
    line +=
        "{\"time\":\"" + time + "\",\"level\":\"" + std::string(row(level).name) + "\",\"msg\":";
    append_json(line, message);
    for (const auto& [name, value] : fields) {
      line += ',';
      append_json(line, name);
      line += ':';
      append_json(line, value);
    }
    line += '}';
  } else {
    if (!journald) line += "time=" + time + ' ';  // the journal stamps lines itself
    line += "level=" + std::string(row(level).name) + " msg=";
    append_logfmt(line, message);
    for (const auto& [name, value] : fields) {
      line += ' ';
      line += name;
      line += '=';
      append_logfmt(line, value);
    }
  }
  logger().log(row(level).spdlog_level, spdlog::string_view_t(line.data(), line.size()));
}

bool Throttle::allow(unsigned& suppressed) {
  const std::int64_t now = system_clock().elapsed().count();
  std::int64_t next = next_.load();
  const std::int64_t period = std::chrono::nanoseconds(period_).count();
  if (now < next || !next_.compare_exchange_strong(next, now + period)) {
    ++swallowed_;
    return false;
  }
  suppressed = swallowed_.exchange(0);
  return true;
}

}  // namespace anomalyd::log

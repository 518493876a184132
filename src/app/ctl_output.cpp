#include "app/ctl_output.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <ostream>

#include "base/check.h"

namespace anomalyd::app::ctl {
namespace {

constexpr std::chrono::milliseconds kTerminalPeriod{100};
constexpr std::chrono::seconds kLogPeriod{5};

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U;
  }));
}

}  // namespace

int fail(Console& console, const Error& error, Exit exit) {
  console.err << "anomalyctl: " << error.message << "\n";
  return exit;
}

void Table::add(std::vector<std::string> cells) {
  ANOMALYD_CHECK(cells.size() == columns_.size(), "a table row needs a cell for each column");
  rows_.push_back(std::move(cells));
}

void Table::print(std::ostream& out) const {
  std::vector<std::size_t> widths;
  bool titled = false;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t width = width_of(columns_[i].title);
    for (const auto& row : rows_) width = std::max(width, width_of(row[i]));
    widths.push_back(width);
    titled = titled || !columns_[i].title.empty();
  }
  const auto print_row = [&](const auto& cell_of) {
    std::string line;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const std::string& cell = cell_of(i);
      const std::string padding(widths[i] - width_of(cell), ' ');
      if (i > 0) line += "  ";
      line += columns_[i].align == Align::kRight ? padding + cell : cell + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out << line << "\n";
  };
  if (titled) {
    print_row([&](std::size_t i) -> const std::string& { return columns_[i].title; });
  }
  for (const auto& row : rows_) {
    print_row([&](std::size_t i) -> const std::string& { return row[i]; });
  }
}

Progress::Progress(Console& console, const Clock& clock)
    : console_(console),
      clock_(clock),
      next_(clock.elapsed() + (console.err_is_tty ? std::chrono::nanoseconds(0) : kLogPeriod)) {}

void Progress::update(const std::function<std::string()>& text) {
  const std::chrono::nanoseconds now = clock_.elapsed();
  if (now < next_) return;
  const std::string line = text();
  if (console_.err_is_tty) {
    const std::size_t width = width_of(line);
    console_.err << '\r' << line << std::string(shown_ > width ? shown_ - width : 0, ' ')
                 << std::flush;
    shown_ = width;
    next_ = now + kTerminalPeriod;
  } else {
    console_.err << line << std::endl;
    next_ = now + kLogPeriod;
  }
}

void Progress::finish() {
  if (shown_ > 0) console_.err << "\n";
  shown_ = 0;
}

std::string progress_bar(double share) {
  constexpr int kCells = 20;
  const double bounded = share > 0 ? std::min(share, 1.0) : 0;
  const int full = static_cast<int>(bounded * kCells);
  std::string percent = std::to_string(static_cast<int>(bounded * 100));
  percent.insert(0, 3 - percent.size(), ' ');
  return "[" + std::string(static_cast<std::size_t>(full), '#') +
         std::string(static_cast<std::size_t>(kCells - full), '.') + "] " + percent + " %";
}

std::string duration_text(double seconds) {
  if (!(seconds >= 0) || seconds > 1e9) return "?";
  if (seconds < 10) return short_number(seconds, 2) + " s";
  const long long whole = std::llround(seconds);
  if (whole < 60) return std::to_string(whole) + " s";
  if (whole < 3600) return std::to_string(whole / 60) + " min " + std::to_string(whole % 60) + " s";
  return std::to_string(whole / 3600) + " h " + std::to_string(whole / 60 % 60) + " min";
}

void append_float(std::string& out, float value) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, static_cast<double>(value),
                                 std::chars_format::general, 9)
                       .ptr;
  out.append(digits, end);
}

std::string json_number(double value) {
  if (!std::isfinite(value)) return "null";
  char digits[32];
  return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
}

std::string json_string(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string short_number(double value, int digits) {
  char text[40];
  return {text,
          std::to_chars(text, text + sizeof text, value, std::chars_format::general, digits).ptr};
}

}  // namespace anomalyd::app::ctl

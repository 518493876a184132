#include <algorithm>
#include <array>
#include <cmath>

#include "app/ctl_evaluate.h"

namespace anomalyd::app::ctl {
namespace {

using evaluate::DetectorResult;
using evaluate::JudgedSeries;
using evaluate::Span;

constexpr double kWidth = 960;
constexpr double kSignalHeight = 110;
constexpr double kScoreHeight = 90;
constexpr double kGap = 8;
constexpr std::size_t kColumns = 480;  // a line is drawn as the lowest and highest of each
constexpr std::size_t kMaxChannels = 3;

constexpr const char* kStyle = R"(<style>
:root { color-scheme: light dark; --ink: #1c2430; --soft: #66707f; --line: #d8dde4; --paper: #fff;
  --truth: #f4b6a8; --alert: #c23b22; --score: #7a4fb5; --c0: #1f6fb2; --c1: #2c9a6b; --c2: #b9822b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #97a1b0; --line: #39424f;
  --paper: #14181e; --truth: #6b3328; --alert: #ff7b61; --score: #b592f0; --c0: #66aee8;
  --c1: #5fcb9c; --c2: #e0ac58; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1040px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
h3 { font-size: .95rem; margin: 1.2rem 0 .2rem; overflow-wrap: anywhere; }
p, .soft { color: var(--soft); margin: .3rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } tr.control td { color: var(--soft); }
svg { width: 100%; height: auto; display: block; } svg text { font-size: 11px; fill: var(--soft); }
.key span { display: inline-block; margin-right: 1.2rem; }
.key i { display: inline-block; width: 1.1em; height: .7em; margin-right: .35em; }
</style>
)";

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

std::string text_at(double x, double y, std::string_view text) {
  return "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\">" + escaped(text) + "</text>";
}

double x_of(std::size_t sample, std::size_t n) {
  return kWidth * static_cast<double>(sample) / static_cast<double>(n);
}

/// Bands over rows of samples.
std::string bands(const std::vector<Span>& spans, std::size_t n, double y, double height,
                  const char* color) {
  std::string out;
  for (const Span& span : spans) {
    const double x = x_of(span.begin, n);
    const double width = std::max(1.0, x_of(span.end, n) - x);  // one sample must be seen
    out += "<rect x=\"" + number(x) + "\" y=\"" + number(y) + "\" width=\"" + number(width) +
           "\" height=\"" + number(height) + "\" fill=\"var(" + color + ")\"/>";
  }
  return out;
}

struct Range {
  double low = 0;
  double high = 1;
};

/// A line through n values, drawn as the lowest and highest of each column of pixels, so that no
/// spike is lost. Values that are missing break it.
template <class Value>
std::string line(std::size_t n, const Value& value, const Range& range, double y, double height,
                 const char* color) {
  std::string path;
  const std::size_t columns = std::min(kColumns, n);
  const double span = range.high > range.low ? range.high - range.low : 1;
  const auto height_of = [&](double v) {
    return y + height - height * std::clamp((v - range.low) / span, 0.0, 1.0);
  };
  bool pen_down = false;
  for (std::size_t c = 0; c < columns; ++c) {
    const std::size_t begin = c * n / columns;
    const std::size_t end = std::max(begin + 1, (c + 1) * n / columns);
    double low = HUGE_VAL;
    double high = -HUGE_VAL;
    for (std::size_t i = begin; i < end; ++i) {
      const double v = value(i);
      if (std::isnan(v)) continue;
      low = std::min(low, v);
      high = std::max(high, v);
    }
    if (low > high) {
      pen_down = false;
      continue;
    }
    const std::string x = number(x_of(begin, n));
    path += (pen_down ? "L" : "M") + x + " " + number(height_of(low));
    if (high > low) path += "L" + x + " " + number(height_of(high));
    pen_down = true;
  }
  return "<path d=\"" + path + "\" fill=\"none\" stroke=\"var(" + color +
         ")\" stroke-width=\"1\"/>";
}

std::string plot(const JudgedSeries& judged, double threshold) {
  const evaluate::Series& series = *judged.series;
  const std::size_t n = judged.score.size();
  const double score_top = kSignalHeight + kGap + 14;
  const double total = score_top + kScoreHeight;
  std::string svg = "<svg viewBox=\"0 0 " + number(kWidth) + " " + number(total) +
                    "\" role=\"img\" aria-label=\"signal and score of " + escaped(series.name) +
                    "\">";
  const std::vector<Span> truth = judged.events();
  svg += bands(truth, n, 0, total, "--truth");
  const std::size_t channels = series.channels.size();
  constexpr std::array<const char*, kMaxChannels> kColors{"--c0", "--c1", "--c2"};
  std::string names;
  for (std::size_t c = 0; c < std::min(channels, kMaxChannels); ++c) {
    const auto value = [&](std::size_t i) {
      return static_cast<double>(series.values[(series.train + i) * channels + c]);
    };
    Range range{HUGE_VAL, -HUGE_VAL};
    for (std::size_t i = 0; i < n; ++i) {
      if (std::isnan(value(i))) continue;
      range.low = std::min(range.low, value(i));
      range.high = std::max(range.high, value(i));
    }
    if (range.low > range.high) continue;
    svg += line(n, value, range, 4, kSignalHeight - 8, kColors[c]);
    names += (names.empty() ? "" : ", ") + series.channels[c] + " " + short_number(range.low, 3) +
             " to " + short_number(range.high, 3);
  }
  if (channels > kMaxChannels) {
    names += " (" + std::to_string(channels - kMaxChannels) + " more)";
  }
  svg += text_at(4, kSignalHeight + 10, names);
  double highest = threshold;
  for (const double surprise : judged.surprise) highest = std::max(highest, surprise);
  const Range range{0, highest * 1.05};
  svg += line(
      n, [&](std::size_t i) { return judged.surprise[i]; }, range, score_top, kScoreHeight,
      "--score");
  const double level = score_top + kScoreHeight - kScoreHeight * threshold / range.high;
  svg += "<line x1=\"0\" x2=\"" + number(kWidth) + "\" y1=\"" + number(level) + "\" y2=\"" +
         number(level) + "\" stroke=\"var(--soft)\" stroke-dasharray=\"4 3\"/>";
  svg += bands(judged.alerts, n, score_top - 5, 4, "--alert");
  svg += text_at(kWidth - 150, kSignalHeight + 10, "-log10 p, to " + short_number(highest, 3));
  return svg + "</svg>\n";
}

std::string table(evaluate::ProtocolKind protocol, const std::vector<DetectorResult>& results) {
  std::string html = "<div class=\"scroll\"><table><tr><th>detector</th>";
  const std::vector<evaluate::Headline> columns = evaluate::headlines(protocol);
  for (const evaluate::Headline& column : columns) {
    html += "<th>" + escaped(column.title) + "</th>";
  }
  const bool is_normal = protocol == evaluate::ProtocolKind::kCalibration;
  html += is_normal ? "" : "<th>PA-F1* (random)</th>";
  html += "<th>seconds</th></tr>\n";
  for (const DetectorResult& result : results) {
    html += result.is_control ? "<tr class=\"control\"><td>" : "<tr><td>";
    html += escaped(result.detector) + (result.is_control ? " (control)" : "") + "</td>";
    for (const evaluate::Headline& column : columns) {
      html += "<td>" + figure_text(evaluate::find_figure(result.figures, column.name)) + "</td>";
    }
    if (!is_normal) {
      html += "<td>" + figure_text(evaluate::find_figure(result.figures, "pa_f1")) + " (" +
              figure_text(evaluate::find_figure(result.figures, "pa_f1_of_random")) + ")</td>";
    }
    html += "<td>" + short_number(result.seconds, 3) + "</td></tr>\n";
  }
  return html + "</table></div>\n";
}

}  // namespace

std::string evaluation_html(const EvaluateHead& head, evaluate::ProtocolKind protocol,
                            const std::vector<DetectorResult>& results) {
  const double threshold = -std::log10(head.alarm_p);
  std::string html =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>" +
      escaped(head.protocol) + ", " + escaped(head.mode) + "</title>\n" + kStyle +
      "</head><body>\n<h1>" + escaped(head.protocol) + ", " + escaped(head.mode) + "</h1>\n<p>" +
      std::to_string(head.series) + " series, alarm at p &le; " + short_number(head.alarm_p, 3) +
      ", seed " + std::to_string(head.seed) + "</p>\n" + table(protocol, results) +
      "<p>* threshold chosen by the truth: an oracle. Point-adjusted F1 stands beside what random "
      "scores get.</p>\n";
  for (const std::string& caution : evaluate::cautions(protocol)) {
    html += "<p>" + escaped(caution) + "</p>\n";
  }
  html +=
      "<p class=\"key\"><span><i style=\"background:var(--truth)\"></i>truth</span>"
      "<span><i style=\"background:var(--alert)\"></i>alerts that fired</span>"
      "<span><i style=\"background:var(--score)\"></i>score as -log10 p, dashed: the threshold"
      "</span></p>\n";
  for (const DetectorResult& result : results) {
    if (result.is_control ||
        (result.plots.empty() && result.failures.empty() && result.unscored == 0)) {
      continue;
    }
    html += "<h2>" + escaped(result.detector) + "</h2>\n";
    if (!result.failures.empty()) {
      html += "<p>Not learned or not scored, and counted as never alarmed:</p>\n<ul>\n";
      for (const std::string& why : result.failures) html += "<li>" + escaped(why) + "</li>\n";
      html += "</ul>\n";
    }
    if (result.unscored > 0) html += "<p>" + unscored_text(result) + ".</p>\n";
    for (const JudgedSeries& judged : result.plots) {
      html += "<h3>" + escaped(judged.series->name) + "</h3>\n" + plot(judged, threshold);
    }
  }
  return html + "</body></html>\n";
}

}  // namespace anomalyd::app::ctl

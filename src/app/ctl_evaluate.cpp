#include "app/ctl_evaluate.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <ostream>
#include <set>
#include <thread>

#include "evaluate/readers.h"

namespace anomalyd::app::ctl {
namespace {

using evaluate::DetectorResult;

Error refuse(std::string message) { return Error{ErrorCode::kInvalidArgument, std::move(message)}; }

/// "a,b" to a and b; "all" to every kind.
Result<std::vector<std::string>> detector_names(const std::string& text) {
  if (text == "all") return evaluate::all_detectors();
  std::vector<std::string> names;
  std::set<std::string> seen;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    std::string name = text.substr(at, end - at);
    if (name.empty()) return refuse("--detectors: expected names with commas between them");
    if (!seen.insert(name).second) return refuse("--detectors: " + name + " occurs twice");
    names.push_back(std::move(name));
    at = end + 1;
  }
  return names;
}

Status check(const EvaluateOptions& options) {
  if (!(options.alarm_p > 0 && options.alarm_p < 1)) {
    return refuse("--alarm-p: " + short_number(options.alarm_p, 6) + ", expected between 0 and 1");
  }
  if (options.epochs < 1) {
    return refuse("--epochs: " + std::to_string(options.epochs) + ", expected at least 1");
  }
  constexpr std::size_t kMostWindow = 65536;
  if (options.window_samples == 1 || options.window_samples > kMostWindow ||
      options.hop_samples > kMostWindow) {
    return refuse("--window, --hop: expected at most 65536, and a window of at least 2");
  }
  return Done{};
}

/// How often normal windows had a p-value, beside what the other figures are.
void print_panel(const std::vector<DetectorResult>& results, std::ostream& out) {
  out << "\nwindows at or below a p-value, observed over promised: pooled (worst tenth of "
         "series)\n";
  Table panel({{"detector", Table::Align::kLeft},
               {"1e-2", Table::Align::kRight},
               {"1e-3", Table::Align::kRight},
               {"1e-4", Table::Align::kRight}});
  for (const DetectorResult& result : results) {
    if (result.is_control && result.detector != "random") continue;
    std::vector<std::string> cells{result.detector + (result.is_control ? " (control)" : "")};
    for (const char* level : {"1e-2", "1e-3", "1e-4"}) {
      const std::string name(level);
      cells.push_back(
          figure_text(evaluate::find_figure(result.figures, "calibration_" + name)) + " (" +
          figure_text(evaluate::find_figure(result.figures, "calibration_worst_" + name)) + ")");
    }
    panel.add(std::move(cells));
  }
  panel.print(out);
  out << "\n* threshold chosen by the truth: an oracle. PA-F1 beside what random scores get.\n";
}

void print_table(const EvaluateHead& head, evaluate::ProtocolKind protocol,
                 const std::vector<DetectorResult>& results, std::ostream& out) {
  out << head.protocol << ", " << head.mode << ", " << head.series
      << " series, alarm at p <= " << short_number(head.alarm_p, 3) << ", seed " << head.seed
      << "\n\n";
  const std::vector<evaluate::Headline> columns = evaluate::headlines(protocol);
  std::vector<Table::Column> titles{{"detector", Table::Align::kLeft}};
  for (const evaluate::Headline& column : columns) {
    titles.push_back({std::string(column.title), Table::Align::kRight});
  }
  // Where nothing is anomalous there is nothing to adjust, and the panel is the table itself.
  const bool is_normal = protocol == evaluate::ProtocolKind::kCalibration;
  if (!is_normal) titles.push_back({"PA-F1* (random)", Table::Align::kRight});
  titles.push_back({"seconds", Table::Align::kRight});
  Table table(titles);
  for (const DetectorResult& result : results) {
    std::vector<std::string> cells{result.detector + (result.is_control ? " (control)" : "")};
    for (const evaluate::Headline& column : columns) {
      cells.push_back(figure_text(evaluate::find_figure(result.figures, column.name)));
    }
    if (!is_normal) {
      cells.push_back(figure_text(evaluate::find_figure(result.figures, "pa_f1")) + " (" +
                      figure_text(evaluate::find_figure(result.figures, "pa_f1_of_random")) + ")");
    }
    cells.push_back(short_number(result.seconds, 3));
    table.add(std::move(cells));
  }
  table.print(out);
  if (!is_normal) print_panel(results, out);
  if (is_normal) out << "\n";
  for (const std::string& line : evaluate::cautions(protocol)) out << line << "\n";
  for (const DetectorResult& result : results) {
    if (!result.failures.empty()) {
      out << result.detector << ": not learned or not scored on " << result.failures.size()
          << " of " << head.series
          << " series, which count as never alarmed; the first: " << result.failures.front()
          << "\n";
    }
    if (result.unscored > 0) out << result.detector << ": " << unscored_text(result) << "\n";
  }
}

/// As the options have them, for whatever is run.
evaluate::ScoringOptions scoring_of(const EvaluateOptions& options, evaluate::Mode mode) {
  evaluate::ScoringOptions scoring;
  scoring.mode = mode;
  scoring.window_samples = options.window_samples;
  scoring.hop_samples = options.hop_samples;
  scoring.epochs = options.epochs;
  scoring.seed = options.seed;
  return scoring;
}

std::size_t threads_of(const EvaluateOptions& options) {
  return options.threads > 0 ? options.threads
                             : std::max<std::size_t>(1, std::thread::hardware_concurrency());
}

auto show(Progress& progress) {
  return [&progress](std::size_t done, std::size_t all, std::string_view detector) {
    progress.update([&] {
      return progress_bar(static_cast<double>(done) / static_cast<double>(all)) + "  " +
             std::string(detector) + "  " + std::to_string(done) + "/" + std::to_string(all);
    });
  };
}

EvaluateHead head_of(const EvaluateOptions& options, std::size_t series) {
  EvaluateHead head;
  head.protocol = options.protocol;
  head.mode = options.mode;
  head.series = series;
  head.seed = options.seed;
  head.alarm_p = options.alarm_p;
  return head;
}

Status check_synthetic(const EvaluateOptions& options) {
  if (options.file.empty() || !options.data.empty()) {
    return refuse("evaluate synthetic: expected a FILE.csv, and no --data");
  }
  if (!(options.train > 0 && options.train < 1)) {
    return refuse("--train: " + short_number(options.train, 6) + ", expected between 0 and 1");
  }
  if (!options.html.empty()) return refuse("evaluate synthetic: there is no --html of it");
  return Done{};
}

int evaluate_synthetic(const EvaluateOptions& options, evaluate::Mode mode,
                       const std::vector<std::string>& names, Console& console) {
  if (const Status checked = check_synthetic(options); !checked.ok()) {
    return fail(console, checked.error(), kUsage);
  }
  evaluate::ColumnRoles roles;
  roles.label = "label";
  roles.label_needed = false;
  Result<evaluate::Series> read = evaluate::read_series(options.file, roles);
  if (!read.ok()) return fail(console, read.error());
  evaluate::Series& series = read.value();
  series.name = std::filesystem::path(options.file).filename().string();
  series.train = static_cast<std::size_t>(options.train * static_cast<double>(series.samples()));

  evaluate::SyntheticOptions run;
  run.scoring = scoring_of(options, mode);
  run.alarm_p = options.alarm_p;
  run.threads = threads_of(options);
  Progress progress(console);
  run.on_progress = show(progress);
  const auto results = evaluate::run_synthetic(series, names, run);
  progress.finish();
  if (!results.ok()) {
    Error why = results.error();
    why.message = options.file + ": " + why.message;
    return fail(console, why);
  }
  SyntheticHead head;
  head.run = head_of(options, 1);
  head.run.protocol = series.name;
  head.rows = series.samples();
  head.train_rows = series.train;
  head.sample_seconds = series.sample_seconds;
  if (options.json) {
    console.out << synthetic_json(head, results.value()) << "\n";
  } else {
    print_synthetic(head, results.value(), console.out);
  }
  return kOk;
}

Status write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) return Error{ErrorCode::kUnavailable, path + ": cannot be written"};
  return Done{};
}

}  // namespace

std::string figure_text(double value) {
  if (std::isnan(value)) return "-";
  const double size = std::abs(value);
  char text[40];
  if (size != 0 && (size >= 1e5 || size < 5e-5)) {
    std::snprintf(text, sizeof text, "%.2g", value);
  } else {
    std::snprintf(text, sizeof text, "%.*f", size >= 1000 ? 0 : size >= 10 ? 2 : 4, value);
  }
  return text;
}

std::string unscored_text(const DetectorResult& result) {
  return std::to_string(result.unscored) + " of " + std::to_string(result.judged) +
         " judged samples have no score of their own";
}

std::string evaluation_json(const EvaluateHead& head, const std::vector<DetectorResult>& results) {
  std::string text =
      "{\"protocol\":" + json_string(head.protocol) + ",\"mode\":" + json_string(head.mode) +
      ",\"series\":" + std::to_string(head.series) + ",\"seed\":" + std::to_string(head.seed) +
      ",\"alarm_p\":" + json_number(head.alarm_p) + ",\"results\":[";
  for (const DetectorResult& result : results) {
    if (text.back() != '[') text += ',';
    text += "{\"detector\":" + json_string(result.detector) +
            ",\"control\":" + (result.is_control ? "true" : "false") + ",\"metrics\":{";
    std::string oracles;
    for (const evaluate::Figure& figure : result.figures) {
      if (text.back() != '{') text += ',';
      text += json_string(figure.name) + ":" + json_number(figure.value);
      if (figure.oracle) oracles += (oracles.empty() ? "" : ",") + json_string(figure.name);
    }
    text += "},\"oracles\":[" + oracles + "],\"failed\":" + std::to_string(result.failures.size()) +
            ",\"unscored\":" + std::to_string(result.unscored) +
            ",\"judged\":" + std::to_string(result.judged) +
            ",\"seconds\":" + json_number(result.seconds) + "}";
  }
  return text + "]}";
}

int evaluate(const EvaluateOptions& options, Console& console) {
  if (const Status checked = check(options); !checked.ok()) {
    return fail(console, checked.error(), kUsage);
  }
  const auto mode = evaluate::parse_mode(options.mode);
  if (!mode.ok()) return fail(console, mode.error(), kUsage);
  const auto names = detector_names(options.detectors);
  if (!names.ok()) return fail(console, names.error(), kUsage);
  if (options.protocol == kSynthetic) {
    return evaluate_synthetic(options, mode.value(), names.value(), console);
  }
  const auto protocol = evaluate::find_protocol(options.protocol);
  if (!protocol.ok()) {
    Error unknown = protocol.error();
    unknown.message += "; or synthetic FILE.csv";
    return fail(console, unknown, kUsage);
  }
  if (options.data.empty() || !options.file.empty()) {
    return fail(console,
                refuse("evaluate " + options.protocol + ": expected --data DIR, and no file"),
                kUsage);
  }

  evaluate::ReadOptions read;
  read.data = options.data;
  read.normal = options.normal;
  read.faulty = options.faulty;
  read.limit = options.limit;
  const auto dataset = evaluate::read_dataset(*protocol.value(), read);
  if (!dataset.ok()) return fail(console, dataset.error());

  evaluate::RunOptions run;
  run.scoring = scoring_of(options, mode.value());
  run.alarm_p = options.alarm_p;
  run.threads = threads_of(options);
  run.plots = options.html.empty() ? 0 : options.plots;
  Progress progress(console);
  run.on_progress = show(progress);
  const auto results = evaluate::run(*protocol.value(), dataset.value(), names.value(), run);
  progress.finish();
  if (!results.ok()) return fail(console, results.error(), kUsage);

  const EvaluateHead head = head_of(options, dataset.value().series.size());
  if (options.json) {
    console.out << evaluation_json(head, results.value()) << "\n";
  } else {
    print_table(head, protocol.value()->kind, results.value(), console.out);
  }
  if (!options.html.empty()) {
    const Status written =
        write_file(options.html, evaluation_html(head, protocol.value()->kind, results.value()));
    if (!written.ok()) return fail(console, written.error());
    if (!options.json) console.err << "wrote " << options.html << "\n";
  }
  return kOk;
}

}  // namespace anomalyd::app::ctl

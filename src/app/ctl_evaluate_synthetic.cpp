#include <algorithm>
#include <cmath>
#include <ostream>

#include "app/ctl_evaluate.h"

namespace anomalyd::app::ctl {
namespace {

using evaluate::SyntheticCell;
using evaluate::SyntheticResult;

// A kind, strength and length counts as caught where so many of it are.
constexpr double kCaught = 0.75;

std::string percent(std::size_t part, std::size_t all) {
  return all == 0
             ? "-"
             : short_number(100 * static_cast<double>(part) / static_cast<double>(all), 3) + " %";
}

/// "17 samples", with what they last where that is known.
std::string delay_text(double samples, double sample_seconds) {
  if (std::isnan(samples)) return "-";
  std::string text = short_number(samples, 4);
  if (sample_seconds > 0) text += " (" + short_number(samples * sample_seconds, 3) + " s)";
  return text;
}

/// Those of one kind and strength, by length.
using Row = std::vector<const SyntheticCell*>;

std::vector<Row> rows_of(const SyntheticResult& result) {
  std::vector<Row> rows;
  for (const SyntheticCell& cell : result.cells) {
    if (rows.empty() || rows.back().front()->kind != cell.kind ||
        rows.back().front()->strength != cell.strength) {
      rows.emplace_back();
    }
    rows.back().push_back(&cell);
  }
  return rows;
}

/// All of a row.
struct Total {
  std::size_t put = 0;
  std::size_t caught = 0;
};

Total total_of(const Row& row) {
  Total total;
  for (const SyntheticCell* cell : row) {
    total.put += cell->put;
    total.caught += cell->caught;
  }
  return total;
}

/// The same cells of the control, which has them in the same order.
Row same_of(const SyntheticResult& random, std::size_t row) { return rows_of(random)[row]; }

std::string cell_text(const SyntheticCell& cell) {
  std::string text = std::to_string(cell.caught) + "/" + std::to_string(cell.put);
  if (cell.caught > 0) text += " +" + short_number(cell.delay_samples, 4);
  return text;
}

void print_cells(const SyntheticResult& result, const SyntheticResult& random, std::ostream& out) {
  out << "\n" << result.detector << ": caught of those put in, +median delay in samples\n";
  std::vector<Table::Column> titles{{"kind", Table::Align::kLeft},
                                    {"strength", Table::Align::kRight}};
  for (const std::size_t length : evaluate::kSyntheticLengths) {
    titles.push_back({std::to_string(length) + " long", Table::Align::kRight});
  }
  titles.push_back({"random", Table::Align::kRight});
  Table table(titles);
  const std::vector<Row> rows = rows_of(result);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const SyntheticCell& first = *rows[r].front();
    std::vector<std::string> cells{std::string(detect::to_text(first.kind)),
                                   first.strength > 0 ? short_number(first.strength, 3) : ""};
    for (const SyntheticCell* cell : rows[r]) cells.push_back(cell_text(*cell));
    cells.resize(2 + evaluate::kSyntheticLengths.size());  // a spike has one length
    const Total chance = total_of(same_of(random, r));
    cells.push_back(percent(chance.caught, chance.put));
    table.add(std::move(cells));
  }
  table.print(out);
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) text += i + 1 == parts.size() ? " and " : ", ";
    text += parts[i];
  }
  return text;
}

bool is_caught(const SyntheticCell& cell) { return cell.share() >= kCaught; }

/// "level from strength 2 over 48 samples": the weakest of a kind that is caught at any length, and
/// the shortest at that strength; what is lowest anyway goes without saying. Empty: nothing is.
std::string caught_of_kind(const std::vector<const SyntheticCell*>& cells) {
  const auto found = std::find_if(cells.begin(), cells.end(),
                                  [](const SyntheticCell* cell) { return is_caught(*cell); });
  if (found == cells.end()) return "";
  const SyntheticCell& weakest = **found;
  std::string text(detect::to_text(weakest.kind));
  if (weakest.strength > cells.front()->strength) {
    text += " from strength " + short_number(weakest.strength, 3);
  }
  if (weakest.length > cells.front()->length) {
    text += " over " + std::to_string(weakest.length) + " samples";
  }
  return text;
}

std::vector<std::vector<const SyntheticCell*>> kinds_of(const SyntheticResult& result) {
  std::vector<std::vector<const SyntheticCell*>> kinds;
  for (const SyntheticCell& cell : result.cells) {
    if (kinds.empty() || kinds.back().front()->kind != cell.kind) kinds.emplace_back();
    kinds.back().push_back(&cell);
  }
  return kinds;
}

void append_cells(const SyntheticResult& result, double sample_seconds, std::string& text) {
  for (const SyntheticCell& cell : result.cells) {
    if (text.back() != '[') text += ',';
    const double none = std::nan("");
    text += "{\"kind\":" + json_string(detect::to_text(cell.kind)) +
            ",\"strength\":" + json_number(cell.strength > 0 ? cell.strength : none) +
            ",\"length\":" + std::to_string(cell.length) + ",\"put\":" + std::to_string(cell.put) +
            ",\"caught\":" + std::to_string(cell.caught) +
            ",\"delay_samples\":" + json_number(cell.delay_samples) + ",\"delay_seconds\":" +
            json_number(sample_seconds > 0 ? cell.delay_samples * sample_seconds : none) + "}";
  }
}

}  // namespace

std::string synthetic_sentence(const SyntheticResult& result, const SyntheticResult& random) {
  std::vector<std::string> caught;
  std::vector<std::string> missed;
  for (const auto& cells : kinds_of(result)) {
    std::string text = caught_of_kind(cells);
    if (text.empty()) {
      missed.emplace_back(detect::to_text(cells.front()->kind));
    } else {
      caught.push_back(std::move(text));
    }
  }
  std::string text =
      "On this stream " + result.detector + " would catch " +
      (caught.empty() ? "no kind reliably" : joined(caught)) + "; it would miss " +
      (missed.empty() ? "no kind wholly, only what is weaker or shorter" : joined(missed)) + ".";
  if (result.caught <= random.caught) {
    text += " Random scores catch as many: at this alarm level its alarms say nothing.";
  }
  return text;
}

void print_synthetic(const SyntheticHead& head, const std::vector<SyntheticResult>& results,
                     std::ostream& out) {
  out << "synthetic, " << head.run.mode << ", " << head.run.protocol << ": learned from "
      << head.train_rows << " of " << head.rows << " rows, anomalies put into the others, alarm at "
      << "p <= " << short_number(head.run.alarm_p, 3) << ", seed " << head.run.seed << "\n\n";
  Table table({{"detector", Table::Align::kLeft},
               {"caught", Table::Align::kRight},
               {"of", Table::Align::kRight},
               {"median delay", Table::Align::kRight},
               {"alarms without an anomaly", Table::Align::kRight},
               {"samples alarmed", Table::Align::kRight},
               {"seconds", Table::Align::kRight}});
  for (const SyntheticResult& result : results) {
    const std::string name = result.detector + (result.is_control ? " (control)" : "");
    if (!result.failure.empty()) {
      table.add({name, "-", "-", "-", "-", "-", short_number(result.seconds, 3)});
      continue;
    }
    table.add({name, percent(result.caught, result.put), std::to_string(result.put),
               delay_text(result.delay_samples, head.sample_seconds),
               std::to_string(result.clean_alarms) + " in " + std::to_string(result.clean_samples),
               percent(result.clean_alarmed, result.clean_samples),
               short_number(result.seconds, 3)});
  }
  table.print(out);
  const SyntheticResult& random = results.back();
  for (const SyntheticResult& result : results) {
    if (!result.is_control && result.failure.empty()) print_cells(result, random, out);
  }
  out << "\nStrengths are in spreads of a channel; amplitude's is a factor's. Caught: alarmed from "
         "the\n"
         "anomaly's begin to a window after its end, where neither an alarm was on before nor the\n"
         "recording itself has one.\n\n";
  for (const SyntheticResult& result : results) {
    if (result.is_control) continue;
    if (result.failure.empty()) {
      out << synthetic_sentence(result, random) << "\n";
    } else {
      out << result.detector << ": not learned or not scored: " << result.failure << "\n";
    }
  }
}

std::string synthetic_json(const SyntheticHead& head, const std::vector<SyntheticResult>& results) {
  std::string text =
      "{\"protocol\":" + json_string(kSynthetic) + ",\"mode\":" + json_string(head.run.mode) +
      ",\"file\":" + json_string(head.run.protocol) + ",\"rows\":" + std::to_string(head.rows) +
      ",\"train_rows\":" + std::to_string(head.train_rows) +
      ",\"seed\":" + std::to_string(head.run.seed) +
      ",\"alarm_p\":" + json_number(head.run.alarm_p) + ",\"results\":[";
  for (const SyntheticResult& result : results) {
    if (text.back() != '[') text += ',';
    const auto share = [](std::size_t part, std::size_t all) {
      return json_number(all == 0 ? std::nan("")
                                  : static_cast<double>(part) / static_cast<double>(all));
    };
    const bool is_known = result.failure.empty();
    const double delay = is_known ? result.delay_samples : std::nan("");
    text += "{\"detector\":" + json_string(result.detector) +
            ",\"control\":" + (result.is_control ? "true" : "false") +
            ",\"metrics\":{\"caught\":" + share(result.caught, result.put) +
            ",\"delay_samples\":" + json_number(delay) +
            ",\"clean_alarms\":" + (is_known ? std::to_string(result.clean_alarms) : "null") +
            ",\"clean_alarmed\":" + share(result.clean_alarmed, result.clean_samples) +
            "},\"put\":" + std::to_string(result.put) +
            ",\"failure\":" + (is_known ? "null" : json_string(result.failure)) +
            ",\"seconds\":" + json_number(result.seconds) + ",\"anomalies\":[";
    append_cells(result, head.sample_seconds, text);
    text += "]}";
  }
  return text + "]}";
}

}  // namespace anomalyd::app::ctl

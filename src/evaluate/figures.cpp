#include "evaluate/figures.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "evaluate/affiliation.h"
#include "evaluate/change_points.h"
#include "evaluate/events.h"
#include "evaluate/nab.h"
#include "evaluate/operation.h"
#include "evaluate/points.h"
#include "evaluate/vus.h"

namespace anomalyd::evaluate {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr double kSecondsPerDay = 86400;

/// Adds figures in order.
class Sheet {
 public:
  void add(std::string name, double value, bool oracle = false) {
    figures_.push_back({std::move(name), value, oracle});
  }
  std::vector<Figure> take() { return std::move(figures_); }

 private:
  std::vector<Figure> figures_;
};

/// The mean over the series that have the figure.
template <class Of>
double mean_of(const std::vector<JudgedSeries>& judged, const Of& of) {
  double sum = 0;
  double count = 0;
  for (const JudgedSeries& each : judged) {
    const double value = of(each);
    if (std::isnan(value)) continue;
    sum += value;
    ++count;
  }
  return count > 0 ? sum / count : kNone;
}

bool has_both(const JudgedSeries& judged) {
  const Marks truth = judged.truth();
  const auto marked = std::count_if(truth.begin(), truth.end(), [](auto t) { return t != 0; });
  return marked > 0 && marked < static_cast<std::ptrdiff_t>(truth.size());
}

/// Whether scores are known while there is time to act.
bool is_timely(const std::vector<JudgedSeries>& judged) {
  return std::all_of(judged.begin(), judged.end(), [](const JudgedSeries& each) {
    return each.known_at.empty() || each.known_at.front() != kNever;
  });
}

/// All samples of all series, one behind the other.
struct Pool {
  std::vector<double> score;
  std::vector<double> surprise;
  std::vector<std::uint8_t> truth;

  explicit Pool(const std::vector<JudgedSeries>& judged) {
    for (const JudgedSeries& each : judged) {
      score.insert(score.end(), each.score.begin(), each.score.end());
      surprise.insert(surprise.end(), each.surprise.begin(), each.surprise.end());
      const Marks marks = each.truth();
      truth.insert(truth.end(), marks.begin(), marks.end());
    }
  }
};

/// An alarm ends as the daemon's alerts do by default: above clear_factor = 100 times the p-value
/// at which it begins.
constexpr double kHeldOrders = 2;

std::vector<std::uint8_t> alarms_of(const JudgedSeries& judged, double threshold) {
  return alarms_held(judged.surprise, threshold, threshold - kHeldOrders);
}

Confusion pooled_confusion(const std::vector<JudgedSeries>& judged, double threshold) {
  Confusion sum;
  for (const JudgedSeries& each : judged) sum += confuse(each.truth(), alarms_of(each, threshold));
  return sum;
}

void add_changes(const std::vector<JudgedSeries>& judged, double threshold, Sheet& sheet) {
  std::vector<ChangeFile> files;
  for (const JudgedSeries& each : judged) {
    const Series& series = *each.series;
    ChangeFile file;
    for (const std::size_t row : series.changes) {
      if (row >= series.train) file.truth.push_back(series.times[row]);
    }
    for (const std::size_t row : edges_of(alarms_of(each, threshold))) {
      if (each.known_at[row] == kNever) break;
      file.found.push_back(series.times[series.train + each.known_at[row]]);
    }
    files.push_back(std::move(file));
  }
  const ChangeScore changes = change_point_score(files);
  const auto add = [&](const char* name, double value) {
    sheet.add(name, is_timely(judged) ? value : kNone);
  };
  add("changepoint_standard", changes.standard);
  add("changepoint_low_fp", changes.low_fp);
  add("changepoint_low_fn", changes.low_fn);
  add("changepoints_missed", static_cast<double>(changes.missed));
  add("changepoints_false", static_cast<double>(changes.false_alarms));
}

void add_skab(const std::vector<JudgedSeries>& judged, double threshold, Sheet& sheet) {
  const Confusion counts = pooled_confusion(judged, threshold);
  sheet.add("f1", counts.f1());
  sheet.add("far", 100 * counts.false_alarm_rate());
  sheet.add("mar", 100 * counts.missed_alarm_rate());
  const Pool pool(judged);
  const AtThreshold best = best_f1(pool.surprise, pool.truth);
  const Confusion at_best = confuse(pool.truth, alarms_at(pool.surprise, best.threshold));
  sheet.add("f1_best", best.value, true);
  sheet.add("far_at_f1_best", 100 * at_best.false_alarm_rate(), true);
  sheet.add("mar_at_f1_best", 100 * at_best.missed_alarm_rate(), true);
  sheet.add("mean_auroc",
            mean_of(judged, [](const auto& each) { return auc_roc(each.score, each.truth()); }));
  add_changes(judged, threshold, sheet);
}

/// A file for NAB, which counts rows from its start; those of probation are not scored. A row's
/// score goes to the row at which it is known.
NabFile nab_file(const JudgedSeries& judged, Scores scores) {
  NabFile file{std::vector<double>(judged.series->samples(), 0), judged.series->events};
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (judged.known_at[i] == kNever) continue;
    double& score = file.scores[judged.series->train + judged.known_at[i]];
    score = std::max(score, scores[i]);
  }
  return file;
}

void add_nab(const std::vector<JudgedSeries>& judged, Sheet& sheet) {
  std::vector<NabFile> corpus;
  std::vector<NabFile> raw;
  for (const JudgedSeries& each : judged) {
    corpus.push_back(nab_file(each, records_of(each.score)));
    raw.push_back(nab_file(each, each.score));
  }
  const bool timely = is_timely(judged);
  const auto oracle = [&](std::string name, double value) {
    sheet.add(std::move(name), timely ? value : kNone, true);
  };
  for (const NabProfile& profile : kNabProfiles) {
    const NabScore best = nab_best(corpus, profile);
    oracle(std::string(profile.name), best.score);
    if (&profile != kNabProfiles.data()) continue;
    oracle("standard_raw", nab_best(raw, profile).score);
    std::size_t windows = 0;
    std::size_t hit = 0;
    for (const NabFile& file : corpus) {
      for (const Span& window : file.windows) {
        ++windows;
        const auto first = file.scores.begin() + static_cast<std::ptrdiff_t>(window.begin);
        const auto last = file.scores.begin() + static_cast<std::ptrdiff_t>(window.end);
        if (*std::max_element(first, last) >= best.threshold) ++hit;
      }
    }
    sheet.add("windows", static_cast<double>(windows));
    oracle("windows_hit", static_cast<double>(hit));
    oracle("false_rows", static_cast<double>(best.fp));
  }
}

void add_ucr(const std::vector<JudgedSeries>& judged, Sheet& sheet) {
  sheet.add("hit_rate", mean_of(judged, [](const JudgedSeries& each) {
              return ucr_hit(each.score, each.events().front()) ? 1.0 : 0.0;
            }));
}

/// A recording is judged whole: by the mean of its scores, and by its highest.
void add_recordings(const std::vector<JudgedSeries>& judged, Sheet& sheet) {
  std::vector<double> means;
  std::vector<double> peaks;
  std::vector<std::uint8_t> faulty;
  for (const JudgedSeries& each : judged) {
    if (each.score.empty()) continue;
    double sum = 0;
    for (const double score : each.score) sum += score;
    means.push_back(sum / static_cast<double>(each.score.size()));
    peaks.push_back(*std::max_element(each.score.begin(), each.score.end()));
    faulty.push_back(each.series->events.empty() ? 0 : 1);
  }
  sheet.add("recording_auroc_mean", auc_roc(means, faulty));
  sheet.add("recording_auroc_peak", auc_roc(peaks, faulty));
}

void add_areas(ProtocolKind protocol, const std::vector<JudgedSeries>& judged, Sheet& sheet) {
  if (protocol == ProtocolKind::kRecordings) {
    const Pool pool(judged);
    sheet.add("auc_pr", auc_pr(pool.score, pool.truth));
    sheet.add("auc_roc", auc_roc(pool.score, pool.truth));
    return;
  }
  std::vector<Vus> volumes;
  volumes.reserve(judged.size());
  for (const JudgedSeries& each : judged) {
    volumes.push_back(has_both(each) ? vus(each.score, each.truth()) : Vus{kNone, kNone});
  }
  const auto volume = [&](const JudgedSeries& each) -> const Vus& {
    return volumes[static_cast<std::size_t>(&each - judged.data())];
  };
  // Where all is anomalous, any score has all the area under its precision.
  const auto precision = [](const JudgedSeries& each) {
    return has_both(each) ? auc_pr(each.score, each.truth()) : kNone;
  };
  sheet.add("vus_pr", mean_of(judged, [&](const auto& each) { return volume(each).pr; }));
  sheet.add("vus_roc", mean_of(judged, [&](const auto& each) { return volume(each).roc; }));
  sheet.add("auc_pr", mean_of(judged, precision));
  sheet.add("auc_roc", mean_of(judged, [](const auto& e) { return auc_roc(e.score, e.truth()); }));
}

void add_fixed(ProtocolKind protocol, const std::vector<JudgedSeries>& judged, double threshold,
               Sheet& sheet) {
  const auto mean = [&](const auto& of) {
    return mean_of(judged, [&](const JudgedSeries& each) {
      return has_both(each) ? of(each.truth(), alarms_of(each, threshold)) : kNone;
    });
  };
  const Confusion counts = pooled_confusion(judged, threshold);
  if (protocol != ProtocolKind::kSkab) sheet.add("f1", counts.f1());
  sheet.add("precision", counts.precision());
  sheet.add("recall", counts.recall());
  sheet.add("fc1_fixed", mean([](Marks t, Marks a) { return composite(t, a).f1(); }));
  sheet.add("range_precision", mean([](Marks t, Marks a) { return range_based(t, a).precision; }));
  sheet.add("range_recall", mean([](Marks t, Marks a) { return range_based(t, a).recall; }));
  sheet.add("event_precision", mean([](Marks t, Marks a) { return event_wise(t, a).precision; }));
  sheet.add("event_recall", mean([](Marks t, Marks a) { return event_wise(t, a).recall; }));
  sheet.add("affiliation_precision",
            mean([](Marks t, Marks a) { return affiliation(t, a).precision; }));
  sheet.add("affiliation_recall", mean([](Marks t, Marks a) { return affiliation(t, a).recall; }));
}

void add_oracles(ProtocolKind protocol, const std::vector<JudgedSeries>& judged, Sheet& sheet) {
  const auto mean = [&](const auto& of) {
    return mean_of(judged, [&](const JudgedSeries& each) {
      return has_both(each) ? of(each.score, each.truth()).value : kNone;
    });
  };
  sheet.add("fc1", mean([](Scores s, Marks t) { return best_composite(s, t); }), true);
  if (protocol != ProtocolKind::kSkab) {
    sheet.add("f1_best", mean([](Scores s, Marks t) { return best_f1(s, t); }), true);
  }
  sheet.add("pa_f1", mean([](Scores s, Marks t) { return best_point_adjusted_f1(s, t); }), true);
}

void add_operation(const std::vector<JudgedSeries>& judged, double threshold, Sheet& sheet) {
  const bool timed = std::all_of(judged.begin(), judged.end(), [](const JudgedSeries& each) {
    return each.series->sample_seconds > 0;
  });
  Operation fixed;
  Operation budget;
  fixed.false_alarms_per_day = fixed.mean_delay_seconds = kNone;
  budget.recall = budget.mean_delay_seconds = kNone;
  if (timed) {
    std::vector<ScoredStream> streams;
    for (const JudgedSeries& each : judged) {
      const Marks truth = each.truth();
      streams.push_back({each.surprise,
                         {truth.begin(), truth.end()},
                         each.series->sample_seconds,
                         each.known_at});
    }
    fixed = operation_at(streams, threshold);
    budget = operation_at_budget(streams);
  }
  sheet.add("false_alarms_per_day", fixed.false_alarms_per_day);
  sheet.add("detection_delay_seconds", fixed.mean_delay_seconds);
  sheet.add("recall_at_budget", budget.recall, true);
  sheet.add("delay_at_budget_seconds", budget.mean_delay_seconds, true);
}

/// Of series without an anomaly: rates promised against observed, and alerts.
void add_promise(const std::vector<JudgedSeries>& judged, Sheet& sheet) {
  std::vector<std::vector<double>> p_values;
  p_values.reserve(judged.size());
  double held = 0;
  double alerts = 0;
  double days = 0;
  for (const JudgedSeries& each : judged) {
    p_values.push_back(each.normal_p_values);
    held += static_cast<double>(each.held_windows);
    alerts += static_cast<double>(each.alerts.size());
    const double seconds = each.series->sample_seconds > 0 ? each.series->sample_seconds : 1;
    days += static_cast<double>(each.score.size()) * seconds / kSecondsPerDay;
  }
  const CalibrationPanel panel = calibration_panel(p_values);
  constexpr std::array<const char*, 3> kNames{"ratio_1e2", "ratio_1e3", "ratio_1e4"};
  for (std::size_t l = 0; l < kNames.size(); ++l) sheet.add(kNames[l], panel.ratios[l].pooled);
  sheet.add("streams_within_twice", panel.within_twice);
  const auto windows = static_cast<double>(panel.windows);
  sheet.add("windows", windows);
  sheet.add("held_share", windows + held > 0 ? held / (windows + held) : kNone);
  sheet.add("alerts", alerts);
  sheet.add("days", days);
}

void add_calibration(const std::vector<JudgedSeries>& judged, Sheet& sheet) {
  std::vector<std::vector<double>> p_values;
  p_values.reserve(judged.size());
  for (const JudgedSeries& each : judged) p_values.push_back(each.normal_p_values);
  const CalibrationPanel panel = calibration_panel(p_values);
  constexpr std::array<const char*, 3> kNames{"1e-2", "1e-3", "1e-4"};
  for (std::size_t l = 0; l < kNames.size(); ++l) {
    sheet.add(std::string("calibration_") + kNames[l], panel.ratios[l].pooled);
    sheet.add(std::string("calibration_worst_") + kNames[l], panel.ratios[l].worst_tenth);
  }
}

}  // namespace

std::vector<Span> JudgedSeries::events() const {
  std::vector<Span> judged;
  for (const Span& event : series->events) {
    if (event.end <= series->train) continue;
    judged.push_back(
        {std::max(event.begin, series->train) - series->train, event.end - series->train});
  }
  return judged;
}

std::vector<Headline> headlines(ProtocolKind protocol) {
  switch (protocol) {
    case ProtocolKind::kSkab:
      return {{"f1", "F1"},
              {"far", "FAR %"},
              {"mar", "MAR %"},
              {"f1_best", "F1 best*"},
              {"mean_auroc", "AUROC"},
              {"changepoint_standard", "CP NAB"},
              {"changepoint_low_fp", "CP low FP"},
              {"changepoint_low_fn", "CP low FN"},
              {"vus_pr", "VUS-PR"}};
    case ProtocolKind::kNab:
      return {{"standard", "standard*"}, {"standard_raw", "raw std*"},
              {"low_fp", "low FP*"},     {"low_fn", "low FN*"},
              {"windows_hit", "hit*"},   {"false_rows", "FP rows*"},
              {"vus_pr", "VUS-PR"},      {"recall_at_budget", "recall@1/d*"}};
    case ProtocolKind::kUcr:
      return {{"hit_rate", "hit rate"},
              {"vus_pr", "VUS-PR"},
              {"vus_roc", "VUS-ROC"},
              {"auc_pr", "AUC-PR"},
              {"auc_roc", "AUC-ROC"}};
    case ProtocolKind::kCsv:
      return {{"vus_pr", "VUS-PR"},
              {"vus_roc", "VUS-ROC"},
              {"auc_pr", "AUC-PR"},
              {"auc_roc", "AUC-ROC"},
              {"f1", "F1"},
              {"fc1", "Fc1*"},
              {"recall_at_budget", "recall@1/d*"}};
    case ProtocolKind::kRecordings:
      return {{"recording_auroc_mean", "AUROC mean"},
              {"recording_auroc_peak", "AUROC peak"},
              {"auc_roc", "AUC-ROC"},
              {"auc_pr", "AUC-PR"},
              {"f1", "F1"},
              {"recall_at_budget", "recall@1/d*"}};
    case ProtocolKind::kCalibration:
      return {{"ratio_1e2", "at 1e-2"}, {"ratio_1e3", "at 1e-3"},
              {"ratio_1e4", "at 1e-4"}, {"streams_within_twice", "streams <= 2x"},
              {"windows", "windows"},   {"held_share", "held"},
              {"alerts", "alerts"},     {"days", "days"}};
  }
  return {};
}

std::vector<std::string> cautions(ProtocolKind protocol) {
  switch (protocol) {
    case ProtocolKind::kSkab:
      return {
          "SKAB's F1 is beaten by a clock: every experiment has the same script, so the row "
          "\"clock\" looks at no sensor; the constant row is what always alarming gives.",
          "Published F1 figures: 0.78 at best (Conv-AE, MSET)."};
    case ProtocolKind::kNab:
      return {"NAB chooses one threshold for the whole corpus by the labels, as its board does.",
              "A row speaks where its score is above those of the 200 rows before it, a rule for "
              "this benchmark alone that is known to suit its labels; all rows of the table are "
              "judged so. \"raw std\" is the standard profile without it.",
              "Published: 74.85 (ARTime), 70.10 (HTM), 39.65 (windowed Gaussian), on 58 files."};
    case ProtocolKind::kUcr:
      return {"One anomaly a series, hit within 100 samples: nothing here punishes false alarms."};
    case ProtocolKind::kRecordings:
      return {
          "Every other normal recording trains. A recording's peak is higher the longer it is: "
          "compare with the random row."};
    case ProtocolKind::kCalibration:
      return {
          "Normal parts alone: how often windows had a p-value, over how often was promised; 1 is "
          "a "
          "promise kept. Windows count that were judged while no alert was open, and the one that "
          "opened it; \"held\" is the share of the others.",
          "Alerts are those of a budget of one a day; each is a false one."};
    case ProtocolKind::kCsv:
      return {};
  }
  return {};
}

std::vector<Figure> figures_of(ProtocolKind protocol, const std::vector<JudgedSeries>& judged,
                               double alarm_p) {
  const double threshold = -std::log10(alarm_p);
  Sheet sheet;
  switch (protocol) {
    case ProtocolKind::kSkab:
      add_skab(judged, threshold, sheet);
      break;
    case ProtocolKind::kNab:
      add_nab(judged, sheet);
      break;
    case ProtocolKind::kUcr:
      add_ucr(judged, sheet);
      break;
    case ProtocolKind::kRecordings:
      add_recordings(judged, sheet);
      break;
    case ProtocolKind::kCalibration:
      add_promise(judged, sheet);
      return sheet.take();
    case ProtocolKind::kCsv:
      break;
  }
  add_areas(protocol, judged, sheet);
  add_fixed(protocol, judged, threshold, sheet);
  add_oracles(protocol, judged, sheet);
  add_operation(judged, threshold, sheet);
  add_calibration(judged, sheet);
  return sheet.take();
}

double find_figure(const std::vector<Figure>& figures, std::string_view name) {
  for (const Figure& figure : figures) {
    if (figure.name == name) return figure.value;
  }
  return kNone;
}

}  // namespace anomalyd::evaluate

#include "evaluate/nab.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>

#include "base/check.h"

namespace anomalyd::evaluate {
namespace {

constexpr std::size_t kNoWindow = static_cast<std::size_t>(-1);

double scaled_sigmoid(double x) { return x >= 3 ? -1.0 : 2 / (1 + std::exp(5 * x)) - 1; }

/// A row that counts, and what an alarm there is worth.
struct Row {
  double score = 0;
  double worth = 0;
  std::size_t window = kNoWindow;  // of the corpus
};

/// What an alarm at row i is worth; `window` is the one that has not ended there, if there is one.
double worth_of(std::size_t i, const std::vector<Span>& windows, std::size_t window,
                const NabProfile& profile) {
  if (window < windows.size() && windows[window].contains(i)) {
    const Span& in = windows[window];
    const double position = -static_cast<double>(in.end - i) / static_cast<double>(in.size());
    return scaled_sigmoid(position) * profile.true_positive / scaled_sigmoid(-1);
  }
  double position = 3;
  if (window > 0 && windows[window - 1].size() > 1) {
    const Span& past = windows[window - 1];
    position = static_cast<double>(i - (past.end - 1)) / static_cast<double>(past.size() - 1);
  }
  return scaled_sigmoid(position) * profile.false_positive;
}

void check_file(const NabFile& file) {
  std::size_t past_end = 0;
  for (const Span& window : file.windows) {
    ANOMALYD_CHECK(
        past_end <= window.begin && window.begin < window.end && window.end <= file.scores.size(),
        "windows in order within their file");
    past_end = window.end;
  }
  ANOMALYD_CHECK(std::none_of(file.scores.begin(), file.scores.end(),
                              [](double score) { return std::isnan(score); }),
                 "a NaN has no place in an order");
}

/// The rows behind probation, in order of file and time.
std::vector<Row> rows_of(const std::vector<NabFile>& corpus, const NabProfile& profile) {
  std::vector<Row> rows;
  std::size_t windows_before = 0;
  for (const NabFile& file : corpus) {
    check_file(file);
    const std::size_t n = file.scores.size();
    std::size_t window = 0;  // that has not ended
    for (std::size_t i = 0; i < n; ++i) {
      while (window < file.windows.size() && i >= file.windows[window].end) ++window;
      if (i < nab_probation(n)) continue;
      Row row{file.scores[i], worth_of(i, file.windows, window, profile), kNoWindow};
      if (window < file.windows.size() && file.windows[window].contains(i)) {
        row.window = windows_before + window;
      }
      rows.push_back(row);
    }
    windows_before += file.windows.size();
  }
  return rows;
}

/// The running score while the threshold falls.
class Tally {
 public:
  Tally(const std::vector<Row>& rows, const NabProfile& profile) : profile_(profile) {
    std::size_t windows = 0;
    for (const Row& row : rows) {
      if (row.window == kNoWindow) {
        ++score_.tn;
        continue;
      }
      windows = std::max(windows, row.window + 1);
      ++score_.fn;
    }
    best_.assign(windows, std::numeric_limits<double>::quiet_NaN());
    for (const Row& row : rows) {
      if (row.window != kNoWindow) best_[row.window] = -profile.false_negative;
    }
    score_.threshold = std::numeric_limits<double>::infinity();
  }

  void alarm(const Row& row) {
    if (row.window == kNoWindow) {
      ++score_.fp;
      --score_.tn;
      false_alarms_ += row.worth;
      return;
    }
    ++score_.tp;
    --score_.fn;
    best_[row.window] = std::max(best_[row.window], row.worth);
  }

  NabScore at(double threshold) const {
    NabScore score = score_;
    score.threshold = threshold;
    double scored_windows = 0;
    score.raw = false_alarms_;
    for (const double worth : best_) {
      if (std::isnan(worth)) continue;  // all of it in probation
      score.raw += worth;
      ++scored_windows;
    }
    const double null = -profile_.false_negative * scored_windows;
    const double perfect = profile_.true_positive * scored_windows;
    score.score = 100 * (score.raw - null) / (perfect - null);
    return score;
  }

 private:
  const NabProfile& profile_;
  NabScore score_;
  double false_alarms_ = 0;
  std::vector<double> best_;  // worth of each window so far; NaN: not scored
};

}  // namespace

std::size_t nab_probation(std::size_t rows) { return std::min<std::size_t>(rows * 15 / 100, 750); }

std::vector<double> records_of(Scores scores, std::size_t quiet) {
  std::vector<double> records(scores.size(), 0);
  std::deque<std::size_t> highest;  // of the rows before, falling: the first is the largest
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (!highest.empty() && highest.front() + quiet < i) highest.pop_front();
    if (highest.empty() || scores[i] > scores[highest.front()]) records[i] = scores[i];
    while (!highest.empty() && scores[highest.back()] <= scores[i]) highest.pop_back();
    highest.push_back(i);
  }
  return records;
}

NabScore nab_at(const std::vector<NabFile>& corpus, const NabProfile& profile, double threshold) {
  const std::vector<Row> rows = rows_of(corpus, profile);
  Tally tally(rows, profile);
  for (const Row& row : rows) {
    if (row.score >= threshold) tally.alarm(row);
  }
  return tally.at(threshold);
}

NabScore nab_best(const std::vector<NabFile>& corpus, const NabProfile& profile) {
  std::vector<Row> rows = rows_of(corpus, profile);
  Tally tally(rows, profile);
  NabScore best = tally.at(std::numeric_limits<double>::infinity());
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.score > b.score; });
  for (std::size_t i = 0; i < rows.size();) {
    const double threshold = rows[i].score;
    for (; i < rows.size() && rows[i].score == threshold; ++i) tally.alarm(rows[i]);
    const NabScore score = tally.at(threshold);
    if (score.raw > best.raw) best = score;
  }
  return best;
}

}  // namespace anomalyd::evaluate

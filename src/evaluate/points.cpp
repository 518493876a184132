#include "evaluate/points.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace anomalyd::evaluate {
namespace {

double share(std::uint64_t part, std::uint64_t rest) {
  return part + rest == 0 ? 0 : static_cast<double>(part) / static_cast<double>(part + rest);
}

void check_input(Scores scores, Marks truth) {
  ANOMALYD_CHECK(scores.size() == truth.size(), "a score for each sample");
  ANOMALYD_CHECK(std::none_of(scores.begin(), scores.end(), [](double s) { return std::isnan(s); }),
                 "a NaN has no place in an order");
}

struct Totals {
  std::uint64_t anomalous = 0, normal = 0;
};

Totals count(Marks truth) {
  Totals totals;
  for (const std::uint8_t mark : truth) ++(mark != 0 ? totals.anomalous : totals.normal);
  return totals;
}

/// Calls `at(tp, fp, tp_before, fp_before, score)` for each distinct score, highest first.
template <class At>
void sweep(Scores scores, Marks truth, const At& at) {
  const std::vector<std::size_t> order = by_falling_score(scores);
  std::uint64_t tp = 0;
  std::uint64_t fp = 0;
  for (std::size_t i = 0; i < order.size();) {
    const double score = scores[order[i]];
    const std::uint64_t tp_before = tp;
    const std::uint64_t fp_before = fp;
    for (; i < order.size() && scores[order[i]] == score; ++i) ++(truth[order[i]] != 0 ? tp : fp);
    at(tp, fp, tp_before, fp_before, score);
  }
}

}  // namespace

Confusion& Confusion::operator+=(const Confusion& other) {
  tp += other.tp;
  fp += other.fp;
  tn += other.tn;
  fn += other.fn;
  return *this;
}
double Confusion::precision() const { return share(tp, fp); }
double Confusion::recall() const { return share(tp, fn); }
double Confusion::f1() const { return share(2 * tp, fp + fn); }
double Confusion::false_alarm_rate() const { return share(fp, tn); }
double Confusion::missed_alarm_rate() const { return share(fn, tp); }

Confusion confuse(Marks truth, Marks alarms) {
  ANOMALYD_CHECK(truth.size() == alarms.size(), "an alarm mark for each sample");
  Confusion counts;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    if (alarms[i] != 0) {
      ++(truth[i] != 0 ? counts.tp : counts.fp);
    } else {
      ++(truth[i] != 0 ? counts.fn : counts.tn);
    }
  }
  return counts;
}

double auc_roc(Scores scores, Marks truth) {
  check_input(scores, truth);
  const Totals totals = count(truth);
  if (totals.anomalous == 0 || totals.normal == 0) return std::numeric_limits<double>::quiet_NaN();
  double twice_area = 0;  // in units of one anomalous times one normal sample
  sweep(scores, truth,
        [&](std::uint64_t tp, std::uint64_t fp, std::uint64_t tp0, std::uint64_t fp0, double) {
          twice_area += static_cast<double>(fp - fp0) * static_cast<double>(tp + tp0);
        });
  return twice_area / 2 / static_cast<double>(totals.anomalous) /
         static_cast<double>(totals.normal);
}

double auc_pr(Scores scores, Marks truth) {
  check_input(scores, truth);
  const Totals totals = count(truth);
  if (totals.anomalous == 0) return std::numeric_limits<double>::quiet_NaN();
  double sum = 0;
  sweep(scores, truth,
        [&](std::uint64_t tp, std::uint64_t fp, std::uint64_t tp0, std::uint64_t, double) {
          sum += static_cast<double>(tp - tp0) * share(tp, fp);
        });
  return sum / static_cast<double>(totals.anomalous);
}

AtThreshold best_f1(Scores scores, Marks truth) {
  check_input(scores, truth);
  const Totals totals = count(truth);
  AtThreshold best{0, std::numeric_limits<double>::infinity()};
  sweep(scores, truth,
        [&](std::uint64_t tp, std::uint64_t fp, std::uint64_t, std::uint64_t, double score) {
          const double f1 = share(2 * tp, fp + totals.anomalous - tp);
          if (f1 > best.value) best = {f1, score};
        });
  return best;
}

}  // namespace anomalyd::evaluate

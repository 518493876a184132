#include <cmath>
#include <vector>

#include "evaluate/affiliation.h"
#include "evaluate/events.h"
#include "evaluate/points.h"
#include "evaluate/vus.h"
#include "support/catch.h"

namespace anomalyd::evaluate {
namespace {

using Truth = std::vector<std::uint8_t>;
using Values = std::vector<double>;

TEST_CASE("An alarm that is held goes on until it is clear", "[evaluate][spans]") {
  const std::vector<double> scores{0, 2, 3, 1.5, 1, 0.9, 2, 3.5, 0, 1};
  const std::vector<std::uint8_t> held{0, 0, 1, 1, 1, 0, 0, 1, 0, 0};
  CHECK(alarms_held(scores, 3, 1) == held);
  CHECK(alarms_held(scores, 3, 3) == alarms_at(scores, 3));
}

TEST_CASE("Spans are the maximal runs, at both ends too", "[evaluate][spans]") {
  CHECK(spans_of(Truth{}).empty());
  CHECK(spans_of(Truth{0, 0}).empty());
  CHECK(spans_of(Truth{1, 1, 0, 1}) == std::vector<Span>{{0, 2}, {3, 4}});
  CHECK(spans_of(Truth{0, 1}) == std::vector<Span>{{1, 2}});
}

TEST_CASE("A confusion counts and its shares of nothing are 0", "[evaluate][points]") {
  const Confusion c = confuse(Truth{1, 1, 1, 0, 0, 0, 0}, Truth{1, 0, 0, 1, 0, 0, 0});
  CHECK(c.tp == 1);
  CHECK(c.fp == 1);
  CHECK(c.fn == 2);
  CHECK(c.tn == 3);
  CHECK(c.precision() == Approx(1.0 / 2));
  CHECK(c.recall() == Approx(1.0 / 3));
  CHECK(c.f1() == Approx(2.0 / 5));
  CHECK(c.false_alarm_rate() == Approx(1.0 / 4));
  CHECK(c.missed_alarm_rate() == Approx(2.0 / 3));
  Confusion sum;
  CHECK(sum.f1() == 0);
  CHECK(sum.precision() == 0);
  sum += c;
  sum += c;
  CHECK(sum.fn == 4);
  CHECK(sum.f1() == Approx(c.f1()));
}

TEST_CASE("AUC-ROC counts the pairs in order, ties half", "[evaluate][points]") {
  // Pairs of (anomalous, normal): 3 > 1, 3 > 2, 2 > 1, 2 = 2: 3.5 of 4.
  CHECK(auc_roc(Values{1, 2, 2, 3}, Truth{0, 0, 1, 1}) == Approx(3.5 / 4));
  CHECK(auc_roc(Values{5, 5, 5}, Truth{0, 1, 0}) == Approx(0.5));
  CHECK(std::isnan(auc_roc(Values{1, 2}, Truth{0, 0})));
  CHECK(std::isnan(auc_roc(Values{1, 2}, Truth{1, 1})));
}

TEST_CASE("AUC-PR steps from recall to recall", "[evaluate][points]") {
  // At 4: P 1, R 1/2. At 3: P 1/2. At 2: P 2/3, R 1.
  CHECK(auc_pr(Values{1, 2, 3, 4}, Truth{0, 1, 0, 1}) == Approx(0.5 * 1 + 0.5 * 2 / 3));
  // All equal: one step with the prevalence as its precision.
  CHECK(auc_pr(Values{7, 7, 7, 7}, Truth{0, 1, 0, 0}) == Approx(0.25));
  CHECK(std::isnan(auc_pr(Values{1}, Truth{0})));
}

TEST_CASE("The best F1 comes with its threshold", "[evaluate][points]") {
  const AtThreshold best = best_f1(Values{1, 2, 3, 4}, Truth{0, 1, 0, 1});
  CHECK(best.value == Approx(0.8));  // P 2/3, R 1
  CHECK(best.threshold == 2);
  CHECK(best_f1(Values{1, 2}, Truth{0, 0}).value == 0);
}

TEST_CASE("VUS without a buffer counts what is found of each event", "[evaluate][vus]") {
  // One event, perfectly ranked; every score is a threshold. Precision is 1 up to full recall.
  const Vus perfect = vus(Values{0, 1, 5, 6, 2, 3}, Truth{0, 0, 1, 1, 0, 0}, 0, 6);
  CHECK(perfect.pr == Approx(1));
  CHECK(perfect.roc == Approx(1));
  // The event's score is the lowest: recall comes only with everything alarmed, precision 1/3.
  const Vus worst = vus(Values{3, 2, 1}, Truth{0, 0, 1}, 0, 3);
  CHECK(worst.pr == Approx(1.0 / 3));
  CHECK(worst.roc == Approx(0).margin(1e-12));
  CHECK(std::isnan(vus(Values{1, 2}, Truth{0, 0}).pr));
}

TEST_CASE("A buffer forgives being near, and only that", "[evaluate][vus]") {
  Truth truth(200, 0);
  for (std::size_t i = 100; i < 110; ++i) truth[i] = 1;
  const auto peak_at = [&](std::size_t at) {
    Values scores(200, 0);
    for (std::size_t i = at; i < at + 10; ++i) scores[i] = 1;
    return vus(scores, truth).pr;
  };
  CHECK(peak_at(100) > peak_at(108));
  CHECK(peak_at(108) > peak_at(115));
  CHECK(peak_at(115) > peak_at(170));
}

TEST_CASE("Range-based recall pays for being found once, whole and in one piece",
          "[evaluate][events]") {
  const Truth truth{0, 1, 1, 1, 1, 0, 0, 1, 1, 0};
  // The first event half found in two pieces: 0.2 + 0.8 * (2/4) / 2. The second not at all.
  const Truth alarms{0, 1, 0, 1, 0, 0, 0, 0, 0, 1};
  CHECK(range_based(truth, alarms).recall == Approx((0.2 + 0.8 * 0.5 / 2) / 2));
  CHECK(range_based(truth, alarms).precision == Approx(2.0 / 3));  // three alarms, two inside
  // One alarm over both events: overlap 6 of 8 samples, shared by two events.
  const Truth wide{0, 1, 1, 1, 1, 1, 1, 1, 1, 0};
  CHECK(range_based(truth, wide).precision == Approx(6.0 / 8 / 2));
  CHECK(range_based(truth, wide).recall == Approx(1));
  CHECK(range_based(truth, Truth(10, 0)).f1() == 0);
}

TEST_CASE("Event-wise figures count runs, the composite mixes both", "[evaluate][events]") {
  const Truth truth{0, 1, 1, 0, 0, 1, 0, 0};
  const Truth alarms{1, 1, 0, 0, 1, 0, 0, 1};
  CHECK(event_wise(truth, alarms).recall == Approx(0.5));
  CHECK(event_wise(truth, alarms).precision == Approx(1.0 / 3));
  CHECK(composite(truth, alarms).precision == Approx(1.0 / 4));
  CHECK(composite(truth, alarms).recall == Approx(0.5));
}

TEST_CASE("Point adjustment makes noise look good, which is why it stands beside noise",
          "[evaluate][events]") {
  Truth truth(1000, 0);
  for (std::size_t i = 300; i < 500; ++i) truth[i] = 1;
  Values noise(1000);
  std::uint64_t state = 1;
  for (double& value : noise) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    value = static_cast<double>(state >> 11U) * 0x1.0p-53;
  }
  CHECK(best_f1(noise, truth).value < 0.4);
  CHECK(best_point_adjusted_f1(noise, truth).value > 0.9);
}

TEST_CASE("The archive's hit is within a hundred samples of the range", "[evaluate][events]") {
  Values scores(1000, 0);
  const auto hit_at = [&](std::size_t at) {
    Values with = scores;
    with[at] = 1;
    return ucr_hit(with, {500, 511});  // 500..510
  };
  CHECK_FALSE(hit_at(399));
  CHECK(hit_at(400));
  CHECK(hit_at(610));
  CHECK_FALSE(hit_at(611));
  CHECK(ucr_hit(scores, {50, 60}));  // the first of equal scores is at 0
  CHECK_FALSE(ucr_hit(scores, {500, 511}));
}

TEST_CASE("Affiliation is 1 on the event, and falls with the distance", "[evaluate][affiliation]") {
  Truth truth(100, 0);
  truth[50] = 1;
  const auto alarm_at = [&](std::size_t at) {
    Truth alarms(100, 0);
    alarms[at] = 1;
    return affiliation(truth, alarms);
  };
  CHECK(alarm_at(50).precision == Approx(1));
  CHECK(alarm_at(50).recall == Approx(1));
  // Distances 9 to 10 from an event of length 1 in a zone of 100, the margin on the near side 49:
  // 1 - (2 d + 1) / 100 at the middle, d = 9.5.
  CHECK(alarm_at(60).precision == Approx(1 - 20.0 / 100));
  CHECK(alarm_at(95).precision < alarm_at(60).precision);
  CHECK(alarm_at(95).recall < alarm_at(60).recall);
  const PrecisionRecall silent = affiliation(truth, Truth(100, 0));
  CHECK(std::isnan(silent.precision));
  CHECK(silent.recall == 0);
  CHECK(std::isnan(affiliation(Truth(5, 0), Truth(5, 1)).recall));
}

}  // namespace
}  // namespace anomalyd::evaluate

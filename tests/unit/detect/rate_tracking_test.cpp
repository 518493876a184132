#include "detect/rate_tracking.h"

#include <cmath>
#include <limits>
#include <random>

#include "detect/calibration.h"
#include "support/catch.h"

namespace anomalyd::detect {
namespace {

TEST_CASE("What was never added leaves p-values as they are", "[detect][rates]") {
  const RateTracking rates;
  for (const double p : {1.0, 0.7, 0.1, 3e-3, 1e-4, 1e-6, 1e-9, kMinPValue}) {
    CHECK(rates.p_value(p) == Approx(p).epsilon(1e-9));
  }
  CHECK(std::isnan(rates.p_value(std::numeric_limits<double>::quiet_NaN())));
}

TEST_CASE("One step by hand", "[detect][rates]") {
  RateTracking rates;
  rates.add(1e-2);  // above the thresholds 1 and 1.5, not above 2
  // q_0 = 1 + 0.174 (1 - 0.1) = 1.1566; q_1 = 1.5 + 0.174 sqrt(10^0.5) (1 - 10^-1.5) = 1.79963;
  // q_2 = 2 - 0.174 sqrt(10) 0.01 = 1.9945. x = 1 lies below q_0: l = 1 / 1.1566.
  CHECK(-std::log10(rates.p_value(0.1)) == Approx(1 / 1.1566).epsilon(1e-6));
  // Between q_1 and q_2: l = 1.5 + 0.5 (1.9 - q_1) / (q_2 - q_1).
  const double q1 = 1.5 + 0.174 * std::sqrt(std::sqrt(10.0)) * (1 - std::pow(10, -1.5));
  const double q2 = 2 - 0.174 * std::sqrt(10.0) * 0.01;
  CHECK(-std::log10(rates.p_value(std::pow(10, -1.9))) ==
        Approx(1.5 + 0.5 * (1.9 - q1) / (q2 - q1)).epsilon(1e-6));
}

TEST_CASE("A common oddity does not hide what is rare", "[detect][rates]") {
  RateTracking rates;
  for (int i = 0; i < 200; ++i) rates.add(2e-4);
  CHECK(rates.p_value(2e-4) > 0.02);
  CHECK(rates.p_value(1e-9) <= 1e-7);
  CHECK(rates.p_value(kMinPValue) <= 1e-9);
}

TEST_CASE("What hid an incident's like is over in time", "[detect][rates]") {
  RateTracking rates;
  const double incident = std::pow(10, -8.2);
  const double fire = std::pow(10, -6.975);
  CHECK(rates.p_value(incident) <= fire);
  rates.add(incident);
  CHECK(rates.p_value(incident) > fire);
  for (int i = 0; i < 10'000'000; ++i) rates.add(0.5);
  CHECK(rates.p_value(incident) <= fire);
}

// Each window a little rarer than the one before, as where a smoothed score meets a fault.
TEST_CASE("A fault that comes on over some windows reaches the p-value of an alert",
          "[detect][rates]") {
  for (const double fire : {6.97, 4.4, 8.3, 11.0}) {
    RateTracking rates;
    for (int i = 0; i < 3000; ++i) rates.add(i % 100 == 0 ? 2e-3 : 0.4);
    bool fired = false;
    for (double x = 2; x <= 15 && !fired; x += 0.2) {
      const double p = std::pow(10, -x);
      fired = rates.p_value(p) <= std::pow(10, -fire);
      if (!fired) rates.add(p);
    }
    INFO(fire);
    CHECK(fired);
  }
}

TEST_CASE("Nothing makes it blind or touchy for good", "[detect][rates]") {
  RateTracking rates;
  for (int i = 0; i < 100000; ++i) rates.add(kMinPValue);
  CHECK(rates.p_value(1e-12) <= 1e-8);
  for (int i = 0; i < 100000; ++i) rates.add(1);
  CHECK(rates.p_value(1) == 1);
  CHECK(rates.p_value(0.6) > 0.1);
}

TEST_CASE("p-values keep their order", "[detect][rates]") {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> exponent(0, 15);
  RateTracking rates;
  for (int i = 0; i < 3000; ++i) {
    rates.add(std::pow(10, -exponent(random) * exponent(random) / 15));
    if (i % 50 != 0) continue;
    double before = 1;
    for (double x = 0; x <= 15; x += 0.01) {
      const double p = rates.p_value(std::pow(10, -x));
      REQUIRE(p <= before);
      REQUIRE(p >= kMinPValue);
      before = p;
    }
  }
}

// A score that drifts and depends on its past: the calibration's p-values promise far too much.
TEST_CASE("Promised rates hold on data that drift and depend on their past", "[detect][rates]") {
  constexpr int kWindows = 200000;
  std::mt19937_64 random(7);
  std::normal_distribution<double> noise;
  RateTracking rates;
  double state = 0;
  int raw = 0;
  int at_1e2 = 0;
  int at_1e3 = 0;
  for (int i = 0; i < kWindows; ++i) {
    state = 0.95 * state + std::sqrt(1 - 0.95 * 0.95) * noise(random);
    const double drift = 1.5 * std::sin(i * 2e-4);
    const double p = std::max(kMinPValue, 0.5 * std::erfc((state + drift) / std::sqrt(2.0)));
    const double kept = rates.p_value(p);
    if (p <= 1e-3) ++raw;
    if (kept <= 1e-2) ++at_1e2;
    if (kept <= 1e-3) ++at_1e3;
    rates.add(p);
  }
  CHECK(raw > 10 * 1e-3 * kWindows);
  // Where commoner levels push it, a level errs on the quiet side.
  CHECK(at_1e2 > 0.5 * 1e-2 * kWindows);
  CHECK(at_1e2 < 1.1 * 1e-2 * kWindows);
  CHECK(at_1e3 < 1.25 * 1e-3 * kWindows);
}

TEST_CASE("A state goes through an archive, and a wrong one is refused", "[detect][rates]") {
  RateTracking rates;
  for (int i = 0; i < 50; ++i) rates.add(i % 7 == 0 ? 1e-5 : 0.3);
  Archive out;
  rates.archive(out);
  const std::vector<std::byte> bytes = out.take();
  Archive in(bytes);
  RateTracking back;
  back.archive(in);
  REQUIRE(in.finish().ok());
  for (const double p : {0.5, 1e-2, 1e-4, 1e-8}) CHECK(back.p_value(p) == rates.p_value(p));
  const std::vector<std::byte> zeros(bytes.size());
  Archive wrong(zeros);
  RateTracking untouched;
  untouched.archive(wrong);
  CHECK(!wrong.finish().ok());
}

}  // namespace
}  // namespace anomalyd::detect

#include "detect/calibration.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "nn/tensor_file.h"
#include "signals.h"
#include "support/catch.h"

namespace anomalyd::detect {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<float> one_to(int n) {
  std::vector<float> scores;
  for (int i = 1; i <= n; ++i) scores.push_back(static_cast<float>(i));
  return scores;
}

std::vector<float> exponential(std::size_t n, std::uint64_t seed) {
  std::mt19937_64 bits(seed);
  std::vector<float> scores;
  for (std::size_t i = 0; i < n; ++i) {
    scores.push_back(static_cast<float>(-std::log(1 - nn::unit_uniform(bits))));
  }
  return scores;
}

TEST_CASE("Below the tail a p-value counts the scores that are as high", "[detect][calibration]") {
  const Calibration calibration = Calibration::fit(one_to(39)).value();
  // (1 + #{s_i >= s}) / 40
  CHECK(calibration.p_value(0) == 1);
  CHECK(calibration.p_value(1) == 1);
  CHECK(calibration.p_value(2) == Approx(39.0 / 40));
  CHECK(calibration.p_value(1.5) == Approx(39.0 / 40));
  CHECK(calibration.p_value(10) == Approx(31.0 / 40));
  CHECK(calibration.p_value(29) == Approx(12.0 / 40));
}

TEST_CASE("The tail is the generalised Pareto of hand-worked moments", "[detect][calibration]") {
  // The ten above u = 29 exceed it by 1..10: a0 = 5.5, a1 = sum i (10 - i) / 90 = 165 / 90;
  // a0 - 2 a1 = 11 / 6, so shape = 2 - 3 = -1: an end at 10 that is not believed. Exponential
  // with the mean excess then.
  const Calibration calibration = Calibration::fit(one_to(39)).value();
  CHECK(calibration.p_value(29 + 5.5) == Approx(11.0 / 40 * std::exp(-1.0)));
  CHECK(calibration.p_value(29 + 55) == Approx(11.0 / 40 * std::exp(-10.0)));
}

TEST_CASE("The tail agrees with SciPy's L-moments and genpareto", "[detect][calibration][golden]") {
  const auto file =
      nn::read_tensor_file(ANOMALYD_SOURCE_DIR "/tests/golden/calibration.safetensors");
  REQUIRE(file.ok());
  const auto values = [&](const std::string& name) -> const std::vector<float>& {
    return file.value().tensors.at(name).values;
  };
  for (const std::string name : {"heavy", "light"}) {
    INFO(name);
    const Calibration calibration = Calibration::fit(values(name + ".scores")).value();
    for (std::size_t i = 0; i < values(name + ".at").size(); ++i) {
      const double expected = static_cast<double>(values(name + ".p")[i]);
      // scale and shape are kept as float32: 1e-7 of each, times the logarithm of p.
      CHECK(calibration.p_value(static_cast<double>(values(name + ".at")[i])) ==
            Approx(expected).epsilon(1e-5));
    }
  }
}

TEST_CASE("p-values never rise with the score and stay within bounds", "[detect][calibration]") {
  for (const std::uint64_t seed : {1, 2, 3}) {
    for (const std::size_t n : {20, 50, 1000}) {
      const Calibration calibration = Calibration::fit(exponential(n, seed)).value();
      double before = 1;
      for (double score = -1; score < 200; score += 0.01) {
        const double p = calibration.p_value(score);
        REQUIRE(p <= before);
        REQUIRE(p >= kMinPValue);
        before = p;
      }
      CHECK(before < 1e-6);
      CHECK(calibration.p_value(1e30) >= kMinPValue);
    }
  }
}

TEST_CASE("NaN stays NaN and infinite scores are at the ends",
          "[detect][calibration][non-finite]") {
  std::vector<float> scores = one_to(39);
  scores.push_back(std::numeric_limits<float>::quiet_NaN());
  scores.push_back(std::numeric_limits<float>::infinity());
  const Calibration calibration = Calibration::fit(scores).value();
  CHECK(calibration.p_value(10) == Approx(31.0 / 40));  // the two were not counted
  CHECK(std::isnan(calibration.p_value(std::nan(""))));
  CHECK(calibration.p_value(kInfinity) == kMinPValue);
  CHECK(calibration.p_value(-kInfinity) == 1);
}

TEST_CASE("Constant scores say that anything above is new, no more", "[detect][calibration]") {
  const Calibration calibration = Calibration::fit(std::vector<float>(99, 2.0F)).value();
  CHECK(calibration.p_value(2) == 1);
  CHECK(calibration.p_value(2.001) == Approx(1.0 / 100));
  CHECK(calibration.p_value(1e9) == Approx(1.0 / 100));
  CHECK(calibration.quantile(1e-6) == kInfinity);
}

TEST_CASE("Too few finite scores are refused with their number", "[detect][calibration][errors]") {
  std::vector<float> scores = one_to(20);
  scores[3] = std::numeric_limits<float>::quiet_NaN();
  const auto refused = Calibration::fit(scores);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().message.find("19 finite scores, at least 20") != std::string::npos);
}

TEST_CASE("A quantile is where its p-value is reached", "[detect][calibration]") {
  for (const std::size_t n : {20, 333, 5000}) {
    const Calibration calibration = Calibration::fit(exponential(n, 7)).value();
    for (const double p : {0.9, 0.5, 0.2, 0.11, 0.01, 1e-4, 1e-8, 2e-15}) {
      const double at = calibration.quantile(p);
      CHECK(calibration.p_value(at) <= p);
      CHECK(calibration.p_value(at - 1e-6 * (1 + std::abs(at))) > p * (1 - 1e-5));
    }
    CHECK(calibration.quantile(1) == -kInfinity);
    CHECK(calibration.quantile(1e-16) == kInfinity);
    CHECK(std::isnan(calibration.quantile(std::nan(""))));
  }
}

TEST_CASE("Held-out normal scores raise false alarms no more often than promised",
          "[detect][calibration][statistics]") {
  // The promise is on the average over calibrations, so: many of them, each tried on fresh
  // scores of the same law, and the total held against a binomial bound of four sigma.
  for (const double p : {0.1, 0.01, 0.001}) {
    constexpr std::size_t kCalibrations = 60;
    constexpr std::size_t kTrials = 2000;
    std::size_t alarms = 0;
    for (std::size_t i = 0; i < kCalibrations; ++i) {
      const Calibration calibration = Calibration::fit(exponential(1000, 100 + i)).value();
      for (const float score : exponential(kTrials, 10000 + i)) {
        if (calibration.p_value(static_cast<double>(score)) <= p) ++alarms;
      }
    }
    const double n = kCalibrations * kTrials;
    const double expected = n * p;
    // Trials share their calibration: its own scatter, sqrt(p / n_calibration) each, is added.
    const double sigma = std::sqrt(n * p * (1 - p)) +
                         n * std::sqrt(p / 1000.0) / std::sqrt(static_cast<double>(kCalibrations));
    INFO("p " << p << ": " << alarms << " alarms, " << expected << " promised");
    CHECK(static_cast<double>(alarms) < expected + 4 * sigma);
    CHECK(static_cast<double>(alarms) > 0.4 * expected);  // and it is no mute either
  }
}

TEST_CASE("A calibration goes through floats unchanged", "[detect][calibration]") {
  for (const std::size_t n : {20, 77, 4000}) {
    const Calibration calibration = Calibration::fit(exponential(n, 3)).value();
    const std::vector<float> floats = calibration.to_floats();
    CHECK(floats.size() <= 5 + 2 * Calibration::kMaxQuantiles);
    const auto again = Calibration::from_floats(floats);
    REQUIRE(again.ok());
    CHECK(again.value().to_floats() == floats);
    for (double score = -1; score < 40; score += 0.37) {
      CHECK(again.value().p_value(score) == calibration.p_value(score));
    }
  }
}

TEST_CASE("Broken floats are refused with the reason", "[detect][calibration][errors]") {
  const std::vector<float> good = Calibration::fit(one_to(39)).value().to_floats();
  const auto refusal = [&](std::size_t at, float value) {
    std::vector<float> broken = good;
    broken[at] = value;
    const auto parsed = Calibration::from_floats(broken);
    REQUIRE_FALSE(parsed.ok());
    CHECK(parsed.error().code == ErrorCode::kCorrupt);
    return parsed.error().message;
  };
  const std::size_t knots = (good.size() - 5) / 2;
  CHECK(refusal(0, 3).find("count") != std::string::npos);
  CHECK(refusal(1, 1e9F).find("tail does not start") != std::string::npos);
  CHECK(refusal(2, 0).find("tail's p-value") != std::string::npos);
  CHECK(refusal(3, -1).find("negative scale") != std::string::npos);
  CHECK(refusal(4, 0.75F).find("shape") != std::string::npos);
  CHECK(refusal(4, std::nanf("")).find("not finite") != std::string::npos);
  CHECK(refusal(6, -5).find("do not ascend") != std::string::npos);
  CHECK(refusal(5 + knots, 0.99F).find("first p-value") != std::string::npos);
  CHECK(refusal(6 + knots, 2).find("do not descend") != std::string::npos);
  CHECK_FALSE(Calibration::from_floats({}).ok());
  CHECK_FALSE(Calibration::from_floats(std::vector<float>(1000, 0.0F)).ok());
}

TEST_CASE("A budget is a number per unit", "[detect][budget]") {
  CHECK(Budget::parse("1 per week").value().alerts_per_second == 1.0 / 604800);
  CHECK(Budget::parse(" 0.5  per hour ").value().alerts_per_second == 0.5 / 3600);
  CHECK(Budget::parse("2 per day").value().alerts_per_second == 2.0 / 86400);
  CHECK(Budget::parse("3 per minute").value().alerts_per_second == 3.0 / 60);
  CHECK(Budget::parse("1 per year").value().alerts_per_second == 1.0 / (365.25 * 86400));
  CHECK(Budget::parse("12 per month").value().alerts_per_second ==
        Approx(Budget::parse("144 per year").value().alerts_per_second));
  for (const char* text :
       {"", "1", "1 per", "per week", "1 week", "1 per fortnight", "0 per day", "-1 per day",
        "nan per day", "inf per day", "1x per day", "1 per week or so", "1e999 per day"}) {
    const auto refused = Budget::parse(text);
    INFO(text);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().message.find("<number> per <minute|hour|day|week|month|year>") !=
          std::string::npos);
  }
}

TEST_CASE("The p-value that fires is the budget's rate times the hop, within bounds",
          "[detect][budget]") {
  const Budget weekly = Budget::parse("1 per week").value();
  CHECK(fire_p_value(weekly, 604.8) == Approx(0.001));
  CHECK(fire_p_value(weekly, 1e9) == 0.05);
  CHECK(fire_p_value(weekly, 1e-12) == 10 * kMinPValue);
}

}  // namespace
}  // namespace anomalyd::detect

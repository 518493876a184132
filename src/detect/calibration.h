#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/archive.h"
#include "base/result.h"

namespace anomalyd::detect {

inline constexpr double kMinPValue = 1e-15;

/// p(s) = the chance that a normal window scores s or more: empirical below the tail's start u,
/// generalised Pareto above, p(s) = p_u (1 + shape (s - u) / scale)^(-1 / shape).
///
/// Units     scores of one detector; a p-value has none.
/// Errors    fit() returns kInvalidArgument for fewer than kMinScores finite scores.
/// Numerics  non-increasing in s over the whole line; in [kMinPValue, 1]; NaN for NaN, kMinPValue
///           for +Inf. Constant scores are legal: anything above them is at most 1 / (n + 1).
/// Cost      bounded size whatever n: at most kMaxQuantiles stored scores.
/// Threads   a value; const is safe to share.
/// Source    tail: Hosking and Wallis 1987 (probability-weighted moments), with the shape of m
///           excesses drawn to the exponential, times m / (m + 30), and held in [0, 0.5];
///           empirical part: split conformal, (1 + #{s_i >= s}) / (n + 1).
class Calibration {
 public:
  static constexpr std::size_t kMinScores = 20;
  static constexpr std::size_t kMaxQuantiles = 64;

  static Result<Calibration> fit(std::span<const float> scores);
  double p_value(double score) const;
  /// The smallest score whose p-value is at most `p`: where a threshold stands.
  double quantile(double p) const;

  /// For the detector file: a flat form and back. Errors  kCorrupt.
  std::vector<float> to_floats() const;
  static Result<Calibration> from_floats(std::span<const float> values);
  std::size_t bytes() const;
  /// Of one in a stream's state, there or not.
  static void archive(Archive& archive, std::unique_ptr<Calibration>& calibration);

 private:
  Calibration() = default;
  std::vector<float> quantiles_;  // ascending scores below and at u
  std::vector<float> tails_;      // p-value at each of them, descending
  double tail_start_ = 0;         // u
  double tail_p_ = 1;             // p_u
  double scale_ = 0;              // 0: no tail beyond u
  double shape_ = 0;
};

/// False alerts per second that a stream may raise: "1 per week", "2 per day", "0.5 per hour".
struct Budget {
  double alerts_per_second = 1.0 / (7 * 86400);
  /// Errors   kInvalidArgument: "<number> per <minute|hour|day|week|month|year>" was expected.
  static Result<Budget> parse(std::string_view text);
};

/// The p-value at which an alert starts, so that windows `hop_seconds` apart that all were
/// independent would start one at the budget's rate: rate * hop, at most 0.05 and at least
/// 10 * kMinPValue. Overlapping windows depend on each other, which errs on the quiet side.
double fire_p_value(const Budget& budget, double hop_seconds);

}  // namespace anomalyd::detect

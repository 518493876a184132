#include "detect/calibration.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace anomalyd::detect {
namespace {

constexpr double kTailShare = 0.1;          // of the scores make the tail
constexpr std::size_t kMinTailScores = 10;  // fewer say nothing about a tail
// A negative shape has an end, beyond which everything would be impossible: too bold a claim
// from a few scores, so that the exponential is the lightest tail. Above one half the variance
// is infinite and no budget could be met.
constexpr double kMaxShape = 0.5;
// The shape of a few excesses is mostly chance (its deviation is about 1 / sqrt(m)), and far out
// in the tail a chance shape of 0.5 would hide any anomaly: it counts for m / (m + 30).
constexpr double kShapePrior = 30;
constexpr std::size_t kHeaderFloats = 5;  // count, start, p, scale, shape

struct Tail {
  double scale = 0;
  double shape = 0;
};

/// Generalised Pareto of ascending excesses by probability-weighted moments:
/// a0 = E[y], a1 = E[y (1 - F(y))]; shape = 2 - a0 / (a0 - 2 a1), scale = a0 (1 - shape).
Tail fit_tail(std::span<const double> excesses) {
  const auto m = static_cast<double>(excesses.size());
  double a0 = 0;
  double a1 = 0;
  for (std::size_t i = 0; i < excesses.size(); ++i) {
    a0 += excesses[i] / m;
    a1 += excesses[i] * (m - 1.0 - static_cast<double>(i)) / (m * (m - 1.0));
  }
  if (!(a0 > 0)) return {};
  const double spread = a0 - 2.0 * a1;
  double shape = spread > 0 ? 2.0 - a0 / spread : 0.0;
  shape = std::clamp(shape * m / (m + kShapePrior), 0.0, kMaxShape);
  // The scale that keeps the mean excess, scale / (1 - shape), with the shape as it is now.
  return {a0 * (1.0 - shape), shape};
}

double as_float(double value) { return static_cast<double>(static_cast<float>(value)); }

}  // namespace

Result<Calibration> Calibration::fit(std::span<const float> scores) {
  std::vector<float> sorted;
  sorted.reserve(scores.size());
  for (const float score : scores) {
    if (std::isfinite(score)) sorted.push_back(score);
  }
  if (sorted.size() < kMinScores) {
    return Error{ErrorCode::kInvalidArgument, "calibration: " + std::to_string(sorted.size()) +
                                                  " finite scores, at least " +
                                                  std::to_string(kMinScores) + " are needed"};
  }
  std::sort(sorted.begin(), sorted.end());
  const std::size_t n = sorted.size();
  const auto above = [&](float score) {  // p just above `score`: (1 + #{s_i > score}) / (n + 1)
    const auto first = std::upper_bound(sorted.begin(), sorted.end(), score);
    return static_cast<float>(static_cast<double>(1 + (sorted.end() - first)) /
                              static_cast<double>(n + 1));
  };

  const std::size_t tail_scores =
      std::max(kMinTailScores, static_cast<std::size_t>(kTailShare * static_cast<double>(n)));
  const std::size_t start = n - tail_scores - 1;
  Calibration made;
  const std::size_t knots = std::min(kMaxQuantiles, start + 1);
  for (std::size_t i = 0; i < knots; ++i) {
    // Evenly spread ranks, the last at `start`.
    const std::size_t rank = knots == 1 ? start : i * start / (knots - 1);
    if (!made.quantiles_.empty() && made.quantiles_.back() == sorted[rank]) continue;
    // p of all scores since the knot before: of those in between, the larger one, so that
    // thinning never makes a window look rarer than it is.
    made.tails_.push_back(made.quantiles_.empty() ? 1.0F : above(made.quantiles_.back()));
    made.quantiles_.push_back(sorted[rank]);
  }
  made.tail_start_ = static_cast<double>(sorted[start]);
  made.tail_p_ = static_cast<double>(above(sorted[start]));
  std::vector<double> excesses;
  for (const float score : sorted) {
    const double excess = static_cast<double>(score) - made.tail_start_;
    if (excess > 0) excesses.push_back(excess);
  }
  if (excesses.size() >= 2) {
    const Tail tail = fit_tail(excesses);
    made.scale_ = as_float(std::min(tail.scale, 1e30));
    made.shape_ = as_float(tail.shape);
  }
  return made;
}

double Calibration::p_value(double score) const {
  if (std::isnan(score)) return score;
  if (score == std::numeric_limits<double>::infinity()) return kMinPValue;
  if (score <= tail_start_) {
    const auto knot =
        std::lower_bound(quantiles_.begin(), quantiles_.end(), score,
                         [](float q, double s) { return static_cast<double>(q) < s; });
    return static_cast<double>(tails_[static_cast<std::size_t>(knot - quantiles_.begin())]);
  }
  if (!(scale_ > 0)) return tail_p_;
  const double excess = (score - tail_start_) / scale_;
  const double decay = shape_ > 0 ? std::log1p(shape_ * excess) / shape_ : excess;
  return std::max(kMinPValue, tail_p_ * std::exp(-decay));
}

double Calibration::quantile(double p) const {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (std::isnan(p)) return p;
  if (p >= 1) return -kInfinity;
  if (p < kMinPValue) return kInfinity;
  if (p >= tail_p_) {
    // p_value() steps down just above a knot.
    for (std::size_t i = 0; i + 1 < tails_.size(); ++i) {
      if (static_cast<double>(tails_[i + 1]) <= p) {
        return std::nextafter(static_cast<double>(quantiles_[i]), kInfinity);
      }
    }
    return std::nextafter(tail_start_, kInfinity);
  }
  if (!(scale_ > 0)) return kInfinity;
  const double decay = std::log(tail_p_ / p);
  const double excess = shape_ > 0 ? std::expm1(shape_ * decay) / shape_ : decay;
  double score = tail_start_ + excess * scale_;
  // Rounding may leave it a few steps short; the step doubles so that this ends at once.
  for (double step = std::abs(score) * 1e-16 + 1e-300; p_value(score) > p; step *= 2) score += step;
  return score;
}

std::vector<float> Calibration::to_floats() const {
  std::vector<float> values{static_cast<float>(quantiles_.size()), static_cast<float>(tail_start_),
                            static_cast<float>(tail_p_), static_cast<float>(scale_),
                            static_cast<float>(shape_)};
  values.insert(values.end(), quantiles_.begin(), quantiles_.end());
  values.insert(values.end(), tails_.begin(), tails_.end());
  return values;
}

Result<Calibration> Calibration::from_floats(std::span<const float> values) {
  const auto corrupt = [](const std::string& what) {
    return Error{ErrorCode::kCorrupt, "calibration: " + what};
  };
  for (const float value : values) {
    if (!std::isfinite(value)) return corrupt("holds a number that is not finite");
  }
  if (values.size() < kHeaderFloats + 2 || values.size() > kHeaderFloats + 2 * kMaxQuantiles) {
    return corrupt(std::to_string(values.size()) + " numbers, expected 7 to " +
                   std::to_string(kHeaderFloats + 2 * kMaxQuantiles));
  }
  const std::size_t knots = (values.size() - kHeaderFloats) / 2;
  if (values.size() != kHeaderFloats + 2 * knots || values[0] != static_cast<float>(knots)) {
    return corrupt("its count does not fit its " + std::to_string(values.size()) + " numbers");
  }
  Calibration made;
  made.tail_start_ = static_cast<double>(values[1]);
  made.tail_p_ = static_cast<double>(values[2]);
  made.scale_ = static_cast<double>(values[3]);
  made.shape_ = static_cast<double>(values[4]);
  const auto* quantiles = values.data() + kHeaderFloats;
  made.quantiles_.assign(quantiles, quantiles + knots);
  made.tails_.assign(quantiles + knots, quantiles + 2 * knots);
  for (std::size_t i = 1; i < knots; ++i) {
    if (!(made.quantiles_[i] > made.quantiles_[i - 1])) return corrupt("scores do not ascend");
    if (!(made.tails_[i] <= made.tails_[i - 1])) return corrupt("p-values do not descend");
  }
  if (made.quantiles_.back() != values[1])
    return corrupt("the tail does not start at the last score");
  if (made.tails_.front() != 1.0F) return corrupt("the first p-value is not 1");
  if (!(values[2] > 0 && values[2] <= made.tails_.back())) {
    return corrupt("the tail's p-value is not in (0, " + std::to_string(made.tails_.back()) + "]");
  }
  if (!(made.scale_ >= 0)) return corrupt("negative scale");
  if (!(made.shape_ >= 0 && made.shape_ <= kMaxShape)) return corrupt("shape is not in [0, 0.5]");
  return made;
}

void Calibration::archive(Archive& archive, std::unique_ptr<Calibration>& calibration) {
  std::vector<float> values;
  if (!archive.reads()) values = calibration->to_floats();
  archive.list(values, 0, kHeaderFloats + 2 * kMaxQuantiles, "numbers of a calibration");
  if (!archive.reads() || !archive.ok()) return;
  Result<Calibration> made = from_floats(values);
  if (!made.ok()) {
    archive.fail(made.error().message);
    return;
  }
  calibration = std::make_unique<Calibration>(std::move(made).value());
}

std::size_t Calibration::bytes() const {
  return (quantiles_.capacity() + tails_.capacity()) * sizeof(float);
}

Result<Budget> Budget::parse(std::string_view text) {
  const auto refuse = [&] {
    return Error{ErrorCode::kInvalidArgument,
                 "\"" + std::string(text.substr(0, 64)) +
                     "\": expected \"<number> per <minute|hour|day|week|month|year>\", such as "
                     "\"1 per week\", with a number above 0"};
  };
  constexpr double kDay = 86400;
  constexpr std::pair<std::string_view, double> kUnits[] = {{"minute", 60},
                                                            {"hour", 3600},
                                                            {"day", kDay},
                                                            {"week", 7 * kDay},
                                                            {"month", 30.4375 * kDay},
                                                            {"year", 365.25 * kDay}};
  std::string_view words[3];
  std::size_t count = 0;
  std::string_view rest = text;
  while (true) {
    const std::size_t begin = rest.find_first_not_of(' ');
    if (begin == std::string_view::npos) break;
    if (count == 3) return refuse();
    rest.remove_prefix(begin);
    words[count++] = rest.substr(0, rest.find(' '));
    rest.remove_prefix(words[count - 1].size());
  }
  if (count != 3 || words[1] != "per") return refuse();
  double number = 0;
  const char* end = words[0].data() + words[0].size();
  const auto parsed = std::from_chars(words[0].data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end) return refuse();
  if (!(number > 0) || !std::isfinite(number)) return refuse();
  for (const auto& [unit, seconds] : kUnits) {
    if (words[2] == unit) return Budget{number / seconds};
  }
  return refuse();
}

double fire_p_value(const Budget& budget, double hop_seconds) {
  return std::clamp(budget.alerts_per_second * hop_seconds, 10 * kMinPValue, 0.05);
}

}  // namespace anomalyd::detect

#include "nn/optimiser.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/check.h"

namespace anomalyd::nn {
namespace {

// Weights of one item of work: about as long as waking a thread takes.
constexpr std::size_t kRange = 16384;
constexpr double kStepsDigit = 1 << 20U;  // of the two digits of the step count

bool is_fraction(double value) { return value >= 0 && value < 1; }

Error out_of_range(const char* what, double value, const char* expected) {
  return Error{ErrorCode::kInvalidArgument, std::string("optimiser: ") + what + " is " +
                                                std::to_string(value) + ", expected " + expected};
}

}  // namespace

/// What all weights of one step share.
template <class Scalar>
struct Optimiser<Scalar>::Factors {
  Scalar decay = 0;   // into the gradient
  Scalar shrink = 1;  // of the weights before the step
  Scalar rate = 0;
  Scalar keep1 = 0;
  Scalar take1 = 0;
  Scalar keep2 = 0;
  Scalar take2 = 0;
  Scalar root = 1;
  Scalar epsilon = 0;
};

Status OptimiserOptions::check() const {
  if (!(rate >= 0) || !std::isfinite(rate)) {
    return out_of_range("rate", rate, "a finite number of 0 or more");
  }
  if (!(weight_decay >= 0) || !std::isfinite(weight_decay)) {
    return out_of_range("weight_decay", weight_decay, "a finite number of 0 or more");
  }
  if (!is_fraction(momentum)) return out_of_range("momentum", momentum, "0 or more and below 1");
  if (!is_fraction(beta1)) return out_of_range("beta1", beta1, "0 or more and below 1");
  if (!is_fraction(beta2)) return out_of_range("beta2", beta2, "0 or more and below 1");
  if (!(epsilon > 0) || !std::isfinite(epsilon)) {
    return out_of_range("epsilon", epsilon, "a finite number above 0");
  }
  if (nesterov && momentum == 0) {
    return out_of_range("momentum", momentum, "a number above 0 with nesterov");
  }
  return Done{};
}

Result<OptimiserOptions::Kind> OptimiserOptions::kind_of(std::string_view name) {
  if (name == "sgd") return Kind::kSgd;
  if (name == "adam") return Kind::kAdam;
  if (name == "adamw") return Kind::kAdamW;
  return Error{ErrorCode::kUnsupported, "optimiser: unknown kind \"" + std::string(name) +
                                            "\", expected sgd, adam or adamw"};
}

template <class Scalar>
Result<Optimiser<Scalar>> Optimiser<Scalar>::make(const OptimiserOptions& options,
                                                  std::size_t weights, WorkerPool& pool) {
  if (Status status = options.check(); !status.ok()) return status.error();
  return Optimiser(options, weights, pool);
}

template <class Scalar>
Optimiser<Scalar>::Optimiser(const OptimiserOptions& options, std::size_t weights, WorkerPool& pool)
    : options_(options), weights_(weights), pool_(&pool) {
  const bool is_sgd = options.kind == OptimiserOptions::Kind::kSgd;
  if (!is_sgd || options.momentum > 0) first_.assign(weights, Scalar(0));
  if (!is_sgd) second_.assign(weights, Scalar(0));
}

template <class Scalar>
void Optimiser<Scalar>::step(std::span<Scalar> weights, std::span<const Scalar> gradient) {
  ANOMALYD_CHECK(weights.size() == weights_ && gradient.size() == weights_,
                 "optimiser: weights and gradient must be as many as it was made for");
  steps_[0] += 1;
  if (static_cast<double>(steps_[0]) == kStepsDigit) {
    steps_[0] = 0;
    steps_[1] += 1;
  }
  const double t = static_cast<double>(steps_[1]) * kStepsDigit + static_cast<double>(steps_[0]);
  Factors factors;
  const bool is_sgd = options_.kind == OptimiserOptions::Kind::kSgd;
  if (options_.kind == OptimiserOptions::Kind::kAdamW) {
    factors.shrink = static_cast<Scalar>(1 - options_.rate * options_.weight_decay);
  } else {
    factors.decay = static_cast<Scalar>(options_.weight_decay);
  }
  if (is_sgd) {
    factors.rate = static_cast<Scalar>(options_.rate);
    factors.keep1 = static_cast<Scalar>(options_.momentum);
  } else {
    factors.rate = static_cast<Scalar>(options_.rate / (1 - std::pow(options_.beta1, t)));
    factors.root = static_cast<Scalar>(1 / std::sqrt(1 - std::pow(options_.beta2, t)));
    factors.keep1 = static_cast<Scalar>(options_.beta1);
    factors.take1 = static_cast<Scalar>(1 - options_.beta1);
    factors.keep2 = static_cast<Scalar>(options_.beta2);
    factors.take2 = static_cast<Scalar>(1 - options_.beta2);
    factors.epsilon = static_cast<Scalar>(options_.epsilon);
  }
  const std::size_t ranges = (weights_ + kRange - 1) / kRange;
  const auto work = [&](std::size_t range, std::size_t /*thread*/) {
    step_range(factors, weights, gradient, range * kRange,
               std::min(weights_, (range + 1) * kRange));
  };
  // By reference, so that the function object allocates nothing.
  pool_->run(ranges, std::ref(work));
}

// Plain loops without calls or branches, and no -ffast-math: each operation is rounded by itself,
// so their bits are the same however wide the compiler makes them.
template <class Scalar>
void Optimiser<Scalar>::step_range(const Factors& factors, std::span<Scalar> weights,
                                   std::span<const Scalar> gradient, std::size_t begin,
                                   std::size_t end) {
  const Factors f = factors;
  const std::size_t count = end - begin;
  Scalar* __restrict w = weights.data() + begin;
  const Scalar* __restrict g = gradient.data() + begin;
  if (options_.kind == OptimiserOptions::Kind::kSgd) {
    if (first_.empty()) {
      for (std::size_t i = 0; i < count; ++i) w[i] -= f.rate * (g[i] + f.decay * w[i]);
      return;
    }
    Scalar* __restrict m = first_.data() + begin;
    if (options_.nesterov) {
      for (std::size_t i = 0; i < count; ++i) {
        const Scalar slope = g[i] + f.decay * w[i];
        m[i] = f.keep1 * m[i] + slope;
        w[i] -= f.rate * (slope + f.keep1 * m[i]);
      }
      return;
    }
    for (std::size_t i = 0; i < count; ++i) {
      m[i] = f.keep1 * m[i] + (g[i] + f.decay * w[i]);
      w[i] -= f.rate * m[i];
    }
    return;
  }
  Scalar* __restrict m = first_.data() + begin;
  Scalar* __restrict v = second_.data() + begin;
  for (std::size_t i = 0; i < count; ++i) {
    const Scalar slope = g[i] + f.decay * w[i];
    m[i] = f.keep1 * m[i] + f.take1 * slope;
    v[i] = f.keep2 * v[i] + f.take2 * slope * slope;
    w[i] = f.shrink * w[i] - f.rate * m[i] / (std::sqrt(v[i]) * f.root + f.epsilon);
  }
}

template <class Scalar>
std::vector<NamedArray<Scalar>> Optimiser<Scalar>::state() {
  std::vector<NamedArray<Scalar>> arrays;
  arrays.push_back({"steps", {steps_.size()}, steps_});
  if (!first_.empty()) arrays.push_back({"first", {first_.size()}, first_});
  if (!second_.empty()) arrays.push_back({"second", {second_.size()}, second_});
  return arrays;
}

template <class Scalar>
double clip_by_norm(std::span<Scalar> gradient, double limit) {
  ANOMALYD_CHECK(limit > 0, "clip_by_norm: limit must be above 0");
  constexpr std::size_t kSums = 8;
  std::array<double, kSums> sums{};
  const std::size_t whole = gradient.size() / kSums * kSums;
  for (std::size_t i = 0; i < whole; i += kSums) {
    for (std::size_t lane = 0; lane < kSums; ++lane) {
      const auto value = static_cast<double>(gradient[i + lane]);
      sums[lane] += value * value;
    }
  }
  for (std::size_t i = whole; i < gradient.size(); ++i) {
    const auto value = static_cast<double>(gradient[i]);
    sums[i - whole] += value * value;
  }
  double squared = 0;
  for (const double sum : sums) squared += sum;
  const double norm = std::sqrt(squared);
  if (std::isfinite(norm) && norm > limit) {
    const auto scale = static_cast<Scalar>(limit / norm);
    for (Scalar& value : gradient) value *= scale;
  }
  return norm;
}

template class Optimiser<float>;
template class Optimiser<double>;
template double clip_by_norm<float>(std::span<float>, double);
template double clip_by_norm<double>(std::span<double>, double);

}  // namespace anomalyd::nn

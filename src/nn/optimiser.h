#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/worker_pool.h"
#include "nn/buffer.h"
#include "nn/network.h"

namespace anomalyd::nn {

/// How weights w follow their gradient g at step t = 1, 2, ..., with learning rate r.
///
/// sgd    g += d w;  m = momentum m + g;  w -= r m, or with Nesterov's look ahead
///        w -= r (g + momentum m)
/// adam   g += d w;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;
///        w -= r m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon)
/// adamw  w -= r d w first, and then adam's step without d
///
/// Source    Sutskever et al. 2013; Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019,
///           algorithm 2; all in the form of torch.optim.
struct OptimiserOptions {
  enum class Kind { kSgd, kAdam, kAdamW };
  Kind kind = Kind::kAdam;
  double rate = 1e-3;
  double weight_decay = 0;  ///< d
  double momentum = 0;      ///< of kSgd
  bool nesterov = false;    ///< of kSgd
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;

  /// Errors   kInvalidArgument with the number that is out of its range: rate and weight_decay
  ///          0 or more, momentum and the betas in [0, 1), epsilon above 0, all finite; Nesterov
  ///          without momentum.
  Status check() const;
  /// "sgd", "adam" or "adamw".  Errors  kUnsupported, listing the known.
  static Result<Kind> kind_of(std::string_view name);
};

/// One of these, with its moments, for weights that lie one after the other.
///
/// Errors    a span of another size is a bug: ANOMALYD_CHECK.
/// Numerics  moments are kept as Scalar; the corrections 1 - b^t are computed in double. A
///           weight's bits depend on its own history alone, not on threads. NaN and Inf propagate
///           to their weight: who trains looks at the loss and at state().
/// Cost      no allocation in step().
/// Threads   one at a time; uses all threads of the pool.
template <class Scalar>
class Optimiser {
 public:
  /// For `weights` numbers. `pool` must outlive this.
  /// Errors   those of OptimiserOptions::check().
  static Result<Optimiser> make(const OptimiserOptions& options, std::size_t weights,
                                WorkerPool& pool);

  double rate() const { return options_.rate; }
  void set_rate(double rate) { options_.rate = rate; }

  void step(std::span<Scalar> weights, std::span<const Scalar> gradient);

  /// All that a checkpoint must hold, seen in place: "steps", and "first" and "second" as the kind
  /// has them. Valid for as long as the optimiser stays where it is.
  std::vector<NamedArray<Scalar>> state();

 private:
  Optimiser(const OptimiserOptions& options, std::size_t weights, WorkerPool& pool);

  struct Factors;
  void step_range(const Factors& factors, std::span<Scalar> weights,
                  std::span<const Scalar> gradient, std::size_t begin, std::size_t end);

  OptimiserOptions options_;
  std::size_t weights_;
  WorkerPool* pool_;
  // In two digits, so that a float holds them exactly and state() is all there is.
  std::array<Scalar, 2> steps_{};
  Buffer<Scalar> first_;   // m
  Buffer<Scalar> second_;  // v
};

/// Scales `gradient` so that its Euclidean norm is at most `limit`; returns the norm it had.
///
/// Numerics  summed in double in 8 interleaved partial sums, added in order. A gradient whose norm
///           is NaN or Inf is left as it is: no scale would make a step of it.
/// Source    torch.nn.utils.clip_grad_norm_, without its 1e-6.
template <class Scalar>
double clip_by_norm(std::span<Scalar> gradient, double limit);

extern template class Optimiser<float>;
extern template class Optimiser<double>;
extern template double clip_by_norm<float>(std::span<float>, double);
extern template double clip_by_norm<double>(std::span<double>, double);

}  // namespace anomalyd::nn

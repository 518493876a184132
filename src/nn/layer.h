#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "nn/buffer.h"
#include "nn/initialiser.h"
#include "nn/kernels.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// Scoring: running statistics, no dropout, no noise; a row's result depends on that row alone.
enum class Mode { kScoring, kTraining };

/// An array that a layer trains.
struct ParameterSpec {
  std::string name;  ///< "weights", "bias"; in a Network "<layer>.weights"
  std::vector<std::size_t> shape;
  Initialiser initialiser;
};

/// An array that a layer keeps but no optimiser moves: running statistics.
struct BufferSpec {
  std::string name;
  std::vector<std::size_t> shape;
  double initial = 0;
  double least = -std::numeric_limits<double>::infinity();  ///< what a file may hold
};

/// What a layer works out from its weights once a step, before any row passes: packed weights.
template <class Scalar>
struct Prepared {
  std::vector<Buffer<Scalar>> packed;
  Scratch<Scalar> scratch;  ///< for prepare() itself
};

/// How many values a layer may read.
inline constexpr std::size_t kMaxInputs = 8;

/// The surroundings of one call on some rows of a batch. Everything but `scratch` is shared by the
/// threads that work at the same batch.
template <class Scalar>
struct Call {
  Mode mode = Mode::kScoring;
  const Kernels<Scalar>* kernels = nullptr;
  const Scalar* weights = nullptr;  ///< the layer's parameters one after the other
  const Scalar* buffers = nullptr;  ///< its buffers likewise
  const Prepared<Scalar>* prepared = nullptr;
  const double* sums = nullptr;           ///< over the batch, from gather()
  const double* gradient_sums = nullptr;  ///< over the batch, from gather_gradient()
  Eigen::Index batch_rows = 0;
  Eigen::Index first_row = 0;  ///< of these rows in the batch
  std::uint64_t seed = 0;      ///< of this layer in this step; random(row) grows from it
  Scratch<Scalar>* scratch = nullptr;

  /// The seed of the generator that a row of this call draws from: the same in backward(), and
  /// however the batch is cut.
  std::uint64_t row_seed(Eigen::Index row) const;
};

/// One step y = f(x_1, x_2, ...) of a network, with its backward pass. A layer is sizes and
/// arithmetic; its numbers are in the Network and come with the call.
///
/// Shapes    rows of windows: x[i] (n, in_i.size()), y (n, out.size()); gradients as their value.
/// Errors    sizes out of range are refused where the layer is made and by out_shape(); a wrong
///           shape in a call is a bug: ANOMALYD_CHECK.
/// Numerics  a row of y depends on that row of x alone, to the last bit, but for layers with sums
///           in training. NaN and Inf propagate.
/// Cost      no heap allocation once `scratch` has grown.
/// Threads   const and safe to share; each thread brings its scratch and its gradient.
template <class Scalar>
class Layer {
 public:
  using In = std::span<const Rows<const Scalar>>;
  using InGradient = std::span<const Rows<Scalar>>;

  virtual ~Layer() = default;

  /// The shape that forward() makes of `in`.  Errors  kInvalidArgument when it does not fit.
  virtual Result<Shape> out_shape(std::span<const Shape> in) const = 0;
  virtual std::vector<ParameterSpec> parameters() const { return {}; }
  virtual std::vector<BufferSpec> buffers() const { return {}; }
  /// Numbers a row that forward() hands to backward() beside x and y.
  virtual Eigen::Index kept_size(std::span<const Shape> /*in*/) const { return 0; }
  /// Numbers that it needs beside x, y, kept and the weights to run one row: padded copies and
  /// packed weights. For the limits of a network: what a file may ask for.
  virtual double working_numbers(std::span<const Shape> /*in*/) const { return 0; }
  /// Floating-point operations of one row's forward(); a multiply-add is two.
  virtual double flops(std::span<const Shape> in) const = 0;
  /// The operations that would take as long in a product that fills the lanes. For the limits.
  virtual double work(std::span<const Shape> in) const { return flops(in); }

  /// Sets buffers that depend on the first weights, once these are drawn.
  virtual void begin(const Scalar* /*weights*/, Scalar* /*buffers*/) const {}

  /// Packs the weights. In training it may move buffers (a step of power iteration).
  virtual void prepare(Mode /*mode*/, const Scalar* /*weights*/, Scalar* /*buffers*/,
                       Prepared<Scalar>& /*prepared*/) const {}

  /// How many sums over the batch forward() needs in training; backward() needs gradient_sums()
  /// more. Zero for all but batch norm.
  virtual Eigen::Index sums() const { return 0; }
  virtual Eigen::Index gradient_sums() const { return 0; }
  /// Adds what these rows give to sums.
  virtual void gather(In /*x*/, double* /*sums*/) const {}
  virtual void gather_gradient(const Call<Scalar>& /*call*/, In /*x*/, Rows<const Scalar> /*dy*/,
                               double* /*sums*/) const {}
  /// Moves the buffers by a whole batch's sums, once a training step.
  virtual void settle(const double* /*sums*/, Eigen::Index /*batch_rows*/,
                      Scalar* /*buffers*/) const {}

  /// Writes y and kept.
  virtual void forward(const Call<Scalar>& call, In x, Rows<Scalar> y, Rows<Scalar> kept) const = 0;

  /// Given what forward() read and wrote, and dy = dL/dy: writes dx[i] = dL/dx[i] unless its data
  /// is null, and adds dL/dparameters to `gradient` unless that is null. In what order `gradient`
  /// holds them is the layer's own affair until finish_gradient().
  virtual void backward(const Call<Scalar>& call, In x, Rows<const Scalar> y,
                        Rows<const Scalar> kept, Rows<const Scalar> dy, InGradient dx,
                        Scalar* gradient) const = 0;

  /// Makes of the sum of all rows' `gradient` the gradient of the weights in their order.
  virtual void finish_gradient(const Scalar* /*weights*/, const Scalar* /*buffers*/,
                               Scratch<Scalar>& /*scratch*/, Scalar* /*gradient*/) const {}
};

/// What a layer's factory refused, or made.
template <class Scalar>
using MadeLayer = Result<std::unique_ptr<Layer<Scalar>>>;

}  // namespace anomalyd::nn

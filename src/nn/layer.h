#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// What one row of a batch holds: time steps x channels, time-major.
struct Shape {
  Eigen::Index samples = 0;
  Eigen::Index channels = 0;
  Eigen::Index size() const { return samples * channels; }
  bool operator==(const Shape&) const = default;
};

/// A trained array of a layer and where its gradient gathers. Views: they live as the layer does.
template <class Scalar>
struct Parameter {
  std::string name;  ///< "weights", "bias"; in a Network "<layer>.weights"
  std::vector<std::size_t> shape;
  std::span<Scalar> value;
  std::span<Scalar> gradient;
};

/// One step y = f(x) of a network, with its backward pass.
///
/// Shapes    x (n, in.size())  y (n, out.size()); gradients as their value.
/// Errors    a wrong shape in forward() or backward() is a bug: ANOMALYD_CHECK.
/// Numerics  a row of y depends on that row of x alone, to the last bit. NaN and Inf propagate.
/// Threads   forward() is const and safe to share; the rest is not.
template <class Scalar>
class Layer {
 public:
  virtual ~Layer() = default;

  /// The shape that forward() makes of `in`.  Errors  kInvalidArgument when it does not fit.
  virtual Result<Shape> out_shape(Shape in) const = 0;

  /// Writes y = f(x). `y` is resized if needed and must not alias `x`.
  virtual void forward(const Matrix<Scalar>& x, Matrix<Scalar>& y) const = 0;

  /// Adds dL/dparameters to the held gradients and writes dL/dx, given the `x` of the forward()
  /// call and dy = dL/dy.
  virtual void backward(const Matrix<Scalar>& x, const Matrix<Scalar>& dy, Matrix<Scalar>& dx) = 0;

  virtual std::vector<Parameter<Scalar>> parameters() { return {}; }
  virtual std::unique_ptr<Layer> clone() const = 0;
};

/// Uniform in +-sqrt(6 / (in + out)) from `seed`: the same on every platform.
/// Source    Glorot and Bengio 2010, eq. 16.
template <class Scalar>
void fill_glorot(std::span<Scalar> weights, Eigen::Index in, Eigen::Index out, std::uint64_t seed);

extern template void fill_glorot<float>(std::span<float>, Eigen::Index, Eigen::Index,
                                        std::uint64_t);
extern template void fill_glorot<double>(std::span<double>, Eigen::Index, Eigen::Index,
                                         std::uint64_t);

}  // namespace anomalyd::nn

#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "nn/layer.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// Fully connected layer, y = x W + b, with its backward pass.
///
/// Shapes    x (n, in)  W (in, out)  b (1, out)  y (n, out); gradients as their value.
/// Units     none: x holds normalised numbers, not sensor units.
/// Errors    make() returns kInvalidArgument when in < 1 or out < 1.
/// Numerics  float at run time; double is instantiated for the gradient check.
/// Cost      forward n*in*out multiply-adds; no allocation once y has its shape.
/// Source    Initialisation: Glorot and Bengio 2010, eq. 16.
template <class Scalar>
class Dense final : public Layer<Scalar> {
 public:
  /// W uniform in +-sqrt(6 / (in + out)) from `seed`, b zero.
  static Result<Dense> make(Eigen::Index in, Eigen::Index out, std::uint64_t seed);

  Eigen::Index in_features() const { return weights_.rows(); }
  Eigen::Index out_features() const { return weights_.cols(); }

  Result<Shape> out_shape(Shape in) const override;
  void forward(const Matrix<Scalar>& x, Matrix<Scalar>& y) const override;
  void backward(const Matrix<Scalar>& x, const Matrix<Scalar>& dy, Matrix<Scalar>& dx) override;
  std::vector<Parameter<Scalar>> parameters() override;
  std::unique_ptr<Layer<Scalar>> clone() const override;

  Matrix<Scalar>& weights() { return weights_; }
  RowVector<Scalar>& bias() { return bias_; }
  const Matrix<Scalar>& weight_gradient() const { return weight_gradient_; }
  const RowVector<Scalar>& bias_gradient() const { return bias_gradient_; }

 private:
  Dense(Eigen::Index in, Eigen::Index out);

  Matrix<Scalar> weights_;           // (in, out)
  RowVector<Scalar> bias_;           // (1, out)
  Matrix<Scalar> weight_gradient_;   // (in, out)
  RowVector<Scalar> bias_gradient_;  // (1, out)
};

extern template class Dense<float>;
extern template class Dense<double>;

}  // namespace anomalyd::nn

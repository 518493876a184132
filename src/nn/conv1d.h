#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "nn/layer.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// The sizes of a convolution over time.
struct ConvSize {
  Eigen::Index in = 0;   ///< channels of x
  Eigen::Index out = 0;  ///< channels of y
  Eigen::Index kernel = 1;
  Eigen::Index stride = 1;
  Eigen::Index padding = 0;  ///< zeros at each end of x (Conv1d), cut from y (ConvTranspose1d)
};

/// Convolution over time, y[t] = b + sum_j x[t * stride + j - padding] W[j], zeros outside.
///
/// Shapes    x (n, t * in)  W (kernel * in, out)  b (1, out)  y (n, t' * out), time-major, with
///           t' = (t + 2 padding - kernel) / stride + 1, rounded down.
/// Units     none: x holds normalised numbers.
/// Errors    make() returns kInvalidArgument for sizes out of range, naming them.
/// Numerics  float at run time; double for the gradient check. A window's output is b, then its
///           products in ascending (j, channel): it does not depend on the batch around it.
/// Cost      forward n * t' * kernel * in * out multiply-adds, one allocation a call for the
///           padded window. The receptive fields are read in place, rows overlapping.
/// Source    Cross-correlation as in torch.nn.Conv1d, channels last.
template <class Scalar>
class Conv1d final : public Layer<Scalar> {
 public:
  /// Weights after Glorot with fans kernel * in and kernel * out, bias zero.
  static Result<Conv1d> make(const ConvSize& size, std::uint64_t seed);

  Result<Shape> out_shape(Shape in) const override;
  void forward(const Matrix<Scalar>& x, Matrix<Scalar>& y) const override;
  void backward(const Matrix<Scalar>& x, const Matrix<Scalar>& dy, Matrix<Scalar>& dx) override;
  std::vector<Parameter<Scalar>> parameters() override;
  std::unique_ptr<Layer<Scalar>> clone() const override;

  Matrix<Scalar>& weights() { return weights_; }
  RowVector<Scalar>& bias() { return bias_; }

 private:
  explicit Conv1d(const ConvSize& size);

  ConvSize size_;
  Matrix<Scalar> weights_;  // (kernel * in, out)
  RowVector<Scalar> bias_;
  Matrix<Scalar> weight_gradient_;
  RowVector<Scalar> bias_gradient_;
};

/// Transposed convolution, the adjoint of Conv1d in x: every x[t] adds x[t] W[j] to
/// y[t * stride + j - padding]; then b.
///
/// Shapes    x (n, t * in)  W (in, kernel * out)  b (1, out)  y (n, t' * out), time-major, with
///           t' = (t - 1) stride + kernel - 2 padding.
/// Units     none: x holds normalised numbers.
/// Errors    make() returns kInvalidArgument for sizes out of range, naming them.
/// Numerics  as Conv1d: sums in ascending (t, j), then b.
/// Cost      forward n * t * kernel * in * out multiply-adds, two allocations a call.
/// Source    as torch.nn.ConvTranspose1d, channels last.
template <class Scalar>
class ConvTranspose1d final : public Layer<Scalar> {
 public:
  static Result<ConvTranspose1d> make(const ConvSize& size, std::uint64_t seed);

  Result<Shape> out_shape(Shape in) const override;
  void forward(const Matrix<Scalar>& x, Matrix<Scalar>& y) const override;
  void backward(const Matrix<Scalar>& x, const Matrix<Scalar>& dy, Matrix<Scalar>& dx) override;
  std::vector<Parameter<Scalar>> parameters() override;
  std::unique_ptr<Layer<Scalar>> clone() const override;

  Matrix<Scalar>& weights() { return weights_; }
  RowVector<Scalar>& bias() { return bias_; }

 private:
  explicit ConvTranspose1d(const ConvSize& size);

  ConvSize size_;
  Matrix<Scalar> weights_;  // (in, kernel * out)
  RowVector<Scalar> bias_;
  Matrix<Scalar> weight_gradient_;
  RowVector<Scalar> bias_gradient_;
};

extern template class Conv1d<float>;
extern template class Conv1d<double>;
extern template class ConvTranspose1d<float>;
extern template class ConvTranspose1d<double>;

}  // namespace anomalyd::nn

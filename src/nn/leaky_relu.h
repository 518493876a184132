#pragma once

#include <memory>

#include "base/result.h"
#include "nn/layer.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// y = x where x > 0, else slope * x.
///
/// Shapes    y as x.
/// Errors    make() returns kInvalidArgument when slope is not in [0, 1).
/// Numerics  the derivative at 0 is the slope.
/// Source    Maas, Hannun and Ng 2013.
template <class Scalar>
class LeakyRelu final : public Layer<Scalar> {
 public:
  static Result<LeakyRelu> make(double slope);

  Result<Shape> out_shape(Shape in) const override { return in; }
  void forward(const Matrix<Scalar>& x, Matrix<Scalar>& y) const override;
  void backward(const Matrix<Scalar>& x, const Matrix<Scalar>& dy, Matrix<Scalar>& dx) override;
  std::unique_ptr<Layer<Scalar>> clone() const override;

 private:
  explicit LeakyRelu(Scalar slope) : slope_(slope) {}

  Scalar slope_;
};

extern template class LeakyRelu<float>;
extern template class LeakyRelu<double>;

}  // namespace anomalyd::nn

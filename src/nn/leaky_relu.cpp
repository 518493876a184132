#include "nn/leaky_relu.h"

#include <string>

namespace anomalyd::nn {

template <class Scalar>
Result<LeakyRelu<Scalar>> LeakyRelu<Scalar>::make(double slope) {
  if (!(slope >= 0 && slope < 1)) {
    return Error{ErrorCode::kInvalidArgument,
                 "leaky_relu: slope is " + std::to_string(slope) + ", expected 0 <= slope < 1"};
  }
  return LeakyRelu(static_cast<Scalar>(slope));
}

template <class Scalar>
void LeakyRelu<Scalar>::forward(const Matrix<Scalar>& x, Matrix<Scalar>& y) const {
  y = (x.array() > Scalar(0)).select(x, x * slope_);
}

template <class Scalar>
void LeakyRelu<Scalar>::backward(const Matrix<Scalar>& x, const Matrix<Scalar>& dy,
                                 Matrix<Scalar>& dx) {
  ANOMALYD_CHECK(dy.rows() == x.rows() && dy.cols() == x.cols(),
                 "leaky_relu backward: dy must be as x");
  dx = (x.array() > Scalar(0)).select(dy, dy * slope_);
}

template <class Scalar>
std::unique_ptr<Layer<Scalar>> LeakyRelu<Scalar>::clone() const {
  return std::make_unique<LeakyRelu>(*this);
}

template class LeakyRelu<float>;
template class LeakyRelu<double>;

}  // namespace anomalyd::nn

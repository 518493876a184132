#include "nn/dense.h"

#include <string>

#include "nn/product.h"

namespace anomalyd::nn {

template <class Scalar>
Dense<Scalar>::Dense(Eigen::Index in, Eigen::Index out)
    : weights_(in, out),
      bias_(RowVector<Scalar>::Zero(out)),
      weight_gradient_(Matrix<Scalar>::Zero(in, out)),
      bias_gradient_(RowVector<Scalar>::Zero(out)) {}

template <class Scalar>
Result<Dense<Scalar>> Dense<Scalar>::make(Eigen::Index in, Eigen::Index out, std::uint64_t seed) {
  if (in < 1 || out < 1) {
    return Error{ErrorCode::kInvalidArgument,
                 "dense: in and out must be at least 1, got in=" + std::to_string(in) +
                     " out=" + std::to_string(out)};
  }
  Dense layer(in, out);
  fill_glorot<Scalar>({layer.weights_.data(), static_cast<std::size_t>(layer.weights_.size())}, in,
                      out, seed);
  return layer;
}

template <class Scalar>
Result<Shape> Dense<Scalar>::out_shape(Shape in) const {
  if (in.size() != in_features()) {
    return Error{ErrorCode::kInvalidArgument, "dense: in is " + std::to_string(in_features()) +
                                                  ", but the layer before gives " +
                                                  std::to_string(in.size()) + " values"};
  }
  return Shape{1, out_features()};
}

template <class Scalar>
void Dense<Scalar>::forward(const Matrix<Scalar>& x, Matrix<Scalar>& y) const {
  ANOMALYD_CHECK(x.cols() == in_features(), "dense forward: x must be (n, in)");
  y.resize(x.rows(), out_features());
  y.rowwise() = bias_;
  accumulate_product<Scalar>(x.rows(), in_features(), out_features(), x.data(), x.cols(), 1,
                             weights_.data(), weights_.cols(), y.data(), y.cols());
}

template <class Scalar>
void Dense<Scalar>::backward(const Matrix<Scalar>& x, const Matrix<Scalar>& dy,
                             Matrix<Scalar>& dx) {
  ANOMALYD_CHECK(x.cols() == in_features(), "dense backward: x must be (n, in)");
  ANOMALYD_CHECK(dy.rows() == x.rows() && dy.cols() == out_features(),
                 "dense backward: dy must be (n, out)");
  accumulate_product<Scalar>(in_features(), x.rows(), out_features(), x.data(), 1, x.cols(),
                             dy.data(), dy.cols(), weight_gradient_.data(),
                             weight_gradient_.cols());
  for (Eigen::Index row = 0; row < dy.rows(); ++row) bias_gradient_ += dy.row(row);
  const Matrix<Scalar> transposed = weights_.transpose();
  dx = Matrix<Scalar>::Zero(x.rows(), in_features());
  accumulate_product<Scalar>(dy.rows(), out_features(), in_features(), dy.data(), dy.cols(), 1,
                             transposed.data(), transposed.cols(), dx.data(), dx.cols());
}

template <class Scalar>
std::vector<Parameter<Scalar>> Dense<Scalar>::parameters() {
  const auto in = static_cast<std::size_t>(in_features());
  const auto out = static_cast<std::size_t>(out_features());
  return {{"weights", {in, out}, {weights_.data(), in * out}, {weight_gradient_.data(), in * out}},
          {"bias", {out}, {bias_.data(), out}, {bias_gradient_.data(), out}}};
}

template <class Scalar>
std::unique_ptr<Layer<Scalar>> Dense<Scalar>::clone() const {
  return std::make_unique<Dense>(*this);
}

template class Dense<float>;
template class Dense<double>;

}  // namespace anomalyd::nn

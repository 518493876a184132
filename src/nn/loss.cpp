#include "nn/loss.h"

#include "base/check.h"

namespace anomalyd::nn {

template <class Scalar>
double mean_squared_error(const Matrix<Scalar>& y, const Matrix<Scalar>& t, Matrix<Scalar>& dy) {
  ANOMALYD_CHECK(y.rows() == t.rows() && y.cols() == t.cols() && y.size() > 0,
                 "mean_squared_error: y and t must have one shape");
  dy.resize(y.rows(), y.cols());
  const double size = static_cast<double>(y.size());
  const auto scale = static_cast<Scalar>(2.0 / size);
  double sum = 0;
  for (Eigen::Index i = 0; i < y.size(); ++i) {
    const Scalar difference = y.data()[i] - t.data()[i];
    dy.data()[i] = scale * difference;
    sum += static_cast<double>(difference) * static_cast<double>(difference);
  }
  return sum / size;
}

template double mean_squared_error<float>(const Matrix<float>&, const Matrix<float>&,
                                          Matrix<float>&);
template double mean_squared_error<double>(const Matrix<double>&, const Matrix<double>&,
                                           Matrix<double>&);

}  // namespace anomalyd::nn

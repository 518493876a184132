#include "nn/loss_latent.h"

#include <cmath>

#include "base/check.h"

namespace anomalyd::nn {

template <class Scalar>
double kl_to_unit_gaussian(const Matrix<Scalar>& y, Eigen::Index channels, Matrix<Scalar>& dy) {
  ANOMALYD_CHECK(channels > 0 && y.size() > 0 && y.cols() % (2 * channels) == 0,
                 "kl_to_unit_gaussian: y must be (n, steps * 2 * channels)");
  dy.resize(y.rows(), y.cols());
  const auto rows = static_cast<double>(y.rows());
  double sum = 0;
  for (Eigen::Index first = 0; first < y.size(); first += 2 * channels) {
    for (Eigen::Index c = first; c < first + channels; ++c) {
      const auto mean = static_cast<double>(y.data()[c]);
      const auto log_variance = static_cast<double>(y.data()[c + channels]);
      const double excess = std::expm1(log_variance);
      sum += 0.5 * (mean * mean + excess - log_variance);
      dy.data()[c] = static_cast<Scalar>(mean / rows);
      dy.data()[c + channels] = static_cast<Scalar>(0.5 * excess / rows);
    }
  }
  return sum / rows;
}

template double kl_to_unit_gaussian<float>(const Matrix<float>&, Eigen::Index, Matrix<float>&);
template double kl_to_unit_gaussian<double>(const Matrix<double>&, Eigen::Index, Matrix<double>&);

}  // namespace anomalyd::nn

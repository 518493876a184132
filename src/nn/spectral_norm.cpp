#include "nn/spectral_norm.h"

#include <algorithm>
#include <cmath>

namespace anomalyd::nn {
namespace {

using Eigen::Index;

constexpr int kFirstSteps = 15;
constexpr double kTiny = 1e-12;

using Vector = Eigen::VectorXd;

template <class Scalar>
using MatrixMap = Eigen::Map<const Matrix<Scalar>>;

void normalise(Vector& vector) { vector /= std::max(vector.norm(), kTiny); }

}  // namespace

template <class Scalar>
std::vector<BufferSpec> SpectralNorm<Scalar>::buffers() const {
  return {{"u", {static_cast<std::size_t>(columns_)}, 1},
          {"v", {static_cast<std::size_t>(rows_)}, 1}};
}

template <class Scalar>
void SpectralNorm<Scalar>::begin(const Scalar* weights, Scalar* buffers) const {
  // Not all the same, so that no simple pattern of weights is orthogonal to it.
  for (Index i = 0; i < columns_; ++i) {
    buffers[i] = static_cast<Scalar>(std::sin(static_cast<double>(i) + 1));
  }
  for (int step = 0; step < kFirstSteps; ++step) iterate(weights, buffers);
}

template <class Scalar>
void SpectralNorm<Scalar>::iterate(const Scalar* weights, Scalar* buffers) const {
  const MatrixMap<Scalar> w(weights, rows_, columns_);
  Vector u(columns_);
  Vector v = Vector::Zero(rows_);
  for (Index i = 0; i < columns_; ++i) u(i) = static_cast<double>(buffers[i]);
  for (Index row = 0; row < rows_; ++row) {
    for (Index i = 0; i < columns_; ++i) v(row) += static_cast<double>(w(row, i)) * u(i);
  }
  normalise(v);
  u.setZero();
  for (Index row = 0; row < rows_; ++row) {
    for (Index i = 0; i < columns_; ++i) u(i) += static_cast<double>(w(row, i)) * v(row);
  }
  normalise(u);
  for (Index i = 0; i < columns_; ++i) buffers[i] = static_cast<Scalar>(u(i));
  for (Index i = 0; i < rows_; ++i) buffers[columns_ + i] = static_cast<Scalar>(v(i));
}

template <class Scalar>
double SpectralNorm<Scalar>::sigma(const Scalar* weights, const Scalar* buffers) const {
  double sum = 0;
  for (Index row = 0; row < rows_; ++row) {
    double product = 0;
    for (Index i = 0; i < columns_; ++i) {
      product += static_cast<double>(weights[row * columns_ + i]) * static_cast<double>(buffers[i]);
    }
    sum += static_cast<double>(buffers[columns_ + row]) * product;
  }
  return std::max(sum, kTiny);
}

template <class Scalar>
const Scalar* SpectralNorm<Scalar>::prepare(Mode mode, const Scalar* weights, Scalar* buffers,
                                            Buffer<Scalar>& divided) const {
  if (mode == Mode::kTraining) iterate(weights, buffers);
  divided.resize(static_cast<std::size_t>(rows_ * columns_));
  divide(weights, buffers, divided.data());
  return divided.data();
}

template <class Scalar>
void SpectralNorm<Scalar>::divide(const Scalar* weights, const Scalar* buffers,
                                  Scalar* divided) const {
  const auto inverse = static_cast<Scalar>(1 / sigma(weights, buffers));
  for (Index i = 0; i < rows_ * columns_; ++i) divided[i] = weights[i] * inverse;
}

template <class Scalar>
void SpectralNorm<Scalar>::finish_gradient(const Scalar* weights, const Scalar* buffers,
                                           Scalar* gradient) const {
  const double norm = sigma(weights, buffers);
  double along = 0;  // sum of G W'
  for (Index i = 0; i < rows_ * columns_; ++i) {
    along += static_cast<double>(gradient[i]) * static_cast<double>(weights[i]);
  }
  along /= norm;
  for (Index row = 0; row < rows_; ++row) {
    const double v = static_cast<double>(buffers[columns_ + row]);
    for (Index i = 0; i < columns_; ++i) {
      Scalar& g = gradient[row * columns_ + i];
      g = static_cast<Scalar>(
          (static_cast<double>(g) - along * v * static_cast<double>(buffers[i])) / norm);
    }
  }
}

template class SpectralNorm<float>;
template class SpectralNorm<double>;

}  // namespace anomalyd::nn

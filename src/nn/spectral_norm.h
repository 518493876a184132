#pragma once

#include <vector>

#include "nn/layer.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// Spectral normalisation of a weight matrix, W' = W / sigma, sigma = v' W u its largest singular
/// value, followed by one step of power iteration a training step:
/// v = W u / |W u|, u = W' v / |W' v|. u and v are held constant in the backward pass.
///
/// Shapes    W (rows, columns), a row-major; u (columns), v (rows): buffers "u" and "v".
/// Numerics  in double whatever the Scalar. A matrix of zeros has sigma 1e-12.
/// Source    Miyato et al. 2018, algorithm 1, which begins with v as torch.nn.utils.spectral_norm
/// does.
template <class Scalar>
class SpectralNorm {
 public:
  SpectralNorm(Eigen::Index rows, Eigen::Index columns) : rows_(rows), columns_(columns) {}

  std::vector<BufferSpec> buffers() const;
  /// u and v after 15 steps from a fixed vector.
  void begin(const Scalar* weights, Scalar* buffers) const;
  /// One step of power iteration.
  void iterate(const Scalar* weights, Scalar* buffers) const;
  /// Writes W / sigma.
  void divide(const Scalar* weights, const Scalar* buffers, Scalar* divided) const;
  /// W / sigma, written into `divided`, in training after iterate().
  const Scalar* prepare(Mode mode, const Scalar* weights, Scalar* buffers,
                        Buffer<Scalar>& divided) const;
  /// Makes of G = dL/dW' the gradient dL/dW = (G - (sum of G W') v u') / sigma, in place.
  void finish_gradient(const Scalar* weights, const Scalar* buffers, Scalar* gradient) const;

 private:
  double sigma(const Scalar* weights, const Scalar* buffers) const;

  Eigen::Index rows_;
  Eigen::Index columns_;
};

extern template class SpectralNorm<float>;
extern template class SpectralNorm<double>;

}  // namespace anomalyd::nn

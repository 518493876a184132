#include "nn/gradient_reversal.h"

#include <algorithm>
#include <memory>

#include "nn/layer_support.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;

template <class Scalar>
class GradientReversal final : public Layer<Scalar> {
 public:
  using typename Layer<Scalar>::In;
  using typename Layer<Scalar>::InGradient;

  Result<Shape> out_shape(std::span<const Shape> in) const override {
    return only_input("gradient_reversal", in);
  }
  std::vector<BufferSpec> buffers() const override { return {{"scale", {1}, 1}}; }
  double flops(std::span<const Shape> /*in*/) const override { return 0; }

  void forward(const Call<Scalar>& /*call*/, In x, Rows<Scalar> y,
               Rows<Scalar> /*kept*/) const override {
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    check_rows(rows.rows, rows.cols, y);
    std::copy_n(rows.data, rows.size(), y.data);
  }

  void backward(const Call<Scalar>& call, In /*x*/, Rows<const Scalar> /*y*/,
                Rows<const Scalar> /*kept*/, Rows<const Scalar> dy, InGradient dx,
                Scalar* /*gradient*/) const override {
    if (dx[0].data == nullptr) return;
    check_rows(dy.rows, dy.cols, dx[0]);
    const Scalar scale = -call.buffers[0];
    const Scalar* __restrict from = dy.data;
    Scalar* __restrict to = dx[0].data;
    for (Index i = 0; i < dy.size(); ++i) to[i] = scale * from[i];
  }
};

}  // namespace

template <class Scalar>
MadeLayer<Scalar> make_gradient_reversal() {
  return std::unique_ptr<Layer<Scalar>>(std::make_unique<GradientReversal<Scalar>>());
}

template MadeLayer<float> make_gradient_reversal<float>();
template MadeLayer<double> make_gradient_reversal<double>();

}  // namespace anomalyd::nn

#include "nn/reshape.h"

#include <algorithm>
#include <memory>
#include <string>

#include "nn/layer_support.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;

template <class Scalar>
class Reshape final : public Layer<Scalar> {
 public:
  using typename Layer<Scalar>::In;
  using typename Layer<Scalar>::InGradient;

  explicit Reshape(Index channels) : channels_(channels) {}

  Result<Shape> out_shape(std::span<const Shape> in) const override {
    auto shape = only_input("reshape", in);
    if (!shape.ok()) return shape;
    const Index size = shape.value().size();
    if (size % channels_ != 0) {
      return Error{ErrorCode::kInvalidArgument,
                   "reshape: channels are " + std::to_string(channels_) +
                       ", which does not divide the " + std::to_string(size) + " values it reads"};
    }
    return Shape{size / channels_, channels_};
  }
  double flops(std::span<const Shape> /*in*/) const override { return 0; }

  void forward(const Call<Scalar>& /*call*/, In x, Rows<Scalar> y,
               Rows<Scalar> /*kept*/) const override {
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    check_rows(rows.rows, rows.cols, y);
    std::copy_n(rows.data, rows.size(), y.data);
  }

  void backward(const Call<Scalar>& /*call*/, In /*x*/, Rows<const Scalar> /*y*/,
                Rows<const Scalar> /*kept*/, Rows<const Scalar> dy, InGradient dx,
                Scalar* /*gradient*/) const override {
    if (dx[0].data == nullptr) return;
    check_rows(dy.rows, dy.cols, dx[0]);
    std::copy_n(dy.data, dy.size(), dx[0].data);
  }

 private:
  Index channels_;
};

}  // namespace

template <class Scalar>
MadeLayer<Scalar> make_reshape(Index channels) {
  auto checked = check_range("reshape", "channels", channels, 1, Index{1} << 20);
  if (!checked.ok()) return checked.error();
  return std::unique_ptr<Layer<Scalar>>(std::make_unique<Reshape<Scalar>>(channels));
}

template MadeLayer<float> make_reshape<float>(Index);
template MadeLayer<double> make_reshape<double>(Index);

}  // namespace anomalyd::nn

#include "nn/dropout.h"

#include <algorithm>
#include <memory>
#include <string>

#include "nn/layer_support.h"
#include "nn/random.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;

template <class Scalar>
class Dropout final : public Layer<Scalar> {
 public:
  using typename Layer<Scalar>::In;
  using typename Layer<Scalar>::InGradient;

  explicit Dropout(double rate)
      : least_(static_cast<std::uint32_t>(rate * 0x1.0p32)),
        scale_(static_cast<Scalar>(1 / (1 - rate))) {}

  Result<Shape> out_shape(std::span<const Shape> in) const override {
    return only_input("dropout", in);
  }
  double flops(std::span<const Shape> /*in*/) const override { return 0; }

  void forward(const Call<Scalar>& call, In x, Rows<Scalar> y,
               Rows<Scalar> /*kept*/) const override {
    mask(call, input_of<Scalar>(x), y);
  }

  void backward(const Call<Scalar>& call, In /*x*/, Rows<const Scalar> /*y*/,
                Rows<const Scalar> /*kept*/, Rows<const Scalar> dy, InGradient dx,
                Scalar* /*gradient*/) const override {
    if (dx[0].data != nullptr) mask(call, dy, dx[0]);
  }

 private:
  void mask(const Call<Scalar>& call, const Rows<const Scalar>& from, Rows<Scalar> to) const {
    check_rows(from.rows, from.cols, to);
    if (call.mode == Mode::kScoring) {
      std::copy_n(from.data, from.size(), to.data);
      return;
    }
    const std::uint32_t least = least_;
    const Scalar scale = scale_;
    const auto count = static_cast<std::uint32_t>(from.cols);
    for (Index row = 0; row < from.rows; ++row) {
      const std::uint64_t seed = call.row_seed(row);
      const Scalar* __restrict in = from.row(row);
      Scalar* __restrict out = to.row(row);
      for (std::uint32_t i = 0; i < count; ++i) {
        const Scalar kept = in[i] * scale;
        out[i] = random_bits(seed, i) >= least ? kept : Scalar(0);
      }
    }
  }

  std::uint32_t least_;  // a value stays when its number is at least this
  Scalar scale_;
};

}  // namespace

template <class Scalar>
MadeLayer<Scalar> make_dropout(double rate) {
  if (!(rate >= 0 && rate < 1)) {
    return Error{ErrorCode::kInvalidArgument,
                 "dropout: rate is " + std::to_string(rate) + ", expected 0 <= rate < 1"};
  }
  return std::unique_ptr<Layer<Scalar>>(std::make_unique<Dropout<Scalar>>(rate));
}

template MadeLayer<float> make_dropout<float>(double);
template MadeLayer<double> make_dropout<double>(double);

}  // namespace anomalyd::nn

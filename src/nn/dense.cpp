#include "nn/dense.h"

#include <optional>
#include <string>

#include "nn/conv_products.h"
#include "nn/conv_size.h"
#include "nn/spectral_norm.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;

constexpr Index kMaxFeatures = Index{1} << 20;

std::size_t count_of(Index numbers) { return static_cast<std::size_t>(numbers); }

template <class Scalar>
class Dense final : public Layer<Scalar> {
 public:
  using typename Layer<Scalar>::In;
  using typename Layer<Scalar>::InGradient;

  Dense(Index in, Index out, bool spectral_norm, Initialiser::Kind initialiser)
      : in_(in), out_(out), initialiser_(initialiser) {
    if (spectral_norm) spectral_.emplace(in, out);
  }

  Result<Shape> out_shape(std::span<const Shape> in) const override {
    if (in[0].size() != in_) {
      return Error{ErrorCode::kInvalidArgument, "dense: in is " + std::to_string(in_) +
                                                    ", but it reads " +
                                                    std::to_string(in[0].size()) + " values"};
    }
    return Shape{1, out_};
  }

  std::vector<ParameterSpec> parameters() const override {
    return {{"weights",
             {count_of(in_), count_of(out_)},
             {initialiser_, 0.02, static_cast<double>(in_), static_cast<double>(out_)}},
            {"bias", {count_of(out_)}, {}}};
  }

  std::vector<BufferSpec> buffers() const override {
    return spectral_ ? spectral_->buffers() : std::vector<BufferSpec>{};
  }

  double flops(std::span<const Shape> /*in*/) const override {
    return 2 * static_cast<double>(in_) * static_cast<double>(out_);
  }

  double working_numbers(std::span<const Shape> /*in*/) const override {
    return packed_numbers(1, in_, out_);
  }

  void begin(const Scalar* weights, Scalar* buffers) const override {
    if (spectral_) spectral_->begin(weights, buffers);
  }

  void prepare(Mode mode, const Scalar* weights, Scalar* buffers,
               Prepared<Scalar>& prepared) const override {
    prepared.packed.resize(3);
    if (spectral_) weights = spectral_->prepare(mode, weights, buffers, prepared.packed[2]);
    prepared.packed[0].resize(count_of(packed_size(in_, out_)));
    pack<Scalar>(in_, out_, weights, out_, 1, prepared.packed[0].data());
    if (mode == Mode::kScoring) return;
    prepared.packed[1].resize(count_of(packed_size(out_, in_)));
    pack<Scalar>(out_, in_, weights, 1, out_, prepared.packed[1].data());
  }

  void forward(const Call<Scalar>& call, In x, Rows<Scalar> y,
               Rows<Scalar> /*kept*/) const override {
    ANOMALYD_CHECK(x[0].cols == in_ && y.cols == out_ && x[0].rows == y.rows,
                   "dense forward: wrong shape");
    Product<Scalar> product;
    product.rows = y.rows;
    product.columns = out_;
    product.depth = in_;
    product.a = x[0].data;
    product.a_row = in_;
    product.b = call.prepared->packed[0].data();
    product.bias = call.weights + in_ * out_;
    product.c = y.data;
    product.c_row = out_;
    call.kernels->product(product);
  }

  void backward(const Call<Scalar>& call, In x, Rows<const Scalar> /*y*/,
                Rows<const Scalar> /*kept*/, Rows<const Scalar> dy, InGradient dx,
                Scalar* gradient) const override {
    ANOMALYD_CHECK(x[0].cols == in_ && dy.cols == out_ && x[0].rows == dy.rows,
                   "dense backward: wrong shape");
    if (gradient != nullptr) {
      const std::span<Scalar> packed = call.scratch->take(count_of(packed_size(dy.rows, out_)));
      pack<Scalar>(dy.rows, out_, dy.data, out_, 1, packed.data());
      Product<Scalar> product;
      product.rows = in_;
      product.columns = out_;
      product.depth = dy.rows;
      product.a = x[0].data;
      product.a_row = 1;
      product.a_depth = in_;
      product.b = packed.data();
      product.c = gradient;
      product.c_row = out_;
      call.kernels->product(product);
      add_bias_gradient(dy.data, dy.rows, out_, gradient + in_ * out_);
    }
    if (dx[0].data != nullptr) {
      Product<Scalar> product;
      product.rows = dy.rows;
      product.columns = in_;
      product.depth = out_;
      product.a = dy.data;
      product.a_row = out_;
      product.b = call.prepared->packed[1].data();
      product.bias = zeros_of(in_, *call.scratch);
      product.c = dx[0].data;
      product.c_row = in_;
      call.kernels->product(product);
    }
  }

  void finish_gradient(const Scalar* weights, const Scalar* buffers, Scratch<Scalar>& /*scratch*/,
                       Scalar* gradient) const override {
    if (spectral_) spectral_->finish_gradient(weights, buffers, gradient);
  }

 private:
  Index in_;
  Index out_;
  Initialiser::Kind initialiser_;
  std::optional<SpectralNorm<Scalar>> spectral_;
};

}  // namespace

template <class Scalar>
MadeLayer<Scalar> make_dense(Index in, Index out, bool spectral_norm,
                             Initialiser::Kind initialiser) {
  if (in < 1 || out < 1 || in > kMaxFeatures || out > kMaxFeatures) {
    return Error{ErrorCode::kInvalidArgument,
                 "dense: expected in and out of 1.." + std::to_string(kMaxFeatures) +
                     ", got in=" + std::to_string(in) + " out=" + std::to_string(out)};
  }
  return std::unique_ptr<Layer<Scalar>>(
      std::make_unique<Dense<Scalar>>(in, out, spectral_norm, initialiser));
}

template MadeLayer<float> make_dense<float>(Index, Index, bool, Initialiser::Kind);
template MadeLayer<double> make_dense<double>(Index, Index, bool, Initialiser::Kind);

}  // namespace anomalyd::nn

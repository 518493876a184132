#include <algorithm>
#include <optional>

#include "nn/conv1d.h"
#include "nn/conv_products.h"
#include "nn/conv_size.h"
#include "nn/spectral_norm.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;

template <class Scalar>
class ConvTranspose1d final : public Layer<Scalar> {
 public:
  using typename Layer<Scalar>::In;
  using typename Layer<Scalar>::InGradient;

  ConvTranspose1d(const ConvSize& size, const ConvOptions& options)
      : size_(size),
        initialiser_(options.initialiser),
        weight_count_(size.in * size.kernel * (size.out / size.groups)),
        forward_(size, conv_transpose1d_taps(size)),
        backward_(size, swap(conv_transpose1d_taps(size))) {
    const Index columns = size.out / size.groups;
    if (options.spectral_norm) spectral_.emplace(weight_count_ / columns, columns);
  }

  Result<Shape> out_shape(std::span<const Shape> in) const override {
    return conv_shape("conv_transpose1d", size_, in[0],
                      conv_transpose1d_length(size_, in[0].samples));
  }

  std::vector<ParameterSpec> parameters() const override {
    const Index out = size_.out / size_.groups;
    return {{"weights",
             {static_cast<std::size_t>(size_.in), static_cast<std::size_t>(size_.kernel),
              static_cast<std::size_t>(out)},
             conv_initialiser(initialiser_, size_)},
            {"bias", {static_cast<std::size_t>(size_.out)}, {}}};
  }

  std::vector<BufferSpec> buffers() const override {
    return spectral_ ? spectral_->buffers() : std::vector<BufferSpec>{};
  }

  double flops(std::span<const Shape> in) const override {
    return 2 * static_cast<double>(weight_count_) * static_cast<double>(in[0].samples);
  }

  double working_numbers(std::span<const Shape> in) const override {
    const Index padded =
        in[0].samples + forward_.left() +
        forward_.right(in[0].samples, conv_transpose1d_length(size_, in[0].samples));
    const double products = static_cast<double>(size_.stride) * static_cast<double>(size_.groups);
    const Index taps = (size_.kernel + size_.stride - 1) / size_.stride;
    return static_cast<double>(padded) * static_cast<double>(size_.in) +
           packed_numbers(products, taps * (size_.in / size_.groups), size_.out / size_.groups);
  }
  double work(std::span<const Shape> in) const override {
    return flops(in) * idleness(size_.out / size_.groups);
  }

  void begin(const Scalar* weights, Scalar* buffers) const override {
    if (spectral_) spectral_->begin(weights, buffers);
  }

  void prepare(Mode mode, const Scalar* weights, Scalar* buffers,
               Prepared<Scalar>& prepared) const override {
    const std::size_t phases = forward_.packed_buffers();
    prepared.packed.resize(phases + static_cast<std::size_t>(size_.groups) + 1);
    if (spectral_) weights = spectral_->prepare(mode, weights, buffers, prepared.packed.back());
    forward_.pack(weights, prepared.scratch, prepared.packed, 0);
    if (mode == Mode::kTraining) backward_.pack(weights, prepared.scratch, prepared.packed, phases);
  }

  void forward(const Call<Scalar>& call, In x, Rows<Scalar> y,
               Rows<Scalar> /*kept*/) const override {
    const Index samples = x[0].cols / size_.in;
    const Index steps = y.cols / size_.out;
    ANOMALYD_CHECK(steps == conv_transpose1d_length(size_, samples) && x[0].rows == y.rows,
                   "conv_transpose1d forward: wrong shape");
    const Index left = forward_.left();
    const Index right = forward_.right(samples, steps);
    const Scalar* padded = pad(x[0], size_.in, left, right, *call.scratch).data();
    const Index width = (left + samples + right) * size_.in;
    for (Index row = 0; row < y.rows; ++row) {
      forward_.run(*call.kernels, call.prepared->packed.data(), call.weights + weight_count_,
                   padded + row * width, steps, Scalar(1), y.row(row));
    }
  }

  void backward(const Call<Scalar>& call, In x, Rows<const Scalar> /*y*/,
                Rows<const Scalar> /*kept*/, Rows<const Scalar> dy, InGradient dx,
                Scalar* gradient) const override {
    const Index samples = x[0].cols / size_.in;
    const Index steps = dy.cols / size_.out;
    ANOMALYD_CHECK(steps == conv_transpose1d_length(size_, samples) && x[0].rows == dy.rows,
                   "conv_transpose1d backward: wrong shape");
    Scratch<Scalar>& scratch = *call.scratch;
    // The ends that forward() cut off get no gradient.
    const Scalar* padded = pad(dy, size_.out, size_.padding, size_.padding, scratch).data();
    const Index padded_samples = steps + 2 * size_.padding;
    if (gradient != nullptr) {
      // The roles of x and y are exchanged, so this is (kernel, out / groups, in).
      add_weight_gradient(*call.kernels, size_, dy.rows, padded, padded_samples, size_.out,
                          x[0].data, samples, size_.in, scratch, gradient);
      add_bias_gradient(dy.data, dy.rows * steps, size_.out, gradient + weight_count_);
    }
    if (dx[0].data != nullptr) {
      const Scalar* zeros = zeros_of(size_.in, scratch);
      const Buffer<Scalar>* packed = call.prepared->packed.data() + forward_.packed_buffers();
      for (Index row = 0; row < dy.rows; ++row) {
        backward_.run(*call.kernels, packed, zeros, padded + row * padded_samples * size_.out,
                      samples, Scalar(1), dx[0].row(row));
      }
    }
  }

  void finish_gradient(const Scalar* weights, const Scalar* buffers, Scratch<Scalar>& scratch,
                       Scalar* gradient) const override {
    const Index out = size_.out / size_.groups;
    const std::span<Scalar> copy = scratch.take(static_cast<std::size_t>(weight_count_));
    std::copy_n(gradient, weight_count_, copy.data());
    for (Index i = 0; i < size_.in; ++i) {
      for (Index j = 0; j < size_.kernel * out; ++j) {
        gradient[i * size_.kernel * out + j] = copy[static_cast<std::size_t>(j * size_.in + i)];
      }
    }
    if (spectral_) spectral_->finish_gradient(weights, buffers, gradient);
  }

 private:
  ConvSize size_;
  Initialiser::Kind initialiser_;
  Index weight_count_;
  ScatterProduct<Scalar> forward_;
  GatherProduct<Scalar> backward_;
  std::optional<SpectralNorm<Scalar>> spectral_;
};

}  // namespace

Index conv_transpose1d_length(const ConvSize& size, Index samples) {
  return (samples - 1) * size.stride + size.dilation * (size.kernel - 1) + 1 - 2 * size.padding;
}

template <class Scalar>
MadeLayer<Scalar> make_conv_transpose1d(const ConvSize& size, const ConvOptions& options) {
  if (Status status = check_conv_size("conv_transpose1d", size); !status.ok()) {
    return status.error();
  }
  return std::unique_ptr<Layer<Scalar>>(std::make_unique<ConvTranspose1d<Scalar>>(size, options));
}

template MadeLayer<float> make_conv_transpose1d<float>(const ConvSize&, const ConvOptions&);
template MadeLayer<double> make_conv_transpose1d<double>(const ConvSize&, const ConvOptions&);

}  // namespace anomalyd::nn

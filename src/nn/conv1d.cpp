#include "nn/conv1d.h"

#include <optional>

#include "nn/conv_products.h"
#include "nn/conv_size.h"
#include "nn/spectral_norm.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;

template <class Scalar>
class Conv1d final : public Layer<Scalar> {
 public:
  using typename Layer<Scalar>::In;
  using typename Layer<Scalar>::InGradient;

  Conv1d(const ConvSize& size, const ConvOptions& options)
      : size_(size),
        initialiser_(options.initialiser),
        weight_count_(size.kernel * (size.in / size.groups) * size.out),
        forward_(size, conv1d_taps(size)),
        backward_(size, swap(conv1d_taps(size))) {
    if (options.spectral_norm) spectral_.emplace(weight_count_ / size.out, size.out);
  }

  Result<Shape> out_shape(std::span<const Shape> in) const override {
    return conv_shape("conv1d", size_, in[0], conv1d_length(size_, in[0].samples));
  }

  std::vector<ParameterSpec> parameters() const override {
    const Index in = size_.in / size_.groups;
    return {{"weights",
             {static_cast<std::size_t>(size_.kernel), static_cast<std::size_t>(in),
              static_cast<std::size_t>(size_.out)},
             conv_initialiser(initialiser_, size_)},
            {"bias", {static_cast<std::size_t>(size_.out)}, {}}};
  }

  std::vector<BufferSpec> buffers() const override {
    return spectral_ ? spectral_->buffers() : std::vector<BufferSpec>{};
  }

  double flops(std::span<const Shape> in) const override {
    return 2 * static_cast<double>(weight_count_) *
           static_cast<double>(conv1d_length(size_, in[0].samples));
  }

  double working_numbers(std::span<const Shape> in) const override {
    return static_cast<double>(in[0].samples + 2 * size_.padding) * static_cast<double>(size_.in) +
           packed_numbers(static_cast<double>(size_.groups),
                          size_.kernel * (size_.in / size_.groups), size_.out / size_.groups);
  }
  double work(std::span<const Shape> in) const override {
    return flops(in) * idleness(size_.out / size_.groups);
  }

  void begin(const Scalar* weights, Scalar* buffers) const override {
    if (spectral_) spectral_->begin(weights, buffers);
  }

  void prepare(Mode mode, const Scalar* weights, Scalar* buffers,
               Prepared<Scalar>& prepared) const override {
    const auto groups = static_cast<std::size_t>(size_.groups);
    prepared.packed.resize(groups + backward_.packed_buffers() + 1);
    if (spectral_) weights = spectral_->prepare(mode, weights, buffers, prepared.packed.back());
    forward_.pack(weights, prepared.scratch, prepared.packed, 0);
    if (mode == Mode::kTraining) backward_.pack(weights, prepared.scratch, prepared.packed, groups);
  }

  void forward(const Call<Scalar>& call, In x, Rows<Scalar> y,
               Rows<Scalar> /*kept*/) const override {
    const Index samples = x[0].cols / size_.in;
    const Index steps = y.cols / size_.out;
    ANOMALYD_CHECK(steps == conv1d_length(size_, samples) && x[0].rows == y.rows,
                   "conv1d forward: wrong shape");
    const Scalar* padded = pad(x[0], size_.in, size_.padding, size_.padding, *call.scratch).data();
    const Index width = (samples + 2 * size_.padding) * size_.in;
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
    ANOMALYD_CHECK(steps == conv1d_length(size_, samples) && x[0].rows == dy.rows,
                   "conv1d backward: wrong shape");
    Scratch<Scalar>& scratch = *call.scratch;
    if (gradient != nullptr) {
      const Index padded_samples = samples + 2 * size_.padding;
      const Scalar* padded = pad(x[0], size_.in, size_.padding, size_.padding, scratch).data();
      add_weight_gradient(*call.kernels, size_, dy.rows, padded, padded_samples, size_.in, dy.data,
                          steps, size_.out, scratch, gradient);
      add_bias_gradient(dy.data, dy.rows * steps, size_.out, gradient + weight_count_);
    }
    if (dx[0].data != nullptr) {
      const Index left = backward_.left();
      const Index right = backward_.right(steps, samples);
      const Scalar* padded = pad(dy, size_.out, left, right, scratch).data();
      const Index width = (left + steps + right) * size_.out;
      const Scalar* zeros = zeros_of(size_.in, scratch);
      for (Index row = 0; row < dy.rows; ++row) {
        backward_.run(*call.kernels, call.prepared->packed.data() + size_.groups, zeros,
                      padded + row * width, samples, Scalar(1), dx[0].row(row));
      }
    }
  }

  void finish_gradient(const Scalar* weights, const Scalar* buffers, Scratch<Scalar>& /*scratch*/,
                       Scalar* gradient) const override {
    if (spectral_) spectral_->finish_gradient(weights, buffers, gradient);
  }

 private:
  ConvSize size_;
  Initialiser::Kind initialiser_;
  Index weight_count_;
  GatherProduct<Scalar> forward_;
  ScatterProduct<Scalar> backward_;
  std::optional<SpectralNorm<Scalar>> spectral_;
};

}  // namespace

Index conv1d_length(const ConvSize& size, Index samples) {
  const Index room = samples + 2 * size.padding - size.dilation * (size.kernel - 1) - 1;
  return room < 0 ? 0 : room / size.stride + 1;
}

template <class Scalar>
MadeLayer<Scalar> make_conv1d(const ConvSize& size, const ConvOptions& options) {
  if (Status status = check_conv_size("conv1d", size); !status.ok()) return status.error();
  return std::unique_ptr<Layer<Scalar>>(std::make_unique<Conv1d<Scalar>>(size, options));
}

template MadeLayer<float> make_conv1d<float>(const ConvSize&, const ConvOptions&);
template MadeLayer<double> make_conv1d<double>(const ConvSize&, const ConvOptions&);

}  // namespace anomalyd::nn

#include "nn/plan_steps.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "nn/conv_products.h"
#include "nn/spectral_norm.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;

std::size_t count_of(Index numbers) { return static_cast<std::size_t>(numbers); }

ConvSize size_of(const LayerSpec& spec) {
  return {spec.in, spec.out, spec.kernel, spec.stride, spec.padding, spec.dilation, spec.groups};
}

class DenseStep final : public Step {
 public:
  DenseStep(Index in, Index out, const float* weights, const float* bias, float slope)
      : in_(in), bias_(bias, bias + out), packed_(count_of(packed_size(in, out))), slope_(slope) {
    pack<float>(in, out, weights, out, 1, packed_.data());
  }

  void run(const StepCall& call) const override {
    Product<float> product;
    product.rows = 1;
    product.columns = static_cast<Index>(bias_.size());
    product.depth = in_;
    product.a = call.in[0];
    product.a_row = in_;
    product.b = packed_.data();
    product.bias = bias_.data();
    product.c = call.out;
    product.c_row = product.columns;
    product.slope = slope_;
    call.kernels->product(product);
  }

 private:
  Index in_;
  Buffer<float> bias_;
  Buffer<float> packed_;
  float slope_;
};

/// A convolution, whose receptive fields are read where they lie.
class ConvStep final : public Step {
 public:
  ConvStep(const ConvSize& size, Index count, const float* weights, const float* bias, float slope)
      : product_(size, conv1d_taps(size)),
        padding_(size.padding * size.in),
        count_(count),
        bias_(bias, bias + size.out),
        packed_(count_of(size.groups)),
        slope_(slope) {
    Scratch<float> scratch;
    product_.pack(weights, scratch, packed_, 0);
  }

  Padding padding() const override { return {padding_, padding_}; }

  void run(const StepCall& call) const override {
    product_.run(*call.kernels, packed_.data(), bias_.data(), call.in[0] - padding_, count_, slope_,
                 call.out);
  }

 private:
  GatherProduct<float> product_;
  Index padding_;
  Index count_;
  Buffer<float> bias_;
  std::vector<Buffer<float>> packed_;
  float slope_;
};

/// A transposed convolution, one product a phase.
class PhasesStep final : public Step {
 public:
  PhasesStep(const ConvSize& size, Index samples, Index count, const float* weights,
             const float* bias, float slope)
      : product_(size, conv_transpose1d_taps(size)),
        padding_{product_.left() * size.in, product_.right(samples, count) * size.in},
        count_(count),
        bias_(bias, bias + size.out),
        packed_(product_.packed_buffers()),
        slope_(slope) {
    Scratch<float> scratch;
    product_.pack(weights, scratch, packed_, 0);
  }

  Padding padding() const override { return padding_; }

  void run(const StepCall& call) const override {
    product_.run(*call.kernels, packed_.data(), bias_.data(), call.in[0] - padding_.before, count_,
                 slope_, call.out);
  }

 private:
  ScatterProduct<float> product_;
  Padding padding_;
  Index count_;
  Buffer<float> bias_;
  std::vector<Buffer<float>> packed_;
  float slope_;
};

/// How a transposed convolution becomes one product: row m makes the outputs m stride .. m stride +
/// stride - 1 from the inputs m + first .. m + last. Taps that an output does not meet are zeros.
struct Fusion {
  Index first = 0;
  Index last = 0;

  explicit Fusion(const ConvSize& size) {
    bool is_empty = true;
    for_each_tap(size, [&](Index /*output*/, Index /*tap*/, Index input) {
      first = is_empty ? input : std::min(first, input);
      last = is_empty ? input : std::max(last, input);
      is_empty = false;
    });
  }
  Index inputs() const { return last - first + 1; }

  /// Calls take(output in 0 .. stride - 1, tap, input) for all that meet.
  template <class Take>
  static void for_each_tap(const ConvSize& size, const Take& take) {
    for (Index output = 0; output < size.stride; ++output) {
      for (Index tap = 0; tap < size.kernel; ++tap) {
        const Index distance = output + size.padding - tap * size.dilation;
        if (distance % size.stride == 0) take(output, tap, distance / size.stride);
      }
    }
  }
};

/// Whether one product costs less than one a phase, counting lanes that come to nothing: so it is
/// where few channels leave most of a panel empty. The bits of finite numbers are the same but for
/// signs of zeros; with one channel they would not be, Product adds that in another order.
bool is_better_fused(const ConvSize& size, Index count) {
  if (size.groups != 1 || size.out == 1 || count % size.stride != 0) return false;
  const Index phases = packed_size(size.kernel, size.out);
  return packed_size(Fusion(size).inputs(), size.stride * size.out) < phases;
}

class FusedPhasesStep final : public Step {
 public:
  FusedPhasesStep(const ConvSize& size, Index samples, Index count, const float* weights,
                  const float* bias, float slope)
      : fusion_(size),
        in_(size.in),
        columns_(size.stride * size.out),
        rows_(count / size.stride),
        slope_(slope) {
    padding_.before = std::max<Index>(0, -fusion_.first) * in_;
    padding_.after = std::max<Index>(0, rows_ - 1 + fusion_.last - (samples - 1)) * in_;
    const Index depth = fusion_.inputs() * in_;
    std::vector<float> matrix(count_of(depth * columns_));
    Fusion::for_each_tap(size, [&](Index output, Index tap, Index input) {
      for (Index a = 0; a < in_; ++a) {
        const float* from = weights + (a * size.kernel + tap) * size.out;
        const Index row = (input - fusion_.first) * in_ + a;
        std::copy_n(from, size.out, matrix.data() + row * columns_ + output * size.out);
      }
    });
    packed_.resize(count_of(packed_size(depth, columns_)));
    pack<float>(depth, columns_, matrix.data(), columns_, 1, packed_.data());
    for (Index output = 0; output < size.stride; ++output) {
      bias_.insert(bias_.end(), bias, bias + size.out);
    }
  }

  Padding padding() const override { return padding_; }

  void run(const StepCall& call) const override {
    Product<float> product;
    product.rows = rows_;
    product.columns = columns_;
    product.depth = fusion_.inputs() * in_;
    product.a = call.in[0] + fusion_.first * in_;
    product.a_row = in_;
    product.b = packed_.data();
    product.bias = bias_.data();
    product.c = call.out;
    product.c_row = columns_;
    product.slope = slope_;
    call.kernels->product(product);
  }

 private:
  Fusion fusion_;
  Padding padding_;
  Index in_;
  Index columns_;
  Index rows_;
  Buffer<float> packed_;
  Buffer<float> bias_;
  float slope_;
};

class LayerStep final : public Step {
 public:
  LayerStep(std::unique_ptr<Layer<float>> layer, std::span<const Shape> in, Shape out,
            Index kept_size, std::span<const float> weights, std::span<const float> buffers)
      : layer_(std::move(layer)),
        inputs_(in.size()),
        out_(out.size()),
        kept_(kept_size),
        weights_(weights.begin(), weights.end()),
        buffers_(buffers.begin(), buffers.end()) {
    std::transform(in.begin(), in.end(), in_.begin(), [](Shape shape) { return shape.size(); });
    layer_->prepare(Mode::kScoring, weights_.data(), buffers_.data(), prepared_);
    prepared_.scratch = {};
  }

  Index kept_size() const override { return kept_; }

  void run(const StepCall& call) const override {
    std::array<Rows<const float>, kMaxInputs> x;
    for (std::size_t i = 0; i < inputs_; ++i) x[i] = {call.in[i], 1, in_[i]};
    Call<float> surroundings;
    surroundings.kernels = call.kernels;
    surroundings.weights = weights_.data();
    surroundings.buffers = buffers_.data();
    surroundings.prepared = &prepared_;
    surroundings.batch_rows = 1;
    surroundings.scratch = call.scratch;
    layer_->forward(surroundings, {x.data(), inputs_}, {call.out, 1, out_}, {call.kept, 1, kept_});
  }

 private:
  std::unique_ptr<Layer<float>> layer_;
  std::size_t inputs_;
  std::array<Index, kMaxInputs> in_{};
  Index out_;
  Index kept_;
  Buffer<float> weights_;
  Buffer<float> buffers_;
  Prepared<float> prepared_;
};

}  // namespace

ChannelAffine channel_affine(const LayerSpec& spec, const float* weights, const float* buffers) {
  ChannelAffine affine;
  const float* bias = weights + spec.in;
  const float* variance = buffers + spec.in;
  for (Index c = 0; c < spec.in; ++c) {
    const double scale = static_cast<double>(weights[c]) /
                         std::sqrt(static_cast<double>(variance[c]) + spec.epsilon);
    affine.scale.push_back(scale);
    affine.shift.push_back(static_cast<double>(bias[c]) - static_cast<double>(buffers[c]) * scale);
  }
  return affine;
}

bool Linear::is_one(const LayerSpec& spec) {
  return spec.type == "dense" || spec.type == "conv1d" || spec.type == "conv_transpose1d";
}

bool Linear::takes_before(const LayerSpec& spec, Index channels) {
  const bool pads = spec.type == "conv_transpose1d" || spec.padding != 0;
  return is_one(spec) && (spec.type == "dense" || !pads) && spec.in % channels == 0;
}

bool Linear::takes_behind(const LayerSpec& spec, Index channels) {
  return is_one(spec) && spec.out % channels == 0;
}

Linear::Linear(const LayerSpec& spec, Shape in, Shape out, const float* weights,
               const float* buffers)
    : spec_(spec), in_(in), out_(out) {
  Index count = spec.in * spec.out;
  if (spec.type != "dense") count = count / spec.groups * spec.kernel;
  weights_.assign(weights, weights + count);
  bias_.assign(weights + count, weights + count + spec.out);
  if (spec.spectral_norm) {
    const Index columns = spec.type == "conv_transpose1d" ? spec.out / spec.groups : spec.out;
    SpectralNorm<float>(count / columns, columns).divide(weights, buffers, weights_.data());
  }
}

Index Linear::out_channel(Index weight) const {
  if (spec_.type != "conv_transpose1d") return weight % spec_.out;
  const Index of_group = spec_.out / spec_.groups;
  const Index group = weight / (spec_.kernel * of_group) / (spec_.in / spec_.groups);
  return group * of_group + weight % of_group;
}

Index Linear::in_channel(Index weight) const {
  if (spec_.type == "dense") return weight / spec_.out;
  ANOMALYD_CHECK(spec_.type == "conv1d", "no norm is folded into this from before");
  const Index of_group = spec_.in / spec_.groups;
  const Index group = out_channel(weight) / (spec_.out / spec_.groups);
  return group * of_group + weight / spec_.out % of_group;
}

void Linear::fold_before(const ChannelAffine& norm) {
  const auto channels = static_cast<Index>(norm.scale.size());
  std::vector<double> moved(bias_.begin(), bias_.end());
  for (Index i = 0; i < static_cast<Index>(weights_.size()); ++i) {
    const std::size_t channel = count_of(in_channel(i) % channels);
    const double weight = static_cast<double>(weights_[count_of(i)]);
    moved[count_of(out_channel(i))] += norm.shift[channel] * weight;
    weights_[count_of(i)] = static_cast<float>(norm.scale[channel] * weight);
  }
  std::transform(moved.begin(), moved.end(), bias_.begin(),
                 [](double value) { return static_cast<float>(value); });
}

void Linear::fold_behind(const ChannelAffine& norm) {
  const auto channels = static_cast<Index>(norm.scale.size());
  for (Index i = 0; i < static_cast<Index>(weights_.size()); ++i) {
    float& weight = weights_[count_of(i)];
    weight = static_cast<float>(static_cast<double>(weight) *
                                norm.scale[count_of(out_channel(i) % channels)]);
  }
  for (Index i = 0; i < static_cast<Index>(bias_.size()); ++i) {
    float& bias = bias_[count_of(i)];
    const std::size_t channel = count_of(i % channels);
    bias =
        static_cast<float>(static_cast<double>(bias) * norm.scale[channel] + norm.shift[channel]);
  }
}

std::unique_ptr<Step> Linear::step() const {
  const float* weights = weights_.data();
  const float* bias = bias_.data();
  if (spec_.type == "dense") {
    return std::make_unique<DenseStep>(spec_.in, spec_.out, weights, bias, slope_);
  }
  const ConvSize size = size_of(spec_);
  const Index count = out_.samples;
  if (spec_.type == "conv1d") {
    return std::make_unique<ConvStep>(size, count, weights, bias, slope_);
  }
  if (is_better_fused(size, count)) {
    return std::make_unique<FusedPhasesStep>(size, in_.samples, count, weights, bias, slope_);
  }
  return std::make_unique<PhasesStep>(size, in_.samples, count, weights, bias, slope_);
}

std::unique_ptr<Step> layer_step(const LayerSpec& spec, std::span<const Shape> in, Shape out,
                                 Index kept_size, std::span<const float> weights,
                                 std::span<const float> buffers) {
  const Result<const LayerType*> type = find_layer_type(spec.type);
  ANOMALYD_CHECK(type.ok(), "a layer of a network has no type");
  MadeLayer<float> layer = type.value()->make_float(spec);
  ANOMALYD_CHECK(layer.ok(), "a layer of a network cannot be made again");
  return std::make_unique<LayerStep>(std::move(layer).value(), in, out, kept_size, weights,
                                     buffers);
}

}  // namespace anomalyd::nn

#include "nn/activations.h"

#include <memory>
#include <numbers>
#include <string>

#include "nn/elementwise.h"
#include "nn/layer_support.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;

/// A Function has kName, kFlops, value(x), and slope(x, y) = dy/dx.
template <class Scalar, class Function>
class Elementwise final : public Layer<Scalar> {
 public:
  using typename Layer<Scalar>::In;
  using typename Layer<Scalar>::InGradient;

  explicit Elementwise(const Function& function) : function_(function) {}

  Result<Shape> out_shape(std::span<const Shape> in) const override {
    return only_input(Function::kName, in);
  }
  double flops(std::span<const Shape> in) const override {
    return Function::kFlops * static_cast<double>(in[0].size());
  }

  void forward(const Call<Scalar>& /*call*/, In x, Rows<Scalar> y,
               Rows<Scalar> /*kept*/) const override {
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    check_rows(rows.rows, rows.cols, y);
    const Function f = function_;
    const Scalar* __restrict from = rows.data;
    Scalar* __restrict to = y.data;
    for (Index i = 0; i < rows.size(); ++i) to[i] = f.value(from[i]);
  }

  void backward(const Call<Scalar>& /*call*/, In x, Rows<const Scalar> y,
                Rows<const Scalar> /*kept*/, Rows<const Scalar> dy, InGradient dx,
                Scalar* /*gradient*/) const override {
    if (dx[0].data == nullptr) return;
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    check_rows(rows.rows, rows.cols, dy);
    check_rows(rows.rows, rows.cols, dx[0]);
    const Function f = function_;
    const Scalar* __restrict in = rows.data;
    const Scalar* __restrict out = y.data;
    const Scalar* __restrict from = dy.data;
    Scalar* __restrict to = dx[0].data;
    for (Index i = 0; i < rows.size(); ++i) to[i] = from[i] * f.slope(in[i], out[i]);
  }

 private:
  Function function_;
};

template <class Scalar>
struct LeakyRelu {
  static constexpr const char* kName = "leaky_relu";
  static constexpr double kFlops = 2;
  Scalar below;
  Scalar value(Scalar x) const { return x > 0 ? x : below * x; }
  Scalar slope(Scalar x, Scalar /*y*/) const { return x > 0 ? Scalar(1) : below; }
};

template <class Scalar>
struct Gelu {
  static constexpr const char* kName = "gelu";
  static constexpr double kFlops = 30;
  static Scalar value(Scalar x) {
    Scalar bell;
    return x * normal_cdf(x, bell);
  }
  static Scalar slope(Scalar x, Scalar /*y*/) {
    constexpr auto kPeak = static_cast<Scalar>(std::numbers::inv_sqrtpi / std::numbers::sqrt2);
    Scalar bell;
    const Scalar below = normal_cdf(x, bell);
    return below + x * (kPeak * bell);
  }
};

template <class Scalar>
struct Tanh {
  static constexpr const char* kName = "tanh";
  static constexpr double kFlops = 30;
  static Scalar value(Scalar x) { return tanh_of(x); }
  static Scalar slope(Scalar /*x*/, Scalar y) { return Scalar(1) - y * y; }
};

template <class Scalar>
struct Sigmoid {
  static constexpr const char* kName = "sigmoid";
  static constexpr double kFlops = 20;
  static Scalar value(Scalar x) { return sigmoid_of(x); }
  static Scalar slope(Scalar /*x*/, Scalar y) { return y * (Scalar(1) - y); }
};

template <class Scalar>
class Softmax final : public Layer<Scalar> {
 public:
  using typename Layer<Scalar>::In;
  using typename Layer<Scalar>::InGradient;

  explicit Softmax(Index channels) : channels_(channels) {}

  Result<Shape> out_shape(std::span<const Shape> in) const override {
    return only_input("softmax", in, channels_);
  }
  double flops(std::span<const Shape> in) const override {
    return 20 * static_cast<double>(in[0].size());
  }

  void forward(const Call<Scalar>& /*call*/, In x, Rows<Scalar> y,
               Rows<Scalar> /*kept*/) const override {
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    check_rows(rows.rows, rows.cols, y);
    for (Index at = 0; at < rows.size(); at += channels_) {
      const Scalar* __restrict from = rows.data + at;
      Scalar* __restrict to = y.data + at;
      Scalar most = from[0];
      for (Index c = 1; c < channels_; ++c) most = from[c] > most ? from[c] : most;
      for (Index c = 0; c < channels_; ++c) to[c] = exp_of(from[c] - most);
      const Scalar inverse = 1 / sum_over<Scalar>(channels_, [&](Index c) { return to[c]; });
      for (Index c = 0; c < channels_; ++c) to[c] *= inverse;
    }
  }

  void backward(const Call<Scalar>& /*call*/, In x, Rows<const Scalar> y,
                Rows<const Scalar> /*kept*/, Rows<const Scalar> dy, InGradient dx,
                Scalar* /*gradient*/) const override {
    if (dx[0].data == nullptr) return;
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    check_rows(rows.rows, rows.cols, dy);
    check_rows(rows.rows, rows.cols, dx[0]);
    for (Index at = 0; at < y.size(); at += channels_) {
      const Scalar* __restrict out = y.data + at;
      const Scalar* __restrict from = dy.data + at;
      Scalar* __restrict to = dx[0].data + at;
      const Scalar mean = sum_over<Scalar>(channels_, [&](Index c) { return out[c] * from[c]; });
      for (Index c = 0; c < channels_; ++c) to[c] = out[c] * (from[c] - mean);
    }
  }

 private:
  Index channels_;
};

template <class Scalar, class Function>
MadeLayer<Scalar> make_elementwise(const Function& function = {}) {
  return std::unique_ptr<Layer<Scalar>>(std::make_unique<Elementwise<Scalar, Function>>(function));
}

}  // namespace

template <class Scalar>
MadeLayer<Scalar> make_leaky_relu(double slope) {
  if (!(slope >= 0 && slope < 1)) {
    return Error{ErrorCode::kInvalidArgument,
                 "leaky_relu: slope is " + std::to_string(slope) + ", expected 0 <= slope < 1"};
  }
  return make_elementwise<Scalar>(LeakyRelu<Scalar>{static_cast<Scalar>(slope)});
}

template <class Scalar>
MadeLayer<Scalar> make_relu() {
  return make_elementwise<Scalar>(LeakyRelu<Scalar>{0});
}

template <class Scalar>
MadeLayer<Scalar> make_gelu() {
  return make_elementwise<Scalar, Gelu<Scalar>>();
}

template <class Scalar>
MadeLayer<Scalar> make_tanh() {
  return make_elementwise<Scalar, Tanh<Scalar>>();
}

template <class Scalar>
MadeLayer<Scalar> make_sigmoid() {
  return make_elementwise<Scalar, Sigmoid<Scalar>>();
}

template <class Scalar>
MadeLayer<Scalar> make_softmax(Index channels) {
  auto checked = check_range("softmax", "channels", channels, 1, kMostChannels);
  if (!checked.ok()) return checked.error();
  return std::unique_ptr<Layer<Scalar>>(std::make_unique<Softmax<Scalar>>(channels));
}

template MadeLayer<float> make_leaky_relu<float>(double);
template MadeLayer<double> make_leaky_relu<double>(double);
template MadeLayer<float> make_relu<float>();
template MadeLayer<double> make_relu<double>();
template MadeLayer<float> make_gelu<float>();
template MadeLayer<double> make_gelu<double>();
template MadeLayer<float> make_tanh<float>();
template MadeLayer<double> make_tanh<double>();
template MadeLayer<float> make_sigmoid<float>();
template MadeLayer<double> make_sigmoid<double>();
template MadeLayer<float> make_softmax<float>(Index);
template MadeLayer<double> make_softmax<double>(Index);

}  // namespace anomalyd::nn

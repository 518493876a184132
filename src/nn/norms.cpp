#include "nn/norms.h"

#include <cmath>
#include <memory>

#include "nn/elementwise.h"
#include "nn/layer_support.h"
#include "nn/norms_support.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;

template <class Scalar>
class LayerNorm final : public Layer<Scalar> {
 public:
  using typename Layer<Scalar>::In;
  using typename Layer<Scalar>::InGradient;

  LayerNorm(Index channels, double epsilon)
      : channels_(channels), epsilon_(static_cast<Scalar>(epsilon)) {}

  Result<Shape> out_shape(std::span<const Shape> in) const override {
    return only_input("layer_norm", in, channels_);
  }
  std::vector<ParameterSpec> parameters() const override { return norm_parameters(channels_); }
  // Of each time step the mean and the inverse of the standard deviation.
  Index kept_size(std::span<const Shape> in) const override { return 2 * in[0].samples; }
  double flops(std::span<const Shape> in) const override {
    return 8 * static_cast<double>(in[0].size());
  }

  void forward(const Call<Scalar>& call, In x, Rows<Scalar> y, Rows<Scalar> kept) const override {
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    check_rows(rows.rows, rows.cols, y);
    const Index steps = rows.size() / channels_;
    const Scalar* __restrict weights = call.weights;
    const Scalar* __restrict bias = call.weights + channels_;
    for (Index t = 0; t < steps; ++t) {
      const Scalar* __restrict from = rows.data + t * channels_;
      Scalar* __restrict to = y.data + t * channels_;
      const Scalar mean = share() * sum_over<Scalar>(channels_, [&](Index c) { return from[c]; });
      const Scalar variance = share() * sum_over<Scalar>(channels_, [&](Index c) {
                                const Scalar off = from[c] - mean;
                                return off * off;
                              });
      const Scalar inverse = 1 / std::sqrt(variance + epsilon_);
      for (Index c = 0; c < channels_; ++c) {
        to[c] = (from[c] - mean) * inverse * weights[c] + bias[c];
      }
      if (kept.data != nullptr) {
        kept.data[2 * t] = mean;
        kept.data[2 * t + 1] = inverse;
      }
    }
  }

  void backward(const Call<Scalar>& call, In x, Rows<const Scalar> /*y*/, Rows<const Scalar> kept,
                Rows<const Scalar> dy, InGradient dx, Scalar* gradient) const override {
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    check_rows(rows.rows, rows.cols, dy);
    const Index steps = rows.size() / channels_;
    const Scalar* __restrict weights = call.weights;
    for (Index t = 0; t < steps; ++t) {
      const Scalar* __restrict in = rows.data + t * channels_;
      const Scalar* __restrict from = dy.data + t * channels_;
      const Scalar mean = kept.data[2 * t];
      const Scalar inverse = kept.data[2 * t + 1];
      if (gradient != nullptr) {
        Scalar* __restrict to_weights = gradient;
        Scalar* __restrict to_bias = gradient + channels_;
        for (Index c = 0; c < channels_; ++c) {
          to_weights[c] += from[c] * ((in[c] - mean) * inverse);
          to_bias[c] += from[c];
        }
      }
      if (dx[0].data == nullptr) continue;
      const Scalar level =
          share() * sum_over<Scalar>(channels_, [&](Index c) { return from[c] * weights[c]; });
      const Scalar tilt = share() * inverse * inverse * sum_over<Scalar>(channels_, [&](Index c) {
                            return from[c] * weights[c] * (in[c] - mean);
                          });
      Scalar* __restrict to = dx[0].data + t * channels_;
      for (Index c = 0; c < channels_; ++c) {
        to[c] = inverse * (from[c] * weights[c] - level - (in[c] - mean) * tilt);
      }
    }
  }

 private:
  Scalar share() const { return Scalar(1) / static_cast<Scalar>(channels_); }

  Index channels_;
  Scalar epsilon_;
};

template <class Scalar>
class InstanceNorm final : public Layer<Scalar> {
 public:
  using typename Layer<Scalar>::In;
  using typename Layer<Scalar>::InGradient;

  InstanceNorm(Index channels, double epsilon) : channels_(channels), epsilon_(epsilon) {}

  Result<Shape> out_shape(std::span<const Shape> in) const override {
    return only_input("instance_norm", in, channels_);
  }
  std::vector<ParameterSpec> parameters() const override { return norm_parameters(channels_); }
  // Of each channel the mean, of each the inverse of the standard deviation.
  Index kept_size(std::span<const Shape> /*in*/) const override { return 2 * channels_; }
  double flops(std::span<const Shape> in) const override {
    return 8 * static_cast<double>(in[0].size());
  }

  void forward(const Call<Scalar>& call, In x, Rows<Scalar> y, Rows<Scalar> kept) const override {
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    check_rows(rows.rows, rows.cols, y);
    const Index steps = rows.cols / channels_;
    for (Index row = 0; row < rows.rows; ++row) {
      for_blocks(channels_, [&](Index first, Index width) {
        double mean[kBlock] = {};
        double variance[kBlock] = {};
        sum_steps(rows.row(row) + first, steps, width, mean,
                  [](double value, Index /*c*/) { return value; });
        sum_steps(rows.row(row) + first, steps, width, variance,
                  [&](double value, Index c) { return (value - mean[c]) * (value - mean[c]); });
        Scalar centre[kBlock];
        Scalar scale[kBlock];
        for (Index c = 0; c < width; ++c) {
          const double inverse = 1 / std::sqrt(variance[c] + epsilon_);
          centre[c] = static_cast<Scalar>(mean[c]);
          scale[c] = static_cast<Scalar>(inverse) * call.weights[first + c];
          if (kept.data == nullptr) continue;
          kept.row(row)[first + c] = centre[c];
          kept.row(row)[channels_ + first + c] = static_cast<Scalar>(inverse);
        }
        const Scalar* __restrict bias = call.weights + channels_ + first;
        for (Index t = 0; t < steps; ++t) {
          const Scalar* __restrict from = rows.row(row) + t * channels_ + first;
          Scalar* __restrict to = y.row(row) + t * channels_ + first;
          for (Index c = 0; c < width; ++c) to[c] = (from[c] - centre[c]) * scale[c] + bias[c];
        }
      });
    }
  }

  void backward(const Call<Scalar>& call, In x, Rows<const Scalar> /*y*/, Rows<const Scalar> kept,
                Rows<const Scalar> dy, InGradient dx, Scalar* gradient) const override {
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    check_rows(rows.rows, rows.cols, dy);
    const Index steps = rows.cols / channels_;
    for (Index row = 0; row < rows.rows; ++row) {
      for_blocks(channels_, [&](Index first, Index width) {
        const Scalar* __restrict mean = kept.row(row) + first;
        const Scalar* __restrict inverse = kept.row(row) + channels_ + first;
        double sum[kBlock] = {};
        double along[kBlock] = {};
        for (Index t = 0; t < steps; ++t) {
          const Scalar* __restrict in = rows.row(row) + t * channels_ + first;
          const Scalar* __restrict from = dy.row(row) + t * channels_ + first;
          for (Index c = 0; c < width; ++c) {
            sum[c] += static_cast<double>(from[c]);
            along[c] += static_cast<double>(from[c] * (in[c] - mean[c]));
          }
        }
        Scalar scale[kBlock];
        Scalar level[kBlock];
        Scalar tilt[kBlock];
        for (Index c = 0; c < width; ++c) {
          const auto deviation = static_cast<double>(inverse[c]);
          if (gradient != nullptr) {
            gradient[first + c] += static_cast<Scalar>(along[c] * deviation);
            gradient[channels_ + first + c] += static_cast<Scalar>(sum[c]);
          }
          scale[c] = inverse[c] * call.weights[first + c];
          level[c] = static_cast<Scalar>(sum[c] / static_cast<double>(steps));
          tilt[c] =
              static_cast<Scalar>(along[c] * deviation * deviation / static_cast<double>(steps));
        }
        if (dx[0].data == nullptr) return;
        for (Index t = 0; t < steps; ++t) {
          const Scalar* __restrict in = rows.row(row) + t * channels_ + first;
          const Scalar* __restrict from = dy.row(row) + t * channels_ + first;
          Scalar* __restrict to = dx[0].row(row) + t * channels_ + first;
          for (Index c = 0; c < width; ++c) {
            to[c] = scale[c] * (from[c] - level[c] - (in[c] - mean[c]) * tilt[c]);
          }
        }
      });
    }
  }

 private:
  /// mean[c] = mean over the steps of f(x, c).
  template <class Function>
  void sum_steps(const Scalar* x, Index steps, Index width, double* mean, const Function& f) const {
    for (Index t = 0; t < steps; ++t) {
      const Scalar* __restrict at = x + t * channels_;
      for (Index c = 0; c < width; ++c) mean[c] += f(static_cast<double>(at[c]), c);
    }
    for (Index c = 0; c < width; ++c) mean[c] /= static_cast<double>(steps);
  }

  Index channels_;
  double epsilon_;
};

}  // namespace

template <class Scalar>
MadeLayer<Scalar> make_layer_norm(Index channels, double epsilon) {
  auto checked = check_norm("layer_norm", channels, epsilon);
  if (!checked.ok()) return checked.error();
  return std::unique_ptr<Layer<Scalar>>(std::make_unique<LayerNorm<Scalar>>(channels, epsilon));
}

template <class Scalar>
MadeLayer<Scalar> make_instance_norm(Index channels, double epsilon) {
  auto checked = check_norm("instance_norm", channels, epsilon);
  if (!checked.ok()) return checked.error();
  return std::unique_ptr<Layer<Scalar>>(std::make_unique<InstanceNorm<Scalar>>(channels, epsilon));
}

template MadeLayer<float> make_layer_norm<float>(Index, double);
template MadeLayer<double> make_layer_norm<double>(Index, double);
template MadeLayer<float> make_instance_norm<float>(Index, double);
template MadeLayer<double> make_instance_norm<double>(Index, double);

}  // namespace anomalyd::nn

#include <algorithm>
#include <cmath>
#include <memory>

#include "nn/layer_support.h"
#include "nn/norms.h"
#include "nn/norms_support.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;

template <class Scalar>
class BatchNorm final : public Layer<Scalar> {
 public:
  using typename Layer<Scalar>::In;
  using typename Layer<Scalar>::InGradient;

  BatchNorm(Index channels, double epsilon, double momentum)
      : channels_(channels), epsilon_(epsilon), momentum_(momentum) {}

  Result<Shape> out_shape(std::span<const Shape> in) const override {
    return only_input("batch_norm", in, channels_);
  }
  std::vector<ParameterSpec> parameters() const override { return norm_parameters(channels_); }
  std::vector<BufferSpec> buffers() const override {
    const auto channels = static_cast<std::size_t>(channels_);
    return {{"mean", {channels}, 0}, {"variance", {channels}, 1, 0}};
  }
  double flops(std::span<const Shape> in) const override {
    return 3 * static_cast<double>(in[0].size());
  }

  // Of each channel the values, of each their squares, and how many there are.
  Index sums() const override { return 2 * channels_ + 1; }
  // Of each channel dy, of each dy times the normalised x: what bias and weights get as well.
  Index gradient_sums() const override { return 2 * channels_; }

  void gather(In x, double* sums) const override {
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    const Index steps = rows.size() / channels_;
    for_blocks(channels_, [&](Index first, Index width) {
      double sum[kBlock] = {};
      double squares[kBlock] = {};
      for (Index t = 0; t < steps; ++t) {
        const Scalar* __restrict at = rows.data + t * channels_ + first;
        for (Index c = 0; c < width; ++c) {
          const auto value = static_cast<double>(at[c]);
          sum[c] += value;
          squares[c] += value * value;
        }
      }
      for (Index c = 0; c < width; ++c) sums[first + c] += sum[c];
      for (Index c = 0; c < width; ++c) sums[channels_ + first + c] += squares[c];
    });
    sums[2 * channels_] += static_cast<double>(steps);
  }

  void settle(const double* sums, Index /*batch_rows*/, Scalar* buffers) const override {
    const double count = sums[2 * channels_];
    for (Index c = 0; c < channels_; ++c) {
      move(buffers[c], mean_of(sums, c));
      if (count > 1) move(buffers[channels_ + c], variance_of(sums, c) * count / (count - 1));
    }
  }

  void forward(const Call<Scalar>& call, In x, Rows<Scalar> y,
               Rows<Scalar> /*kept*/) const override {
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    check_rows(rows.rows, rows.cols, y);
    const Moments moments = moments_of(call);
    const Scalar* bias = call.weights + channels_;
    Scalar* scale = take(call);
    for (Index c = 0; c < channels_; ++c) scale[c] = call.weights[c] * moments.inverse[c];
    for (Index at = 0; at < rows.size(); at += channels_) {
      const Scalar* __restrict from = rows.data + at;
      Scalar* __restrict to = y.data + at;
      for (Index c = 0; c < channels_; ++c) {
        to[c] = (from[c] - moments.mean[c]) * scale[c] + bias[c];
      }
    }
  }

  void gather_gradient(const Call<Scalar>& call, In x, Rows<const Scalar> dy,
                       double* sums) const override {
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    check_rows(rows.rows, rows.cols, dy);
    const Moments moments = moments_of(call);
    const Index steps = rows.size() / channels_;
    for_blocks(channels_, [&](Index first, Index width) {
      double sum[kBlock] = {};
      double along[kBlock] = {};
      for (Index t = 0; t < steps; ++t) {
        const Scalar* __restrict in = rows.data + t * channels_ + first;
        const Scalar* __restrict from = dy.data + t * channels_ + first;
        for (Index c = 0; c < width; ++c) {
          sum[c] += static_cast<double>(from[c]);
          along[c] += static_cast<double>(from[c] * (in[c] - moments.mean[first + c]));
        }
      }
      for (Index c = 0; c < width; ++c) sums[first + c] += sum[c];
      for (Index c = 0; c < width; ++c) {
        sums[channels_ + first + c] += along[c] * static_cast<double>(moments.inverse[first + c]);
      }
    });
  }

  void backward(const Call<Scalar>& call, In x, Rows<const Scalar> /*y*/,
                Rows<const Scalar> /*kept*/, Rows<const Scalar> dy, InGradient dx,
                Scalar* gradient) const override {
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    check_rows(rows.rows, rows.cols, dy);
    if (gradient != nullptr && call.first_row == 0) {
      // The whole batch's is known already: the first piece brings it.
      for (Index c = 0; c < channels_; ++c) {
        gradient[c] += static_cast<Scalar>(call.gradient_sums[channels_ + c]);
        gradient[channels_ + c] += static_cast<Scalar>(call.gradient_sums[c]);
      }
    }
    if (dx[0].data == nullptr) return;
    check_rows(rows.rows, rows.cols, dx[0]);

    const Moments moments = moments_of(call);
    Scalar* scale = take(call);
    Scalar* mean_dy = take(call);  // over the batch
    Scalar* tilt = take(call);     // what dx loses for each unit of x - mean
    const double count = call.sums[2 * channels_];
    for (Index c = 0; c < channels_; ++c) {
      scale[c] = call.weights[c] * moments.inverse[c];
      mean_dy[c] = static_cast<Scalar>(call.gradient_sums[c] / count);
      tilt[c] = static_cast<Scalar>(call.gradient_sums[channels_ + c] / count *
                                    static_cast<double>(moments.inverse[c]));
    }
    for (Index at = 0; at < rows.size(); at += channels_) {
      const Scalar* __restrict in = rows.data + at;
      const Scalar* __restrict from = dy.data + at;
      Scalar* __restrict to = dx[0].data + at;
      for (Index c = 0; c < channels_; ++c) {
        to[c] = scale[c] * (from[c] - mean_dy[c] - (in[c] - moments.mean[c]) * tilt[c]);
      }
    }
  }

 private:
  struct Moments {
    const Scalar* mean;
    const Scalar* inverse;  // of the standard deviation
  };

  Scalar* take(const Call<Scalar>& call) const {
    return call.scratch->take(static_cast<std::size_t>(channels_)).data();
  }
  double mean_of(const double* sums, Index c) const { return sums[c] / sums[2 * channels_]; }
  double variance_of(const double* sums, Index c) const {
    const double mean = mean_of(sums, c);
    const double variance = sums[channels_ + c] / sums[2 * channels_] - mean * mean;
    return variance < 0 ? 0 : variance;  // by rounding; NaN stays
  }
  void move(Scalar& running, double towards) const {
    running =
        static_cast<Scalar>((1 - momentum_) * static_cast<double>(running) + momentum_ * towards);
  }

  Moments moments_of(const Call<Scalar>& call) const {
    Scalar* mean = take(call);
    Scalar* inverse = take(call);
    for (Index c = 0; c < channels_; ++c) {
      double variance = 0;
      if (call.mode == Mode::kTraining) {
        mean[c] = static_cast<Scalar>(mean_of(call.sums, c));
        variance = variance_of(call.sums, c);
      } else {
        mean[c] = call.buffers[c];
        variance = static_cast<double>(call.buffers[channels_ + c]);
      }
      inverse[c] = static_cast<Scalar>(1 / std::sqrt(variance + epsilon_));
    }
    return {mean, inverse};
  }

  Index channels_;
  double epsilon_;
  double momentum_;
};

}  // namespace

template <class Scalar>
MadeLayer<Scalar> make_batch_norm(Index channels, double epsilon, double momentum) {
  auto checked = check_norm("batch_norm", channels, epsilon);
  if (checked.ok()) checked = check_share("batch_norm", "momentum", momentum);
  if (!checked.ok()) return checked.error();
  return std::unique_ptr<Layer<Scalar>>(
      std::make_unique<BatchNorm<Scalar>>(channels, epsilon, momentum));
}

template MadeLayer<float> make_batch_norm<float>(Index, double, double);
template MadeLayer<double> make_batch_norm<double>(Index, double, double);

}  // namespace anomalyd::nn

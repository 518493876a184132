#include "nn/reparameterise.h"

#include <algorithm>
#include <memory>

#include "nn/elementwise.h"
#include "nn/layer_support.h"
#include "nn/random.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;

template <class Scalar>
class Reparameterise final : public Layer<Scalar> {
 public:
  using typename Layer<Scalar>::In;
  using typename Layer<Scalar>::InGradient;

  explicit Reparameterise(Index channels) : channels_(channels) {}

  Result<Shape> out_shape(std::span<const Shape> in) const override {
    auto shape = only_input("reparameterise", in, 2 * channels_);
    if (!shape.ok()) return shape;
    return Shape{shape.value().samples, channels_};
  }
  double flops(std::span<const Shape> /*in*/) const override { return 0; }

  void forward(const Call<Scalar>& call, In x, Rows<Scalar> y,
               Rows<Scalar> /*kept*/) const override {
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    check_rows(rows.rows, rows.cols / 2, y);
    const bool is_training = call.mode == Mode::kTraining;
    for (Index row = 0; row < y.rows; ++row) {
      const std::uint64_t seed = call.row_seed(row);
      for (Index at = 0; at < y.cols; at += channels_) {
        const Scalar* mean = rows.row(row) + 2 * at;
        const Scalar* log_variance = mean + channels_;
        Scalar* to = y.row(row) + at;
        if (!is_training) {
          std::copy_n(mean, channels_, to);
          continue;
        }
        for (Index c = 0; c < channels_; ++c) {
          to[c] = mean[c] + deviation(log_variance[c]) * noise(seed, at + c);
        }
      }
    }
  }

  void backward(const Call<Scalar>& call, In x, Rows<const Scalar> y, Rows<const Scalar> /*kept*/,
                Rows<const Scalar> dy, InGradient dx, Scalar* /*gradient*/) const override {
    if (dx[0].data == nullptr) return;
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    check_rows(rows.rows, rows.cols, dx[0]);
    check_rows(y.rows, y.cols, dy);
    for (Index row = 0; row < dy.rows; ++row) {
      const std::uint64_t seed = call.row_seed(row);
      for (Index at = 0; at < dy.cols; at += channels_) {
        const Scalar* log_variance = rows.row(row) + 2 * at + channels_;
        const Scalar* from = dy.row(row) + at;
        Scalar* to_mean = dx[0].row(row) + 2 * at;
        Scalar* to_log_variance = to_mean + channels_;
        std::copy_n(from, channels_, to_mean);
        for (Index c = 0; c < channels_; ++c) {
          to_log_variance[c] =
              from[c] * (deviation(log_variance[c]) * noise(seed, at + c) / Scalar(2));
        }
      }
    }
  }

 private:
  static Scalar deviation(Scalar log_variance) { return exp_of(log_variance / Scalar(2)); }
  static Scalar noise(std::uint64_t seed, Index place) {
    return static_cast<Scalar>(normal_at(seed, static_cast<std::uint64_t>(place)));
  }

  Index channels_;
};

}  // namespace

template <class Scalar>
MadeLayer<Scalar> make_reparameterise(Index channels) {
  auto checked = check_range("reparameterise", "channels", channels, 1, kMostChannels / 2);
  if (!checked.ok()) return checked.error();
  return std::unique_ptr<Layer<Scalar>>(std::make_unique<Reparameterise<Scalar>>(channels));
}

template MadeLayer<float> make_reparameterise<float>(Index);
template MadeLayer<double> make_reparameterise<double>(Index);

}  // namespace anomalyd::nn

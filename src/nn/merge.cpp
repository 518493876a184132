#include "nn/merge.h"

#include <algorithm>
#include <memory>
#include <string>

#include "nn/layer_support.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;

std::string text(Shape shape) {
  return std::to_string(shape.samples) + " x " + std::to_string(shape.channels);
}

Status check_count(const char* type, std::size_t count) {
  if (count >= 2 && count <= kMaxInputs) return Done{};
  return Error{ErrorCode::kInvalidArgument, std::string(type) + ": it reads " +
                                                std::to_string(count) + " values, expected 2.." +
                                                std::to_string(kMaxInputs)};
}

template <class Scalar>
class Add final : public Layer<Scalar> {
 public:
  using typename Layer<Scalar>::In;
  using typename Layer<Scalar>::InGradient;

  Result<Shape> out_shape(std::span<const Shape> in) const override {
    auto checked = check_count("add", in.size());
    if (!checked.ok()) return checked.error();
    for (const Shape& shape : in) {
      if (shape == in[0]) continue;
      return Error{ErrorCode::kInvalidArgument,
                   "add: it reads " + text(in[0]) + " and " + text(shape) + ", expected one shape"};
    }
    return in[0];
  }
  double flops(std::span<const Shape> in) const override {
    return static_cast<double>(in.size() - 1) * static_cast<double>(in[0].size());
  }

  void forward(const Call<Scalar>& /*call*/, In x, Rows<Scalar> y,
               Rows<Scalar> /*kept*/) const override {
    check_rows(y.rows, y.cols, x[0]);
    std::copy_n(x[0].data, y.size(), y.data);
    for (std::size_t i = 1; i < x.size(); ++i) {
      check_rows(y.rows, y.cols, x[i]);
      const Scalar* __restrict from = x[i].data;
      Scalar* __restrict to = y.data;
      for (Index k = 0; k < y.size(); ++k) to[k] += from[k];
    }
  }

  void backward(const Call<Scalar>& /*call*/, In /*x*/, Rows<const Scalar> /*y*/,
                Rows<const Scalar> /*kept*/, Rows<const Scalar> dy, InGradient dx,
                Scalar* /*gradient*/) const override {
    for (const Rows<Scalar>& each : dx) {
      if (each.data == nullptr) continue;
      check_rows(dy.rows, dy.cols, each);
      std::copy_n(dy.data, dy.size(), each.data);
    }
  }
};

template <class Scalar>
class Concat final : public Layer<Scalar> {
 public:
  using typename Layer<Scalar>::In;
  using typename Layer<Scalar>::InGradient;

  explicit Concat(Index channels) : channels_(channels) {}

  Result<Shape> out_shape(std::span<const Shape> in) const override {
    auto checked = check_count("concat", in.size());
    if (!checked.ok()) return checked.error();
    Index sum = 0;
    for (const Shape& shape : in) {
      sum += shape.channels;
      if (shape.samples == in[0].samples) continue;
      return Error{ErrorCode::kInvalidArgument, "concat: it reads " + text(in[0]) + " and " +
                                                    text(shape) + ", expected one length"};
    }
    if (sum != channels_) {
      return Error{ErrorCode::kInvalidArgument, "concat: channels are " +
                                                    std::to_string(channels_) + ", but it reads " +
                                                    std::to_string(sum)};
    }
    return Shape{in[0].samples, channels_};
  }
  double flops(std::span<const Shape> /*in*/) const override { return 0; }

  void forward(const Call<Scalar>& /*call*/, In x, Rows<Scalar> y,
               Rows<Scalar> /*kept*/) const override {
    const Index samples = y.cols / channels_;
    Scalar* to = y.data;
    for (Index step = 0; step < y.rows * samples; ++step) {
      for (const Rows<const Scalar>& each : x) {
        const Index channels = each.cols / samples;
        to = std::copy_n(each.data + step * channels, channels, to);
      }
    }
    ANOMALYD_CHECK(to == y.data + y.size(), "concat: the inputs fill y");
  }

  void backward(const Call<Scalar>& /*call*/, In x, Rows<const Scalar> /*y*/,
                Rows<const Scalar> /*kept*/, Rows<const Scalar> dy, InGradient dx,
                Scalar* /*gradient*/) const override {
    const Index samples = dy.cols / channels_;
    const Scalar* from = dy.data;
    for (Index step = 0; step < dy.rows * samples; ++step) {
      for (std::size_t i = 0; i < dx.size(); ++i) {
        const Index channels = x[i].cols / samples;
        if (dx[i].data != nullptr) std::copy_n(from, channels, dx[i].data + step * channels);
        from += channels;
      }
    }
    ANOMALYD_CHECK(from == dy.data + dy.size(), "concat: the inputs take all of dy");
  }

 private:
  Index channels_;
};

}  // namespace

template <class Scalar>
MadeLayer<Scalar> make_add() {
  return std::unique_ptr<Layer<Scalar>>(std::make_unique<Add<Scalar>>());
}

template <class Scalar>
MadeLayer<Scalar> make_concat(Index channels) {
  auto checked = check_range("concat", "channels", channels, 2, kMostChannels);
  if (!checked.ok()) return checked.error();
  return std::unique_ptr<Layer<Scalar>>(std::make_unique<Concat<Scalar>>(channels));
}

template MadeLayer<float> make_add<float>();
template MadeLayer<double> make_add<double>();
template MadeLayer<float> make_concat<float>(Index);
template MadeLayer<double> make_concat<double>(Index);

}  // namespace anomalyd::nn

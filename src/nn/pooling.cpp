#include "nn/pooling.h"

#include <algorithm>
#include <memory>
#include <string>

#include "nn/layer_support.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;

struct PoolSize {
  Index channels;
  Index kernel;
  Index stride;
};

Status check_pool(const char* type, const PoolSize& size) {
  auto checked = check_range(type, "channels", size.channels, 1, kMostChannels);
  if (checked.ok()) checked = check_range(type, "kernel", size.kernel, 1, kLongestKernel);
  if (checked.ok()) checked = check_range(type, "stride", size.stride, 1, kLongestKernel);
  return checked;
}

Result<Shape> pool_shape(const char* type, const PoolSize& size, std::span<const Shape> in) {
  auto shape = only_input(type, in, size.channels);
  if (!shape.ok()) return shape;
  const Index samples = shape.value().samples;
  if (samples < size.kernel) {
    return Error{ErrorCode::kInvalidArgument, std::string(type) + ": kernel is " +
                                                  std::to_string(size.kernel) + ", but it reads " +
                                                  std::to_string(samples) + " samples"};
  }
  return Shape{(samples - size.kernel) / size.stride + 1, size.channels};
}

template <class Scalar>
void fill_zero(const Rows<Scalar>& rows) {
  std::fill_n(rows.data, rows.size(), Scalar(0));
}

template <class Scalar>
class MaxPool final : public Layer<Scalar> {
 public:
  using typename Layer<Scalar>::In;
  using typename Layer<Scalar>::InGradient;

  explicit MaxPool(const PoolSize& size) : size_(size) {}

  Result<Shape> out_shape(std::span<const Shape> in) const override {
    return pool_shape("max_pool", size_, in);
  }
  // Which of its window each value of y is.
  Index kept_size(std::span<const Shape> in) const override {
    return pool_shape("max_pool", size_, in).value().size();
  }
  double flops(std::span<const Shape> in) const override {
    return static_cast<double>(kept_size(in) * size_.kernel);
  }

  void forward(const Call<Scalar>& /*call*/, In x, Rows<Scalar> y,
               Rows<Scalar> kept) const override {
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    ANOMALYD_CHECK(y.rows == rows.rows, "as many rows of y as of x");
    for_windows(rows, y, [&](Index row, Index from_at, Index at) {
      const Scalar* from = rows.row(row) + from_at;
      Scalar* __restrict to = y.row(row) + at;
      std::copy_n(from, size_.channels, to);
      for (Index j = 1; j < size_.kernel; ++j) {
        const Scalar* __restrict next = from + j * size_.channels;
        for (Index c = 0; c < size_.channels; ++c) {
          to[c] = exceeds(next[c], to[c]) ? next[c] : to[c];
        }
      }
      if (kept.data == nullptr) return;
      Scalar* __restrict which = kept.row(row) + at;
      std::fill_n(which, size_.channels, Scalar(0));
      // From the last, so that the first of several stays.
      for (Index j = size_.kernel - 1; j > 0; --j) {
        const Scalar* __restrict next = from + j * size_.channels;
        for (Index c = 0; c < size_.channels; ++c) {
          which[c] = next[c] == to[c] ? static_cast<Scalar>(j) : which[c];
        }
      }
      for (Index c = 0; c < size_.channels; ++c) {
        which[c] = from[c] == to[c] ? Scalar(0) : which[c];
      }
    });
  }

  void backward(const Call<Scalar>& /*call*/, In x, Rows<const Scalar> y, Rows<const Scalar> kept,
                Rows<const Scalar> dy, InGradient dx, Scalar* /*gradient*/) const override {
    if (dx[0].data == nullptr) return;
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    check_rows(rows.rows, rows.cols, dx[0]);
    check_rows(y.rows, y.cols, dy);
    fill_zero(dx[0]);
    for_windows(rows, y, [&](Index row, Index from_at, Index at) {
      const Scalar* __restrict from = dy.row(row) + at;
      const Scalar* __restrict which = kept.row(row) + at;
      for (Index j = 0; j < size_.kernel; ++j) {
        Scalar* __restrict to = dx[0].row(row) + from_at + j * size_.channels;
        const auto mine = static_cast<Scalar>(j);
        for (Index c = 0; c < size_.channels; ++c) {
          to[c] += which[c] == mine ? from[c] : Scalar(0);
        }
      }
    });
  }

 private:
  /// NaN exceeds every number, and is exceeded by none.
  static bool exceeds(Scalar next, Scalar most) { return next > most || next != next; }

  template <class Window>
  void for_windows(const Rows<const Scalar>& x, const Rows<const Scalar>& y,
                   const Window& window) const {
    const Index count = y.cols / size_.channels;
    for (Index row = 0; row < x.rows; ++row) {
      for (Index t = 0; t < count; ++t) {
        window(row, t * size_.stride * size_.channels, t * size_.channels);
      }
    }
  }

  PoolSize size_;
};

template <class Scalar>
class AveragePool final : public Layer<Scalar> {
 public:
  using typename Layer<Scalar>::In;
  using typename Layer<Scalar>::InGradient;

  explicit AveragePool(const PoolSize& size)
      : size_(size), share_(Scalar(1) / static_cast<Scalar>(size.kernel)) {}

  Result<Shape> out_shape(std::span<const Shape> in) const override {
    return pool_shape("average_pool", size_, in);
  }
  double flops(std::span<const Shape> in) const override {
    return static_cast<double>(pool_shape("average_pool", size_, in).value().size() * size_.kernel);
  }

  void forward(const Call<Scalar>& /*call*/, In x, Rows<Scalar> y,
               Rows<Scalar> /*kept*/) const override {
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    ANOMALYD_CHECK(y.rows == rows.rows, "as many rows of y as of x");
    const Index count = y.cols / size_.channels;
    for (Index row = 0; row < rows.rows; ++row) {
      for (Index t = 0; t < count; ++t) {
        const Scalar* from = rows.row(row) + t * size_.stride * size_.channels;
        Scalar* __restrict to = y.row(row) + t * size_.channels;
        std::copy_n(from, size_.channels, to);
        for (Index j = 1; j < size_.kernel; ++j) {
          const Scalar* __restrict next = from + j * size_.channels;
          for (Index c = 0; c < size_.channels; ++c) to[c] += next[c];
        }
        for (Index c = 0; c < size_.channels; ++c) to[c] *= share_;
      }
    }
  }

  void backward(const Call<Scalar>& /*call*/, In x, Rows<const Scalar> y,
                Rows<const Scalar> /*kept*/, Rows<const Scalar> dy, InGradient dx,
                Scalar* /*gradient*/) const override {
    if (dx[0].data == nullptr) return;
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    check_rows(rows.rows, rows.cols, dx[0]);
    check_rows(y.rows, y.cols, dy);
    fill_zero(dx[0]);
    const Index count = dy.cols / size_.channels;
    for (Index row = 0; row < dy.rows; ++row) {
      for (Index t = 0; t < count; ++t) {
        const Scalar* __restrict from = dy.row(row) + t * size_.channels;
        for (Index j = 0; j < size_.kernel; ++j) {
          Scalar* __restrict to = dx[0].row(row) + (t * size_.stride + j) * size_.channels;
          for (Index c = 0; c < size_.channels; ++c) to[c] += from[c] * share_;
        }
      }
    }
  }

 private:
  PoolSize size_;
  Scalar share_;
};

template <class Scalar>
class Upsample final : public Layer<Scalar> {
 public:
  using typename Layer<Scalar>::In;
  using typename Layer<Scalar>::InGradient;

  Upsample(Index channels, Index factor) : channels_(channels), factor_(factor) {}

  Result<Shape> out_shape(std::span<const Shape> in) const override {
    auto shape = only_input("upsample", in, channels_);
    if (!shape.ok()) return shape;
    return Shape{shape.value().samples * factor_, channels_};
  }
  double flops(std::span<const Shape> /*in*/) const override { return 0; }

  void forward(const Call<Scalar>& /*call*/, In x, Rows<Scalar> y,
               Rows<Scalar> /*kept*/) const override {
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    check_rows(rows.rows, rows.cols * factor_, y);
    Scalar* to = y.data;
    for (Index at = 0; at < rows.size(); at += channels_) {
      for (Index j = 0; j < factor_; ++j) to = std::copy_n(rows.data + at, channels_, to);
    }
  }

  void backward(const Call<Scalar>& /*call*/, In x, Rows<const Scalar> /*y*/,
                Rows<const Scalar> /*kept*/, Rows<const Scalar> dy, InGradient dx,
                Scalar* /*gradient*/) const override {
    if (dx[0].data == nullptr) return;
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    check_rows(rows.rows, rows.cols, dx[0]);
    check_rows(rows.rows, rows.cols * factor_, dy);
    for (Index at = 0; at < rows.size(); at += channels_) {
      const Scalar* from = dy.data + at * factor_;
      Scalar* __restrict to = dx[0].data + at;
      std::copy_n(from, channels_, to);
      for (Index j = 1; j < factor_; ++j) {
        const Scalar* __restrict next = from + j * channels_;
        for (Index c = 0; c < channels_; ++c) to[c] += next[c];
      }
    }
  }

 private:
  Index channels_;
  Index factor_;
};

}  // namespace

template <class Scalar>
MadeLayer<Scalar> make_max_pool(Index channels, Index kernel, Index stride) {
  const PoolSize size{channels, kernel, stride};
  auto checked = check_pool("max_pool", size);
  if (!checked.ok()) return checked.error();
  return std::unique_ptr<Layer<Scalar>>(std::make_unique<MaxPool<Scalar>>(size));
}

template <class Scalar>
MadeLayer<Scalar> make_average_pool(Index channels, Index kernel, Index stride) {
  const PoolSize size{channels, kernel, stride};
  auto checked = check_pool("average_pool", size);
  if (!checked.ok()) return checked.error();
  return std::unique_ptr<Layer<Scalar>>(std::make_unique<AveragePool<Scalar>>(size));
}

template <class Scalar>
MadeLayer<Scalar> make_upsample(Index channels, Index factor) {
  auto checked = check_range("upsample", "channels", channels, 1, kMostChannels);
  if (checked.ok()) checked = check_range("upsample", "factor", factor, 1, kLongestKernel);
  if (!checked.ok()) return checked.error();
  return std::unique_ptr<Layer<Scalar>>(std::make_unique<Upsample<Scalar>>(channels, factor));
}

template MadeLayer<float> make_max_pool<float>(Index, Index, Index);
template MadeLayer<double> make_max_pool<double>(Index, Index, Index);
template MadeLayer<float> make_average_pool<float>(Index, Index, Index);
template MadeLayer<double> make_average_pool<double>(Index, Index, Index);
template MadeLayer<float> make_upsample<float>(Index, Index);
template MadeLayer<double> make_upsample<double>(Index, Index);

}  // namespace anomalyd::nn

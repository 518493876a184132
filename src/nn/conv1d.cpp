#include "nn/conv1d.h"

#include <algorithm>
#include <string>

#include "nn/product.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;

constexpr Index kMaxChannels = 4096;
constexpr Index kMaxKernel = 1024;

std::string text(const ConvSize& size) {
  return "in=" + std::to_string(size.in) + " out=" + std::to_string(size.out) +
         " kernel=" + std::to_string(size.kernel) + " stride=" + std::to_string(size.stride) +
         " padding=" + std::to_string(size.padding);
}

Status check(const char* type, const ConvSize& size) {
  const bool is_legal = size.in >= 1 && size.in <= kMaxChannels && size.out >= 1 &&
                        size.out <= kMaxChannels && size.kernel >= 1 && size.kernel <= kMaxKernel &&
                        size.stride >= 1 && size.stride <= size.kernel && size.padding >= 0 &&
                        size.padding < size.kernel;
  if (is_legal) return Done{};
  return Error{ErrorCode::kInvalidArgument,
               std::string(type) + ": " + text(size) + ": expected in and out of 1.." +
                   std::to_string(kMaxChannels) + ", kernel of 1.." + std::to_string(kMaxKernel) +
                   ", stride of 1..kernel and padding below kernel"};
}

Error channels_differ(const char* type, const ConvSize& size, Shape in) {
  return Error{ErrorCode::kInvalidArgument,
               std::string(type) + ": in is " + std::to_string(size.in) +
                   ", but the layer before gives " + std::to_string(in.channels) + " channels"};
}

template <class Scalar>
std::span<Scalar> all(Matrix<Scalar>& matrix) {
  return {matrix.data(), static_cast<std::size_t>(matrix.size())};
}

template <class Scalar>
std::span<Scalar> all(RowVector<Scalar>& vector) {
  return {vector.data(), static_cast<std::size_t>(vector.size())};
}

/// Adds each row of `fields` (rows, width) to `out` at `step` times its number. Rows of `out`
/// overlap, so one after the other.
template <class Scalar>
void scatter(const Matrix<Scalar>& fields, Index step, Scalar* out) {
  for (Index row = 0; row < fields.rows(); ++row) {
    const Scalar* from = fields.data() + row * fields.cols();
    Scalar* to = out + row * step;
    for (Index i = 0; i < fields.cols(); ++i) to[i] += from[i];
  }
}

template <class Scalar>
void add_rows(const Scalar* rows, Index count, RowVector<Scalar>& sum) {
  for (Index row = 0; row < count; ++row) {
    for (Index i = 0; i < sum.size(); ++i) sum(i) += rows[row * sum.size() + i];
  }
}

}  // namespace

template <class Scalar>
Conv1d<Scalar>::Conv1d(const ConvSize& size)
    : size_(size),
      weights_(size.kernel * size.in, size.out),
      bias_(RowVector<Scalar>::Zero(size.out)),
      weight_gradient_(Matrix<Scalar>::Zero(size.kernel * size.in, size.out)),
      bias_gradient_(RowVector<Scalar>::Zero(size.out)) {}

template <class Scalar>
Result<Conv1d<Scalar>> Conv1d<Scalar>::make(const ConvSize& size, std::uint64_t seed) {
  if (Status status = check("conv1d", size); !status.ok()) return status.error();
  Conv1d layer(size);
  fill_glorot<Scalar>(all(layer.weights_), size.kernel * size.in, size.kernel * size.out, seed);
  return layer;
}

template <class Scalar>
Result<Shape> Conv1d<Scalar>::out_shape(Shape in) const {
  if (in.channels != size_.in) return channels_differ("conv1d", size_, in);
  const Index room = in.samples + 2 * size_.padding - size_.kernel;
  if (room < 0) {
    return Error{ErrorCode::kInvalidArgument, "conv1d: " + text(size_) + ": the kernel is longer " +
                                                  "than the " + std::to_string(in.samples) +
                                                  " samples with their padding"};
  }
  return Shape{room / size_.stride + 1, size_.out};
}

template <class Scalar>
void Conv1d<Scalar>::forward(const Matrix<Scalar>& x, Matrix<Scalar>& y) const {
  ANOMALYD_CHECK(x.cols() % size_.in == 0, "conv1d forward: x must be (n, t * in)");
  const Index samples = x.cols() / size_.in;
  const Index room = samples + 2 * size_.padding - size_.kernel;
  ANOMALYD_CHECK(room >= 0, "conv1d forward: x is shorter than the kernel");
  const Index steps = room / size_.stride + 1;
  y.resize(x.rows(), steps * size_.out);
  RowVector<Scalar> padded = RowVector<Scalar>::Zero((samples + 2 * size_.padding) * size_.in);
  for (Index n = 0; n < x.rows(); ++n) {
    padded.segment(size_.padding * size_.in, x.cols()) = x.row(n);
    Scalar* out = y.data() + n * y.cols();
    for (Index t = 0; t < steps; ++t) std::copy_n(bias_.data(), size_.out, out + t * size_.out);
    accumulate_product<Scalar>(steps, weights_.rows(), size_.out, padded.data(),
                               size_.stride * size_.in, 1, weights_.data(), size_.out, out,
                               size_.out);
  }
}

template <class Scalar>
void Conv1d<Scalar>::backward(const Matrix<Scalar>& x, const Matrix<Scalar>& dy,
                              Matrix<Scalar>& dx) {
  ANOMALYD_CHECK(x.cols() % size_.in == 0, "conv1d backward: x must be (n, t * in)");
  const Index samples = x.cols() / size_.in;
  const Index steps = (samples + 2 * size_.padding - size_.kernel) / size_.stride + 1;
  ANOMALYD_CHECK(dy.rows() == x.rows() && dy.cols() == steps * size_.out,
                 "conv1d backward: dy must be (n, t' * out)");
  const Index field = weights_.rows();
  const Index step = size_.stride * size_.in;
  const Matrix<Scalar> transposed = weights_.transpose();
  RowVector<Scalar> padded = RowVector<Scalar>::Zero((samples + 2 * size_.padding) * size_.in);
  RowVector<Scalar> padded_gradient(padded.size());
  Matrix<Scalar> fields(steps, field);
  dx.resize(x.rows(), x.cols());
  for (Index n = 0; n < x.rows(); ++n) {
    padded.segment(size_.padding * size_.in, x.cols()) = x.row(n);
    const Scalar* out = dy.data() + n * dy.cols();
    accumulate_product<Scalar>(field, steps, size_.out, padded.data(), 1, step, out, size_.out,
                               weight_gradient_.data(), size_.out);
    add_rows(out, steps, bias_gradient_);
    fields.setZero();
    accumulate_product<Scalar>(steps, size_.out, field, out, size_.out, 1, transposed.data(), field,
                               fields.data(), field);
    padded_gradient.setZero();
    scatter(fields, step, padded_gradient.data());
    dx.row(n) = padded_gradient.segment(size_.padding * size_.in, x.cols());
  }
}

template <class Scalar>
std::vector<Parameter<Scalar>> Conv1d<Scalar>::parameters() {
  return {{"weights",
           {static_cast<std::size_t>(size_.kernel), static_cast<std::size_t>(size_.in),
            static_cast<std::size_t>(size_.out)},
           all(weights_),
           all(weight_gradient_)},
          {"bias", {static_cast<std::size_t>(size_.out)}, all(bias_), all(bias_gradient_)}};
}

template <class Scalar>
std::unique_ptr<Layer<Scalar>> Conv1d<Scalar>::clone() const {
  return std::make_unique<Conv1d>(*this);
}

template <class Scalar>
ConvTranspose1d<Scalar>::ConvTranspose1d(const ConvSize& size)
    : size_(size),
      weights_(size.in, size.kernel * size.out),
      bias_(RowVector<Scalar>::Zero(size.out)),
      weight_gradient_(Matrix<Scalar>::Zero(size.in, size.kernel * size.out)),
      bias_gradient_(RowVector<Scalar>::Zero(size.out)) {}

template <class Scalar>
Result<ConvTranspose1d<Scalar>> ConvTranspose1d<Scalar>::make(const ConvSize& size,
                                                              std::uint64_t seed) {
  if (Status status = check("conv_transpose1d", size); !status.ok()) return status.error();
  ConvTranspose1d layer(size);
  fill_glorot<Scalar>(all(layer.weights_), size.kernel * size.in, size.kernel * size.out, seed);
  return layer;
}

template <class Scalar>
Result<Shape> ConvTranspose1d<Scalar>::out_shape(Shape in) const {
  if (in.channels != size_.in) return channels_differ("conv_transpose1d", size_, in);
  const Index samples = (in.samples - 1) * size_.stride + size_.kernel - 2 * size_.padding;
  if (samples < 1) {
    return Error{ErrorCode::kInvalidArgument, "conv_transpose1d: " + text(size_) +
                                                  ": the padding leaves nothing of " +
                                                  std::to_string(in.samples) + " samples"};
  }
  return Shape{samples, size_.out};
}

template <class Scalar>
void ConvTranspose1d<Scalar>::forward(const Matrix<Scalar>& x, Matrix<Scalar>& y) const {
  ANOMALYD_CHECK(x.cols() % size_.in == 0 && x.cols() > 0,
                 "conv_transpose1d forward: x must be (n, t * in)");
  const Index steps = x.cols() / size_.in;
  const Index padded_samples = (steps - 1) * size_.stride + size_.kernel;
  const Index samples = padded_samples - 2 * size_.padding;
  ANOMALYD_CHECK(samples > 0, "conv_transpose1d forward: the padding leaves nothing");
  y.resize(x.rows(), samples * size_.out);
  Matrix<Scalar> fields(steps, weights_.cols());
  RowVector<Scalar> padded(padded_samples * size_.out);
  for (Index n = 0; n < x.rows(); ++n) {
    fields.setZero();
    accumulate_product<Scalar>(steps, size_.in, weights_.cols(), x.data() + n * x.cols(), size_.in,
                               1, weights_.data(), weights_.cols(), fields.data(), fields.cols());
    padded.setZero();
    scatter(fields, size_.stride * size_.out, padded.data());
    const Scalar* from = padded.data() + size_.padding * size_.out;
    Scalar* to = y.data() + n * y.cols();
    for (Index t = 0; t < samples; ++t) {
      for (Index c = 0; c < size_.out; ++c) {
        to[t * size_.out + c] = from[t * size_.out + c] + bias_(c);
      }
    }
  }
}

template <class Scalar>
void ConvTranspose1d<Scalar>::backward(const Matrix<Scalar>& x, const Matrix<Scalar>& dy,
                                       Matrix<Scalar>& dx) {
  ANOMALYD_CHECK(x.cols() % size_.in == 0 && x.cols() > 0,
                 "conv_transpose1d backward: x must be (n, t * in)");
  const Index steps = x.cols() / size_.in;
  const Index padded_samples = (steps - 1) * size_.stride + size_.kernel;
  const Index samples = padded_samples - 2 * size_.padding;
  ANOMALYD_CHECK(dy.rows() == x.rows() && dy.cols() == samples * size_.out,
                 "conv_transpose1d backward: dy must be (n, t' * out)");
  const Index field = weights_.cols();
  const Index step = size_.stride * size_.out;
  const Matrix<Scalar> transposed = weights_.transpose();
  // The ends that forward() cut off get no gradient: they stay zero.
  RowVector<Scalar> padded = RowVector<Scalar>::Zero(padded_samples * size_.out);
  dx = Matrix<Scalar>::Zero(x.rows(), x.cols());
  for (Index n = 0; n < x.rows(); ++n) {
    padded.segment(size_.padding * size_.out, dy.cols()) = dy.row(n);
    const Scalar* in = x.data() + n * x.cols();
    accumulate_product<Scalar>(size_.in, steps, field, in, 1, size_.in, padded.data(), step,
                               weight_gradient_.data(), field);
    add_rows(dy.data() + n * dy.cols(), samples, bias_gradient_);
    accumulate_product<Scalar>(steps, field, size_.in, padded.data(), step, 1, transposed.data(),
                               size_.in, dx.data() + n * dx.cols(), size_.in);
  }
}

template <class Scalar>
std::vector<Parameter<Scalar>> ConvTranspose1d<Scalar>::parameters() {
  return {{"weights",
           {static_cast<std::size_t>(size_.in), static_cast<std::size_t>(size_.kernel),
            static_cast<std::size_t>(size_.out)},
           all(weights_),
           all(weight_gradient_)},
          {"bias", {static_cast<std::size_t>(size_.out)}, all(bias_), all(bias_gradient_)}};
}

template <class Scalar>
std::unique_ptr<Layer<Scalar>> ConvTranspose1d<Scalar>::clone() const {
  return std::make_unique<ConvTranspose1d>(*this);
}

template class Conv1d<float>;
template class Conv1d<double>;
template class ConvTranspose1d<float>;
template class ConvTranspose1d<double>;

}  // namespace anomalyd::nn

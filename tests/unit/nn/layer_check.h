#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

#include "nn/layer.h"
#include "nn/random.h"
#include "support/catch.h"
#include "support/gradient.h"

namespace anomalyd::nn {

/// Numbers in +-1, the same for the same seed.
template <class Scalar>
Matrix<Scalar> random_matrix(Eigen::Index rows, Eigen::Index cols, std::uint64_t seed) {
  std::mt19937_64 bits(seed);
  Matrix<Scalar> made(rows, cols);
  for (Eigen::Index i = 0; i < made.size(); ++i) {
    made.data()[i] = static_cast<Scalar>(2 * unit_uniform(bits) - 1);
  }
  return made;
}

/// One matrix of random_matrix() a shape.
template <class Scalar>
std::vector<Matrix<Scalar>> random_inputs(std::span<const Shape> in, Eigen::Index rows,
                                          std::uint64_t seed) {
  std::vector<Matrix<Scalar>> made;
  for (std::size_t i = 0; i < in.size(); ++i) {
    made.push_back(random_matrix<Scalar>(rows, in[i].size(), derive_seed(seed, i)));
  }
  return made;
}

/// Bit for bit, so that NaN equals itself and -0 differs from 0.
template <class Scalar>
bool same_bits(const Matrix<Scalar>& a, const Matrix<Scalar>& b) {
  return a.rows() == b.rows() && a.cols() == b.cols() &&
         std::memcmp(a.data(), b.data(), sizeof(Scalar) * static_cast<std::size_t>(a.size())) == 0;
}

/// One layer run as a Pass runs it, without a network: its numbers lie here, and the batch is cut
/// into pieces. Whatever a layer is to write holds NaN before, scratch as well: what it forgets to
/// write, or reads unwritten, shows.
template <class Scalar>
class LayerRun {
 public:
  /// Parameters and buffers as a Network's begin, from `first_seed`.
  LayerRun(const Layer<Scalar>& layer, std::vector<Shape> in, std::uint64_t first_seed = 7)
      : layer_(layer), in_(std::move(in)), parameters_(layer.parameters()) {
    auto out = layer.out_shape(in_);
    if (!out.ok()) FAIL(out.error().message);
    out_ = out.value();
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      const std::size_t at = weights.size();
      weights.resize(at + count(parameters_[i].shape));
      initialise<Scalar>(parameters_[i].initialiser, derive_seed(first_seed, i),
                         std::span<Scalar>(weights).subspan(at));
    }
    for (const BufferSpec& buffer : layer.buffers()) {
      buffers.resize(buffers.size() + count(buffer.shape), static_cast<Scalar>(buffer.initial));
    }
    layer.begin(weights.data(), buffers.data());
    kept_size_ = layer.kept_size(in_);
  }

  /// Numbers in +-1 as parameters: what is 0 or 1 at the start hides a mistake.
  void randomise(std::uint64_t random_seed) {
    const auto numbers =
        random_matrix<Scalar>(1, static_cast<Eigen::Index>(weights.size()), random_seed);
    std::copy_n(numbers.data(), weights.size(), weights.begin());
    layer_.begin(weights.data(), buffers.data());
  }

  /// A parameter, its gradient, or a buffer, by name.
  std::span<Scalar> parameter(std::string_view name) { return find(parameters_, name, weights); }
  std::span<Scalar> gradient_of(std::string_view name) { return find(parameters_, name, gradient); }
  std::span<Scalar> buffer(std::string_view name) { return find(layer_.buffers(), name, buffers); }

  /// prepare, gather piece by piece, settle, then forward piece by piece.
  const Matrix<Scalar>& forward(const std::vector<Matrix<Scalar>>& inputs, Mode call_mode) {
    REQUIRE(inputs.size() == in_.size());
    x = inputs;
    mode = call_mode;
    const Eigen::Index rows = x[0].rows();
    for (std::size_t i = 0; i < x.size(); ++i) {
      REQUIRE(x[i].rows() == rows);
      REQUIRE(x[i].cols() == in_[i].size());
    }
    layer_.prepare(mode, weights.data(), buffers.data(), prepared_);
    const bool summing = mode == Mode::kTraining && layer_.sums() > 0;
    if (summing) {
      sums_.assign(static_cast<std::size_t>(layer_.sums()), 0.0);
      for_pieces(rows, [&](Eigen::Index first, Eigen::Index n) {
        layer_.gather(piece(x, first, n), sums_.data());
      });
      layer_.settle(sums_.data(), rows, buffers.data());
    }
    y.setConstant(rows, out_.size(), kPoison);
    kept.setConstant(rows, kept_size_, kPoison);
    for_pieces(rows, [&](Eigen::Index first, Eigen::Index n) {
      layer_.forward(call(first), piece(x, first, n), rows_of(y, first, n),
                     rows_of(kept, first, n));
    });
    return y;
  }
  const Matrix<Scalar>& forward(const Matrix<Scalar>& input, Mode call_mode) {
    return forward(std::vector<Matrix<Scalar>>{input}, call_mode);
  }

  /// gather_gradient, then backward, piece by piece; finish_gradient. Writes dx and gradient.
  void backward(const Matrix<Scalar>& dy, bool wants_weights = true, bool wants_input = true) {
    const Eigen::Index rows = y.rows();
    REQUIRE(dy.rows() == rows);
    REQUIRE(dy.cols() == y.cols());
    if (mode == Mode::kTraining && layer_.gradient_sums() > 0) {
      std::vector<double> sums(static_cast<std::size_t>(layer_.gradient_sums()), 0.0);
      for_pieces(rows, [&](Eigen::Index first, Eigen::Index n) {
        layer_.gather_gradient(call(first), piece(x, first, n), rows_of(dy, first, n), sums.data());
      });
      gradient_sums_ = std::move(sums);
    }
    dx.clear();
    for (const Matrix<Scalar>& input : x) {
      dx.push_back(Matrix<Scalar>::Constant(input.rows(), input.cols(), kPoison));
    }
    gradient.assign(weights.size(), Scalar(0));
    for_pieces(rows, [&](Eigen::Index first, Eigen::Index n) {
      std::vector<Rows<Scalar>> wanted;
      for (Matrix<Scalar>& each : dx) {
        wanted.push_back(rows_of(each, first, n));
        if (!wants_input) wanted.back().data = nullptr;
      }
      layer_.backward(call(first), piece(x, first, n), rows_of(std::as_const(y), first, n),
                      rows_of(std::as_const(kept), first, n), rows_of(dy, first, n), wanted,
                      wants_weights ? gradient.data() : nullptr);
    });
    if (wants_weights) {
      scratch_.clear();
      layer_.finish_gradient(weights.data(), buffers.data(), scratch_, gradient.data());
    }
  }

  Shape out() const { return out_; }
  const std::vector<ParameterSpec>& parameters() const { return parameters_; }

  Eigen::Index piece_rows = 8;
  std::uint64_t seed = 5;
  const Kernels<Scalar>* kernels = &best_kernels<Scalar>();
  Buffer<Scalar> weights;
  Buffer<Scalar> buffers;
  Buffer<Scalar> gradient;  ///< of weights
  Mode mode = Mode::kScoring;
  std::vector<Matrix<Scalar>> x;
  Matrix<Scalar> y;
  Matrix<Scalar> kept;
  std::vector<Matrix<Scalar>> dx;

 private:
  static constexpr Scalar kPoison = std::numeric_limits<Scalar>::quiet_NaN();

  static std::size_t count(const std::vector<std::size_t>& shape) {
    std::size_t product = 1;
    for (const std::size_t size : shape) product *= size;
    return product;
  }

  template <class Specs>
  static std::span<Scalar> find(const Specs& specs, std::string_view name, Buffer<Scalar>& values) {
    std::size_t at = 0;
    for (const auto& spec : specs) {
      if (spec.name == name) return std::span<Scalar>(values).subspan(at, count(spec.shape));
      at += count(spec.shape);
    }
    FAIL("no array named " << name);
    return {};
  }

  template <class Work>
  void for_pieces(Eigen::Index rows, const Work& work) {
    for (Eigen::Index first = 0; first < rows; first += piece_rows) {
      work(first, std::min(piece_rows, rows - first));
    }
  }

  static Rows<const Scalar> rows_of(const Matrix<Scalar>& all, Eigen::Index first, Eigen::Index n) {
    return {all.data() + first * all.cols(), n, all.cols()};
  }
  static Rows<Scalar> rows_of(Matrix<Scalar>& all, Eigen::Index first, Eigen::Index n) {
    return {all.data() + first * all.cols(), n, all.cols()};
  }
  std::span<const Rows<const Scalar>> piece(const std::vector<Matrix<Scalar>>& all,
                                            Eigen::Index first, Eigen::Index n) {
    piece_.clear();
    for (const Matrix<Scalar>& each : all) piece_.push_back(rows_of(each, first, n));
    return piece_;
  }

  Call<Scalar> call(Eigen::Index first) {
    scratch_.clear();
    for (int i = 0; i < 8; ++i) {
      const std::span<Scalar> memory = scratch_.take(4096);
      std::fill(memory.begin(), memory.end(), kPoison);
    }
    scratch_.clear();
    Call<Scalar> made;
    made.mode = mode;
    made.kernels = kernels;
    made.weights = weights.data();
    made.buffers = buffers.data();
    made.prepared = &prepared_;
    if (mode == Mode::kTraining && layer_.sums() > 0) made.sums = sums_.data();
    if (mode == Mode::kTraining && layer_.gradient_sums() > 0 && !gradient_sums_.empty()) {
      made.gradient_sums = gradient_sums_.data();
    }
    made.batch_rows = y.rows();
    made.first_row = first;
    made.seed = seed;
    made.scratch = &scratch_;
    return made;
  }

  const Layer<Scalar>& layer_;
  std::vector<Shape> in_;
  std::vector<ParameterSpec> parameters_;
  Shape out_;
  Eigen::Index kept_size_ = 0;
  Prepared<Scalar> prepared_;
  Scratch<Scalar> scratch_;
  std::vector<double> sums_;
  std::vector<double> gradient_sums_;
  std::vector<Rows<const Scalar>> piece_;
};

/// How check_gradients() and check_pieces() run a layer.
struct CheckOptions {
  Mode mode = Mode::kTraining;
  Eigen::Index rows = 3;
  std::uint64_t seed = 1;
  double tolerance = 1e-8;
  /// Buffers before each run, when not those that the layer starts with.
  std::vector<double> buffers = {};
};

template <class Scalar>
LayerRun<Scalar> make_run(const Layer<Scalar>& layer, const std::vector<Shape>& in,
                          const CheckOptions& options) {
  LayerRun<Scalar> run(layer, in);
  run.randomise(derive_seed(options.seed, 100));
  if (!options.buffers.empty()) {
    REQUIRE(options.buffers.size() == run.buffers.size());
    std::transform(options.buffers.begin(), options.buffers.end(), run.buffers.begin(),
                   [](double value) { return static_cast<Scalar>(value); });
  }
  return run;
}

/// Every weight's and input's gradient of L = sum of c y, c random, against central differences;
/// and that asking for one of the two alone gives the same bits.
inline void check_gradients(const Layer<double>& layer, const std::vector<Shape>& in,
                            const CheckOptions& options = {}) {
  LayerRun<double> run = make_run(layer, in, options);
  run.piece_rows = 2;
  auto x = random_inputs<double>(in, options.rows, options.seed);
  const Buffer<double> buffers = run.buffers;
  const auto c = random_matrix<double>(options.rows, run.out().size(), options.seed + 1);
  const auto loss = [&] {
    run.buffers = buffers;
    return run.forward(x, options.mode).cwiseProduct(c).sum();
  };
  loss();
  run.backward(c);
  const Buffer<double> gradient = run.gradient;
  const std::vector<Matrix<double>> dx = run.dx;

  run.backward(c, true, false);
  CHECK(run.gradient == gradient);
  run.backward(c, false, true);
  for (std::size_t i = 0; i < dx.size(); ++i) CHECK(same_bits(run.dx[i], dx[i]));

  std::size_t at = 0;
  for (const ParameterSpec& spec : run.parameters()) {
    const std::size_t size = run.parameter(spec.name).size();
    for (std::size_t i = 0; i < size; ++i, ++at) {
      INFO(spec.name << "[" << i << "]");
      CHECK(testing::relative_error(testing::numeric_gradient(run.weights[at], loss),
                                    gradient[at]) < options.tolerance);
    }
  }
  for (std::size_t input = 0; input < x.size(); ++input) {
    for (Eigen::Index i = 0; i < x[input].size(); ++i) {
      INFO("x" << input << "[" << i << "]");
      CHECK(testing::relative_error(testing::numeric_gradient(x[input].data()[i], loss),
                                    dx[input].data()[i]) < options.tolerance);
    }
  }
}

/// A row scored alone, or cut from the batch elsewhere, has the bits that it has among others.
inline void check_batch_independence(const Layer<float>& layer, const std::vector<Shape>& in,
                                     const CheckOptions& options = {}) {
  LayerRun<float> run = make_run(layer, in, options);
  const Eigen::Index rows = 19;
  const auto x = random_inputs<float>(in, rows, options.seed);
  const Matrix<float> together = run.forward(x, Mode::kScoring);
  CHECK(together.allFinite());
  for (Eigen::Index row = 0; row < rows; ++row) {
    std::vector<Matrix<float>> alone;
    for (const Matrix<float>& each : x) alone.push_back(each.row(row));
    INFO("row " << row);
    CHECK(same_bits<float>(run.forward(alone, Mode::kScoring), together.row(row)));
  }
}

/// How a batch is cut into pieces does not show: the same bits in y and dx where the layer has no
/// sums over the batch, the same numbers where sums are.
inline void check_pieces(const Layer<double>& layer, const std::vector<Shape>& in,
                         const CheckOptions& options = {}) {
  LayerRun<double> run = make_run(layer, in, options);
  const Eigen::Index rows = 11;
  const auto x = random_inputs<double>(in, rows, options.seed);
  const Buffer<double> buffers = run.buffers;
  const auto c = random_matrix<double>(rows, run.out().size(), options.seed + 1);
  run.piece_rows = rows;
  run.forward(x, options.mode);
  run.backward(c);
  const Buffer<double> settled = run.buffers;
  const Matrix<double> y = run.y;
  const std::vector<Matrix<double>> dx = run.dx;
  const Buffer<double> gradient = run.gradient;
  for (const Eigen::Index piece : {1, 2, 8}) {
    INFO("pieces of " << piece << " rows");
    run.piece_rows = piece;
    run.buffers = buffers;
    run.forward(x, options.mode);
    run.backward(c);
    if (layer.sums() == 0) {
      CHECK(same_bits(run.y, y));
      for (std::size_t i = 0; i < dx.size(); ++i) CHECK(same_bits(run.dx[i], dx[i]));
    } else {
      CHECK((run.y - y).cwiseAbs().maxCoeff() < 1e-12);
      for (std::size_t i = 0; i < dx.size(); ++i) {
        CHECK((run.dx[i] - dx[i]).cwiseAbs().maxCoeff() < 1e-12);
      }
    }
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      CHECK(testing::relative_error(run.gradient[i], gradient[i]) < 1e-12);
    }
    for (std::size_t i = 0; i < settled.size(); ++i) {
      CHECK(testing::relative_error(run.buffers[i], settled[i]) < 1e-12);
    }
  }
}

/// Training and scoring give the same bits: for layers that are not among the exceptions.
inline void check_modes_agree(const Layer<float>& layer, const std::vector<Shape>& in,
                              const CheckOptions& options = {}) {
  LayerRun<float> run = make_run(layer, in, options);
  const auto x = random_inputs<float>(in, 9, options.seed);
  const Matrix<float> scored = run.forward(x, Mode::kScoring);
  CHECK(same_bits(run.forward(x, Mode::kTraining), scored));
}

/// A call on what is not finite neither stops nor stays finite, and leaves other rows alone.
inline void check_non_finite(const Layer<float>& layer, const std::vector<Shape>& in,
                             const CheckOptions& options = {}) {
  LayerRun<float> run = make_run(layer, in, options);
  const auto clean = random_inputs<float>(in, 3, options.seed);
  const Matrix<float> before = run.forward(clean, Mode::kScoring);
  for (std::size_t input = 0; input < in.size(); ++input) {
    auto x = clean;
    x[input](1, 0) = std::numeric_limits<float>::quiet_NaN();
    const Matrix<float> after = run.forward(x, Mode::kScoring);
    CHECK_FALSE(after.row(1).allFinite());
    CHECK(same_bits<float>(after.row(0), before.row(0)));
    CHECK(same_bits<float>(after.row(2), before.row(2)));
  }
}

/// out_shape() of `in` is refused with a message that holds `expected`.
template <class Scalar>
void check_refused(const Layer<Scalar>& layer, const std::vector<Shape>& in,
                   std::string_view expected) {
  const auto refused = layer.out_shape(in);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == ErrorCode::kInvalidArgument);
  INFO(refused.error().message);
  CHECK(refused.error().message.find(expected) != std::string::npos);
}

/// A factory refused, with a message that holds `expected`.
template <class Scalar>
void check_refused(const MadeLayer<Scalar>& made, std::string_view expected) {
  REQUIRE_FALSE(made.ok());
  CHECK(made.error().code == ErrorCode::kInvalidArgument);
  INFO(made.error().message);
  CHECK(made.error().message.find(expected) != std::string::npos);
}

}  // namespace anomalyd::nn

#include "nn/conv1d.h"

#include <cmath>
#include <string>

#include "layer_check.h"
#include "nn/tensor_file.h"

namespace anomalyd::nn {
namespace {

struct Case {
  const char* name;
  ConvSize size;  // in, out, kernel, stride, padding, dilation, groups
  bool is_transposed;
  Eigen::Index samples = 12;
};

const Case kGolden[] = {
    {"conv1d.k8s4p2", {3, 9, 8, 4, 2}, false},
    {"conv1d.k4s2p1", {2, 8, 4, 2, 1}, false},
    {"conv1d.k3s1p0", {1, 1, 3, 1, 0}, false},
    {"conv_transpose1d.k8s4p2", {9, 3, 8, 4, 2}, true},
    {"conv_transpose1d.k4s2p1", {2, 8, 4, 2, 1}, true},
    {"conv_transpose1d.k3s1p0", {1, 1, 3, 1, 0}, true},
};

const Case kOdd[] = {
    {"dilated", {2, 3, 3, 1, 2, 2, 1}, false},
    {"dilated and strided", {2, 3, 4, 3, 4, 2, 1}, false},
    {"grouped", {4, 6, 3, 2, 1, 1, 2}, false},
    {"one channel a group, dilated", {3, 3, 3, 1, 3, 3, 3}, false},
    {"stride beyond the kernel", {2, 3, 2, 5, 1, 1, 1}, false},
    {"stride beyond the length", {1, 2, 3, 40, 1, 1, 1}, false},
    {"length 1", {2, 2, 3, 1, 1, 1, 1}, false, 1},
    {"as long as the window", {2, 17, 12, 1, 0, 1, 1}, false},
    {"transposed, dilated", {2, 3, 3, 1, 1, 2, 1}, true},
    {"transposed, dilated and strided", {2, 3, 4, 3, 2, 2, 1}, true},
    {"transposed, dilation a multiple of the stride", {2, 3, 3, 2, 1, 4, 1}, true},
    {"transposed, grouped", {4, 6, 4, 2, 1, 1, 2}, true},
    {"transposed, stride beyond the kernel", {2, 3, 2, 5, 1, 1, 1}, true},
    {"transposed, length 1", {2, 3, 4, 2, 1, 1, 1}, true, 1},
};

template <class Scalar>
std::unique_ptr<Layer<Scalar>> make(const Case& each, bool spectral_norm = false) {
  auto made = each.is_transposed ? make_conv_transpose1d<Scalar>(each.size, {spectral_norm})
                                 : make_conv1d<Scalar>(each.size, {spectral_norm});
  if (!made.ok()) FAIL(made.error().message);
  return std::move(made).value();
}

std::vector<Shape> shape_of(const Case& each) { return {{each.samples, each.size.in}}; }

/// The definition, term by term.
Matrix<double> direct(const Case& each, const Matrix<double>& x, std::span<const double> w,
                      std::span<const double> b, Eigen::Index steps) {
  const ConvSize& s = each.size;
  const Eigen::Index in = s.in / s.groups;
  const Eigen::Index out = s.out / s.groups;
  Matrix<double> y(x.rows(), steps * s.out);
  for (Eigen::Index n = 0; n < x.rows(); ++n) {
    for (Eigen::Index u = 0; u < steps; ++u) {
      for (Eigen::Index o = 0; o < s.out; ++o) {
        double sum = b[static_cast<std::size_t>(o)];
        const Eigen::Index group = o / out;
        for (Eigen::Index t = 0; t < each.samples; ++t) {
          for (Eigen::Index j = 0; j < s.kernel; ++j) {
            const bool meets = each.is_transposed ? u == t * s.stride + j * s.dilation - s.padding
                                                  : t == u * s.stride + j * s.dilation - s.padding;
            if (!meets) continue;
            for (Eigen::Index i = 0; i < in; ++i) {
              const Eigen::Index at =
                  each.is_transposed ? ((group * in + i) * s.kernel + j) * out + (o - group * out)
                                     : (j * in + i) * s.out + o;
              sum += x(n, t * s.in + group * in + i) * w[static_cast<std::size_t>(at)];
            }
          }
        }
        y(n, u * s.out + o) = sum;
      }
    }
  }
  return y;
}

TEST_CASE("Conv1d computes a hand-worked example", "[nn][conv1d]") {
  const auto layer = make_conv1d<double>({1, 1, 3, 2, 1}).value();
  LayerRun<double> run(*layer, {{4, 1}});
  run.weights = {1, 10, 100, 0.5};
  Matrix<double> x(1, 4);
  x << 1, 2, 3, 4;
  const Matrix<double> y = run.forward(x, Mode::kScoring);
  REQUIRE(y.cols() == 2);
  CHECK(y(0) == 210.5);  // 0*1 + 1*10 + 2*100 + 0.5
  CHECK(y(1) == 432.5);  // 2*1 + 3*10 + 4*100 + 0.5
}

TEST_CASE("ConvTranspose1d computes a hand-worked example", "[nn][conv1d]") {
  const auto layer = make_conv_transpose1d<double>({1, 1, 3, 2, 1}).value();
  LayerRun<double> run(*layer, {{2, 1}});
  run.weights = {1, 10, 100, 0.5};
  Matrix<double> x(1, 2);
  x << 1, 2;
  const Matrix<double> y = run.forward(x, Mode::kScoring);
  // 1, 10, 100 + 2, 20, 200 without the first and the last, plus the bias.
  REQUIRE(y.cols() == 3);
  CHECK(y(0) == 10.5);
  CHECK(y(1) == 102.5);
  CHECK(y(2) == 20.5);
}

TEST_CASE("Convolutions agree with their definition at odd sizes", "[nn][conv1d]") {
  for (const Case& each : kOdd) {
    INFO(each.name);
    const auto layer = make<double>(each);
    LayerRun<double> run(*layer, shape_of(each));
    run.randomise(3);
    const auto x = random_inputs<double>(shape_of(each), 3, 4);
    const Matrix<double> expected =
        direct(each, x[0], run.parameter("weights"), run.parameter("bias"), run.out().samples);
    const Matrix<double> y = run.forward(x, Mode::kScoring);
    REQUIRE(y.cols() == expected.cols());
    CHECK((y - expected).cwiseAbs().maxCoeff() < 1e-13);
  }
}

TEST_CASE("Convolutions agree with SciPy, forward and backward", "[nn][conv1d][golden]") {
  const auto file = read_tensor_file(ANOMALYD_SOURCE_DIR "/tests/golden/layers.safetensors");
  REQUIRE(file.ok());
  // The files are float32 of sums of up to 40 products of size 1 to 3: 1e-7 of their size.
  const auto agree = [](std::span<const double> got, const std::vector<float>& expected) {
    REQUIRE(got.size() == expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      CHECK(testing::relative_error(got[i], static_cast<double>(expected[i])) < 1e-6);
    }
  };
  for (const Case& each : kGolden) {
    INFO(each.name);
    const auto golden = [&](const char* what) -> const std::vector<float>& {
      return file.value().tensors.at(std::string(each.name) + "." + what).values;
    };
    const auto matrix = [&](const char* what) {
      const std::vector<float>& from = golden(what);
      Matrix<double> made(1, static_cast<Eigen::Index>(from.size()));
      std::copy(from.begin(), from.end(), made.data());
      return made;
    };
    const auto all = [](const Matrix<double>& m) {
      return std::span<const double>(m.data(), static_cast<std::size_t>(m.size()));
    };
    const auto layer = make<double>(each);
    const Matrix<double> x = matrix("x");
    LayerRun<double> run(*layer, {{x.cols() / each.size.in, each.size.in}});
    std::copy(golden("w").begin(), golden("w").end(), run.parameter("weights").begin());
    std::copy(golden("b").begin(), golden("b").end(), run.parameter("bias").begin());
    agree(all(run.forward(x, Mode::kTraining)), golden("y"));
    run.backward(matrix("dy"));
    agree(all(run.dx[0]), golden("dx"));
    agree(run.gradient_of("weights"), golden("dw"));
    agree(run.gradient_of("bias"), golden("db"));
  }
}

TEST_CASE("Convolutions backward agree with central differences", "[nn][conv1d][gradient]") {
  for (const auto& cases : {std::span<const Case>(kGolden), std::span<const Case>(kOdd)}) {
    for (const Case& each : cases) {
      INFO(each.name);
      check_gradients(*make<double>(each), shape_of(each));
      check_pieces(*make<double>(each), shape_of(each));
    }
  }
}

TEST_CASE("Convolutions give a window the same bits in any batch", "[nn][conv1d][determinism]") {
  for (const auto& cases : {std::span<const Case>(kGolden), std::span<const Case>(kOdd)}) {
    for (const Case& each : cases) {
      INFO(each.name);
      check_batch_independence(*make<float>(each), shape_of(each));
    }
  }
}

TEST_CASE("A transposed convolution undoes the shape of its convolution", "[nn][conv1d]") {
  const auto down = make_conv1d<float>({2, 5, 8, 4, 2}).value();
  const auto up = make_conv_transpose1d<float>({5, 2, 8, 4, 2}).value();
  const std::vector<Shape> in{{256, 2}};
  const std::vector<Shape> small{down->out_shape(in).value()};
  CHECK(small[0] == Shape{64, 5});
  CHECK(up->out_shape(small).value() == in[0]);
}

TEST_CASE("Convolutions count their arithmetic", "[nn][conv1d]") {
  const std::vector<Shape> in{{128, 3}};
  CHECK(make_conv1d<float>({3, 32, 4, 2, 1}).value()->flops(in) == 2.0 * 64 * 4 * 3 * 32);
  const std::vector<Shape> small{{64, 32}};
  CHECK(make_conv_transpose1d<float>({32, 3, 4, 2, 1}).value()->flops(small) ==
        2.0 * 64 * 32 * 4 * 3);
}

TEST_CASE("Spectral norm makes the largest singular value of a convolution one",
          "[nn][conv1d][spectral_norm]") {
  // With kernel 1 and one sample, the layer is its matrix.
  const auto layer = make_conv1d<double>({3, 2, 1, 1, 0}, {true}).value();
  LayerRun<double> run(*layer, {{1, 3}});
  run.weights = {3, 0, 0, 1, 0, 0, 0, 0};  // singular values 3 and 1
  layer->begin(run.weights.data(), run.buffers.data());
  const Matrix<double> x = Matrix<double>::Identity(3, 3);
  const Matrix<double> y = run.forward(x, Mode::kScoring);
  CHECK(y(0, 0) == Approx(1).margin(1e-9));
  CHECK(y(1, 1) == Approx(1.0 / 3).margin(1e-9));
}

TEST_CASE("Spectral norm's gradient agrees with central differences at its fixed vectors",
          "[nn][conv1d][spectral_norm][gradient]") {
  // In training each forward moves u and v; scoring holds them, and the formula is the same.
  for (const Case& each : {kGolden[1], kGolden[4], kOdd[2], kOdd[11]}) {
    INFO(each.name);
    const auto layer = make<double>(each, true);
    LayerRun<double> run(*layer, shape_of(each));
    run.randomise(5);
    auto x = random_inputs<double>(shape_of(each), 2, 6);
    const auto c = random_matrix<double>(2, run.out().size(), 7);
    run.forward(x, Mode::kTraining);
    run.backward(c);
    const Buffer<double> gradient = run.gradient;
    const auto loss = [&] { return run.forward(x, Mode::kScoring).cwiseProduct(c).sum(); };
    for (std::size_t i = 0; i < run.weights.size(); ++i) {
      CHECK(testing::relative_error(testing::numeric_gradient(run.weights[i], loss), gradient[i]) <
            1e-7);
    }
  }
}

TEST_CASE("Convolutions refuse sizes out of range and inputs that do not fit",
          "[nn][conv1d][errors]") {
  const auto message = [](const auto& refused) {
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == ErrorCode::kInvalidArgument);
    return refused.error().message;
  };
  CHECK(message(make_conv1d<float>({1, 1, 2, 0, 0})).find("stride=0") != std::string::npos);
  CHECK(message(make_conv1d<float>({3, 4, 2, 1, 0, 1, 2})).find("groups=2") != std::string::npos);
  CHECK(message(make_conv1d<float>({1, 1, 2, 1, 0, 0})).find("dilation=0") != std::string::npos);
  CHECK(message(make_conv_transpose1d<float>({1, 1, 2, 1, 2})).find("conv_transpose1d: ") == 0);
  const std::vector<Shape> three{{10, 3}};
  const std::vector<Shape> brief{{3, 2}};
  const std::vector<Shape> one{{1, 1}};
  const auto layer = make_conv1d<float>({2, 1, 4, 1, 0}).value();
  CHECK(message(layer->out_shape(three)).find("reads 3 channels") != std::string::npos);
  CHECK(message(layer->out_shape(brief)).find("nothing is left of 3 samples") != std::string::npos);
  const auto cut = make_conv_transpose1d<float>({1, 1, 2, 1, 1}).value();
  CHECK(message(cut->out_shape(one)).find("nothing is left") != std::string::npos);
}

}  // namespace
}  // namespace anomalyd::nn

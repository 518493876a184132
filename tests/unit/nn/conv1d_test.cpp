#include "nn/conv1d.h"

#include <string>

#include "layer_check.h"
#include "nn/tensor_file.h"

namespace anomalyd::nn {
namespace {

struct Golden {
  const char* name;
  ConvSize size;
  bool is_transposed;
};

const Golden kGolden[] = {
    {"conv1d.k8s4p2", {3, 9, 8, 4, 2}, false},
    {"conv1d.k4s2p1", {2, 8, 4, 2, 1}, false},
    {"conv1d.k3s1p0", {1, 1, 3, 1, 0}, false},
    {"conv_transpose1d.k8s4p2", {9, 3, 8, 4, 2}, true},
    {"conv_transpose1d.k4s2p1", {2, 8, 4, 2, 1}, true},
    {"conv_transpose1d.k3s1p0", {1, 1, 3, 1, 0}, true},
};

template <class Scalar>
std::unique_ptr<Layer<Scalar>> make(const ConvSize& size, bool is_transposed, std::uint64_t seed) {
  if (is_transposed) return ConvTranspose1d<Scalar>::make(size, seed).value().clone();
  return Conv1d<Scalar>::make(size, seed).value().clone();
}

TEST_CASE("Conv1d computes a hand-worked example", "[nn][conv1d]") {
  auto layer = Conv1d<double>::make({1, 1, 3, 2, 1}, 1).value();
  layer.weights() << 1, 10, 100;
  layer.bias() << 0.5;
  Matrix<double> x(1, 4);
  x << 1, 2, 3, 4;
  Matrix<double> y;
  layer.forward(x, y);
  REQUIRE(y.cols() == 2);
  CHECK(y(0) == 210.5);  // 0*1 + 1*10 + 2*100 + 0.5
  CHECK(y(1) == 432.5);  // 2*1 + 3*10 + 4*100 + 0.5
}

TEST_CASE("ConvTranspose1d computes a hand-worked example", "[nn][conv1d]") {
  auto layer = ConvTranspose1d<double>::make({1, 1, 3, 2, 1}, 1).value();
  layer.weights() << 1, 10, 100;
  layer.bias() << 0.5;
  Matrix<double> x(1, 2);
  x << 1, 2;
  Matrix<double> y;
  layer.forward(x, y);
  // 1, 10, 100 + 2, 20, 200 without the first and the last, plus the bias.
  REQUIRE(y.cols() == 3);
  CHECK(y(0) == 10.5);
  CHECK(y(1) == 102.5);
  CHECK(y(2) == 20.5);
}

TEST_CASE("Convolutions agree with SciPy, forward and backward", "[nn][conv1d][golden]") {
  const auto file = read_tensor_file(ANOMALYD_SOURCE_DIR "/tests/golden/layers.safetensors");
  REQUIRE(file.ok());
  const auto golden = [&](const Golden& each, const char* what) -> const std::vector<float>& {
    return file.value().tensors.at(std::string(each.name) + "." + what).values;
  };
  // The files are float32 of sums of up to 40 products of size 1 to 3: 1e-7 of their size.
  const auto agree = [](std::span<const double> got, const std::vector<float>& expected) {
    REQUIRE(got.size() == expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      CHECK(testing::relative_error(got[i], static_cast<double>(expected[i])) < 1e-6);
    }
  };
  for (const Golden& each : kGolden) {
    INFO(each.name);
    const auto layer = make<double>(each.size, each.is_transposed, 1);
    const auto parameters = layer->parameters();
    const std::vector<float>& w = golden(each, "w");
    const std::vector<float>& b = golden(each, "b");
    REQUIRE(parameters[0].value.size() == w.size());
    std::copy(w.begin(), w.end(), parameters[0].value.begin());
    std::copy(b.begin(), b.end(), parameters[1].value.begin());
    const auto matrix = [&](const char* what) {
      const std::vector<float>& from = golden(each, what);
      Matrix<double> made(1, static_cast<Eigen::Index>(from.size()));
      std::copy(from.begin(), from.end(), made.data());
      return made;
    };
    const auto all = [](const Matrix<double>& m) {
      return std::span<const double>(m.data(), static_cast<std::size_t>(m.size()));
    };
    Matrix<double> y;
    layer->forward(matrix("x"), y);
    agree(all(y), golden(each, "y"));
    Matrix<double> dx;
    layer->backward(matrix("x"), matrix("dy"), dx);
    agree(all(dx), golden(each, "dx"));
    agree(parameters[0].gradient, golden(each, "dw"));
    agree(parameters[1].gradient, golden(each, "db"));
  }
}

TEST_CASE("Convolutions backward agree with central differences", "[nn][conv1d][gradient]") {
  for (const Golden& each : kGolden) {
    INFO(each.name);
    const auto layer = make<double>(each.size, each.is_transposed, 5);
    layer->parameters()[1].value[0] = 0.3;
    check_gradients(*layer, random_matrix<double>(2, 12 * each.size.in, 8));
  }
}

TEST_CASE("Convolutions give a window the same bits in any batch", "[nn][conv1d][determinism]") {
  for (const Golden& each : kGolden) {
    INFO(each.name);
    const auto layer = make<float>(each.size, each.is_transposed, 5);
    check_batch_independence(*layer, random_matrix<float>(5, 16 * each.size.in, 9));
  }
}

TEST_CASE("Convolution weights depend on the seed", "[nn][conv1d][determinism]") {
  auto first = Conv1d<float>::make({2, 3, 4, 2, 1}, 11).value();
  auto again = Conv1d<float>::make({2, 3, 4, 2, 1}, 11).value();
  auto other = Conv1d<float>::make({2, 3, 4, 2, 1}, 12).value();
  CHECK(first.weights() == again.weights());
  CHECK(first.weights() != other.weights());
}

TEST_CASE("A transposed convolution undoes the shape of its convolution", "[nn][conv1d]") {
  const auto down = Conv1d<float>::make({2, 5, 8, 4, 2}, 1).value();
  const auto up = ConvTranspose1d<float>::make({5, 2, 8, 4, 2}, 1).value();
  const Shape in{256, 2};
  const Shape small = down.out_shape(in).value();
  CHECK(small == Shape{64, 5});
  CHECK(up.out_shape(small).value() == in);
}

TEST_CASE("Convolutions refuse sizes out of range and inputs that do not fit",
          "[nn][conv1d][errors]") {
  const auto stride = Conv1d<float>::make({1, 1, 2, 3, 0}, 1);
  REQUIRE_FALSE(stride.ok());
  CHECK(stride.error().message.find("stride=3") != std::string::npos);
  const auto padding = ConvTranspose1d<float>::make({1, 1, 2, 1, 2}, 1);
  REQUIRE_FALSE(padding.ok());
  CHECK(padding.error().message.find("conv_transpose1d: ") == 0);

  const auto layer = Conv1d<float>::make({2, 1, 4, 1, 0}, 1).value();
  CHECK(layer.out_shape({10, 3}).error().message.find("gives 3 channels") != std::string::npos);
  CHECK(layer.out_shape({3, 2}).error().message.find("longer") != std::string::npos);
  const auto cut = ConvTranspose1d<float>::make({1, 1, 2, 1, 1}, 1).value();
  CHECK(cut.out_shape({1, 1}).error().message.find("leaves nothing") != std::string::npos);
}

}  // namespace
}  // namespace anomalyd::nn

#include "nn/recurrent.h"

#include <cmath>
#include <limits>
#include <memory>

#include "layer_check.h"

namespace anomalyd::nn {
namespace {

struct Size {
  Eigen::Index samples;
  Eigen::Index in;
  Eigen::Index out;
};

const std::vector<Size> kSizes{{5, 3, 4}, {1, 2, 3}, {3, 1, 1}, {4, 7, 2}, {2, 2, 9}};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

void fill(std::span<double> values, std::initializer_list<double> with) {
  REQUIRE(values.size() == with.size());
  std::copy(with.begin(), with.end(), values.begin());
}

TEST_CASE("gru steps through time as its equations say", "[nn][gru]") {
  const auto layer = make_gru<double>(1, 1).value();
  LayerRun<double> run(*layer, {{2, 1}});
  fill(run.parameter("weights"), {0.5, -0.25, 1});  // r, z, n
  fill(run.parameter("recurrent_weights"), {-1, 0.75, 2});
  fill(run.parameter("bias"), {0.1, 0.2, 0.3});
  fill(run.parameter("recurrent_bias"), {-0.3, 0.4, 0.5});
  Matrix<double> x(1, 2);
  x << 2, -1;
  run.forward(x, Mode::kScoring);

  const double r1 = sigmoid(0.5 * 2 + 0.1 - 0.3);
  const double z1 = sigmoid(-0.25 * 2 + 0.2 + 0.4);
  const double n1 = std::tanh(2 + 0.3 + r1 * 0.5);
  const double h1 = (1 - z1) * n1;
  const double r2 = sigmoid(0.5 * -1 + 0.1 - h1 - 0.3);
  const double z2 = sigmoid(-0.25 * -1 + 0.2 + 0.75 * h1 + 0.4);
  const double n2 = std::tanh(-1 + 0.3 + r2 * (2 * h1 + 0.5));
  CHECK(std::abs(run.y(0) - h1) < 1e-15);
  CHECK(std::abs(run.y(1) - ((1 - z2) * n2 + z2 * h1)) < 1e-15);
}

TEST_CASE("lstm steps through time as its equations say", "[nn][lstm]") {
  const auto layer = make_lstm<double>(1, 1).value();
  LayerRun<double> run(*layer, {{2, 1}});
  fill(run.parameter("weights"), {0.5, -0.25, 1, 0.125});  // i, f, g, o
  fill(run.parameter("recurrent_weights"), {-1, 0.75, 2, -0.5});
  fill(run.parameter("bias"), {0.1, 0.2, 0.3, 0.4});
  Matrix<double> x(1, 2);
  x << 2, -1;
  run.forward(x, Mode::kScoring);

  const double c1 = sigmoid(0.5 * 2 + 0.1) * std::tanh(2 + 0.3);
  const double h1 = sigmoid(0.125 * 2 + 0.4) * std::tanh(c1);
  const double c2 = sigmoid(0.25 + 0.2 + 0.75 * h1) * c1 +
                    sigmoid(-0.5 + 0.1 - h1) * std::tanh(-1 + 0.3 + 2 * h1);
  const double h2 = sigmoid(-0.125 + 0.4 - 0.5 * h1) * std::tanh(c2);
  CHECK(std::abs(run.y(0) - h1) < 1e-15);
  CHECK(std::abs(run.y(1) - h2) < 1e-15);
}

template <class Scalar>
std::vector<std::unique_ptr<Layer<Scalar>>> both(const Size& size) {
  std::vector<std::unique_ptr<Layer<Scalar>>> made;
  made.push_back(make_gru<Scalar>(size.in, size.out).value());
  made.push_back(make_lstm<Scalar>(size.in, size.out).value());
  return made;
}

TEST_CASE("recurrent layers' gradients agree with central differences",
          "[nn][gru][lstm][gradient]") {
  for (const Size& size : kSizes) {
    for (const auto& layer : both<double>(size)) {
      INFO(size.samples << " steps, " << size.in << " to " << size.out);
      check_gradients(*layer, {{size.samples, size.in}});
      check_pieces(*layer, {{size.samples, size.in}});
    }
  }
}

TEST_CASE("recurrent layers treat a row by itself, in both modes", "[nn][gru][lstm][determinism]") {
  for (const Size& size : kSizes) {
    for (const auto& layer : both<float>(size)) {
      INFO(size.samples << " steps, " << size.in << " to " << size.out);
      check_batch_independence(*layer, {{size.samples, size.in}});
      check_modes_agree(*layer, {{size.samples, size.in}});
      check_non_finite(*layer, {{size.samples, size.in}});
    }
  }
}

TEST_CASE("recurrent layers know nothing of the future", "[nn][gru][lstm]") {
  for (const auto& layer : both<float>({4, 2, 3})) {
    LayerRun<float> run(*layer, {{4, 2}});
    Matrix<float> x = random_matrix<float>(1, 8, 4);
    const Matrix<float> before = run.forward(x, Mode::kScoring);
    x(6) = std::numeric_limits<float>::quiet_NaN();  // in the last step
    const Matrix<float> after = run.forward(x, Mode::kScoring);
    CHECK(after.leftCols(9) == before.leftCols(9));
    CHECK_FALSE(after.rightCols(3).allFinite());
  }
}

TEST_CASE("recurrent layers score without a place for what training keeps", "[nn][gru][lstm]") {
  for (const auto& layer : both<float>({4, 2, 3})) {
    LayerRun<float> run(*layer, {{4, 2}});
    const auto x = random_matrix<float>(5, 8, 4);
    const Matrix<float> expected = run.forward(x, Mode::kScoring);
    Prepared<float> prepared;
    layer->prepare(Mode::kScoring, run.weights.data(), run.buffers.data(), prepared);
    Scratch<float> scratch;
    Call<float> call;
    call.kernels = &best_kernels<float>();
    call.weights = run.weights.data();
    call.prepared = &prepared;
    call.batch_rows = 5;
    call.scratch = &scratch;
    Matrix<float> y(5, 12);
    const Rows<const float> rows{x.data(), 5, 8};
    layer->forward(call, {&rows, 1}, {y.data(), 5, 12}, {});
    CHECK(same_bits(y, expected));
  }
}

TEST_CASE("recurrent layers begin after Glorot, gate by gate", "[nn][gru][lstm]") {
  const auto layer = make_gru<float>(50, 30).value();
  LayerRun<float> run(*layer, {{1, 50}});
  const auto limit = static_cast<float>(std::sqrt(6.0 / 80));
  float most = 0;
  for (const float weight : run.parameter("weights")) most = std::max(most, std::abs(weight));
  CHECK(most <= limit);
  CHECK(most > 0.98F * limit);
  for (const float bias : run.parameter("bias")) CHECK(bias == 0);
  for (const float bias : run.parameter("recurrent_bias")) CHECK(bias == 0);
  const auto normal = make_lstm<float>(3, 2, Initialiser::Kind::kNormal).value();
  CHECK(normal->parameters()[1].initialiser.kind == Initialiser::Kind::kNormal);
}

TEST_CASE("recurrent layers refuse sizes out of range and say which", "[nn][gru][lstm][errors]") {
  check_refused(make_gru<float>(0, 3), "gru: in is 0, expected 1..4096");
  check_refused(make_gru<float>(3, 5000), "gru: out is 5000");
  check_refused(make_lstm<float>(-1, 3), "lstm: in is -1");
  check_refused(make_lstm<float>(1, 0), "lstm: out is 0");
  check_refused(*make_gru<float>(2, 3).value(), {{4, 3}}, "gru: channels are 2, but it reads 3");
  check_refused(*make_lstm<float>(2, 3).value(), {{4, 3}}, "lstm: channels are 2");
}

}  // namespace
}  // namespace anomalyd::nn

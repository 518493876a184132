#include "nn/activations.h"

#include <cmath>
#include <limits>
#include <memory>
#include <string>

#include "layer_check.h"

namespace anomalyd::nn {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

/// One time step of one row.
template <class Scalar>
Matrix<Scalar> row_of(std::initializer_list<double> values) {
  Matrix<Scalar> made(1, static_cast<Eigen::Index>(values.size()));
  Eigen::Index i = 0;
  for (const double value : values) made(i++) = static_cast<Scalar>(value);
  return made;
}

template <class Scalar>
Matrix<Scalar> scored(const Layer<Scalar>& layer, std::initializer_list<double> values) {
  LayerRun<Scalar> run(layer, {{1, static_cast<Eigen::Index>(values.size())}});
  return run.forward(row_of<Scalar>(values), Mode::kScoring);
}

template <class Scalar>
std::vector<std::unique_ptr<Layer<Scalar>>> all_activations(Eigen::Index channels) {
  std::vector<std::unique_ptr<Layer<Scalar>>> made;
  made.push_back(make_leaky_relu<Scalar>(0.2).value());
  made.push_back(make_relu<Scalar>().value());
  made.push_back(make_gelu<Scalar>().value());
  made.push_back(make_tanh<Scalar>().value());
  made.push_back(make_sigmoid<Scalar>().value());
  made.push_back(make_softmax<Scalar>(channels).value());
  return made;
}

TEST_CASE("leaky_relu keeps what is above zero and shrinks the rest", "[nn][activations]") {
  const auto layer = make_leaky_relu<double>(0.25).value();
  const Matrix<double> y = scored(*layer, {-2, 0, 3, std::nan("")});
  CHECK(y(0) == -0.5);
  CHECK(y(1) == 0);
  CHECK(y(2) == 3);
  CHECK(std::isnan(y(3)));

  LayerRun<double> run(*layer, {{1, 3}});
  run.forward(row_of<double>({-2, 0, 3}), Mode::kTraining);
  run.backward(row_of<double>({10, 10, 10}));
  CHECK(run.dx[0] == row_of<double>({2.5, 2.5, 10}));  // the slope at 0
}

TEST_CASE("relu is leaky_relu of slope 0 and hides no infinity", "[nn][activations]") {
  const Matrix<float> y = scored(*make_relu<float>().value(), {-2, 3, kInf, -kInf, kNan});
  CHECK(y(0) == 0);
  CHECK(y(1) == 3);
  CHECK(y(2) == kInf);
  CHECK(std::isnan(y(3)));
  CHECK(std::isnan(y(4)));
}

TEST_CASE("gelu is x times the normal distribution's share below x", "[nn][activations]") {
  // Phi(1) = 0.841344746068543, Phi(-2) = 0.022750131948179.
  const Matrix<double> y = scored(*make_gelu<double>().value(), {1, -2, 0, 40});
  CHECK(std::abs(y(0) - 0.841344746068543) < 1e-14);
  CHECK(std::abs(y(1) - -2 * 0.022750131948179) < 1e-14);
  CHECK(y(2) == 0);
  CHECK(y(3) == 40);
  const Matrix<float> single = scored(*make_gelu<float>().value(), {1, -2, kInf});
  CHECK(std::abs(single(0) - 0.8413447F) < 1e-6F);
  CHECK(std::abs(single(1) + 0.0455003F) < 1e-6F);
  CHECK(single(2) == kInf);
}

TEST_CASE("tanh and sigmoid on values that everybody knows", "[nn][activations]") {
  const Matrix<double> t = scored(*make_tanh<double>().value(), {0, std::log(2.0), -100});
  CHECK(t(0) == 0);
  CHECK(std::abs(t(1) - 0.6) < 1e-15);  // (4 - 1) / (4 + 1)
  CHECK(t(2) == -1);
  const Matrix<double> s = scored(*make_sigmoid<double>().value(), {0, std::log(3.0), -1000});
  CHECK(s(0) == 0.5);
  CHECK(std::abs(s(1) - 0.75) < 1e-15);  // 1 / (1 + 1/3)
  CHECK(s(2) == 0);
}

TEST_CASE("softmax shares out one over the channels of each time step", "[nn][activations]") {
  const auto layer = make_softmax<double>(2).value();
  LayerRun<double> run(*layer, {{2, 2}});
  const Matrix<double> y =
      run.forward(row_of<double>({0, std::log(3.0), 1000, 1000}), Mode::kScoring);
  CHECK(std::abs(y(0) - 0.25) < 1e-15);
  CHECK(std::abs(y(1) - 0.75) < 1e-15);
  CHECK(y(2) == 0.5);  // no overflow
  CHECK(y(3) == 0.5);
}

TEST_CASE("softmax: a NaN or an infinity takes its own time step along and no other",
          "[nn][activations][non-finite]") {
  const auto layer = make_softmax<float>(2).value();
  LayerRun<float> run(*layer, {{4, 2}});
  const Matrix<float> y =
      run.forward(row_of<float>({kNan, 0, 0, kNan, kInf, 0, -kInf, 0}), Mode::kScoring);
  for (Eigen::Index i = 0; i < 6; ++i) CHECK(std::isnan(y(i)));
  CHECK(y(6) == 0);
  CHECK(y(7) == 1);
}

TEST_CASE("activations' gradients agree with central differences", "[nn][activations][gradient]") {
  for (const Shape shape : {Shape{5, 3}, Shape{1, 3}, Shape{4, 1}, Shape{2, 11}}) {
    std::size_t which = 0;
    for (const auto& layer : all_activations<double>(shape.channels)) {
      INFO("activation " << which++ << ", " << shape.samples << " x " << shape.channels);
      check_gradients(*layer, {shape});
      check_pieces(*layer, {shape});
    }
  }
}

TEST_CASE("activations give a row the bits it has alone, in both modes",
          "[nn][activations][determinism]") {
  for (const Shape shape : {Shape{5, 3}, Shape{1, 1}, Shape{3, 13}}) {
    std::size_t which = 0;
    for (const auto& layer : all_activations<float>(shape.channels)) {
      INFO("activation " << which++);
      check_batch_independence(*layer, {shape});
      check_modes_agree(*layer, {shape});
      check_non_finite(*layer, {shape});
    }
  }
}

TEST_CASE("activations in float follow double", "[nn][activations]") {
  const Shape shape{3, 5};
  const auto floats = all_activations<float>(5);
  const auto doubles = all_activations<double>(5);
  const Matrix<float> x = 6 * random_matrix<float>(4, shape.size(), 8);
  const auto dy = random_matrix<float>(4, shape.size(), 9);
  for (std::size_t i = 0; i < floats.size(); ++i) {
    INFO("activation " << i);
    LayerRun<float> run(*floats[i], {shape});
    LayerRun<double> exact(*doubles[i], {shape});
    run.forward(x, Mode::kTraining);
    exact.forward(Matrix<double>(x.cast<double>()), Mode::kTraining);
    CHECK((run.y.cast<double>() - exact.y).cwiseAbs().maxCoeff() < 2e-6);
    run.backward(dy);
    exact.backward(dy.cast<double>());
    CHECK((run.dx[0].cast<double>() - exact.dx[0]).cwiseAbs().maxCoeff() < 2e-6);
  }
}

TEST_CASE("activations refuse what they cannot work with", "[nn][activations][errors]") {
  for (const double slope : {-0.1, 1.0, std::nan("")}) {
    check_refused(make_leaky_relu<float>(slope), "expected 0 <= slope < 1");
  }
  check_refused(make_softmax<float>(0), "channels is 0, expected 1..4096");
  check_refused(make_softmax<float>(4097), "channels is 4097");
  check_refused(*make_softmax<float>(3).value(), {{2, 4}}, "channels are 3, but it reads 4");
  check_refused(*make_gelu<float>().value(), {{2, 4}, {2, 4}}, "gelu: it reads 2 values");
}

}  // namespace
}  // namespace anomalyd::nn

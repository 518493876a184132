#include "nn/norms.h"

#include <cmath>
#include <limits>

#include "layer_check.h"

namespace anomalyd::nn {
namespace {

TEST_CASE("layer_norm works over the channels of each time step", "[nn][layer_norm]") {
  const auto layer = make_layer_norm<double>(2, /*epsilon=*/0.25).value();
  LayerRun<double> run(*layer, {{2, 2}});
  run.parameter("weights")[0] = 2;
  run.parameter("weights")[1] = 5;
  run.parameter("bias")[1] = 1;
  Matrix<double> x(1, 4);
  x << 1, 3, 10, 10;
  run.forward(x, Mode::kScoring);
  const double deviation = std::sqrt(1.25);  // variance 1 about mean 2
  CHECK(std::abs(run.y(0) + 2 / deviation) < 1e-15);
  CHECK(std::abs(run.y(1) - (5 / deviation + 1)) < 1e-15);
  CHECK(run.y(2) == 0);
  CHECK(run.y(3) == 1);
}

TEST_CASE("instance_norm works over the time steps of each channel", "[nn][instance_norm]") {
  const auto layer = make_instance_norm<double>(2, /*epsilon=*/0.25).value();
  LayerRun<double> run(*layer, {{2, 2}});
  run.parameter("weights")[0] = 2;
  run.parameter("weights")[1] = 5;
  run.parameter("bias")[1] = 1;
  Matrix<double> x(1, 4);
  x << 1, 10, 3, 10;
  run.forward(x, Mode::kScoring);
  const double deviation = std::sqrt(1.25);
  CHECK(std::abs(run.y(0) + 2 / deviation) < 1e-15);
  CHECK(std::abs(run.y(2) - 2 / deviation) < 1e-15);
  CHECK(run.y(1) == 1);
  CHECK(run.y(3) == 1);
}

TEST_CASE("layer_norm's and instance_norm's gradients agree with central differences",
          "[nn][layer_norm][instance_norm][gradient]") {
  for (const Shape shape : {Shape{5, 3}, Shape{1, 4}, Shape{6, 1}, Shape{3, 19}}) {
    INFO(shape.samples << " x " << shape.channels);
    const auto by_step = make_layer_norm<double>(shape.channels, 1e-2).value();
    check_gradients(*by_step, {shape});
    check_pieces(*by_step, {shape});
    const auto by_channel = make_instance_norm<double>(shape.channels, 1e-2).value();
    check_gradients(*by_channel, {shape});
    check_pieces(*by_channel, {shape});
  }
}

TEST_CASE("layer_norm and instance_norm treat a row by itself, in both modes",
          "[nn][layer_norm][instance_norm][determinism]") {
  for (const Shape shape : {Shape{5, 3}, Shape{7, 21}}) {
    const auto by_step = make_layer_norm<float>(shape.channels, 1e-5).value();
    const auto by_channel = make_instance_norm<float>(shape.channels, 1e-5).value();
    for (const Layer<float>* layer : {by_step.get(), by_channel.get()}) {
      check_batch_independence(*layer, {shape});
      check_modes_agree(*layer, {shape});
      check_non_finite(*layer, {shape});
    }
  }
}

TEST_CASE("one channel or one time step has nothing to be normalised by",
          "[nn][layer_norm][instance_norm]") {
  const auto by_step = make_layer_norm<float>(1, 1e-5).value();
  LayerRun<float> steps(*by_step, {{4, 1}});
  const auto by_channel = make_instance_norm<float>(4, 1e-5).value();
  LayerRun<float> channels(*by_channel, {{1, 4}});
  for (LayerRun<float>* run : {&steps, &channels}) {
    std::fill(run->parameter("bias").begin(), run->parameter("bias").end(), 3.0F);
    run->forward(random_matrix<float>(2, 4, 1), Mode::kTraining);
    CHECK((run->y.array() == 3.0F).all());
    run->backward(Matrix<float>::Ones(2, 4));
    CHECK(run->dx[0].isZero());
  }
}

TEST_CASE("a NaN stays in its time step or in its channel",
          "[nn][layer_norm][instance_norm][non-finite]") {
  Matrix<float> x = random_matrix<float>(1, 6, 1);  // 3 steps x 2 channels
  x(2) = std::numeric_limits<float>::quiet_NaN();   // step 1, channel 0
  const auto by_step = make_layer_norm<float>(2, 1e-5).value();
  LayerRun<float> steps(*by_step, {{3, 2}});
  steps.forward(x, Mode::kScoring);
  const auto by_channel = make_instance_norm<float>(2, 1e-5).value();
  LayerRun<float> channels(*by_channel, {{3, 2}});
  channels.forward(x, Mode::kScoring);
  for (Eigen::Index i = 0; i < 6; ++i) {
    INFO(i);
    CHECK(std::isnan(steps.y(i)) == (i / 2 == 1));
    CHECK(std::isnan(channels.y(i)) == (i % 2 == 0));
  }
}

TEST_CASE("layer_norm and instance_norm keep their precision far from zero",
          "[nn][layer_norm][instance_norm]") {
  Matrix<float> x(1, 8);
  for (Eigen::Index i = 0; i < 8; ++i) x(i) = 100000 + static_cast<float>(i % 2 == 0 ? 1 : -1);
  const auto by_step = make_layer_norm<float>(8, 1e-5).value();
  LayerRun<float> steps(*by_step, {{1, 8}});
  const auto by_channel = make_instance_norm<float>(1, 1e-5).value();
  LayerRun<float> channels(*by_channel, {{8, 1}});
  for (LayerRun<float>* run : {&steps, &channels}) {
    run->forward(x, Mode::kScoring);
    CHECK(std::abs(run->y(0) - 1) < 1e-4F);
    CHECK(std::abs(run->y(7) + 1) < 1e-4F);
  }
}

TEST_CASE("layer_norm and instance_norm refuse sizes out of range and say which",
          "[nn][layer_norm][instance_norm][errors]") {
  check_refused(make_layer_norm<float>(0, 1e-5), "layer_norm: channels is 0");
  check_refused(make_layer_norm<float>(2, -1), "layer_norm: epsilon is -1.0");
  check_refused(make_instance_norm<float>(5000, 1e-5), "instance_norm: channels is 5000");
  check_refused(make_instance_norm<float>(2, 2), "instance_norm: epsilon is 2.0");
  check_refused(*make_layer_norm<float>(2, 1e-5).value(), {{4, 3}}, "channels are 2");
  check_refused(*make_instance_norm<float>(2, 1e-5).value(), {{4, 3}}, "channels are 2");
}

}  // namespace
}  // namespace anomalyd::nn

#include "nn/pooling.h"

#include <cmath>
#include <limits>

#include "layer_check.h"

namespace anomalyd::nn {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Size {
  Shape in;
  Eigen::Index kernel;
  Eigen::Index stride;
  Eigen::Index out;
};

// Overlapping, touching, with steps between, one step, a stride beyond the length, a left-over.
const std::vector<Size> kSizes{{{7, 3}, 3, 2, 3}, {{6, 2}, 2, 2, 3}, {{9, 1}, 2, 4, 2},
                               {{1, 2}, 1, 1, 1}, {{4, 3}, 3, 9, 1}, {{8, 17}, 3, 3, 2}};

TEST_CASE("max_pool takes the largest of each channel's window", "[nn][pooling]") {
  const auto layer = make_max_pool<double>(2, 2, 1).value();
  LayerRun<double> run(*layer, {{3, 2}});
  Matrix<double> x(1, 6);
  x << 1, -1,  //
      5, -7,   //
      2, -3;
  run.forward(x, Mode::kTraining);
  REQUIRE(run.y.cols() == 4);
  Matrix<double> expected(1, 4);
  expected << 5, -1, 5, -3;
  CHECK(run.y == expected);
  Matrix<double> dy(1, 4);
  dy << 10, 20, 30, 40;
  run.backward(dy);
  Matrix<double> dx(1, 6);
  dx << 0, 20, 40, 0, 0, 40;
  CHECK(run.dx[0] == dx);
}

TEST_CASE("max_pool gives the gradient to the first of equals", "[nn][pooling]") {
  const auto layer = make_max_pool<float>(1, 3, 3).value();
  LayerRun<float> run(*layer, {{3, 1}});
  Matrix<float> x(2, 3);
  x << 2, 2, 2,  //
      1, 2, 2;
  run.forward(x, Mode::kTraining);
  run.backward(Matrix<float>::Ones(2, 1));
  Matrix<float> dx(2, 3);
  dx << 1, 0, 0,  //
      0, 1, 0;
  CHECK(run.dx[0] == dx);
}

TEST_CASE("max_pool loses no NaN, wherever in the window", "[nn][pooling][non-finite]") {
  const auto layer = make_max_pool<float>(1, 3, 3).value();
  LayerRun<float> run(*layer, {{3, 1}});
  Matrix<float> x(4, 3);
  x << kNan, 1, 2,  //
      1, kNan, 2,   //
      1, 2, kNan,   //
      1, 2, 3;
  run.forward(x, Mode::kScoring);
  for (Eigen::Index row = 0; row < 3; ++row) CHECK(std::isnan(run.y(row, 0)));
  CHECK(run.y(3, 0) == 3);
}

TEST_CASE("average_pool takes the mean of each channel's window", "[nn][pooling]") {
  const auto layer = make_average_pool<double>(2, 2, 1).value();
  LayerRun<double> run(*layer, {{3, 2}});
  Matrix<double> x(1, 6);
  x << 1, -1,  //
      5, -7,   //
      2, -3;
  run.forward(x, Mode::kTraining);
  Matrix<double> expected(1, 4);
  expected << 3, -4, 3.5, -5;
  CHECK(run.y == expected);
  Matrix<double> dy(1, 4);
  dy << 10, 20, 30, 40;
  run.backward(dy);
  Matrix<double> dx(1, 6);
  dx << 5, 10, 20, 30, 15, 20;
  CHECK(run.dx[0] == dx);
}

TEST_CASE("upsample repeats each time step", "[nn][pooling]") {
  const auto layer = make_upsample<double>(2, 3).value();
  LayerRun<double> run(*layer, {{2, 2}});
  Matrix<double> x(1, 4);
  x << 1, 2, 3, 4;
  run.forward(x, Mode::kTraining);
  Matrix<double> expected(1, 12);
  expected << 1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4;
  CHECK(run.y == expected);
  Matrix<double> dy(1, 12);
  dy << 1, 0, 2, 0, 3, 1, 1, 1, 1, 2, 2, 3;
  run.backward(dy);
  Matrix<double> dx(1, 4);
  dx << 6, 1, 4, 6;
  CHECK(run.dx[0] == dx);
}

TEST_CASE("pools of all sizes: shape, gradient, pieces, bits", "[nn][pooling][gradient]") {
  for (const Size& size : kSizes) {
    INFO(size.in.samples << " x " << size.in.channels << ", kernel " << size.kernel << ", stride "
                         << size.stride);
    const Eigen::Index channels = size.in.channels;
    const auto most = make_max_pool<double>(channels, size.kernel, size.stride).value();
    const auto mean = make_average_pool<double>(channels, size.kernel, size.stride).value();
    for (const Layer<double>* layer : {most.get(), mean.get()}) {
      const std::vector<Shape> in{size.in};
      CHECK(layer->out_shape(in).value() == Shape{size.out, channels});
      check_gradients(*layer, in);
      check_pieces(*layer, in);
    }
    const auto most32 = make_max_pool<float>(channels, size.kernel, size.stride).value();
    const auto mean32 = make_average_pool<float>(channels, size.kernel, size.stride).value();
    for (const Layer<float>* layer : {most32.get(), mean32.get()}) {
      check_batch_independence(*layer, {size.in});
      check_modes_agree(*layer, {size.in});
      check_non_finite(*layer, {size.in});
    }
  }
}

TEST_CASE("upsample of all sizes: shape, gradient, pieces, bits", "[nn][pooling][gradient]") {
  for (const Shape in : {Shape{5, 3}, Shape{1, 1}, Shape{2, 9}}) {
    for (const Eigen::Index factor : {1, 2, 5}) {
      const auto layer = make_upsample<double>(in.channels, factor).value();
      CHECK(layer->out_shape(std::vector<Shape>{in}).value() ==
            Shape{in.samples * factor, in.channels});
      check_gradients(*layer, {in});
      check_pieces(*layer, {in});
      const auto single = make_upsample<float>(in.channels, factor).value();
      check_batch_independence(*single, {in});
      check_modes_agree(*single, {in});
      check_non_finite(*single, {in});
    }
  }
}

TEST_CASE("pools refuse sizes out of range and say which", "[nn][pooling][errors]") {
  check_refused(make_max_pool<float>(0, 2, 2), "max_pool: channels is 0, expected 1..4096");
  check_refused(make_max_pool<float>(1, 0, 2), "max_pool: kernel is 0, expected 1..1024");
  check_refused(make_max_pool<float>(1, 2, 1025), "max_pool: stride is 1025");
  check_refused(make_average_pool<float>(1, -3, 2), "average_pool: kernel is -3");
  check_refused(make_upsample<float>(1, 0), "upsample: factor is 0");
  check_refused(make_upsample<float>(0, 2), "upsample: channels is 0");
  check_refused(*make_max_pool<float>(2, 4, 1).value(), {{3, 2}},
                "max_pool: kernel is 4, but it reads 3 samples");
  check_refused(*make_average_pool<float>(2, 4, 1).value(), {{9, 3}},
                "average_pool: channels are 2, but it reads 3");
  check_refused(*make_upsample<float>(2, 4).value(), {{9, 3}}, "upsample: channels are 2");
}

}  // namespace
}  // namespace anomalyd::nn

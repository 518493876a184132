#include "nn/merge.h"

#include <limits>

#include "layer_check.h"

namespace anomalyd::nn {
namespace {

TEST_CASE("add adds, and gives its gradient to all", "[nn][merge]") {
  const auto layer = make_add<double>().value();
  LayerRun<double> run(*layer, {{1, 2}, {1, 2}, {1, 2}});
  Matrix<double> a(1, 2);
  Matrix<double> b(1, 2);
  Matrix<double> c(1, 2);
  a << 1, 2;
  b << 10, 20;
  c << 100, 200;
  run.forward(std::vector<Matrix<double>>{a, b, c}, Mode::kTraining);
  CHECK(run.y(0) == 111);
  CHECK(run.y(1) == 222);
  run.backward(a);
  for (const Matrix<double>& dx : run.dx) CHECK(dx == a);
}

TEST_CASE("concat lays channels beside each other at each time step", "[nn][merge]") {
  const auto layer = make_concat<double>(3).value();
  LayerRun<double> run(*layer, {{2, 1}, {2, 2}});
  Matrix<double> a(1, 2);
  Matrix<double> b(1, 4);
  a << 1, 2;
  b << 10, 11, 20, 21;
  run.forward(std::vector<Matrix<double>>{a, b}, Mode::kTraining);
  Matrix<double> expected(1, 6);
  expected << 1, 10, 11, 2, 20, 21;
  CHECK(run.y == expected);
  run.backward(expected);
  CHECK(run.dx[0] == a);
  CHECK(run.dx[1] == b);
}

TEST_CASE("merges' gradients agree with central differences, piece by piece",
          "[nn][merge][gradient]") {
  const auto add = make_add<double>().value();
  check_gradients(*add, {{3, 2}, {3, 2}});
  check_pieces(*add, {{1, 1}, {1, 1}, {1, 1}});
  const auto concat = make_concat<double>(6).value();
  check_gradients(*concat, {{3, 2}, {3, 1}, {3, 3}});
  check_pieces(*concat, {{1, 5}, {1, 1}});
}

TEST_CASE("merges write only the gradients that are asked for", "[nn][merge]") {
  const auto layer = make_concat<float>(3).value();
  LayerRun<float> run(*layer, {{2, 1}, {2, 2}});
  run.forward(
      std::vector<Matrix<float>>{random_matrix<float>(1, 2, 1), random_matrix<float>(1, 4, 2)},
      Mode::kTraining);
  const auto dy = random_matrix<float>(1, 6, 3);
  run.backward(dy);
  Matrix<float> dx(1, 4);
  const std::vector<Rows<const float>> x{{run.x[0].data(), 1, 2}, {run.x[1].data(), 1, 4}};
  const std::vector<Rows<float>> wanted{{nullptr, 0, 0}, {dx.data(), 1, 4}};
  layer->backward({}, x, {run.y.data(), 1, 6}, {}, {dy.data(), 1, 6}, wanted, nullptr);
  CHECK(dx == run.dx[1]);
}

TEST_CASE("merges treat a row by itself, in both modes", "[nn][merge][determinism]") {
  const auto add = make_add<float>().value();
  const auto concat = make_concat<float>(4).value();
  const std::vector<Shape> same{{3, 2}, {3, 2}};
  for (const Layer<float>* layer : {add.get(), concat.get()}) {
    check_batch_independence(*layer, same);
    check_modes_agree(*layer, same);
    check_non_finite(*layer, same);
  }
}

TEST_CASE("merges refuse what does not fit and say what", "[nn][merge][errors]") {
  const auto add = make_add<float>().value();
  check_refused(*add, {{3, 2}}, "add: it reads 1 values, expected 2..8");
  check_refused(*add, std::vector<Shape>(9, Shape{1, 1}), "add: it reads 9 values");
  check_refused(*add, {{3, 2}, {2, 3}}, "add: it reads 3 x 2 and 2 x 3, expected one shape");
  check_refused(make_concat<float>(1), "concat: channels is 1, expected 2..4096");
  const auto concat = make_concat<float>(4).value();
  check_refused(*concat, {{3, 4}}, "concat: it reads 1 values");
  check_refused(*concat, {{3, 2}, {4, 2}}, "concat: it reads 3 x 2 and 4 x 2");
  check_refused(*concat, {{3, 2}, {3, 3}}, "concat: channels are 4, but it reads 5");
}

}  // namespace
}  // namespace anomalyd::nn

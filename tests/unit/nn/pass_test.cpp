#include "nn/pass.h"

#include <string>

#include "layer_check.h"

namespace anomalyd::nn {
namespace {

LayerSpec layer(const char* name, const char* type, Eigen::Index in = 0, Eigen::Index out = 0) {
  LayerSpec spec;
  spec.name = name;
  spec.type = type;
  spec.in = in;
  spec.out = out;
  return spec;
}

LayerSpec reading(LayerSpec spec, std::vector<std::string> inputs) {
  spec.inputs = std::move(inputs);
  return spec;
}

LayerSpec conv(const char* name, const char* type, Eigen::Index in, Eigen::Index out) {
  LayerSpec spec = layer(name, type, in, out);
  spec.kernel = 4;
  spec.stride = 2;
  spec.padding = 1;
  return spec;
}

/// Everything that a pass treats in its own way: norms first, in the middle and last, a value with
/// three readers, two heads of which one is also read, noise.
Architecture tangled() {
  Architecture made;
  made.input = {8, 2};
  made.layers = {layer("first_norm", "batch_norm", 2),
                 conv("down", "conv1d", 2, 4),
                 layer("norm", "batch_norm", 4),
                 layer("bend", "gelu"),
                 layer("drop", "dropout"),
                 reading(layer("twice", "add"), {"drop", "bend", "bend"}),
                 layer("noise", "reparameterise", 0, 2),
                 reading(conv("up", "conv_transpose1d", 4, 2), {"twice"}),
                 reading(layer("skip", "add"), {"up", "input"}),
                 layer("last_norm", "batch_norm", 2),
                 reading(layer("last", "dense", 8, 3), {"noise"})};
  made.layers[4].rate = 0.3;
  made.outputs = {"last_norm", "last", "skip"};
  return made;
}

template <class Scalar>
std::vector<Matrix<Scalar>> random_dy(const Network<Scalar>& network, Eigen::Index rows) {
  std::vector<Matrix<Scalar>> dy;
  for (std::size_t head = 0; head < network.heads(); ++head) {
    dy.push_back(random_matrix<Scalar>(rows, network.output(head).size(), 40 + head));
  }
  return dy;
}

template <class Scalar>
void run(Pass<Scalar>& pass, Network<Scalar>& network, const Matrix<Scalar>& x,
         const std::vector<Matrix<Scalar>>& dy, Wanted wanted = Wanted::kWeightsAndInput) {
  pass.forward(network, x, Mode::kTraining, 77);
  std::vector<const Matrix<Scalar>*> pointers;
  for (const Matrix<Scalar>& each : dy) pointers.push_back(&each);
  pass.backward(pointers, wanted);
}

TEST_CASE("A pass through a tangled network agrees with central differences everywhere",
          "[nn][pass][gradient]") {
  auto made = Network<double>::make(tangled(), 4);
  if (!made.ok()) FAIL(made.error().message);
  Network<double>& network = made.value();
  WorkerPool pool(2);
  Pass<double> pass(pool);
  Matrix<double> x = random_matrix<double>(11, 16, 1);
  const auto dy = random_dy(network, x.rows());
  run(pass, network, x, dy);
  const std::vector<double> gradient(pass.gradient().begin(), pass.gradient().end());
  const Matrix<double> dx = pass.input_gradient();
  Pass<double> probe(pool);
  const auto loss = [&] {
    probe.forward(network, x, Mode::kTraining, 77);
    double sum = 0;
    for (std::size_t head = 0; head < dy.size(); ++head) {
      sum += probe.output(head).cwiseProduct(dy[head]).sum();
    }
    return sum;
  };
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    INFO("weight " << i);
    CHECK(testing::relative_error(testing::numeric_gradient(network.weights()[i], loss),
                                  gradient[i]) < 1e-7);
  }
  for (Eigen::Index i = 0; i < x.size(); ++i) {
    INFO("x " << i);
    CHECK(testing::relative_error(testing::numeric_gradient(x.data()[i], loss), dx.data()[i]) <
          1e-7);
  }
}

TEST_CASE("A head without a gradient, and gradients that are not wanted, change no other",
          "[nn][pass]") {
  auto network = Network<double>::make(tangled(), 4).value();
  WorkerPool pool(1);
  Pass<double> pass(pool);
  const Matrix<double> x = random_matrix<double>(9, 16, 1);
  auto dy = random_dy(network, x.rows());
  dy[0].setZero();
  dy[2].setZero();
  run(pass, network, x, dy);
  const std::vector<double> gradient(pass.gradient().begin(), pass.gradient().end());
  const Matrix<double> dx = pass.input_gradient();

  pass.forward(network, x, Mode::kTraining, 77);
  const std::vector<const Matrix<double>*> one{nullptr, &dy[1], nullptr};
  pass.backward(one, Wanted::kWeightsAndInput);
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    CHECK(testing::relative_error(pass.gradient()[i], gradient[i]) < 1e-12);
  }
  CHECK((pass.input_gradient() - dx).cwiseAbs().maxCoeff() < 1e-12);
  const Matrix<double> exact = pass.input_gradient();
  pass.backward(one, Wanted::kInput);
  CHECK(same_bits(pass.input_gradient(), exact));
  const std::vector<double> weights(pass.gradient().begin(), pass.gradient().end());
  pass.backward(one, Wanted::kWeights);
  CHECK(std::equal(weights.begin(), weights.end(), pass.gradient().begin()));
}

TEST_CASE("How many threads work at a pass does not show", "[nn][pass][determinism]") {
  for (const Eigen::Index rows : {1, 8, 37, 200}) {
    INFO(rows << " rows");
    const Matrix<float> x = random_matrix<float>(rows, 16, 2);
    std::vector<float> gradient;
    std::vector<float> buffers;
    Matrix<float> y;
    for (const std::size_t threads : {1, 2, 3, 5}) {
      INFO(threads << " threads");
      auto network = Network<float>::make(tangled(), 4).value();
      WorkerPool pool(threads);
      Pass<float> pass(pool);
      run(pass, network, x, random_dy(network, rows));
      if (threads == 1) {
        gradient.assign(pass.gradient().begin(), pass.gradient().end());
        buffers.assign(network.buffers().begin(), network.buffers().end());
        y = pass.output(0);
        continue;
      }
      CHECK(same_bits(pass.output(0), y));
      CHECK(std::equal(gradient.begin(), gradient.end(), pass.gradient().begin()));
      CHECK(std::equal(buffers.begin(), buffers.end(), network.buffers().begin()));
    }
  }
}

TEST_CASE("A pass depends on its seed in training and on nothing but the window in scoring",
          "[nn][pass][determinism]") {
  auto network = Network<float>::make(tangled(), 4).value();
  WorkerPool pool(1);
  Pass<float> pass(pool);
  const Matrix<float> x = random_matrix<float>(20, 16, 2);
  pass.forward(network, x, Mode::kTraining, 1);
  const Matrix<float> first = pass.output(1);
  pass.forward(network, x, Mode::kTraining, 1);
  CHECK(same_bits(pass.output(1), first));
  pass.forward(network, x, Mode::kTraining, 2);
  CHECK_FALSE(same_bits(pass.output(1), first));

  pass.forward(network, x, Mode::kScoring, 1);
  const Matrix<float> scored = pass.output(0);
  for (Eigen::Index row = 0; row < x.rows(); ++row) {
    pass.forward(network, x.row(row), Mode::kScoring, 5);
    CHECK(same_bits<float>(pass.output(0), scored.row(row)));
  }
}

TEST_CASE("A pass serves networks of other sizes one after the other", "[nn][pass]") {
  auto network = Network<double>::make(tangled(), 4).value();
  Architecture plain;
  plain.input = {3, 1};
  plain.layers = {layer("only", "dense", 3, 2)};
  auto other = Network<double>::make(plain, 1).value();
  WorkerPool pool(2);
  Pass<double> pass(pool);
  run(pass, network, random_matrix<double>(20, 16, 1), random_dy(network, 20));
  const Matrix<double> x = random_matrix<double>(2, 3, 5);
  run(pass, other, x, random_dy(other, 2));
  Pass<double> fresh(pool);
  run(fresh, other, x, random_dy(other, 2));
  CHECK(std::equal(pass.gradient().begin(), pass.gradient().end(), fresh.gradient().begin()));
  CHECK(same_bits(pass.input_gradient(), fresh.input_gradient()));
  CHECK(pass.gradient().size() == 8);
}

}  // namespace
}  // namespace anomalyd::nn

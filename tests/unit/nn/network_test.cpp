#include "nn/network.h"

#include <string>

#include "layer_check.h"
#include "nn/loss.h"

namespace anomalyd::nn {
namespace {

Architecture small() {
  Architecture made;
  made.input = {8, 2};
  made.layers = {{"down", "conv1d", 2, 3, 4, 2, 1, 0},
                 {"bend", "leaky_relu", 0, 0, 1, 1, 0, 0.1},
                 {"up", "conv_transpose1d", 3, 2, 4, 2, 1, 0},
                 {"last", "dense", 16, 5, 1, 1, 0, 0}};
  return made;
}

TEST_CASE("A network knows its shapes, its parameters and their names", "[nn][network]") {
  auto network = Network<float>::make(small(), 1).value();
  CHECK(network.input() == Shape{8, 2});
  CHECK(network.output() == Shape{1, 5});
  std::size_t count = 0;
  std::string names;
  for (const auto& parameter : network.parameters()) {
    count += parameter.value.size();
    names += parameter.name + " ";
  }
  CHECK(names == "down.weights down.bias up.weights up.bias last.weights last.bias ");
  CHECK(count == 24 + 3 + 24 + 2 + 80 + 5);
  CHECK(network.parameter_count() == count);
}

TEST_CASE("A network's loss agrees with central differences in every parameter and input",
          "[nn][network][gradient]") {
  auto network = Network<double>::make(small(), 4).value();
  Matrix<double> x = random_matrix<double>(3, 16, 1);
  const Matrix<double> target = random_matrix<double>(3, 5, 2);
  Activations<double> kept;
  Matrix<double> dy;
  const auto loss = [&] {
    network.forward(x, kept);
    return mean_squared_error<double>(kept.output(), target, dy);
  };
  loss();
  network.zero_gradients();
  const Matrix<double> dx = network.backward(kept, dy);
  for (const auto& parameter : network.parameters()) {
    for (std::size_t i = 0; i < parameter.value.size(); ++i) {
      const double expected = parameter.gradient[i];
      CHECK(testing::relative_error(testing::numeric_gradient(parameter.value[i], loss), expected) <
            1e-8);
    }
  }
  for (Eigen::Index i = 0; i < x.size(); ++i) {
    CHECK(testing::relative_error(testing::numeric_gradient(x.data()[i], loss), dx.data()[i]) <
          1e-8);
  }
}

TEST_CASE("The same seed makes the same network, another seed another, and a copy is its own",
          "[nn][network][determinism]") {
  auto first = Network<float>::make(small(), 9).value();
  auto again = Network<float>::make(small(), 9).value();
  auto other = Network<float>::make(small(), 10).value();
  const Matrix<float> x = random_matrix<float>(4, 16, 3);
  Activations<float> a;
  Activations<float> b;
  first.forward(x, a);
  again.forward(x, b);
  CHECK(a.output() == b.output());
  other.forward(x, b);
  CHECK(a.output() != b.output());

  Network<float> copy = first;
  copy.parameters()[0].value[0] += 1;
  first.forward(x, b);
  CHECK(a.output() == b.output());
  for (Eigen::Index row = 0; row < x.rows(); ++row) {
    first.forward(x.row(row), b);
    CHECK(b.output() == a.output().row(row));
  }
}

TEST_CASE("An architecture goes through JSON unchanged", "[nn][network]") {
  const std::string json = to_json(small());
  const auto parsed = parse_architecture(json);
  REQUIRE(parsed.ok());
  CHECK(to_json(parsed.value()) == json);
  CHECK(Network<float>::make(parsed.value(), 1).value().output() == Shape{1, 5});
}

TEST_CASE("An unknown layer is refused with the known ones", "[nn][network][errors]") {
  const auto refused = parse_architecture(
      R"({"input":{"samples":8,"channels":2},"layers":[{"name":"a","type":"lstm"}]})");
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == ErrorCode::kUnsupported);
  CHECK(refused.error().message ==
        "architecture: layers[0].type: unknown layer \"lstm\", known: conv1d, conv_transpose1d, "
        "dense, leaky_relu");
  Architecture made = small();
  made.layers[1].type = "lstm";
  CHECK(Network<float>::make(made, 1).error().code == ErrorCode::kUnsupported);
}

TEST_CASE("Broken architectures are refused with the place", "[nn][network][errors]") {
  const auto message = [](const std::string& json) {
    const auto parsed = parse_architecture(json);
    REQUIRE_FALSE(parsed.ok());
    return parsed.error().message;
  };
  CHECK(message("[]").find("expected an object") != std::string::npos);
  CHECK(message("{").find("not JSON") != std::string::npos);
  CHECK(message(R"({"input":{"samples":1,"channels":1},"input":{},"layers":[]})")
            .find("\"input\" occurs twice") != std::string::npos);
  CHECK(message(std::string(1000, '[')).find("nested deeper") != std::string::npos);
  const std::string head = R"({"input":{"samples":8,"channels":2},"layers":[)";
  CHECK(message(head + "]}").find("array of 1 to 64") != std::string::npos);
  CHECK(message(head + R"({"name":"a","type":"dense","in":-1,"out":1}]})").find("layers[0].in") !=
        std::string::npos);
  CHECK(message(head + R"({"name":"a","type":"dense","in":1.5,"out":1}]})").find("layers[0].in") !=
        std::string::npos);
  CHECK(message(head + R"({"name":"A b","type":"dense","in":1,"out":1}]})").find("name") !=
        std::string::npos);
  CHECK(message(head + R"({"name":"a","type":"leaky_relu","slope":0.1},)" +
                R"({"name":"a","type":"leaky_relu","slope":0.1}]})")
            .find("is taken") != std::string::npos);
}

TEST_CASE("Networks that do not fit or are too large are refused before they are made",
          "[nn][network][errors]") {
  Architecture made = small();
  made.layers[2].in = 4;
  CHECK(Network<float>::make(made, 1).error().message.find("gives 3 channels") !=
        std::string::npos);
  made = small();
  made.layers[3].in = 1 << 24;
  made.layers[3].out = 1 << 24;
  CHECK(Network<float>::make(made, 1).error().message.find("parameters") != std::string::npos);
  made = small();
  made.input.samples = Eigen::Index{1} << 60;
  CHECK(Network<float>::make(made, 1).error().message.find("input is") != std::string::npos);
  made = small();
  made.input.samples = 1 << 22;
  CHECK(Network<float>::make(made, 1).error().message.find("values or") != std::string::npos);
  made.input = {65536, 64};
  made.layers = {{"slow", "conv1d", 64, 64, 1024, 1, 512, 0}};
  CHECK(Network<float>::make(made, 1).error().message.find("multiply-adds") != std::string::npos);
}

}  // namespace
}  // namespace anomalyd::nn

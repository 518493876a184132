#include "nn/network.h"

#include <set>
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

LayerSpec conv(const char* name, const char* type, Eigen::Index in, Eigen::Index out) {
  LayerSpec spec = layer(name, type, in, out);
  spec.kernel = 4;
  spec.stride = 2;
  spec.padding = 1;
  return spec;
}

LayerSpec reading(LayerSpec spec, std::vector<std::string> inputs) {
  spec.inputs = std::move(inputs);
  return spec;
}

/// A skip around the bottleneck, and two heads.
Architecture forked() {
  Architecture made;
  made.input = {8, 2};
  made.layers = {conv("down", "conv1d", 2, 3),
                 layer("norm", "batch_norm", 3),
                 layer("bend", "leaky_relu"),
                 reading(conv("up", "conv_transpose1d", 3, 2), {"bend"}),
                 reading(layer("skip", "add"), {"up", "input"}),
                 reading(layer("last", "dense", 12, 5), {"bend"})};
  made.layers[2].slope = 0.1;
  made.layers[1].momentum = 0.25;
  made.outputs = {"skip", "last"};
  return made;
}

TEST_CASE("A network knows its shapes, its parameters and their names", "[nn][network]") {
  const auto network = Network<float>::make(forked(), 1).value();
  CHECK(network.input() == Shape{8, 2});
  REQUIRE(network.heads() == 2);
  CHECK(network.output(0) == Shape{8, 2});
  CHECK(network.output(1) == Shape{1, 5});
  std::string names;
  std::size_t count = 0;
  for (const auto& array : network.state()) {
    names += array.name + " ";
    count += array.values.size();
  }
  CHECK(names ==
        "down.weights down.bias norm.weights norm.bias up.weights up.bias last.weights last.bias "
        "norm.mean norm.variance ");
  const NetworkCost cost = network.cost();
  CHECK(cost.parameters == 24 + 3 + 6 + 24 + 2 + 60 + 5);
  CHECK(cost.buffers == 6);
  CHECK(count == cost.parameters + cost.buffers);
  CHECK(cost.bytes == 4 * count);
  CHECK(cost.values >= 16 + 12 + 12 + 12 + 16 + 16 + 5);
  // Two convolutions of 24 weights over 4 steps, a dense layer; norm, bend and skip are small.
  CHECK(cost.flops >= 2.0 * (24 * 4 + 24 * 4 + 60));
  CHECK(cost.flops < 2.0 * (24 * 4 + 24 * 4 + 60) + 200);
}

TEST_CASE("The same seed makes the same network, another seed another, and a copy is its own",
          "[nn][network][determinism]") {
  const auto first = Network<float>::make(forked(), 9).value();
  const auto again = Network<float>::make(forked(), 9).value();
  const auto other = Network<float>::make(forked(), 10).value();
  const auto equal = [](const Network<float>& a, const Network<float>& b) {
    return std::equal(a.weights().begin(), a.weights().end(), b.weights().begin());
  };
  CHECK(equal(first, again));
  CHECK_FALSE(equal(first, other));
  Network<float> copy = first;
  CHECK(equal(copy, first));
  copy.weights()[0] += 1;
  CHECK(equal(first, again));
  // Each array draws from a seed of its own.
  std::set<float> firsts;
  for (const char* name : {"down.weights", "up.weights", "last.weights"}) {
    for (const auto& array : first.parameters()) {
      if (array.name == name) firsts.insert(array.values[0]);
    }
  }
  CHECK(firsts.size() == 3);
}

TEST_CASE("An architecture goes through JSON unchanged", "[nn][network]") {
  Architecture made = forked();
  made.layers[0].spectral_norm = true;
  made.layers[0].initialiser = "he_normal";
  const std::string json = to_json(made);
  const auto parsed = parse_architecture(json);
  REQUIRE(parsed.ok());
  CHECK(to_json(parsed.value()) == json);
  const auto network = Network<float>::make(parsed.value(), 1);
  REQUIRE(network.ok());
  CHECK(network.value().output(1) == Shape{1, 5});
  CHECK(parsed.value().layers[1].momentum == 0.25);
  CHECK(parsed.value().layers[1].epsilon == 1e-5);
  CHECK(parsed.value().layers[0].spectral_norm);
}

TEST_CASE("Every type of layer can be named, written and read", "[nn][network]") {
  for (const LayerType& type : layer_types()) {
    INFO(type.name);
    LayerSpec spec = layer("a", std::string(type.name).c_str(), 2, 2);
    spec.stride = 1;
    if (type.min_inputs == 2) spec.inputs = {"input", "input"};
    if (type.name == "dense") spec.in = 16;
    if (type.name == "concat") spec.out = 4;
    if (type.name == "reparameterise") spec.out = 1;
    Architecture made{{8, 2}, {spec}, {}};
    const auto parsed = parse_architecture(to_json(made));
    REQUIRE(parsed.ok());
    CHECK(to_json(parsed.value()) == to_json(made));
    const auto network = Network<float>::make(parsed.value(), 1);
    if (!network.ok()) FAIL(network.error().message);
    CHECK(Network<double>::make(parsed.value(), 1).ok());
    // Saved and loaded, it is the same.
    TensorFile file;
    network.value().save("x.", file);
    auto other = Network<float>::make(parsed.value(), 2).value();
    REQUIRE(other.load("x.", file).ok());
    CHECK(std::equal(other.weights().begin(), other.weights().end(),
                     network.value().weights().begin()));
    CHECK(std::equal(other.buffers().begin(), other.buffers().end(),
                     network.value().buffers().begin()));
  }
}

TEST_CASE("A network refuses tensors that are missing, misshapen or not finite",
          "[nn][network][errors]") {
  auto network = Network<float>::make(forked(), 1).value();
  TensorFile file;
  network.save("", file);
  const auto message = [&](const TensorFile& broken) {
    auto other = network;
    const Status status = other.load("", broken);
    REQUIRE_FALSE(status.ok());
    CHECK(status.error().code == ErrorCode::kCorrupt);
    return status.error().message;
  };
  TensorFile broken = file;
  broken.tensors.erase("norm.variance");
  CHECK(message(broken) == "tensor \"norm.variance\" is missing");
  broken = file;
  broken.tensors["last.bias"].shape = {1, 5};
  CHECK(message(broken) == "tensor \"last.bias\": shape is [1, 5], expected [5]");
  broken = file;
  broken.tensors["norm.variance"].values[2] = -1;
  CHECK(message(broken).find("\"norm.variance\": value 2 is -1.0") != std::string::npos);
  broken = file;
  broken.tensors["up.bias"].values[1] = std::numeric_limits<float>::infinity();
  CHECK(message(broken) == "tensor \"up.bias\": value 1 is not finite");
}

TEST_CASE("An unknown layer or initialiser is refused with the known ones",
          "[nn][network][errors]") {
  const auto refused = parse_architecture(
      R"({"input":{"samples":8,"channels":2},"layers":[{"name":"a","type":"attention"}]})");
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == ErrorCode::kUnsupported);
  CHECK(refused.error().message.find("architecture: layers[0].type: unknown layer \"attention\", "
                                     "known: add, average_pool, batch_norm") == 0);
  Architecture made = forked();
  made.layers[2].type = "attention";
  CHECK(Network<float>::make(made, 1).error().code == ErrorCode::kUnsupported);
  made = forked();
  made.layers[0].initialiser = "xavier";
  const auto initialiser = Network<float>::make(made, 1);
  REQUIRE_FALSE(initialiser.ok());
  CHECK(initialiser.error().code == ErrorCode::kUnsupported);
  CHECK(initialiser.error().message.find("unknown initialiser \"xavier\", known: constant") !=
        std::string::npos);
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
  CHECK(message(head + "]}").find("array of 1 to 256") != std::string::npos);
  const auto with = [&](const std::string& fields) {
    return message(head + R"({"name":"a",)" + fields + "}]}");
  };
  CHECK(with(R"("type":"dense","in":-1,"out":1)").find("layers[0].in") != std::string::npos);
  CHECK(with(R"("type":"dense","in":1.5,"out":1)").find("layers[0].in") != std::string::npos);
  CHECK(with(R"("type":"dense","in":1,"out":1,"slope":1)").find("unknown key \"slope\"") !=
        std::string::npos);
  CHECK(with(R"("type":"leaky_relu")").find("layers[0].slope: expected a number") !=
        std::string::npos);
  CHECK(with(R"("type":"relu","inputs":[])").find("layers[0].inputs: expected an array") !=
        std::string::npos);
  CHECK(with(R"("type":"relu","inputs":[1])").find("layers[0].inputs") != std::string::npos);
  CHECK(with(R"("type":"dense","in":1,"out":1,"spectral_norm":1)").find("true or false") !=
        std::string::npos);
  CHECK(message(head + R"({"name":"A b","type":"relu"}]})").find("name") != std::string::npos);
  CHECK(message(head + R"({"name":"input","type":"relu"}]})").find("not \"input\"") !=
        std::string::npos);
  CHECK(message(head + R"({"name":"a","type":"relu"},{"name":"a","type":"relu"}]})")
            .find("is taken") != std::string::npos);
  CHECK(message(head + R"({"name":"a","type":"relu"}],"outputs":"a"})").find("outputs: ") !=
        std::string::npos);
}

TEST_CASE("Networks that do not fit or are too large are refused before they are made",
          "[nn][network][errors]") {
  const auto message = [](const Architecture& architecture) {
    const auto refused = Network<float>::make(architecture, 1);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == ErrorCode::kInvalidArgument);
    return refused.error().message;
  };
  const auto says = [&](const Architecture& architecture, const char* expected) {
    INFO(expected);
    const std::string said = message(architecture);
    INFO(said);
    CHECK(said.find(expected) != std::string::npos);
  };
  Architecture made = forked();
  made.layers[3].in = 4;
  says(made, "layers[3] (up): conv_transpose1d: in is 4, but it reads 3 channels");
  made = forked();
  made.layers[4].inputs = {"up", "last"};
  says(made, "layers[4] (skip): no layer \"last\" before it");
  made.layers[4].inputs = {"up"};
  says(made, "layers[4] (skip): add reads 2 to 8 layers, got 1");
  made = forked();
  made.layers[5].name = "up";
  says(made, "layers[5] (up): the name is taken");
  made = forked();
  made.outputs = {"nowhere"};
  says(made, "outputs: no layer \"nowhere\"");
  made = forked();
  made.input = {64, 2};
  made.layers = {layer("large", "dense", 128, 1 << 20)};
  made.outputs = {};
  says(made, "parameters");
  made.input.samples = Eigen::Index{1} << 60;
  says(made, "input is");
  made.input = {65536, 64};
  made.layers = {conv("slow", "conv1d", 64, 64)};
  made.layers[0].kernel = 1024;
  made.layers[0].stride = 1;
  made.layers[0].padding = 512;
  says(made, "floating-point operations");
  made.layers.clear();
  says(made, "0 layers, expected 1 to 256");
  // A file of a megabyte whose padding alone would be gigabytes.
  made.input = {16, 256};
  made.layers = {conv("padded", "conv1d", 256, 256)};
  made.layers[0].groups = 256;
  made.layers[0].kernel = 1024;
  made.layers[0].dilation = 1024;
  made.layers[0].padding = 523776;
  says(made, "layers[0] (padded): more than");
  made.layers[0].type = "conv_transpose1d";
  made.layers[0].padding = 0;
  says(made, "layers[0] (padded): more than");
  // Millions of packed weights of one number each.
  made.input = {1, 4096};
  made.layers[0].groups = 4096;
  made.layers[0].in = 4096;
  made.layers[0].out = 4096;
  made.layers[0].dilation = 1;
  made.layers[0].stride = 1024;
  says(made, "layers[0] (padded): more than");
  // Within the operations, but nearly all lanes idle.
  made.input = {1000, 4096};
  made.layers = {conv("idle", "conv1d", 4096, 4096)};
  made.layers[0].groups = 4096;
  made.layers[0].kernel = 257;
  made.layers[0].stride = 1;
  made.layers[0].padding = 128;
  says(made, "floating-point operations");
  // More than a file has, or than any may have.
  made.input = {1, 64};
  made.layers = {layer("dense", "dense", 64, 64)};
  CHECK(Network<float>::make(made, 1, 4160).ok());
  CHECK_FALSE(Network<float>::make(made, 1, 4159).ok());
  made.input = {1, 4096};
  made.layers = {layer("dense", "dense", 4096, 5000)};
  CHECK_FALSE(Network<float>::make(made, 1, 1e9).ok());
}

}  // namespace
}  // namespace anomalyd::nn

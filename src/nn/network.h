#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "nn/layer.h"
#include "nn/types.h"

namespace anomalyd::nn {

/// One layer as a file describes it. Fields that its type does not have stay at their default.
struct LayerSpec {
  std::string name;  ///< of its parameters: "<name>.weights"
  std::string type;  ///< a row in layer_types()
  Eigen::Index in = 0;
  Eigen::Index out = 0;
  Eigen::Index kernel = 1;
  Eigen::Index stride = 1;
  Eigen::Index padding = 0;
  double slope = 0;
};

/// The shape of a network without its numbers.
struct Architecture {
  Shape input;
  std::vector<LayerSpec> layers;
};

/// The names that LayerSpec::type may have.
std::span<const std::string_view> layer_types();

/// {"input":{"channels":2,"samples":256},"layers":[{"type":"conv1d","name":"encoder1",...}]}
std::string to_json(const Architecture& architecture);
/// Errors   kCorrupt for what is not of this form (says where), kUnsupported for an unknown type,
///          listing the known.
Result<Architecture> parse_architecture(std::string_view json);

/// Trained numbers in all layers. In double: what a file asks for may overflow an integer.
double parameter_count(const Architecture& architecture);

/// What forward() keeps for backward(): the input of each layer and the output of the last.
template <class Scalar>
struct Activations {
  std::vector<Matrix<Scalar>> values;
  const Matrix<Scalar>& output() const { return values.back(); }
};

/// Layers one after the other, y = f_k(... f_1(x)).
///
/// Shapes    x (n, input().size())  y (n, output().size()).
/// Errors    make() returns kInvalidArgument for layers that do not fit each other or exceed
///           kMaxLayers, kMaxParameters, kMaxActivations or kMaxProducts, kUnsupported for an
///           unknown type. Nothing is allocated before it is within them.
/// Numerics  a row of y depends on that row of x alone, to the last bit.
/// Threads   forward() is const and safe to share; the rest is not. Copies share nothing.
template <class Scalar>
class Network {
 public:
  static constexpr std::size_t kMaxLayers = 64;
  static constexpr std::size_t kMaxParameters = std::size_t{1} << 24U;
  /// A window's values in all layers, their scratch included, and its multiply-adds: about a
  /// second of work. A file may ask for no more.
  static constexpr double kMaxActivations = 1 << 25;
  static constexpr double kMaxProducts = 4294967296.0;

  /// Weights drawn from `seed`, each layer from its own; the same bits on every platform.
  static Result<Network> make(const Architecture& architecture, std::uint64_t seed);

  Network(const Network& other);
  Network(Network&&) noexcept = default;
  Network& operator=(const Network& other);
  Network& operator=(Network&&) noexcept = default;
  ~Network() = default;

  const Architecture& architecture() const { return architecture_; }
  Shape input() const { return architecture_.input; }
  Shape output() const { return output_; }

  /// Runs x through all layers, keeping what backward() needs.
  void forward(const Matrix<Scalar>& x, Activations<Scalar>& kept) const;
  /// Adds dL/dparameters to the held gradients, given dy = dL/dy for the same forward() call;
  /// returns dL/dx.
  Matrix<Scalar> backward(const Activations<Scalar>& kept, const Matrix<Scalar>& dy);

  void zero_gradients();
  /// In the order of the layers. Views into this object.
  std::vector<Parameter<Scalar>> parameters();
  std::size_t parameter_count() const;
  /// Values that forward() holds for each row.
  std::size_t activation_count() const { return activation_count_; }

 private:
  Network() = default;

  Architecture architecture_;
  Shape output_;
  std::size_t activation_count_ = 0;
  std::vector<std::unique_ptr<Layer<Scalar>>> layers_;
};

extern template class Network<float>;
extern template class Network<double>;

}  // namespace anomalyd::nn

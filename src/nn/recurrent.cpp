#include "nn/recurrent.h"

#include <algorithm>
#include <memory>
#include <string>

#include "nn/elementwise.h"
#include "nn/layer_support.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;

struct Sizes {
  Index in;
  Index out;
  Index gates;
  Index gate_values() const { return gates * out; }
};

/// Offsets of W, U and the biases in the flat weights.
struct Places {
  explicit Places(const Sizes& sizes)
      : recurrent(sizes.in * sizes.gate_values()),
        bias(recurrent + sizes.out * sizes.gate_values()),
        recurrent_bias(bias + sizes.gate_values()) {}
  Index recurrent;
  Index bias;
  Index recurrent_bias;
};

Result<Shape> recurrent_shape(const char* type, const Sizes& sizes, std::span<const Shape> in) {
  auto shape = only_input(type, in, sizes.in);
  if (!shape.ok()) return shape;
  return Shape{shape.value().samples, sizes.out};
}

std::vector<ParameterSpec> recurrent_parameters(const Sizes& sizes, Initialiser::Kind kind) {
  const auto in = static_cast<std::size_t>(sizes.in);
  const auto out = static_cast<std::size_t>(sizes.out);
  const auto gates = static_cast<std::size_t>(sizes.gate_values());
  const auto from = static_cast<double>(sizes.in);
  const auto to = static_cast<double>(sizes.out);
  return {{"weights", {in, gates}, {kind, 0.02, from, to}},
          {"recurrent_weights", {out, gates}, {kind, 0.02, to, to}},
          {"bias", {gates}, {}}};
}

template <class Scalar>
std::span<Scalar> take(const Call<Scalar>& call, Index count) {
  return call.scratch->take(static_cast<std::size_t>(count));
}

template <class Scalar>
Scalar* take_zeros(const Call<Scalar>& call, Index count) {
  const std::span<Scalar> zeros = take(call, count);
  std::fill(zeros.begin(), zeros.end(), Scalar(0));
  return zeros.data();
}

/// W, U and both transposed, each packed.
template <class Scalar>
void pack_all(Mode mode, const Sizes& sizes, const Scalar* weights, Prepared<Scalar>& prepared) {
  const Index gates = sizes.gate_values();
  const auto pack_into = [&](std::size_t at, Index depth, Index columns, const Scalar* b, Index row,
                             Index column) {
    prepared.packed[at].resize(static_cast<std::size_t>(packed_size(depth, columns)));
    pack<Scalar>(depth, columns, b, row, column, prepared.packed[at].data());
  };
  const Scalar* recurrent = weights + Places(sizes).recurrent;
  prepared.packed.resize(4);
  pack_into(0, sizes.in, gates, weights, gates, 1);
  pack_into(1, sizes.out, gates, recurrent, gates, 1);
  if (mode == Mode::kScoring) return;
  pack_into(2, gates, sizes.in, weights, 1, gates);
  pack_into(3, gates, sizes.out, recurrent, 1, gates);
}

/// The gradients of the gates' sums before their activations, in the two layouts that the products
/// behind them read.
template <class Scalar>
struct GateGradients {
  Scalar* input;      ///< of x W: (rows * steps, gate values), step after step within a row
  Scalar* recurrent;  ///< of h U: (rows, gate values), of the present step
  Scalar* later;      ///< of h U from the second step on: (rows * (steps - 1), gate values)
};

/// Adds the sum of A (i, d) B(d, j) over d to C.
template <class Scalar>
void add_product(const Call<Scalar>& call, Product<Scalar> product, const Scalar* b) {
  const std::span<Scalar> packed =
      take(call, packed_size(product.segments * product.depth, product.columns));
  pack<Scalar>(product.segments * product.depth, product.columns, b, product.columns, 1,
               packed.data());
  product.b = packed.data();
  call.kernels->product(product);
}

template <class Scalar>
void add_columns(const Scalar* from, Index rows, Index columns, Scalar* __restrict to) {
  for (Index row = 0; row < rows; ++row) {
    const Scalar* __restrict at = from + row * columns;
    for (Index j = 0; j < columns; ++j) to[j] += at[j];
  }
}

/// Adds dL/dW, dL/dU and dL/db; writes dx.
template <class Scalar>
void finish_backward(const Call<Scalar>& call, const Sizes& sizes, const Rows<const Scalar>& x,
                     const Rows<const Scalar>& y, const GateGradients<Scalar>& gates,
                     const Rows<Scalar>& dx, Scalar* gradient) {
  const Index columns = sizes.gate_values();
  const Index steps = x.cols / sizes.in;
  if (gradient != nullptr) {
    Product<Scalar> product;
    product.columns = columns;
    product.rows = sizes.in;
    product.depth = x.rows * steps;
    product.a = x.data;
    product.a_row = 1;
    product.a_depth = sizes.in;
    product.c = gradient;
    product.c_row = columns;
    add_product(call, product, gates.input);
    if (steps > 1) {
      // The h that step t reads is y of step t - 1.
      product.rows = sizes.out;
      product.segments = y.rows;
      product.depth = steps - 1;
      product.a = y.data;
      product.a_segment = y.cols;
      product.a_depth = sizes.out;
      product.c = gradient + Places(sizes).recurrent;
      add_product(call, product, gates.later);
    }
    add_columns(gates.input, x.rows * steps, columns, gradient + Places(sizes).bias);
  }
  if (dx.data == nullptr) return;
  check_rows(x.rows, x.cols, dx);
  Product<Scalar> product;
  product.rows = x.rows * steps;
  product.columns = sizes.in;
  product.depth = columns;
  product.a = gates.input;
  product.a_row = columns;
  product.b = call.prepared->packed[2].data();
  product.bias = take_zeros(call, sizes.in);
  product.c = dx.data;
  product.c_row = sizes.in;
  call.kernels->product(product);
}

/// x W + b for all steps of all rows, into rows `to_row` apart.
template <class Scalar>
void project_input(const Call<Scalar>& call, const Sizes& sizes, const Rows<const Scalar>& x,
                   Scalar* to, Index to_row) {
  Product<Scalar> product;
  product.rows = x.size() / sizes.in;
  product.columns = sizes.gate_values();
  product.depth = sizes.in;
  product.a = x.data;
  product.a_row = sizes.in;
  product.b = call.prepared->packed[0].data();
  product.bias = call.weights + Places(sizes).bias;
  product.c = to;
  product.c_row = to_row;
  call.kernels->product(product);
}

/// h U for one step of all rows, h being y of the step before; from `bias`, or added when null.
template <class Scalar>
void project_state(const Call<Scalar>& call, const Sizes& sizes, Rows<Scalar> y, Index step,
                   const Scalar* bias, Scalar* to, Index to_row) {
  Product<Scalar> product;
  product.rows = y.rows;
  product.columns = sizes.gate_values();
  product.depth = sizes.out;
  product.a = y.data + (step - 1) * sizes.out;
  product.a_row = y.cols;
  product.b = call.prepared->packed[1].data();
  product.bias = bias;
  product.c = to;
  product.c_row = to_row;
  call.kernels->product(product);
}

/// Adds to dL/dh of the step before what goes through U.
template <class Scalar>
void pass_back(const Call<Scalar>& call, const Sizes& sizes, Index rows, const Scalar* gates,
               Scalar* carry) {
  Product<Scalar> product;
  product.rows = rows;
  product.columns = sizes.out;
  product.depth = sizes.gate_values();
  product.a = gates;
  product.a_row = sizes.gate_values();
  product.b = call.prepared->packed[3].data();
  product.c = carry;
  product.c_row = sizes.out;
  call.kernels->product(product);
}

template <class Scalar>
GateGradients<Scalar> take_gates(const Call<Scalar>& call, const Sizes& sizes, Index rows,
                                 Index steps) {
  const Index values = sizes.gate_values();
  return {take(call, rows * steps * values).data(), take(call, rows * values).data(),
          take(call, rows * (steps - 1) * values).data()};
}

/// Keeps the present step's gradients of h U where the product over all steps reads them.
template <class Scalar>
void store_later(const Sizes& sizes, const GateGradients<Scalar>& gates, Index rows, Index steps,
                 Index step) {
  if (step == 0) return;
  const Index values = sizes.gate_values();
  for (Index row = 0; row < rows; ++row) {
    std::copy_n(gates.recurrent + row * values, values,
                gates.later + (row * (steps - 1) + step - 1) * values);
  }
}

template <class Scalar>
class Gru final : public Layer<Scalar> {
 public:
  using typename Layer<Scalar>::In;
  using typename Layer<Scalar>::InGradient;

  Gru(Index in, Index out, Initialiser::Kind kind) : sizes_{in, out, 3}, kind_(kind) {}

  Result<Shape> out_shape(std::span<const Shape> in) const override {
    return recurrent_shape("gru", sizes_, in);
  }
  std::vector<ParameterSpec> parameters() const override {
    auto all = recurrent_parameters(sizes_, kind_);
    all.push_back({"recurrent_bias", all.back().shape, {}});
    return all;
  }
  // Of each step r, z, n, and h U_n + c_n.
  Index kept_size(std::span<const Shape> in) const override {
    return in[0].samples * kKept * sizes_.out;
  }
  double flops(std::span<const Shape> in) const override {
    return static_cast<double>(in[0].samples) * static_cast<double>(sizes_.out) *
           (6 * static_cast<double>(sizes_.in + sizes_.out) + 70);
  }
  void prepare(Mode mode, const Scalar* weights, Scalar* /*buffers*/,
               Prepared<Scalar>& prepared) const override {
    pack_all(mode, sizes_, weights, prepared);
  }

  void forward(const Call<Scalar>& call, In x, Rows<Scalar> y, Rows<Scalar> kept) const override {
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    const Index steps = rows.cols / sizes_.in;
    const Index out = sizes_.out;
    const Index values = sizes_.gate_values();
    check_rows(rows.rows, steps * out, y);
    if (kept.data == nullptr) kept = {take(call, y.size() * kKept).data(), y.rows, y.cols * kKept};
    project_input(call, sizes_, rows, kept.data, kKept * out);
    Scalar* state = take(call, rows.rows * values).data();  // h U + c
    const Scalar* recurrent_bias = call.weights + Places(sizes_).recurrent_bias;
    const Scalar* nothing = take_zeros(call, out);
    for (Index row = 0; row < rows.rows; ++row) {
      std::copy_n(recurrent_bias, values, state + row * values);
    }
    for (Index step = 0; step < steps; ++step) {
      if (step > 0) project_state(call, sizes_, y, step, recurrent_bias, state, values);
      for (Index row = 0; row < rows.rows; ++row) {
        Scalar* h = y.row(row) + step * out;
        take_step(state + row * values, step > 0 ? h - out : nothing,
                  kept.row(row) + step * kKept * out, h);
      }
    }
  }

  void backward(const Call<Scalar>& call, In x, Rows<const Scalar> y, Rows<const Scalar> kept,
                Rows<const Scalar> dy, InGradient dx, Scalar* gradient) const override {
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    const Index steps = rows.cols / sizes_.in;
    const Index out = sizes_.out;
    const Index values = sizes_.gate_values();
    check_rows(rows.rows, steps * out, dy);
    const GateGradients<Scalar> gates = take_gates(call, sizes_, rows.rows, steps);
    Scalar* carry = take_zeros(call, rows.rows * out);  // dL/dh through later steps
    const Scalar* nothing = take_zeros(call, out);
    for (Index step = steps - 1; step >= 0; --step) {
      for (Index row = 0; row < rows.rows; ++row) {
        const Index at = step * out;
        go_back(dy.row(row) + at, step > 0 ? y.row(row) + at - out : nothing,
                kept.row(row) + kKept * at, carry + row * out,
                gates.input + (row * steps + step) * values, gates.recurrent + row * values);
      }
      store_later(sizes_, gates, rows.rows, steps, step);
      if (gradient != nullptr) {
        add_columns(gates.recurrent, rows.rows, values, gradient + Places(sizes_).recurrent_bias);
      }
      if (step > 0) pass_back(call, sizes_, rows.rows, gates.recurrent, carry);
    }
    finish_backward(call, sizes_, rows, y, gates, dx[0], gradient);
  }

 private:
  static constexpr Index kKept = 4;

  /// `kept` holds x W + b and gets r, z, n and the state's part of n.
  void take_step(const Scalar* __restrict state, const Scalar* __restrict before,
                 Scalar* __restrict kept, Scalar* __restrict h) const {
    const Index out = sizes_.out;
    for (Index j = 0; j < out; ++j) {
      const Scalar r = sigmoid_of(kept[j] + state[j]);
      const Scalar z = sigmoid_of(kept[out + j] + state[out + j]);
      const Scalar through = state[2 * out + j];
      const Scalar n = tanh_of(kept[2 * out + j] + r * through);
      kept[j] = r;
      kept[out + j] = z;
      kept[2 * out + j] = n;
      kept[3 * out + j] = through;
      h[j] = (Scalar(1) - z) * n + z * before[j];
    }
  }

  /// Writes the gates' gradients and what of dL/dh goes past U to the step before.
  void go_back(const Scalar* __restrict dy, const Scalar* __restrict before,
               const Scalar* __restrict kept, Scalar* __restrict carry, Scalar* __restrict input,
               Scalar* __restrict recurrent) const {
    const Index out = sizes_.out;
    for (Index j = 0; j < out; ++j) {
      const Scalar r = kept[j];
      const Scalar z = kept[out + j];
      const Scalar n = kept[2 * out + j];
      const Scalar dh = dy[j] + carry[j];
      const Scalar dn = dh * (Scalar(1) - z) * (Scalar(1) - n * n);
      const Scalar dr = dn * kept[3 * out + j] * (r * (Scalar(1) - r));
      const Scalar dz = dh * (before[j] - n) * (z * (Scalar(1) - z));
      input[j] = dr;
      input[out + j] = dz;
      input[2 * out + j] = dn;
      recurrent[j] = dr;
      recurrent[out + j] = dz;
      recurrent[2 * out + j] = dn * r;
      carry[j] = dh * z;
    }
  }

  Sizes sizes_;
  Initialiser::Kind kind_;
};

template <class Scalar>
class Lstm final : public Layer<Scalar> {
 public:
  using typename Layer<Scalar>::In;
  using typename Layer<Scalar>::InGradient;

  Lstm(Index in, Index out, Initialiser::Kind kind) : sizes_{in, out, 4}, kind_(kind) {}

  Result<Shape> out_shape(std::span<const Shape> in) const override {
    return recurrent_shape("lstm", sizes_, in);
  }
  std::vector<ParameterSpec> parameters() const override {
    return recurrent_parameters(sizes_, kind_);
  }
  // Of each step i, f, g, o, c and tanh c.
  Index kept_size(std::span<const Shape> in) const override {
    return in[0].samples * kKept * sizes_.out;
  }
  double flops(std::span<const Shape> in) const override {
    return static_cast<double>(in[0].samples) * static_cast<double>(sizes_.out) *
           (8 * static_cast<double>(sizes_.in + sizes_.out) + 120);
  }
  void prepare(Mode mode, const Scalar* weights, Scalar* /*buffers*/,
               Prepared<Scalar>& prepared) const override {
    pack_all(mode, sizes_, weights, prepared);
  }

  void forward(const Call<Scalar>& call, In x, Rows<Scalar> y, Rows<Scalar> kept) const override {
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    const Index steps = rows.cols / sizes_.in;
    const Index out = sizes_.out;
    check_rows(rows.rows, steps * out, y);
    if (kept.data == nullptr) kept = {take(call, y.size() * kKept).data(), y.rows, y.cols * kKept};
    project_input(call, sizes_, rows, kept.data, kKept * out);
    const Scalar* nothing = take_zeros(call, out);
    for (Index step = 0; step < steps; ++step) {
      Scalar* gates = kept.data + step * kKept * out;
      if (step > 0) {
        project_state<Scalar>(call, sizes_, y, step, nullptr, gates, kept.cols);
      }
      for (Index row = 0; row < rows.rows; ++row) {
        Scalar* mine = gates + row * kept.cols;
        take_step(step > 0 ? mine - kKept * out + kCell * out : nothing, mine,
                  y.row(row) + step * out);
      }
    }
  }

  void backward(const Call<Scalar>& call, In x, Rows<const Scalar> y, Rows<const Scalar> kept,
                Rows<const Scalar> dy, InGradient dx, Scalar* gradient) const override {
    const Rows<const Scalar>& rows = input_of<Scalar>(x);
    const Index steps = rows.cols / sizes_.in;
    const Index out = sizes_.out;
    const Index values = sizes_.gate_values();
    check_rows(rows.rows, steps * out, dy);
    const GateGradients<Scalar> gates = take_gates(call, sizes_, rows.rows, steps);
    Scalar* carry = take_zeros(call, rows.rows * out);       // dL/dh through later steps
    Scalar* cell_carry = take_zeros(call, rows.rows * out);  // dL/dc likewise
    const Scalar* nothing = take_zeros(call, out);
    for (Index step = steps - 1; step >= 0; --step) {
      for (Index row = 0; row < rows.rows; ++row) {
        const Scalar* mine = kept.row(row) + step * kKept * out;
        go_back(dy.row(row) + step * out, step > 0 ? mine - kKept * out + kCell * out : nothing,
                mine, carry + row * out, cell_carry + row * out, gates.recurrent + row * values);
        std::copy_n(gates.recurrent + row * values, values,
                    gates.input + (row * steps + step) * values);
      }
      store_later(sizes_, gates, rows.rows, steps, step);
      if (step > 0) pass_back(call, sizes_, rows.rows, gates.recurrent, carry);
    }
    finish_backward(call, sizes_, rows, y, gates, dx[0], gradient);
  }

 private:
  static constexpr Index kKept = 6;
  static constexpr Index kCell = 4;  // where c lies among them

  /// `kept` holds x W + b + h U and gets the gates, c and tanh c.
  void take_step(const Scalar* __restrict cell_before, Scalar* __restrict kept,
                 Scalar* __restrict h) const {
    const Index out = sizes_.out;
    for (Index j = 0; j < out; ++j) {
      const Scalar i = sigmoid_of(kept[j]);
      const Scalar f = sigmoid_of(kept[out + j]);
      const Scalar g = tanh_of(kept[2 * out + j]);
      const Scalar o = sigmoid_of(kept[3 * out + j]);
      const Scalar c = f * cell_before[j] + i * g;
      const Scalar shown = tanh_of(c);
      kept[j] = i;
      kept[out + j] = f;
      kept[2 * out + j] = g;
      kept[3 * out + j] = o;
      kept[4 * out + j] = c;
      kept[5 * out + j] = shown;
      h[j] = o * shown;
    }
  }

  /// Writes the gates' gradients and dL/dc of the step before; takes up dL/dh from later steps.
  void go_back(const Scalar* __restrict dy, const Scalar* __restrict cell_before,
               const Scalar* __restrict kept, Scalar* __restrict carry,
               Scalar* __restrict cell_carry, Scalar* __restrict gates) const {
    const Index out = sizes_.out;
    for (Index j = 0; j < out; ++j) {
      const Scalar i = kept[j];
      const Scalar f = kept[out + j];
      const Scalar g = kept[2 * out + j];
      const Scalar o = kept[3 * out + j];
      const Scalar shown = kept[5 * out + j];
      const Scalar dh = dy[j] + carry[j];
      const Scalar dc = cell_carry[j] + dh * o * (Scalar(1) - shown * shown);
      gates[j] = dc * g * (i * (Scalar(1) - i));
      gates[out + j] = dc * cell_before[j] * (f * (Scalar(1) - f));
      gates[2 * out + j] = dc * i * (Scalar(1) - g * g);
      gates[3 * out + j] = dh * shown * (o * (Scalar(1) - o));
      cell_carry[j] = dc * f;
      carry[j] = 0;
    }
  }

  Sizes sizes_;
  Initialiser::Kind kind_;
};

Status check_sizes(const char* type, Index in, Index out) {
  auto checked = check_range(type, "in", in, 1, kMostChannels);
  return checked.ok() ? check_range(type, "out", out, 1, kMostChannels) : checked;
}

}  // namespace

template <class Scalar>
MadeLayer<Scalar> make_gru(Index in, Index out, Initialiser::Kind initialiser) {
  auto checked = check_sizes("gru", in, out);
  if (!checked.ok()) return checked.error();
  return std::unique_ptr<Layer<Scalar>>(std::make_unique<Gru<Scalar>>(in, out, initialiser));
}

template <class Scalar>
MadeLayer<Scalar> make_lstm(Index in, Index out, Initialiser::Kind initialiser) {
  auto checked = check_sizes("lstm", in, out);
  if (!checked.ok()) return checked.error();
  return std::unique_ptr<Layer<Scalar>>(std::make_unique<Lstm<Scalar>>(in, out, initialiser));
}

template MadeLayer<float> make_gru<float>(Index, Index, Initialiser::Kind);
template MadeLayer<double> make_gru<double>(Index, Index, Initialiser::Kind);
template MadeLayer<float> make_lstm<float>(Index, Index, Initialiser::Kind);
template MadeLayer<double> make_lstm<double>(Index, Index, Initialiser::Kind);

}  // namespace anomalyd::nn

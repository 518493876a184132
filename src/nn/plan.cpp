#include "nn/plan.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>
#include <vector>

#include "base/check.h"
#include "nn/plan_steps.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;

constexpr Index kLine = 16;  // floats of a cache line

std::size_t count_of(Index numbers) { return static_cast<std::size_t>(numbers); }
Index whole_lines(Index numbers) { return (numbers + kLine - 1) / kLine * kLine; }

/// Layers that hand on what they read, number by number, when scoring.
bool is_identity(const LayerSpec& spec) {
  return spec.type == "dropout" || spec.type == "gradient_reversal" || spec.type == "reshape";
}

/// One value in a workspace, with zeros around it.
struct Place {
  Index size = 0;
  Padding padding{};
  std::size_t first = 0;  // step that writes it; the input is there before the first
  std::size_t last = 0;   // step that reads it last
  Index at = 0;           // of its first number; the zeros lie before

  Index before() const { return whole_lines(padding.before); }
  Index begin() const { return at - before(); }
  Index end() const { return at + whole_lines(size + padding.after); }
};

struct PlannedStep {
  std::unique_ptr<Step> step;
  std::vector<std::size_t> inputs;  // places
  std::size_t output = 0;           // place
};

/// What a plan is once it is compiled.
struct Parts {
  Kernels<float> kernels;
  Shape input;
  std::vector<Shape> outputs;
  std::vector<std::size_t> heads;  // places
  std::vector<Place> places;       // the first is the input's
  std::vector<PlannedStep> steps;
  Index arena = 0;
  Index kept = 0;
  std::size_t scratch_bytes = 0;
};

}  // namespace

struct Plan::Impl final : Parts {};

struct Plan::Workspace::State {
  const Impl* plan = nullptr;
  Buffer<float> arena;
  Buffer<float> kept;
  Scratch<float> scratch;
};

namespace {

/// Turns a network's nodes into steps.
class Compiler {
 public:
  Compiler(const Network<float>& network, Parts& plan)
      : network_(network), nodes_(network.nodes()), plan_(plan) {}

  void compile() {
    readers_.resize(nodes_.size() + 1);
    is_head_.resize(nodes_.size() + 1);
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      for (const std::size_t value : nodes_[i].inputs) readers_[value].push_back(i);
    }
    for (const std::size_t value : network_.head_values()) is_head_[value] = 1;
    place_of_.resize(nodes_.size() + 1);
    is_done_.resize(nodes_.size());
    folded_before_.resize(nodes_.size(), kNone);

    plan_.input = network_.input();
    plan_.places.push_back({.size = plan_.input.size()});
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (is_done_[i] == 0) add_node(i);
    }
    for (std::size_t head = 0; head < network_.heads(); ++head) {
      const std::size_t place = place_of_[network_.head_values()[head]];
      plan_.heads.push_back(place);
      plan_.outputs.push_back(network_.output(head));
      plan_.places[place].last = std::numeric_limits<std::size_t>::max();
    }
    lay_out();
  }

 private:
  static constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

  const LayerSpec& spec(std::size_t node) const { return network_.architecture().layers[node]; }
  Shape shape_of(std::size_t value) const {
    return value == 0 ? network_.input() : nodes_[value - 1].shape;
  }
  const float* weights_of(std::size_t node) const {
    return network_.weights().data() + nodes_[node].weights_at;
  }
  const float* buffers_of(std::size_t node) const {
    return network_.buffers().data() + nodes_[node].buffers_at;
  }
  ChannelAffine norm_of(std::size_t node) const {
    return channel_affine(spec(node), weights_of(node), buffers_of(node));
  }

  /// The only node for which a value is there, or kNone.
  std::size_t only_reader(std::size_t value) const {
    return is_head_[value] == 0 && readers_[value].size() == 1 ? readers_[value][0] : kNone;
  }

  void add_node(std::size_t node) {
    const LayerSpec& layer = spec(node);
    if (is_identity(layer)) {
      place_of_[node + 1] = place_of_[nodes_[node].inputs[0]];
    } else if (Linear::is_one(layer)) {
      add_linear(node);
    } else if (layer.type == "batch_norm" && fold_ahead(node)) {
      place_of_[node + 1] = place_of_[nodes_[node].inputs[0]];
    } else {
      add_layer(node);
    }
  }

  /// Whether the norm can be left to the linear layer that alone reads it.
  bool fold_ahead(std::size_t node) {
    std::size_t reader = only_reader(node + 1);
    while (reader != kNone && is_identity(spec(reader))) reader = only_reader(reader + 1);
    if (reader == kNone || !Linear::takes_before(spec(reader), spec(node).in)) return false;
    folded_before_[reader] = node;
    return true;
  }

  void add_linear(std::size_t node) {
    Linear linear(spec(node), shape_of(nodes_[node].inputs[0]), nodes_[node].shape,
                  weights_of(node), buffers_of(node));
    if (folded_before_[node] != kNone) linear.fold_before(norm_of(folded_before_[node]));
    std::vector<std::size_t> values{node + 1};
    bool is_rectified = false;
    for (std::size_t next = only_reader(node + 1); next != kNone; next = only_reader(next + 1)) {
      const LayerSpec& layer = spec(next);
      if (layer.type == "batch_norm" && !is_rectified &&
          Linear::takes_behind(spec(node), layer.in)) {
        linear.fold_behind(norm_of(next));
      } else if ((layer.type == "relu" || layer.type == "leaky_relu") && !is_rectified) {
        linear.rectify(layer.type == "relu" ? 0.0F : static_cast<float>(layer.slope));
        is_rectified = true;
      } else if (!is_identity(layer)) {
        break;
      }
      is_done_[next] = 1;
      values.push_back(next + 1);
    }
    add_step(linear.step(), {place_of_[nodes_[node].inputs[0]]}, values);
  }

  void add_layer(std::size_t node) {
    const Node<float>& of = nodes_[node];
    std::array<Shape, kMaxInputs> shapes;
    std::vector<std::size_t> inputs;
    for (const std::size_t value : of.inputs) {
      shapes[inputs.size()] = shape_of(value);
      inputs.push_back(place_of_[value]);
    }
    auto step =
        layer_step(spec(node), {shapes.data(), inputs.size()}, of.shape, of.kept_size,
                   {weights_of(node), of.weight_count}, {buffers_of(node), of.buffer_count});
    plan_.kept = std::max(plan_.kept, of.kept_size);
    add_step(std::move(step), inputs, {node + 1});
  }

  /// All of `values` are what the step writes.
  void add_step(std::unique_ptr<Step> step, const std::vector<std::size_t>& inputs,
                const std::vector<std::size_t>& values) {
    const std::size_t at = plan_.steps.size();
    const Padding needed = step->padding();
    for (const std::size_t input : inputs) {
      Place& place = plan_.places[input];
      place.padding.before = std::max(place.padding.before, needed.before);
      place.padding.after = std::max(place.padding.after, needed.after);
      place.last = at;
    }
    for (const std::size_t value : values) place_of_[value] = plan_.places.size();
    plan_.steps.push_back({std::move(step), inputs, plan_.places.size()});
    // A value that nothing reads is still written.
    plan_.places.push_back({.size = shape_of(values[0]).size(), .first = at, .last = at});
  }

  /// Gives each place the lowest memory that no other holds while it is needed.
  void lay_out() {
    std::vector<const Place*> laid;  // by where they begin
    for (Place& place : plan_.places) {
      place.at = place.before();
      for (const Place* other : laid) {
        const bool meet_in_time = other->first <= place.last && place.first <= other->last;
        if (!meet_in_time || other->end() <= place.begin() || place.end() <= other->begin()) {
          continue;
        }
        place.at = other->end() + place.before();
      }
      laid.insert(
          std::upper_bound(laid.begin(), laid.end(), &place,
                           [](const Place* a, const Place* b) { return a->begin() < b->begin(); }),
          &place);
      plan_.arena = std::max(plan_.arena, place.end());
    }
  }

  const Network<float>& network_;
  std::span<const Node<float>> nodes_;
  Parts& plan_;
  std::vector<std::vector<std::size_t>> readers_;  // nodes, of each value
  std::vector<char> is_head_;                      // of each value
  std::vector<std::size_t> place_of_;              // of each value
  std::vector<char> is_done_;                      // of each node: part of an earlier step
  std::vector<std::size_t> folded_before_;         // of each node: a norm, or kNone
};

}  // namespace

Plan::Plan(const Network<float>& network, const Kernels<float>& kernels) {
  auto impl = std::make_unique<Impl>();
  impl->kernels = kernels;
  Compiler(network, *impl).compile();
  Impl& parts = *impl;
  impl_ = std::move(impl);
  parts.scratch_bytes = workspace().state_->scratch.bytes();
}

Plan::Plan(Plan&&) noexcept = default;
Plan& Plan::operator=(Plan&&) noexcept = default;
Plan::~Plan() = default;

Plan::Workspace::Workspace(std::unique_ptr<State> state) : state_(std::move(state)) {}
Plan::Workspace::Workspace(Workspace&&) noexcept = default;
Plan::Workspace& Plan::Workspace::operator=(Workspace&&) noexcept = default;
Plan::Workspace::~Workspace() = default;

Shape Plan::input() const { return impl_->input; }
std::size_t Plan::heads() const { return impl_->heads.size(); }
Shape Plan::output(std::size_t head) const { return impl_->outputs.at(head); }

Plan::Workspace Plan::workspace() const {
  auto state = std::make_unique<Workspace::State>();
  state->plan = impl_.get();
  state->arena.resize(count_of(impl_->arena));
  state->kept.resize(count_of(impl_->kept));
  Workspace workspace(std::move(state));
  // The layers' scratch memory grows in a first run: here, so that no later one allocates.
  const std::vector<float> zeros(count_of(impl_->input.size()));
  run(zeros, workspace);
  return workspace;
}

void Plan::run(std::span<const float> window, Workspace& workspace) const {
  Workspace::State& state = *workspace.state_;
  ANOMALYD_CHECK(state.plan == impl_.get(), "a workspace of another plan");
  ANOMALYD_CHECK(window.size() == count_of(impl_->input.size()), "plan: wrong window size");
  float* const arena = state.arena.data();
  // Memory is shared by values of other sizes: the zeros around one are there only after this.
  const auto begin_writing = [&](const Place& place) {
    float* const at = arena + place.at;
    std::fill_n(at - place.padding.before, place.padding.before, 0.0F);
    std::fill_n(at + place.size, place.padding.after, 0.0F);
    return at;
  };
  std::copy(window.begin(), window.end(), begin_writing(impl_->places[0]));
  StepCall call;
  call.kernels = &impl_->kernels;
  call.kept = state.kept.data();
  call.scratch = &state.scratch;
  for (const PlannedStep& planned : impl_->steps) {
    for (std::size_t i = 0; i < planned.inputs.size(); ++i) {
      call.in[i] = arena + impl_->places[planned.inputs[i]].at;
    }
    call.out = begin_writing(impl_->places[planned.output]);
    state.scratch.clear();
    planned.step->run(call);
  }
}

std::span<const float> Plan::output_of(const Workspace& workspace, std::size_t head) const {
  ANOMALYD_CHECK(workspace.state_->plan == impl_.get(), "a workspace of another plan");
  const Place& place = impl_->places[impl_->heads.at(head)];
  return {workspace.state_->arena.data() + place.at, count_of(place.size)};
}

std::size_t Plan::workspace_bytes() const {
  return (count_of(impl_->arena) + count_of(impl_->kept)) * sizeof(float) + impl_->scratch_bytes;
}

}  // namespace anomalyd::nn

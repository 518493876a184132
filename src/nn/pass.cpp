#include "nn/pass.h"

#include <algorithm>
#include <array>

#include "nn/random.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;

constexpr std::size_t kBlock = 4096;  // weights that one thread adds at a time

}  // namespace

template <class Scalar>
Pass<Scalar>::Pass(WorkerPool& pool) : pool_(pool), scratches_(pool.threads()) {}

template <class Scalar>
Index Pass<Scalar>::pieces() const {
  return (batch_rows_ + kPieceRows - 1) / kPieceRows;
}

template <class Scalar>
Rows<const Scalar> Pass<Scalar>::rows_of(const Matrix<Scalar>& all, Index piece) const {
  const Index first = piece * kPieceRows;
  return {all.data() + first * all.cols(), std::min(kPieceRows, batch_rows_ - first), all.cols()};
}

template <class Scalar>
Rows<Scalar> Pass<Scalar>::rows_of(Matrix<Scalar>& all, Index piece) const {
  const Index first = piece * kPieceRows;
  return {all.data() + first * all.cols(), std::min(kPieceRows, batch_rows_ - first), all.cols()};
}

template <class Scalar>
Call<Scalar> Pass<Scalar>::call_of(std::size_t node, Index first_row,
                                   Scratch<Scalar>& scratch) const {
  const Node<Scalar>& of = network_->nodes()[node];
  Call<Scalar> call;
  call.mode = mode_;
  call.kernels = &best_kernels<Scalar>();
  call.weights = network_->weights().data() + of.weights_at;
  call.buffers = network_->buffers().data() + of.buffers_at;
  call.prepared = &prepared_[node];
  call.sums = sums_[node].data();
  call.gradient_sums = gradient_sums_[node].data();
  call.batch_rows = batch_rows_;
  call.first_row = first_row;
  call.seed = derive_seed(seed_, node);
  call.scratch = &scratch;
  scratch.clear();
  return call;
}

template <class Scalar>
template <class Work>
void Pass<Scalar>::for_pieces_of(std::size_t lane, const Work& work) const {
  const auto all = static_cast<std::size_t>(pieces());
  for (std::size_t piece = lane * all / lanes_; piece < (lane + 1) * all / lanes_; ++piece) {
    work(static_cast<Index>(piece));
  }
}

template <class Scalar>
void Pass<Scalar>::prepare(std::size_t node) {
  const Node<Scalar>& of = network_->nodes()[node];
  of.layer->prepare(mode_, network_->weights().data() + of.weights_at,
                    network_->buffers().data() + of.buffers_at, prepared_[node]);
}

template <class Scalar>
void Pass<Scalar>::size_buffers() {
  const std::span<const Node<Scalar>> nodes = network_->nodes();
  values_.resize(nodes.size() + 1);
  value_gradients_.resize(nodes.size() + 1);
  kept_.resize(nodes.size());
  prepared_.resize(nodes.size());
  sums_.resize(nodes.size());
  gradient_sums_.resize(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    values_[i + 1].resize(batch_rows_, nodes[i].shape.size());
    kept_[i].resize(batch_rows_, nodes[i].kept_size);
    sums_[i].resize(static_cast<std::size_t>(nodes[i].layer->sums()));
    gradient_sums_[i].resize(static_cast<std::size_t>(nodes[i].layer->gradient_sums()));
  }
  lanes_ = static_cast<std::size_t>(std::min(pieces(), kLanes));
}

template <class Scalar>
void Pass<Scalar>::add_pieces(Index count, std::vector<double>& sums) const {
  std::fill(sums.begin(), sums.end(), 0.0);
  for (Index piece = 0; piece < pieces(); ++piece) {
    for (Index i = 0; i < count; ++i) {
      sums[static_cast<std::size_t>(i)] += piece_sums_[static_cast<std::size_t>(piece * count + i)];
    }
  }
}

template <class Scalar>
void Pass<Scalar>::gather(std::size_t node, Index piece) {
  const Node<Scalar>& of = network_->nodes()[node];
  std::array<Rows<const Scalar>, kMaxInputs> x;
  for (std::size_t i = 0; i < of.inputs.size(); ++i) {
    x[i] = rows_of(std::as_const(values_[of.inputs[i]]), piece);
  }
  of.layer->gather({x.data(), of.inputs.size()}, piece_sums_.data() + piece * of.layer->sums());
}

template <class Scalar>
void Pass<Scalar>::forward_rows(std::size_t node, Index piece, Scratch<Scalar>& scratch) {
  const Node<Scalar>& of = network_->nodes()[node];
  std::array<Rows<const Scalar>, kMaxInputs> x;
  for (std::size_t i = 0; i < of.inputs.size(); ++i) {
    x[i] = rows_of(std::as_const(values_[of.inputs[i]]), piece);
  }
  const Call<Scalar> call = call_of(node, piece * kPieceRows, scratch);
  of.layer->forward(call, {x.data(), of.inputs.size()}, rows_of(values_[node + 1], piece),
                    rows_of(kept_[node], piece));
}

template <class Scalar>
void Pass<Scalar>::run_forward(std::size_t lane, std::size_t thread) {
  for_pieces_of(lane, [&](Index piece) {
    for (std::size_t node = stage_.begin; node < stage_.end; ++node) {
      forward_rows(node, piece, scratches_[thread]);
    }
    if (stage_.has_next) gather(stage_.next, piece);
  });
}

template <class Scalar>
void Pass<Scalar>::forward(Network<Scalar>& network, const Matrix<Scalar>& x, Mode mode,
                           std::uint64_t seed) {
  ANOMALYD_CHECK(x.cols() == network.input().size() && x.rows() > 0,
                 "pass forward: x must be (n, input size)");
  network_ = &network;
  mode_ = mode;
  seed_ = seed;
  batch_rows_ = x.rows();
  size_buffers();
  values_[0] = x;
  const std::span<const Node<Scalar>> nodes = network.nodes();
  pool_.run(nodes.size(), [this](std::size_t node, std::size_t) { prepare(node); });

  const auto is_coupled = [&](std::size_t node) {
    return mode == Mode::kTraining && nodes[node].layer->sums() > 0;
  };
  std::size_t begin = 0;
  while (begin < nodes.size() || begin == 0) {
    // A first node that is coupled has an empty stage before it.
    const bool is_gathered = begin > 0 || stage_.has_next;
    std::size_t end = begin;
    while (end < nodes.size() && (!is_coupled(end) || (end == begin && is_gathered))) ++end;
    stage_ = {begin, end, end, end < nodes.size()};
    if (stage_.has_next) {
      piece_sums_.assign(static_cast<std::size_t>(pieces() * nodes[end].layer->sums()), 0.0);
    }
    pool_.run(lanes_, [this](std::size_t lane, std::size_t thread) { run_forward(lane, thread); });
    if (!stage_.has_next) break;
    add_pieces(nodes[end].layer->sums(), sums_[end]);
    nodes[end].layer->settle(sums_[end].data(), batch_rows_,
                             network.buffers().data() + nodes[end].buffers_at);
    begin = end;
  }
  stage_ = {};
}

template <class Scalar>
const Matrix<Scalar>& Pass<Scalar>::output(std::size_t head) const {
  ANOMALYD_CHECK(network_ != nullptr, "pass output: no forward() before");
  return values_[network_->head_values()[head]];
}

template <class Scalar>
void Pass<Scalar>::plan_backward(Wanted wanted) {
  const std::span<const Node<Scalar>> nodes = network_->nodes();
  gives_.assign(nodes.size() * kMaxInputs, Give::kNothing);
  for (std::size_t node = nodes.size(); node-- > 0;) {
    if (has_gradient_[node + 1] == 0) continue;
    for (std::size_t i = 0; i < nodes[node].inputs.size(); ++i) {
      const std::size_t value = nodes[node].inputs[i];
      if (value == 0 && wanted == Wanted::kWeights) continue;
      gives_[node * kMaxInputs + i] = has_gradient_[value] != 0 ? Give::kAdd : Give::kWrite;
      has_gradient_[value] = 1;
      value_gradients_[value].resize(batch_rows_, values_[value].cols());
    }
  }
}

template <class Scalar>
void Pass<Scalar>::backward_rows(std::size_t node, Index piece, Scratch<Scalar>& scratch,
                                 Scalar* gradient) {
  const Node<Scalar>& of = network_->nodes()[node];
  const Call<Scalar> call = call_of(node, piece * kPieceRows, scratch);
  std::array<Rows<const Scalar>, kMaxInputs> x;
  std::array<Rows<Scalar>, kMaxInputs> dx;
  for (std::size_t i = 0; i < of.inputs.size(); ++i) {
    x[i] = rows_of(std::as_const(values_[of.inputs[i]]), piece);
    const Give give = gives_[node * kMaxInputs + i];
    if (give == Give::kNothing) continue;
    dx[i] = rows_of(value_gradients_[of.inputs[i]], piece);
    if (give == Give::kAdd) {
      dx[i].data = scratch.take(static_cast<std::size_t>(dx[i].size())).data();
    }
  }
  of.layer->backward(
      call, {x.data(), of.inputs.size()}, rows_of(std::as_const(values_[node + 1]), piece),
      rows_of(std::as_const(kept_[node]), piece),
      rows_of(std::as_const(value_gradients_[node + 1]), piece), {dx.data(), of.inputs.size()},
      gradient == nullptr ? nullptr : gradient + of.weights_at);
  for (std::size_t i = 0; i < of.inputs.size(); ++i) {
    if (gives_[node * kMaxInputs + i] != Give::kAdd) continue;
    rows_of(value_gradients_[of.inputs[i]], piece).matrix() += dx[i].matrix();
  }
}

template <class Scalar>
void Pass<Scalar>::gather_gradient(std::size_t node, Index piece, Scratch<Scalar>& scratch) {
  const Node<Scalar>& of = network_->nodes()[node];
  std::array<Rows<const Scalar>, kMaxInputs> x;
  for (std::size_t i = 0; i < of.inputs.size(); ++i) {
    x[i] = rows_of(std::as_const(values_[of.inputs[i]]), piece);
  }
  const Call<Scalar> call = call_of(node, piece * kPieceRows, scratch);
  of.layer->gather_gradient(call, {x.data(), of.inputs.size()},
                            rows_of(std::as_const(value_gradients_[node + 1]), piece),
                            piece_sums_.data() + piece * of.layer->gradient_sums());
}

template <class Scalar>
void Pass<Scalar>::run_backward(std::size_t lane, std::size_t thread) {
  const std::size_t weights = gradient_.size();
  Scalar* gradient = wants_weights_ ? lane_gradients_.data() + lane * weights : nullptr;
  if (gradient != nullptr && is_first_stage_) std::fill_n(gradient, weights, Scalar(0));
  for_pieces_of(lane, [&](Index piece) {
    for (std::size_t node = stage_.end; node-- > stage_.begin;) {
      if (has_gradient_[node + 1] != 0) {
        backward_rows(node, piece, scratches_[thread], gradient);
      }
    }
    if (stage_.has_next) gather_gradient(stage_.next, piece, scratches_[thread]);
  });
}

template <class Scalar>
void Pass<Scalar>::add_lanes(std::size_t block) {
  const std::size_t begin = block * kBlock;
  const std::size_t count = std::min(kBlock, gradient_.size() - begin);
  std::copy_n(lane_gradients_.data() + begin, count, gradient_.data() + begin);
  for (std::size_t lane = 1; lane < lanes_; ++lane) {
    const Scalar* from = lane_gradients_.data() + lane * gradient_.size() + begin;
    Scalar* to = gradient_.data() + begin;
    for (std::size_t i = 0; i < count; ++i) to[i] += from[i];
  }
}

template <class Scalar>
void Pass<Scalar>::backward(std::span<const Matrix<Scalar>* const> dy, Wanted wanted) {
  ANOMALYD_CHECK(network_ != nullptr && mode_ == Mode::kTraining,
                 "pass backward: no forward() in training before");
  ANOMALYD_CHECK(dy.size() == network_->heads(), "pass backward: one dy a head");
  const std::span<const Node<Scalar>> nodes = network_->nodes();
  has_gradient_.assign(values_.size(), 0);
  for (std::size_t head = 0; head < dy.size(); ++head) {
    if (dy[head] == nullptr) continue;
    const std::size_t value = network_->head_values()[head];
    ANOMALYD_CHECK(dy[head]->rows() == batch_rows_ && dy[head]->cols() == values_[value].cols(),
                   "pass backward: dy must be as its head");
    if (has_gradient_[value] != 0) {
      value_gradients_[value] += *dy[head];
    } else {
      value_gradients_[value] = *dy[head];
    }
    has_gradient_[value] = 1;
  }
  plan_backward(wanted);
  wants_weights_ = wanted != Wanted::kInput;
  gradient_.resize(network_->weights().size());
  if (wants_weights_) lane_gradients_.resize(lanes_ * gradient_.size());

  const auto is_coupled = [&](std::size_t node) {
    return nodes[node].layer->gradient_sums() > 0 && has_gradient_[node + 1] != 0;
  };
  is_first_stage_ = true;
  bool is_gathered = false;
  std::size_t end = nodes.size();
  while (end > 0) {
    std::size_t begin = end;
    while (begin > 0 && (!is_coupled(begin - 1) || (begin == end && is_gathered))) --begin;
    stage_ = {begin, end, begin - 1, begin > 0};
    if (stage_.has_next) {
      piece_sums_.assign(
          static_cast<std::size_t>(pieces() * nodes[begin - 1].layer->gradient_sums()), 0.0);
    }
    pool_.run(lanes_, [this](std::size_t lane, std::size_t thread) { run_backward(lane, thread); });
    is_first_stage_ = false;
    if (!stage_.has_next) break;
    add_pieces(nodes[begin - 1].layer->gradient_sums(), gradient_sums_[begin - 1]);
    is_gathered = true;
    end = begin;
  }
  stage_ = {};
  if (!wants_weights_) return;
  pool_.run((gradient_.size() + kBlock - 1) / kBlock,
            [this](std::size_t block, std::size_t) { add_lanes(block); });
  pool_.run(nodes.size(), [this](std::size_t node, std::size_t thread) {
    const Node<Scalar>& of = network_->nodes()[node];
    scratches_[thread].clear();
    of.layer->finish_gradient(network_->weights().data() + of.weights_at,
                              network_->buffers().data() + of.buffers_at, scratches_[thread],
                              gradient_.data() + of.weights_at);
  });
}

template class Pass<float>;
template class Pass<double>;

}  // namespace anomalyd::nn

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/worker_pool.h"
#include "nn/network.h"

namespace anomalyd::nn {

/// Which gradients backward() is to work out.
enum class Wanted {
  kWeights,          ///< of the weights: to train this network
  kInput,            ///< of x alone: to train what made x
  kWeightsAndInput,  ///< both
};

/// One batch through a network, forward and back: it holds what lies between the two, and keeps
/// its memory from batch to batch.
///
/// Shapes    x (n, input size); dy as its head.
/// Errors    a wrong shape, or a backward() without its forward(), is a bug: ANOMALYD_CHECK.
/// Numerics  the batch is cut into pieces of kPieceRows rows, these are dealt to at most kLanes
///           lanes, and what lanes give to a gradient is added in their order: the bits do not
///           depend on the number of threads.
/// Cost      no heap allocation once it has seen a batch of that size.
/// Threads   one at a time; uses all threads of the pool.
template <class Scalar>
class Pass {
 public:
  static constexpr Eigen::Index kPieceRows = 8;
  static constexpr Eigen::Index kLanes = 16;

  /// `pool` must outlive this.
  explicit Pass(WorkerPool& pool);

  /// Runs x through `network`. In training, `seed` is that of dropout and noise, and running
  /// statistics move. The result is held until the next forward().
  void forward(Network<Scalar>& network, const Matrix<Scalar>& x, Mode mode, std::uint64_t seed);
  const Matrix<Scalar>& output(std::size_t head = 0) const;

  /// Goes back through the network of the last forward(), which must not have changed since. dy
  /// has one matrix a head; null where the loss does not depend on it. Overwrites gradient().
  void backward(std::span<const Matrix<Scalar>* const> dy, Wanted wanted);
  /// dL/dweights in the order of Network::weights().
  std::span<Scalar> gradient() { return gradient_; }
  /// dL/dx.
  const Matrix<Scalar>& input_gradient() const { return value_gradients_[0]; }

 private:
  /// What backward() does with what a node gives to one of its inputs.
  enum class Give : char { kNothing, kWrite, kAdd };
  /// A run of nodes that needs no sum over the batch but, before it, those of its first.
  struct Stage {
    std::size_t begin = 0;
    std::size_t end = 0;
    std::size_t next = 0;  ///< the node whose sums these rows then add to
    bool has_next = false;
  };

  Eigen::Index pieces() const;
  Call<Scalar> call_of(std::size_t node, Eigen::Index first_row, Scratch<Scalar>& scratch) const;
  void prepare(std::size_t node);
  void size_buffers();
  template <class Work>
  void for_pieces_of(std::size_t lane, const Work& work) const;
  void run_forward(std::size_t lane, std::size_t thread);
  void forward_rows(std::size_t node, Eigen::Index piece, Scratch<Scalar>& scratch);
  void gather(std::size_t node, Eigen::Index piece);
  void plan_backward(Wanted wanted);
  void run_backward(std::size_t lane, std::size_t thread);
  void backward_rows(std::size_t node, Eigen::Index piece, Scratch<Scalar>& scratch,
                     Scalar* gradient);
  void gather_gradient(std::size_t node, Eigen::Index piece, Scratch<Scalar>& scratch);
  void add_pieces(Eigen::Index count, std::vector<double>& sums) const;
  void add_lanes(std::size_t block);
  Rows<const Scalar> rows_of(const Matrix<Scalar>& all, Eigen::Index piece) const;
  Rows<Scalar> rows_of(Matrix<Scalar>& all, Eigen::Index piece) const;

  WorkerPool& pool_;
  Network<Scalar>* network_ = nullptr;
  Mode mode_ = Mode::kScoring;
  std::uint64_t seed_ = 0;
  Eigen::Index batch_rows_ = 0;
  std::size_t lanes_ = 0;
  bool wants_weights_ = false;
  bool is_first_stage_ = false;
  Stage stage_;
  std::vector<Matrix<Scalar>> values_;           // as Node::inputs counts them
  std::vector<Matrix<Scalar>> value_gradients_;  // likewise
  std::vector<Matrix<Scalar>> kept_;             // one a node
  std::vector<Prepared<Scalar>> prepared_;
  std::vector<std::vector<double>> sums_;
  std::vector<std::vector<double>> gradient_sums_;
  std::vector<double> piece_sums_;          // (pieces, count) of the sums that are being gathered
  std::vector<char> has_gradient_;          // of each value
  std::vector<Give> gives_;                 // (nodes, kMaxInputs)
  std::vector<Scratch<Scalar>> scratches_;  // one a thread
  Buffer<Scalar> lane_gradients_;           // (lanes, weights)
  Buffer<Scalar> gradient_;
};

extern template class Pass<float>;
extern template class Pass<double>;

}  // namespace anomalyd::nn

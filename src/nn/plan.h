#pragma once

#include <memory>
#include <span>

#include "base/result.h"
#include "nn/kernels.h"
#include "nn/network.h"

namespace anomalyd::nn {

/// A network compiled for scoring: weights packed, batch norm folded into its neighbour,
/// activations fused, every buffer's place fixed.
///
/// Shapes    a window is input().size() numbers, time-major; head h gives output(h).size().
/// Numerics  a window's bits depend on it and the weights alone: not on the windows around it, the
///           thread, or the instruction set among those with fused multiply-add. Without batch
///           norm they are Pass's own in scoring mode; a folded norm rounds otherwise (1e-5).
///           NaN and Inf in a window stay in that window, where they may reach one time step
///           further than in a Pass.
/// Cost      run() allocates nothing.
/// Threads   const and safe to share; each thread has its own Workspace.
class Plan {
 public:
  /// What one thread needs to run a plan.
  class Workspace {
   public:
    Workspace(Workspace&&) noexcept;
    Workspace& operator=(Workspace&&) noexcept;
    ~Workspace();

   private:
    friend class Plan;
    struct State;
    explicit Workspace(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
  };

  /// The plan keeps nothing of `network`.
  explicit Plan(const Network<float>& network,
                const Kernels<float>& kernels = best_kernels<float>());
  Plan(Plan&&) noexcept;
  Plan& operator=(Plan&&) noexcept;
  ~Plan();

  Shape input() const;
  std::size_t heads() const;
  Shape output(std::size_t head = 0) const;
  /// Bytes of a Workspace.
  std::size_t workspace_bytes() const;

  Workspace workspace() const;
  /// Runs one window. The result of head `h` is output_of(workspace, h) until the next run().
  void run(std::span<const float> window, Workspace& workspace) const;
  std::span<const float> output_of(const Workspace& workspace, std::size_t head = 0) const;

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

}  // namespace anomalyd::nn

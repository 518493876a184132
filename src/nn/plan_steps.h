#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "nn/architecture.h"
#include "nn/buffer.h"
#include "nn/kernels.h"
#include "nn/layer.h"
#include "nn/network.h"

// What a Plan runs, one step after the other. Internal to nn.

namespace anomalyd::nn {

/// The memory of one step. What it reads has the zeros around it that padding() asked for.
struct StepCall {
  const Kernels<float>* kernels = nullptr;
  std::array<const float*, kMaxInputs> in{};
  float* out = nullptr;
  float* kept = nullptr;
  Scratch<float>* scratch = nullptr;
};

/// Zeros, in numbers, before and behind a value.
struct Padding {
  Eigen::Index before = 0;
  Eigen::Index after = 0;
};

/// One step of a plan. It keeps its own numbers.
class Step {
 public:
  virtual ~Step() = default;
  /// Around each value that it reads.
  virtual Padding padding() const { return {}; }
  virtual Eigen::Index kept_size() const { return 0; }
  virtual void run(const StepCall& call) const = 0;
};

/// A batch norm in scoring: y = x scale + shift for each channel.
struct ChannelAffine {
  std::vector<double> scale;
  std::vector<double> shift;
};
/// `weights` and `buffers` of a batch_norm of that spec.
ChannelAffine channel_affine(const LayerSpec& spec, const float* weights, const float* buffers);

/// dense, conv1d or conv_transpose1d on its way into a plan: what stands before and behind it is
/// folded in, then step() makes it.
class Linear {
 public:
  /// Whether a layer of this type is one.
  static bool is_one(const LayerSpec& spec);
  /// Whether a norm of so many channels may be folded into it from before: not where zeros are
  /// padded, for the norm would have moved them.
  static bool takes_before(const LayerSpec& spec, Eigen::Index channels);
  /// Likewise from behind. Reshaped values have other channels than the layer wrote.
  static bool takes_behind(const LayerSpec& spec, Eigen::Index channels);

  Linear(const LayerSpec& spec, Shape in, Shape out, const float* weights, const float* buffers);

  void fold_before(const ChannelAffine& norm);
  void fold_behind(const ChannelAffine& norm);
  void rectify(float slope) { slope_ = slope; }
  std::unique_ptr<Step> step() const;

 private:
  Eigen::Index in_channel(Eigen::Index weight) const;
  Eigen::Index out_channel(Eigen::Index weight) const;

  LayerSpec spec_;
  Shape in_;
  Shape out_;
  std::vector<float> weights_;
  std::vector<float> bias_;
  float slope_ = 1;
};

/// Any layer, by its own forward().
std::unique_ptr<Step> layer_step(const LayerSpec& spec, std::span<const Shape> in, Shape out,
                                 Eigen::Index kept_size, std::span<const float> weights,
                                 std::span<const float> buffers);

}  // namespace anomalyd::nn

#include <algorithm>
#include <cmath>
#include <limits>

#include "detect/members/blocks.h"

namespace anomalyd::detect {
namespace {

constexpr std::size_t kTemplates = 16;
constexpr double kMemoryWindows = 512;  // of one template
constexpr std::size_t kLength = 64;
constexpr float kShapeFloor = 0.05F;
constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

/// Shape templates: the root mean square distance of the last window, each channel of zero mean
/// and unit variance, to the nearest of kTemplates means of windows (online k-means).
///
/// Numerics  float32; the first templates are windows learned half a window apart.
/// Cost      for each window (one in `step` samples): 3 * kTemplates * d operations;
///           4 * kTemplates * d bytes.
/// Source    MacQueen 1967.
class Templates final : public StreamMember {
 public:
  Templates(const StreamTraits& traits, std::size_t most_values)
      : blocks_(traits, kLength, most_values), nearest_(blocks_.size(), 0.0F) {
    templates_.reserve(kTemplates * blocks_.size());
  }

  float follow(const History& history) override {
    if (!blocks_.follow(history)) return score_;
    score_ = kNone;
    if (!blocks_.full() || counts_.size() < kTemplates) return score_;
    shape(0);
    const Nearest found = nearest();
    const float* at = templates_.data() + found.index * blocks_.size();
    for (std::size_t i = 0; i < blocks_.size(); ++i) nearest_[i] = window_[i] - at[i];
    score_ = std::sqrt(found.square / static_cast<float>(blocks_.size()));
    return score_;
  }

  void learn(const History& history, std::size_t back, std::size_t clean) override {
    const std::ptrdiff_t points = blocks_.completed(history, back);
    if (points < 0 || clean < blocks_.samples()) return;
    shape(static_cast<std::size_t>(points));
    if (counts_.size() < kTemplates) {
      if (since_new_++ % std::max<std::size_t>(1, blocks_.points() / 2) != 0) return;
      templates_.insert(templates_.end(), window_.begin(), window_.end());
      counts_.push_back(1);
      return;
    }
    const std::size_t index = nearest().index;
    counts_[index] = std::min(counts_[index] + 1, kMemoryWindows);
    const auto weight = static_cast<float>(1 / counts_[index]);
    float* at = templates_.data() + index * blocks_.size();
    for (std::size_t i = 0; i < blocks_.size(); ++i) at[i] += (window_[i] - at[i]) * weight;
  }

  void interrupt() override {
    blocks_.interrupt();
    score_ = kNone;
  }

  void shares(const History& /*history*/, std::span<double> channels) const override {
    double sum = 0;
    for (std::size_t c = 0; c < channels.size(); ++c) {
      channels[c] = 0;
      for (std::size_t i = 0; i < blocks_.points(); ++i) {
        const auto value = static_cast<double>(nearest_[c * blocks_.points() + i]);
        channels[c] += value * value;
      }
      sum += channels[c];
    }
    for (double& share : channels) {
      share = sum > 0 ? share / sum : 1.0 / static_cast<double>(channels.size());
    }
  }

  std::size_t span() const override { return blocks_.samples(); }
  std::size_t context() const override { return 1; }
  std::size_t bytes() const override {
    return sizeof *this + blocks_.bytes() +
           (kTemplates * blocks_.size() + window_.capacity() + nearest_.capacity()) *
               sizeof(float) +
           kTemplates * sizeof(double);
  }
  double operations() const override {
    return static_cast<double>(6 * kTemplates * blocks_.size() / blocks_.step());
  }
  std::unique_ptr<StreamMember> clone() const override {
    return std::make_unique<Templates>(*this);
  }

  void archive(Archive& archive) override {
    blocks_.archive(archive);
    archive.list(counts_, 0, kTemplates, "templates");
    if (archive.reads()) templates_.assign(counts_.size() * blocks_.size(), 0.0F);
    archive.sized(templates_, "values of templates");  // window_ is of one call alone
    archive.sized(nearest_, "distances");
    archive(since_new_, score_);
  }

 private:
  struct Nearest {
    std::size_t index = 0;
    float square = std::numeric_limits<float>::max();
  };

  /// The window `back` points before the newest into window_, each channel's shape alone.
  void shape(std::size_t back) {
    blocks_.window(back, window_);
    const std::size_t n = blocks_.points();
    for (std::size_t c = 0; c < blocks_.channels(); ++c) {
      float* values = window_.data() + c * n;
      float mean = 0;
      for (std::size_t i = 0; i < n; ++i) mean += values[i] / static_cast<float>(n);
      float variance = kShapeFloor * kShapeFloor;
      for (std::size_t i = 0; i < n; ++i) {
        values[i] -= mean;
        variance += values[i] * values[i] / static_cast<float>(n);
      }
      const float inverse = 1 / std::sqrt(variance);
      for (std::size_t i = 0; i < n; ++i) values[i] *= inverse;
    }
  }

  Nearest nearest() const {
    Nearest found;
    for (std::size_t k = 0; k < counts_.size(); ++k) {
      const float* at = templates_.data() + k * blocks_.size();
      float square = 0;
      for (std::size_t i = 0; i < blocks_.size(); ++i) {
        const float distance = window_[i] - at[i];
        square += distance * distance;
      }
      if (square < found.square) found = {k, square};
    }
    return found;
  }

  Blocks blocks_;
  std::vector<float> templates_;  // (templates, size)
  std::vector<double> counts_;
  std::vector<float> window_;
  std::vector<float> nearest_;  // the newest window less its template
  std::size_t since_new_ = 0;
  float score_ = kNone;
};

}  // namespace

MadeMember make_templates(const StreamTraits& traits, const MemberSize& size) {
  const std::size_t most = std::max(size.most_dimensions, 4 * traits.channels);
  if (traits.samples < 8 * kLength) return nullptr;
  return std::make_unique<Templates>(traits, most);
}

}  // namespace anomalyd::detect

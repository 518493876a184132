#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>

#include "detect/members/blocks.h"
#include "nn/random.h"

namespace anomalyd::detect {
namespace {

constexpr std::size_t kTrees = 16;
constexpr std::size_t kDepth = 7;
constexpr std::size_t kNodes = (std::size_t{2} << kDepth) - 1;
constexpr std::size_t kInner = (std::size_t{1} << kDepth) - 1;
constexpr std::size_t kTurn = 512;      // samples after which what was learned is used
constexpr std::size_t kFewInNode = 12;  // a node with fewer is not looked into
constexpr std::size_t kLags = 4;
constexpr std::uint64_t kSeed = 20110501;
constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

/// Half-space trees on the last values of each channel: how few of the samples learned lie in the
/// same box; -log2 of the mean mass over trees.
///
/// Numerics  the boxes are drawn once from a fixed seed; masses count kTurn samples and are used
///           when the next kTurn are full.
/// Cost      kTrees * kDepth comparisons to score and to learn a sample; 5 * kTrees * kNodes bytes.
/// Source    Tan, Ting and Liu 2011, streaming HS-trees.
class HalfSpaceTrees final : public StreamMember {
 public:
  explicit HalfSpaceTrees(const StreamTraits& traits)
      : channels_(traits.channels),
        size_(channels_ * kLags),
        features_(kTrees * kInner),
        used_(kTrees * kNodes, 0),
        learned_(kTrees * kNodes, 0),
        low_(kTrees * size_),
        high_(kTrees * size_) {
    std::mt19937_64 bits(kSeed);
    for (std::uint8_t& feature : features_) feature = static_cast<std::uint8_t>(bits() % size_);
    for (std::size_t i = 0; i < low_.size(); ++i) {
      // A range of about four spreads on both sides, its middle drawn.
      const double middle = 2 * nn::unit_uniform(bits) - 1;
      low_[i] = static_cast<float>(middle - 4);
      high_[i] = static_cast<float>(middle + 4);
    }
  }

  float follow(const History& history) override {
    if (!is_ready_ || history.run() < kLags) return kNone;
    double mass = 0;
    for (std::size_t tree = 0; tree < kTrees; ++tree) {
      mass += descend(history, 0, tree, false);
    }
    return static_cast<float>(-std::log2((mass + 1) / static_cast<double>(kTrees * kTurn)));
  }

  void learn(const History& history, std::size_t back, std::size_t clean) override {
    if (clean < kLags) return;
    for (std::size_t tree = 0; tree < kTrees; ++tree) descend(history, back, tree, true);
    if (++count_ < kTurn) return;
    count_ = 0;
    is_ready_ = true;
    std::swap(used_, learned_);
    std::fill(learned_.begin(), learned_.end(), std::uint16_t{0});
  }

  void shares(const History& history, std::span<double> channels) const override {
    double sum = 0;
    for (std::size_t c = 0; c < channels_; ++c) {
      const auto value = static_cast<double>(history.at(c, 0));
      channels[c] = value * value;
      sum += channels[c];
    }
    for (double& share : channels) {
      share = sum > 0 ? share / sum : 1.0 / static_cast<double>(channels_);
    }
  }

  std::size_t span() const override { return kLags; }
  std::size_t context() const override { return kLags; }
  std::size_t bytes() const override {
    return sizeof *this + features_.capacity() +
           (used_.capacity() + learned_.capacity()) * sizeof(std::uint16_t) +
           (low_.capacity() + high_.capacity()) * sizeof(float);
  }
  double operations() const override { return static_cast<double>(12 * kTrees * kDepth); }
  std::unique_ptr<StreamMember> clone() const override {
    return std::make_unique<HalfSpaceTrees>(*this);
  }

  void archive(Archive& archive) override {
    // The trees themselves are drawn from a fixed seed.
    archive.sized(used_, "masses");
    archive.sized(learned_, "masses");
    archive.within(count_, 0, kTurn - 1, "the samples of a turn");
    archive(is_ready_);
  }

 private:
  /// The mass of the sample's box, scaled as if its depth were 0; counts the sample when it learns.
  double descend(const History& history, std::size_t back, std::size_t tree, bool learns) {
    std::array<std::uint8_t, kDepth> seen{};
    std::size_t node = 0;
    double scale = 1;
    for (std::size_t depth = 0;; ++depth) {
      const std::size_t at = tree * kNodes + node;
      if (learns) {
        ++learned_[at];
      } else if (used_[at] < kFewInNode || depth == kDepth) {
        return scale * used_[at];
      }
      if (depth == kDepth) return 0;
      const std::size_t feature = features_[tree * kInner + node];
      seen[depth] = static_cast<std::uint8_t>(feature);
      const std::size_t c = feature / kLags;
      const float value = history.at(c, back + feature % kLags);
      // The middle of what the cuts above have left of this feature's range.
      float low = low_[tree * size_ + feature];
      float high = high_[tree * size_ + feature];
      std::size_t above = node;
      std::size_t path = 0;
      for (std::size_t k = depth; k-- > 0;) {
        path |= static_cast<std::size_t>(above % 2 == 0) << k;
        above = (above - 1) / 2;
      }
      for (std::size_t k = 0; k < depth; ++k) {
        if (seen[k] != feature) continue;
        const float middle = 0.5F * (low + high);
        ((path >> k) & 1U ? low : high) = middle;
      }
      node = 2 * node + (value < 0.5F * (low + high) ? 1 : 2);
      scale *= 2;
    }
  }

  std::size_t channels_;
  std::size_t size_;
  std::vector<std::uint8_t> features_;  // (trees, inner nodes)
  std::vector<std::uint16_t> used_, learned_;
  std::vector<float> low_, high_;  // (trees, features)
  std::size_t count_ = 0;
  bool is_ready_ = false;
};

}  // namespace

MadeMember make_half_space_trees(const StreamTraits& traits, const MemberSize& /*size*/) {
  if (traits.channels * kLags > 255 || traits.samples < 2 * kTurn) return nullptr;
  return std::make_unique<HalfSpaceTrees>(traits);
}

}  // namespace anomalyd::detect

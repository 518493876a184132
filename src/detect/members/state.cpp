#include <algorithm>
#include <cmath>
#include <limits>

#include "detect/members/blocks.h"

namespace anomalyd::detect {
namespace {

constexpr double kMemorySamples = 16384;
constexpr std::size_t kRefitSamples = 64;
constexpr std::size_t kMostDimensions = 48;
constexpr double kRidge = 1e-3;  // of the mean variance
constexpr double kSmallSquare = 1e-6;
constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

/// T^2 of what state the stream is in: level, log of the spread and log of the roughness of every
/// channel over the last samples, against their joint mean and covariance; sqrt(T^2 / dimensions).
///
/// Numerics  fading sums in double; covariance with a ridge, factored once in kRefitSamples.
/// Cost      d^2 + d^2 / 2 multiply-adds a sample, d = 3 * channels (the levels alone beyond
///           kMostDimensions); 12 d^2 bytes.
/// Source    Hotelling's T^2.
class State final : public StreamMember {
 public:
  State(const StreamTraits& traits, std::size_t length)
      : channels_(traits.channels),
        kinds_(3 * channels_ <= kMostDimensions ? 3 : 1),
        length_(static_cast<double>(length)),
        level_(channels_, 0.0),
        square_(channels_, 0.0),
        bend_(channels_, 0.0),
        vector_(channels_ * kinds_, 0.0F),
        pending_(channels_ * kinds_, traits.hop + 1),
        covariance_(channels_ * kinds_, kMemorySamples),
        solved_(channels_ * kinds_, 0.0) {}

  float follow(const History& history) override {
    age_ = std::min(age_ + 1, length_);
    const double fade = 1 / age_;
    for (std::size_t c = 0; c < channels_; ++c) move(history, c, fade);
    pending_.push(vector_);
    if (lower_.empty() || age_ < length_) return kNone;
    return static_cast<float>(std::sqrt(distance() / static_cast<double>(vector_.size())));
  }

  void learn(const History& /*history*/, std::size_t back, std::size_t clean) override {
    if (static_cast<double>(clean) < length_) return;
    std::vector<float> vector(vector_.size());
    for (std::size_t i = 0; i < vector.size(); ++i) vector[i] = pending_.at(i, back);
    covariance_.add(vector);
    const bool is_first =
        lower_.empty() && covariance_.count() >= 2.0 * static_cast<double>(vector_.size() + 8);
    if (++since_fit_ >= kRefitSamples || is_first) fit();
  }

  void interrupt() override { age_ = 0; }

  void shares(const History& /*history*/, std::span<double> channels) const override {
    double sum = 0;
    for (std::size_t c = 0; c < channels_; ++c) {
      channels[c] = 0;
      for (std::size_t k = 0; k < kinds_; ++k) {
        channels[c] += solved_[c * kinds_ + k] * solved_[c * kinds_ + k];
      }
      sum += channels[c];
    }
    for (double& share : channels) {
      share = sum > 0 ? share / sum : 1.0 / static_cast<double>(channels_);
    }
  }

  std::size_t span() const override { return static_cast<std::size_t>(length_); }
  std::size_t context() const override { return 3; }
  std::size_t bytes() const override {
    return sizeof *this + pending_.bytes() + covariance_.bytes() +
           vector_.capacity() * sizeof(float) +
           (level_.capacity() + square_.capacity() + bend_.capacity() + solved_.capacity() +
            lower_.capacity()) *
               sizeof(double);
  }
  double operations() const override {
    const auto d = static_cast<double>(vector_.size());
    return 60 * static_cast<double>(channels_) + 4 * d * d + d * d * d / 3 / kRefitSamples;
  }
  std::unique_ptr<StreamMember> clone() const override { return std::make_unique<State>(*this); }

  void archive(Archive& archive) override {
    archive.within(age_, 0, length_, "the age of a state");
    archive.sized(level_, "levels");
    archive.sized(square_, "squares");
    archive.sized(bend_, "bends");
    pending_.archive(archive);
    covariance_.archive(archive);
    bool is_fitted = !lower_.empty();
    archive(is_fitted);
    // After the flag: of one that is not fitted there is nothing. vector_ is of follow() alone.
    if (archive.reads()) lower_.assign(is_fitted ? covariance_.size() : 0, 0.0);
    archive.sized(lower_, "factors");
    archive.sized(solved_, "factors of the newest");
    archive(since_fit_);
  }

 private:
  void move(const History& history, std::size_t c, double fade) {
    const auto x = static_cast<double>(history.at(c, 0));
    if (age_ <= 1) {
      level_[c] = x;
      square_[c] = 0;
      bend_[c] = 0;
    }
    const double distance = x - level_[c];
    level_[c] += distance * fade;
    vector_[c * kinds_] = static_cast<float>(level_[c]);
    if (kinds_ == 1) return;
    square_[c] += (distance * distance - square_[c]) * fade;
    if (history.run() >= 3) {
      const double bend =
          x - 2 * static_cast<double>(history.at(c, 1)) + static_cast<double>(history.at(c, 2));
      bend_[c] += (bend * bend - bend_[c]) * fade;
    }
    vector_[c * kinds_ + 1] = static_cast<float>(0.5 * std::log(square_[c] + kSmallSquare));
    vector_[c * kinds_ + 2] = static_cast<float>(0.5 * std::log(bend_[c] + kSmallSquare));
  }

  /// |L^-1 (v - mean)|^2, leaving the factors in solved_.
  double distance() {
    double sum = 0;
    const double* row = lower_.data();
    for (std::size_t i = 0; i < vector_.size(); ++i) {
      double value = static_cast<double>(vector_[i]) - covariance_.mean()[i];
      for (std::size_t k = 0; k < i; ++k) value -= row[k] * solved_[k];
      solved_[i] = value / row[i];
      sum += solved_[i] * solved_[i];
      row += i + 1;
    }
    return sum;
  }

  void fit() {
    since_fit_ = 0;
    const std::size_t d = vector_.size();
    double trace = 0;
    for (std::size_t i = 0; i < d; ++i) trace += covariance_.at(i, i);
    const double ridge = kRidge * trace / static_cast<double>(d) + 1e-9;
    std::vector<double> lower(d * (d + 1) / 2);
    const auto row = [&](std::size_t i) { return lower.data() + i * (i + 1) / 2; };
    for (std::size_t i = 0; i < d; ++i) {
      for (std::size_t j = 0; j <= i; ++j) {
        double sum = covariance_.at(i, j) + (i == j ? ridge : 0.0);
        for (std::size_t k = 0; k < j; ++k) sum -= row(i)[k] * row(j)[k];
        if (i != j) {
          row(i)[j] = sum / row(j)[j];
        } else if (sum > 0) {
          row(i)[i] = std::sqrt(sum);
        } else {
          return;  // the old factors stay
        }
      }
    }
    lower_ = std::move(lower);
  }

  std::size_t channels_;
  std::size_t kinds_;  // features of a channel
  double length_;
  double age_ = 0;
  std::vector<double> level_, square_, bend_;
  std::vector<float> vector_;
  History pending_;
  FadingCovariance covariance_;
  std::vector<double> lower_;   // Cholesky factor, by rows
  std::vector<double> solved_;  // of the newest vector
  std::size_t since_fit_ = 0;
};

}  // namespace

MadeMember make_state(const StreamTraits& traits, const MemberSize& /*size*/) {
  if (traits.channels > kMostDimensions) return nullptr;
  const std::size_t length = std::clamp<std::size_t>(traits.samples / 16, 4, 24);
  return std::make_unique<State>(traits, length);
}

}  // namespace anomalyd::detect

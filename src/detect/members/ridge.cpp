#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "detect/members/stream_member.h"

namespace anomalyd::detect {
namespace {

constexpr double kRidge = 1e-4;           // of the mean variance of what is regressed on
constexpr double kMemorySamples = 16384;  // what is older has faded to a third
constexpr double kClip = 3;               // innovations beyond this many spreads teach less
constexpr std::size_t kRefitSamples = 256;
constexpr std::size_t kFirstFit = 64;
// 1 % of a channel's spread: below it a residual is rounding.
constexpr double kResidualFloor = 1e-2;

/// One-step forecast of every channel from the last lags of all of them, by ridge least squares:
/// the score is the residual against its usual size, root of the mean square over channels, over
/// the last samples with a fading weight.
///
/// x(t) = w0 + sum of W_k x(t - k): the normal equations are summed up recursively and solved by
/// Cholesky once in kRefitSamples.
///
/// Numerics  normal equations in double, fading memory; a sample whose residual is beyond kClip
///           spreads counts less, in proportion.
/// Cost      d (d + 1) / 2 + d c multiply-adds to learn a sample, c d to score one, with
///           d = 1 + lags * channels; d (d / 2 + 2 c) doubles.
/// Source    ridge regression with clipped innovations; forgetting: Ljung, System Identification.
class Ridge final : public StreamMember {
 public:
  Ridge(std::size_t channels, std::size_t lags, double smooth_samples)
      : channels_(channels),
        lags_(lags),
        smooth_samples_(smooth_samples),
        size_(1 + channels * lags),
        gram_(size_ * (size_ + 1) / 2, 0.0),
        cross_(size_ * channels, 0.0),
        weights_(size_ * channels, 0.0),
        row_(size_, 0.0),
        usual_(channels, 0.0),
        energy_(channels, 0.0) {}

  float follow(const History& history) override {
    if (!fitted_ || history.run() <= lags_) return std::numeric_limits<float>::quiet_NaN();
    fill_row(history, 1);
    double sum = 0;
    for (std::size_t c = 0; c < channels_; ++c) {
      const double error = residual(history, 0, c);
      const double energy = error * error / variance(c);
      energy_[c] += (std::min(energy, kMostEnergy) - energy_[c]) / smooth_samples_;
      sum += energy_[c];
    }
    return static_cast<float>(std::sqrt(sum / static_cast<double>(channels_)));
  }

  void learn(const History& history, std::size_t back, std::size_t clean) override {
    if (clean <= lags_) return;
    fill_row(history, back + 1);
    double weight = 1;
    for (std::size_t c = 0; c < channels_ && fitted_; ++c) {
      const double error = residual(history, back, c);
      const double size = std::abs(error) / std::sqrt(variance(c));
      if (size > kClip) weight = std::min(weight, kClip / size);
      const double clipped = std::min(error * error, kClip * kClip * 4 * variance(c));
      residuals_ = c == 0 ? std::min(residuals_ + 1, kMemorySamples / 4) : residuals_;
      usual_[c] += (clipped - usual_[c]) / residuals_;
    }
    learned_ = std::min(learned_ + 1, kMemorySamples);
    const double keep = 1 - 1 / learned_;
    add(history, back, keep, weight / learned_);
    ++since_fit_;
    const bool is_due = since_fit_ >= kRefitSamples ||
                        (!fitted_ && learned_ >= static_cast<double>(2 * size_ + kFirstFit));
    if (is_due) fit();
  }

  void interrupt() override { std::fill(energy_.begin(), energy_.end(), 0.0); }

  void shares(const History& /*history*/, std::span<double> channels) const override {
    double sum = 0;
    for (const double energy : energy_) sum += energy;
    for (std::size_t c = 0; c < channels_; ++c) {
      channels[c] = sum > 0 ? energy_[c] / sum : 1.0 / static_cast<double>(channels_);
    }
  }

  std::size_t span() const override { return lags_; }
  std::size_t context() const override { return lags_ + 1; }
  std::size_t bytes() const override {
    return sizeof *this + (gram_.capacity() + cross_.capacity() + weights_.capacity() +
                           row_.capacity() + usual_.capacity() + energy_.capacity()) *
                              sizeof(double);
  }
  double operations() const override {
    const auto d = static_cast<double>(size_);
    return 1.5 * d * d + 7 * d * static_cast<double>(channels_) +
           d * d * d / 3 / static_cast<double>(kRefitSamples);
  }
  std::unique_ptr<StreamMember> clone() const override { return std::make_unique<Ridge>(*this); }

  void archive(Archive& archive) override {
    archive.sized(gram_, "products");
    archive.sized(cross_, "products");
    archive.sized(weights_, "weights");  // row_ is of one call alone
    archive.sized(usual_, "usual residuals");
    archive.sized(energy_, "energies");
    archive(learned_, residuals_, since_fit_, fitted_);
  }

 private:
  static constexpr double kMostEnergy = 1e6;

  double variance(std::size_t c) const { return usual_[c] + kResidualFloor * kResidualFloor; }

  /// What the sample `back - 1` before the newest is forecast from.
  void fill_row(const History& history, std::size_t back) {
    row_[0] = 1;
    for (std::size_t c = 0; c < channels_; ++c) {
      const float* values = history.last(c, lags_, back);
      for (std::size_t k = 0; k < lags_; ++k) {
        row_[1 + c * lags_ + k] = static_cast<double>(values[k]);
      }
    }
  }

  double residual(const History& history, std::size_t back, std::size_t c) const {
    const double* weights = weights_.data() + c * size_;
    double lanes[4] = {0, 0, 0, 0};
    const std::size_t whole = size_ - size_ % 4;
    for (std::size_t i = 0; i < whole; i += 4) {
      for (std::size_t l = 0; l < 4; ++l) lanes[l] += weights[i + l] * row_[i + l];
    }
    for (std::size_t i = whole; i < size_; ++i) lanes[i - whole] += weights[i] * row_[i];
    return static_cast<double>(history.at(c, back)) -
           ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3]));
  }

  void add(const History& history, std::size_t back, double keep, double weight) {
    double* gram = gram_.data();
    for (std::size_t i = 0; i < size_; ++i) {
      const double scaled = weight * row_[i];
      for (std::size_t j = 0; j <= i; ++j) gram[j] = keep * gram[j] + scaled * row_[j];
      gram += i + 1;
    }
    for (std::size_t c = 0; c < channels_; ++c) {
      const double scaled = weight * static_cast<double>(history.at(c, back));
      double* cross = cross_.data() + c * size_;
      for (std::size_t i = 0; i < size_; ++i) cross[i] = keep * cross[i] + scaled * row_[i];
    }
  }

  /// Solves (gram + ridge) weights = cross.
  void fit() {
    since_fit_ = 0;
    std::vector<double> lower(gram_);
    const auto row = [&](std::size_t i) { return lower.data() + i * (i + 1) / 2; };
    double trace = 0;
    for (std::size_t i = 1; i < size_; ++i) trace += row(i)[i];
    const double ridge = kRidge * (trace / static_cast<double>(size_ - 1)) + 1e-12;
    for (std::size_t i = 0; i < size_; ++i) row(i)[i] += ridge;
    for (std::size_t i = 0; i < size_; ++i) {
      for (std::size_t j = 0; j <= i; ++j) {
        double sum = row(i)[j];
        for (std::size_t k = 0; k < j; ++k) sum -= row(i)[k] * row(j)[k];
        if (i == j) {
          if (!(sum > 0)) return;  // not yet, or no more, a positive matrix: the old weights stay
          row(i)[i] = std::sqrt(sum);
        } else {
          row(i)[j] = sum / row(j)[j];
        }
      }
    }
    for (std::size_t c = 0; c < channels_; ++c) {
      double* x = weights_.data() + c * size_;
      std::copy_n(cross_.data() + c * size_, size_, x);
      for (std::size_t i = 0; i < size_; ++i) {
        for (std::size_t k = 0; k < i; ++k) x[i] -= row(i)[k] * x[k];
        x[i] /= row(i)[i];
      }
      for (std::size_t i = size_; i-- > 0;) {
        x[i] /= row(i)[i];
        for (std::size_t k = 0; k < i; ++k) x[k] -= row(i)[k] * x[i];
      }
    }
    if (!fitted_) {
      // A first guess: what the weights leave of each channel's variance, from the sums.
      fitted_ = true;
      for (std::size_t c = 0; c < channels_; ++c) usual_[c] = 0.1;
    }
  }

  std::size_t channels_;
  std::size_t lags_;
  double smooth_samples_;  // over which the score's memory fades
  std::size_t size_;
  std::vector<double> gram_;     // lower triangle, by rows
  std::vector<double> cross_;    // (channels, size)
  std::vector<double> weights_;  // (channels, size)
  std::vector<double> row_;
  std::vector<double> usual_;   // mean squared residual of each channel
  std::vector<double> energy_;  // of the last samples
  double learned_ = 0;
  double residuals_ = 0;
  std::size_t since_fit_ = 0;
  bool fitted_ = false;
};

MadeMember make(const StreamTraits& traits, std::size_t most_lags, double smooth_samples) {
  // Every channel has a lag, and a span must hold a few times as many samples as weights.
  const std::size_t lags = std::min(most_lags, traits.samples / 6) / traits.channels;
  if (lags < 1) return nullptr;
  return std::make_unique<Ridge>(traits.channels, lags, smooth_samples);
}

}  // namespace

MadeMember make_ridge(const StreamTraits& traits, const MemberSize& size) {
  return make(traits, size.most_lags, 1);
}
MadeMember make_ridge_short(const StreamTraits& traits, const MemberSize& size) {
  const std::size_t lags = std::max<std::size_t>(8, traits.channels);
  return lags <= 2 * size.most_lags ? make(traits, lags, 16) : nullptr;
}

}  // namespace anomalyd::detect

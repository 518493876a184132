#include "detect/members/blocks.h"

#include <algorithm>

namespace anomalyd::detect {

Blocks::Blocks(const StreamTraits& traits, std::size_t length, std::size_t most_values)
    : channels_(traits.channels),
      points_(std::clamp<std::size_t>(most_values / traits.channels, 1, length)),
      step_((length + points_ - 1) / points_),
      recent_(channels_, points_ + 1 + traits.hop / step_ + 1),
      sum_(channels_, 0.0F) {}

bool Blocks::follow(const History& history) {
  for (std::size_t c = 0; c < channels_; ++c) sum_[c] += history.at(c, 0);
  ++summed_;
  if (history.count() % step_ != 0) return false;
  for (float& value : sum_) value /= static_cast<float>(summed_);
  recent_.push(sum_);
  std::fill(sum_.begin(), sum_.end(), 0.0F);
  summed_ = 0;
  return true;
}

void Blocks::interrupt() {
  recent_.interrupt();
  std::fill(sum_.begin(), sum_.end(), 0.0F);
  summed_ = 0;
}

void Blocks::window(std::size_t back, std::vector<float>& out) const {
  out.resize(size());
  for (std::size_t c = 0; c < channels_; ++c) {
    std::copy_n(recent_.last(c, points_, back), points_, out.data() + c * points_);
  }
}

std::ptrdiff_t Blocks::completed(const History& history, std::size_t back) const {
  const std::uint64_t count = history.count() - back;
  if (count % step_ != 0) return -1;
  return static_cast<std::ptrdiff_t>(history.count() / step_ - count / step_);
}

std::size_t Blocks::bytes() const { return recent_.bytes() + sum_.capacity() * sizeof(float); }

void Blocks::archive(Archive& archive) {
  recent_.archive(archive);
  archive.sized(sum_, "sums of a point");
  archive.within(summed_, 0, step_, "the samples of a point");
}

FadingCovariance::FadingCovariance(std::size_t size, double memory)
    : memory_(memory), mean_(size, 0.0), lower_(size * (size + 1) / 2, 0.0), distance_(size, 0.0) {}

void FadingCovariance::add(const std::vector<float>& vector) {
  count_ = std::min(count_ + 1, memory_);
  const double weight = 1 / count_;
  for (std::size_t i = 0; i < mean_.size(); ++i) {
    distance_[i] = static_cast<double>(vector[i]) - mean_[i];
    mean_[i] += distance_[i] * weight;
  }
  double* row = lower_.data();
  for (std::size_t i = 0; i < mean_.size(); ++i) {
    const double scaled = distance_[i] * weight;
    for (std::size_t j = 0; j <= i; ++j) row[j] = (1 - weight) * (row[j] + scaled * distance_[j]);
    row += i + 1;
  }
}

void FadingCovariance::archive(Archive& archive) {
  archive.within(count_, 0, memory_, "the vectors of a covariance");
  archive.sized(mean_, "means");
  archive.sized(lower_, "covariances");
}

std::size_t FadingCovariance::bytes() const {
  return (mean_.capacity() + lower_.capacity() + distance_.capacity()) * sizeof(double);
}

}  // namespace anomalyd::detect

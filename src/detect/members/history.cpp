#include "detect/members/history.h"

#include <algorithm>

#include "base/check.h"

namespace anomalyd::detect {

// A quarter of slack: what is kept moves to the front once in keep / 4 samples.
History::History(std::size_t channels, std::size_t keep)
    : channels_(channels),
      keep_(keep),
      stride_(keep + keep / 4 + 8),
      end_(keep),
      values_(channels * stride_, 0.0F) {
  ANOMALYD_CHECK(channels > 0 && keep > 0, "history: an empty shape");
}

void History::push(std::span<const float> sample, TimeNs time, TimeNs step) {
  time_ = time;
  step_ = step;
  if (end_ == stride_) {
    for (std::size_t c = 0; c < channels_; ++c) {
      float* row = values_.data() + c * stride_;
      std::copy(row + stride_ - keep_, row + stride_, row);
    }
    end_ = keep_;
  }
  for (std::size_t c = 0; c < channels_; ++c) values_[c * stride_ + end_] = sample[c];
  ++end_;
  ++count_;
  run_ = std::min(run_ + 1, keep_);
}

void History::archive(Archive& archive) {
  // Far from where times and numbers of samples overflow.
  constexpr std::uint64_t kMostSamples = std::uint64_t{1} << 62;
  constexpr TimeNs kMostStep = TimeNs{1} << 50;
  archive.within(end_, keep_, stride_, "the end of a history");
  archive.within(run_, 0, keep_, "the run of a history");
  archive.within(count_, run_, kMostSamples, "the samples of a history");
  archive.within(time_, -kTimeEnd, kTimeEnd, "the time of a sample");
  archive.within(step_, 0, kMostStep, "the time between samples");
  // What is before the samples that are kept is never looked at.
  for (std::size_t c = 0; c < channels_; ++c) {
    archive.raw(std::span(values_).subspan(c * stride_ + end_ - keep_, keep_));
  }
}

}  // namespace anomalyd::detect

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "detect/members/stream_member.h"

// Elementwise work is compiled twice and picked by the processor: without fused operations (see
// anomalyd_flags) the bits are the same. The sanitizers do not know such functions.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ANOMALYD_WIDE __attribute__((target_clones("avx2", "default"), optimize("O3")))
#else
#define ANOMALYD_WIDE
#endif

namespace anomalyd::detect {
namespace {

// Added to every window's variance: what is this small against a channel's spread has no shape.
constexpr float kShapeFloor = 0.05F;
constexpr std::size_t kMinBank = 32;
constexpr std::size_t kMostChannels = 8;
constexpr std::size_t kChunk = 256;
// A window is at most this many points: of longer ones, means of neighbours are compared.
constexpr std::size_t kMostPoints = 256;
constexpr std::size_t kMostLongPoints = 64;
constexpr std::size_t kLeastPoints = 8;
constexpr std::size_t kLanes = 8;

/// What the scan of one channel's bank needs of the newest window.
struct Newest {
  std::size_t points = 0;
  float entering = 0;    // the newest sample
  float leaving = 0;     // the one that left the window with it
  float by_product = 0;  // 2 / (points * spread)
  float by_mean = 0;     // 2 * mean / spread
};

/// Moves n running products on by a sample and adds each window's part of the distance. `before`
/// is the bank's sample before the first of these windows.
ANOMALYD_WIDE void scan_windows(const Newest& newest, std::size_t n, const float* before,
                                float* __restrict products, const float* __restrict means,
                                const float* __restrict inverses, float* __restrict distances) {
  const float* after = before + newest.points;
  const float new_value = newest.entering;
  const float old_value = newest.leaving;
  const float by_product = newest.by_product;
  const float by_mean = newest.by_mean;
  constexpr float kFloor = kShapeFloor * kShapeFloor;
  for (std::size_t j = 0; j < n; ++j) {
    const float product = products[j] + (after[j] * new_value - before[j] * old_value);
    products[j] = product;
    const float inverse = inverses[j];
    distances[j] += inverse * ((by_mean * means[j] - by_product * product) - kFloor * inverse);
  }
}

/// The sum of products, in kLanes partial sums of fixed order.
ANOMALYD_WIDE float dot(const float* __restrict a, const float* __restrict b, std::size_t n) {
  std::array<float, kLanes> lanes{};
  const std::size_t whole = n - n % kLanes;
  for (std::size_t i = 0; i < whole; i += kLanes) {
    for (std::size_t l = 0; l < kLanes; ++l) lanes[l] += a[i + l] * b[i + l];
  }
  for (std::size_t i = whole; i < n; ++i) lanes[i - whole] += a[i] * b[i];
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  return sum;
}

struct Shape {
  float mean = 0;
  float inverse = 0;  // 1 / sqrt(variance + kShapeFloor^2)
};

Shape shape_of(const float* values, std::size_t n) {
  double sum = 0;
  double squares = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const auto value = static_cast<double>(values[i]);
    sum += value;
    squares += value * value;
  }
  const double mean = sum / static_cast<double>(n);
  const double variance = std::max(0.0, squares / static_cast<double>(n) - mean * mean);
  constexpr auto kFloor = static_cast<double>(kShapeFloor);
  return {static_cast<float>(mean), static_cast<float>(1 / std::sqrt(variance + kFloor * kFloor))};
}

/// The windows learned of one channel: window j is samples[first + j .. first + j + points).
struct Bank {
  Bank(std::size_t windows, std::size_t slack, std::size_t points)
      : samples(windows + slack + points, 0.0F),
        means(windows + slack, 0.0F),
        inverses(windows + slack, 0.0F),
        products(windows + slack, 0.0F) {}
  std::size_t bytes() const {
    return (samples.capacity() + means.capacity() + inverses.capacity() + products.capacity()) *
           sizeof(float);
  }

  std::vector<float> samples, means, inverses;
  std::vector<float> products;  // of window j with the newest window, at base + j
};

/// Left nearest-neighbour profile: the distance of the last window of m points to the nearest
/// among the windows learned, each of zero mean and unit variance a channel, mean over the last m.
///
/// d^2 = sum over channels of (2 - f^2 / v_a - f^2 / v_b - 2 (q / m - mean_a mean_b) /
///       sqrt(v_a v_b)), with v = variance + f^2 and q the running product of the two windows.
///
/// Numerics  float32. One running product a sample is computed anew, so that rounding is at most a
///           bank's length old. Windows that overlap the newest by more than half are no
///           neighbours; those across a gap in what was learned have no shape.
/// Cost      14 operations a window and channel for each `step` samples; 20 bytes a window and
///           channel. Up to kMostChannels channels, the first ones.
/// Source    STOMPI: Yeh et al. 2016; the bounded bank and the floor are ours.
class Profile final : public StreamMember {
 public:
  Profile(const StreamTraits& traits, std::size_t length, std::size_t bank_values,
          std::size_t most_points)
      : channels_(std::min(traits.channels, kMostChannels)),
        step_((length + most_points - 1) / most_points),
        points_(std::max(kLeastPoints, length / step_)),
        windows_(std::max(2 * kMinBank, bank_values / channels_)),
        slack_(windows_ / 8 + 64),
        base_(slack_ / 2),
        recent_(channels_, points_ + 2 + traits.hop / step_),
        average_(channels_, 0.0F),
        newest_(channels_),
        shapes_(channels_),
        smooth_(points_, 0.0F) {
    for (std::size_t c = 0; c < channels_; ++c) banks_.emplace_back(windows_, slack_, points_);
  }

  float follow(const History& history) override {
    for (std::size_t c = 0; c < channels_; ++c) average_[c] += history.at(c, 0);
    ++averaged_;
    if (history.count() % step_ != 0) return score_;
    for (float& value : average_) value /= static_cast<float>(averaged_);
    recent_.push(average_);
    std::fill(average_.begin(), average_.end(), 0.0F);
    averaged_ = 0;
    score_ = compare();
    return score_;
  }

  void learn(const History& history, std::size_t back, std::size_t clean) override {
    const std::uint64_t count = history.count() - back;
    if (count % step_ != 0) return;
    const auto points_back = static_cast<std::size_t>(history.count() / step_ - count / step_);
    append(points_back, clean / step_ >= points_);
    learned_until_ = recent_.count() - points_back;
  }

  void interrupt() override {
    recent_.interrupt();
    std::fill(average_.begin(), average_.end(), 0.0F);
    averaged_ = 0;
    smoothed_ = 0;
    smooth_sum_ = 0;
    score_ = std::numeric_limits<float>::quiet_NaN();
  }

  void shares(const History& /*history*/, std::span<double> channels) const override {
    std::fill(channels.begin(), channels.end(), 0.0);
    double sum = 0;
    for (std::size_t c = 0; c < channels_ && nearest_ < count_; ++c) {
      const Bank& bank = banks_[c];
      const auto inverse = static_cast<double>(bank.inverses[first_ + nearest_]);
      const auto own = static_cast<double>(shapes_[c].inverse);
      const double product =
          static_cast<double>(bank.products[base_ + nearest_]) / static_cast<double>(points_);
      const double covariance = product - static_cast<double>(bank.means[first_ + nearest_]) *
                                              static_cast<double>(shapes_[c].mean);
      constexpr auto kFloor = static_cast<double>(kShapeFloor * kShapeFloor);
      channels[c] = std::max(
          0.0, 2 - kFloor * (inverse * inverse + own * own) - 2 * covariance * inverse * own);
      sum += channels[c];
    }
    for (std::size_t c = 0; c < channels_; ++c) {
      channels[c] = sum > 0 ? channels[c] / sum : 1.0 / static_cast<double>(channels_);
    }
  }

  std::size_t span() const override { return points_ * step_; }
  std::size_t context() const override { return 1; }
  std::size_t bytes() const override {
    std::size_t total = sizeof *this + recent_.bytes() +
                        (smooth_.capacity() + average_.capacity()) * sizeof(float) +
                        newest_.capacity() * sizeof(Newest) + shapes_.capacity() * sizeof(Shape);
    for (const Bank& bank : banks_) total += sizeof bank + bank.bytes();
    return total;
  }
  double operations() const override {
    const std::size_t once = 14 * windows_ + 10 * points_;
    return static_cast<double>(once * channels_) / static_cast<double>(step_);
  }
  std::unique_ptr<StreamMember> clone() const override { return std::make_unique<Profile>(*this); }

  void archive(Archive& archive) override {
    archive.within(held_, 0, windows_ + points_ - 1, "the samples of a bank");
    count_ = held_ >= points_ ? held_ - points_ + 1 : 0;
    archive.within(first_, 0, windows_ + slack_ + points_ - 1 - held_, "the start of a bank");
    archive.within(base_, 0, windows_ + slack_ - count_, "the start of a bank's products");
    archive(turn_, nearest_, is_new_, learned_until_);
    recent_.archive(archive);
    archive.sized(average_, "sums of a point");
    archive.within(averaged_, 0, step_, "the samples of a point");
    // newest_ is of compare() alone.
    archive.sized(shapes_, "shapes", [](Archive& a, Shape& s) { a(s.mean, s.inverse); });
    for (Bank& bank : banks_) {
      archive.raw(std::span(bank.samples).subspan(first_, held_));
      archive.raw(std::span(bank.means).subspan(first_, count_));
      archive.raw(std::span(bank.inverses).subspan(first_, count_));
      archive.raw(std::span(bank.products).subspan(base_, count_));
    }
    archive.sized(smooth_, "distances");
    archive(smoothed_, smooth_sum_, score_);
  }

 private:
  const float* window_of(std::size_t channel) const { return recent_.last(channel, points_); }

  float product_of(const Bank& bank, std::size_t channel, std::size_t window) const {
    return dot(bank.samples.data() + first_ + window, window_of(channel), points_);
  }

  /// The newest window against the bank; the mean over the last windows.
  float compare() {
    constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
    if (recent_.run() < points_) return kNone;
    for (std::size_t c = 0; c < channels_; ++c) {
      const Shape shape = shape_of(window_of(c), points_);
      shapes_[c] = shape;
      newest_[c] = {points_, recent_.at(c, 0), 0, 2 * shape.inverse / static_cast<float>(points_),
                    2 * shape.mean * shape.inverse};
      if (recent_.run() > points_) newest_[c].leaving = recent_.at(c, points_);
    }
    move_products();
    const float best = nearest();
    if (count_ < kMinBank || best >= std::numeric_limits<float>::max()) return kNone;
    const float value = std::sqrt(std::max(0.0F, best) / static_cast<float>(channels_));
    const std::size_t at = smoothed_ % points_;
    if (smoothed_ >= points_) smooth_sum_ -= static_cast<double>(smooth_[at]);
    smooth_[at] = value;
    smooth_sum_ += static_cast<double>(value);
    ++smoothed_;
    return static_cast<float>(smooth_sum_ / static_cast<double>(std::min(smoothed_, points_)));
  }

  /// Running products stay where they are when a sample comes: each becomes that of the next
  /// window, and the first is computed anew. After an interruption all are.
  void move_products() {
    if (count_ == 0) return;
    if (base_ == 0) place_products();
    --base_;
    is_new_ = recent_.run() == points_;
  }

  float nearest() {
    constexpr float kFar = std::numeric_limits<float>::max();
    const std::uint64_t gap = recent_.count() - learned_until_;
    const std::uint64_t overlap = points_ / 2;
    const auto excluded = static_cast<std::size_t>(overlap > gap ? overlap - gap : 0);
    const std::size_t eligible = count_ > excluded ? count_ - excluded : 0;
    float constant = 0;
    for (std::size_t c = 0; c < channels_; ++c) {
      constant += 2 - kShapeFloor * kShapeFloor * shapes_[c].inverse * shapes_[c].inverse;
      if (count_ == 0) continue;
      Bank& bank = banks_[c];
      const std::size_t fresh = is_new_ ? count_ : 1;
      for (std::size_t j = 0; j < fresh; ++j) bank.products[base_ + j] = product_of(bank, c, j);
    }
    float best = kFar;
    std::array<float, kChunk> distances{};
    for (std::size_t begin = 0; begin < count_; begin += kChunk) {
      const std::size_t n = std::min(kChunk, count_ - begin);
      distances.fill(0.0F);
      for (std::size_t c = 0; c < channels_; ++c) scan(c, begin, n, distances.data());
      for (std::size_t j = 0; j < n && begin + j < eligible; ++j) {
        if (distances[j] < best) {
          best = distances[j];
          nearest_ = begin + j;
        }
      }
    }
    refresh();
    return best < kFar ? best + constant : kFar;
  }

  void scan(std::size_t c, std::size_t begin, std::size_t n, float* distances) {
    Bank& bank = banks_[c];
    Newest still = newest_[c];
    still.entering = 0;
    still.leaving = 0;
    // Window 0 has no window before it, and after an interruption none has: computed already.
    std::size_t done = is_new_ ? n : (begin == 0 ? 1 : 0);
    done = std::min(done, n);
    const std::size_t at = first_ + begin;
    if (done > 0) {
      scan_windows(still, done, bank.samples.data() + at, bank.products.data() + base_ + begin,
                   bank.means.data() + at, bank.inverses.data() + at, distances);
    }
    if (done < n) {
      scan_windows(newest_[c], n - done, bank.samples.data() + at + done - 1,
                   bank.products.data() + base_ + begin + done, bank.means.data() + at + done,
                   bank.inverses.data() + at + done, distances + done);
    }
  }

  /// Computes one window's product anew, from the last to the first: against the way that running
  /// products move, so that each has its turn.
  void refresh() {
    if (count_ == 0) return;
    turn_ = turn_ == 0 || turn_ > count_ ? count_ - 1 : turn_ - 1;
    for (std::size_t c = 0; c < channels_; ++c) {
      banks_[c].products[base_ + turn_] = product_of(banks_[c], c, turn_);
    }
  }

  /// Takes in the point `back` points before the newest.
  void append(std::size_t back, bool has_shape) {
    if (first_ + held_ + 1 > windows_ + slack_ + points_ - 1) place_windows();
    const std::size_t at = first_ + held_;
    for (std::size_t c = 0; c < channels_; ++c) banks_[c].samples[at] = recent_.at(c, back);
    if (++held_ < points_) return;
    if (base_ + count_ >= windows_ + slack_) place_products();
    const std::size_t window = first_ + count_;
    for (std::size_t c = 0; c < channels_; ++c) {
      Bank& bank = banks_[c];
      const Shape shape = has_shape ? shape_of(bank.samples.data() + window, points_) : Shape{};
      bank.means[window] = shape.mean;
      bank.inverses[window] = shape.inverse;
      bank.products[base_ + count_] = recent_.run() >= points_ ? product_of(bank, c, count_) : 0.0F;
    }
    if (++count_ <= windows_) return;
    ++first_;
    --held_;
    --count_;
    ++base_;
  }

  void place_windows() {
    const auto first = static_cast<std::ptrdiff_t>(first_);
    for (Bank& bank : banks_) {
      std::copy_n(bank.samples.begin() + first, held_, bank.samples.begin());
      std::copy_n(bank.means.begin() + first, count_, bank.means.begin());
      std::copy_n(bank.inverses.begin() + first, count_, bank.inverses.begin());
    }
    first_ = 0;
  }

  /// Gives the running products room on both sides.
  void place_products() {
    const std::size_t to = (windows_ + slack_ - count_) / 2;
    for (Bank& bank : banks_) {
      const auto from = bank.products.begin() + static_cast<std::ptrdiff_t>(base_);
      const auto target = bank.products.begin() + static_cast<std::ptrdiff_t>(to);
      if (to < base_) {
        std::copy_n(from, count_, target);
      } else {
        std::copy_backward(from, from + static_cast<std::ptrdiff_t>(count_),
                           target + static_cast<std::ptrdiff_t>(count_));
      }
    }
    base_ = to;
  }

  std::size_t channels_;
  std::size_t step_;
  std::size_t points_;
  std::size_t windows_;  // of the bank, at most
  std::size_t slack_;
  std::size_t first_ = 0;  // the oldest window
  std::size_t held_ = 0;   // samples in the bank
  std::size_t count_ = 0;  // windows in the bank
  std::size_t base_;
  std::size_t turn_ = 0;
  std::size_t nearest_ = 0;
  bool is_new_ = true;
  std::uint64_t learned_until_ = 0;  // points ever followed, up to the last learned
  History recent_;                   // points
  std::vector<float> average_;
  std::size_t averaged_ = 0;
  std::vector<Newest> newest_;
  std::vector<Shape> shapes_;
  std::vector<Bank> banks_;
  std::vector<float> smooth_;
  std::size_t smoothed_ = 0;
  double smooth_sum_ = 0;
  float score_ = std::numeric_limits<float>::quiet_NaN();
};

MadeMember make(const StreamTraits& traits, const MemberSize& size, std::size_t length,
                std::size_t most_points = kMostPoints) {
  // At least eight windows that do not overlap, to have a neighbour at all.
  length = std::min(length, traits.samples / 8);
  if (length < kLeastPoints) return nullptr;
  return std::make_unique<Profile>(traits, length, size.bank_values, most_points);
}

}  // namespace

MadeMember make_profile_32(const StreamTraits& traits, const MemberSize& size) {
  return make(traits, size, 32);
}
MadeMember make_profile_48(const StreamTraits& traits, const MemberSize& size) {
  return make(traits, size, 48);
}
MadeMember make_profile_64(const StreamTraits& traits, const MemberSize& size) {
  return make(traits, size, 64);
}
MadeMember make_profile_96(const StreamTraits& traits, const MemberSize& size) {
  return make(traits, size, 96);
}
MadeMember make_profile_128(const StreamTraits& traits, const MemberSize& size) {
  // A shorter one would be another of those above.
  if (traits.samples < std::size_t{8} * 128) return nullptr;
  return make(traits, size, 128, kMostLongPoints);
}
MadeMember make_profile_period(const StreamTraits& traits, const MemberSize& size) {
  if (!(traits.period >= static_cast<double>(kLeastPoints))) return nullptr;
  return make(traits, size, static_cast<std::size_t>(traits.period));
}

}  // namespace anomalyd::detect

#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "detect/members/network.h"
#include "detect/members/stream_member.h"
#include "detect/running_tail.h"

namespace anomalyd::detect {

/// A preset: which members, and how much a stream may cost.
struct Preset {
  std::string_view kind;                      ///< of the detector
  std::span<const std::string_view> members;  ///< the first ones have the first call on the budget
  MemberSize size;
  std::size_t most_bytes = 0;     ///< of a learned stream
  double most_operations = 0;     ///< of a sample, see StreamMember::operations()
  std::size_t span_samples = 0;   ///< of the learning span that are kept, at most
  bool chooses = false;           ///< weighs members by injected anomalies
  std::string_view without = {};  ///< the one of its members that is left out; empty: none
};
/// Null for an unknown kind.
const Preset* find_preset(std::string_view kind);

/// Between a preset and a member of it that is left out, for ablations: "standard-without-ridge".
inline constexpr std::string_view kWithout = "-without-";
/// The preset of this name, which may have kWithout in it.
/// Errors   kInvalidArgument when there is none, or it has no such member.
Result<Preset> make_preset(std::string_view name);

/// Mean over the last kLength values, all of them while they are fewer.
/// Numerics  summed anew each time: the same values give the same mean whatever came before.
class SmoothMean {
 public:
  static constexpr std::size_t kLength = 32;
  float add(float value) {
    values_[count_ % kLength] = value;
    ++count_;
    const std::size_t n = std::min(count_, kLength);
    float total = 0;
    for (std::size_t i = 0; i < n; ++i) total += values_[i];
    return total / static_cast<float>(n);
  }
  void clear() { count_ = 0; }
  void archive(Archive& archive) {
    archive.sized(values_, "values of a mean");
    archive(count_);
  }

 private:
  std::array<float, kLength> values_{};
  std::size_t count_ = 0;
};

/// What members' surprises of one sample add up to.
class SurpriseSum {
 public:
  void add(const StreamMemberRow& row, float weight, float surprise) {
    (row.is_smoothed ? smoothed_ : now_) += weight * surprise;
    weights_ += weight;
  }
  /// `mean` goes on by one sample.
  float score(SmoothMean& mean) const {
    const float smoothed = mean.add(smoothed_);
    return weights_ > 0 ? (now_ + smoothed) / weights_ : 0;
  }

 private:
  float now_ = 0;
  float smoothed_ = 0;
  float weights_ = 0;
};

/// The members of one stream and what is made of their scores.
///
/// A member's surprise is the mean of two: how rare its score is among all that it ever gave
/// (`moving`, which follows the stream whatever happens), and among those of normal times
/// (`steady`, which leaves out what it finds surprising and what is in an alert). The first shows
/// something new in the midst of trouble and does not tire anybody with what is usual by now; the
/// second does not get used to a fault.
///
///   score = (sum over members of w u + mean over the last kSmoothSamples of sum over smoothed
///            members of w u) / sum of w
///
/// Threads  one at a time.
class MemberSet {
 public:
  static constexpr std::size_t kSmoothSamples = SmoothMean::kLength;

  /// What surprises by this much is odd: a guarded member does not learn it, `steady` does not
  /// count it.
  static constexpr float kGuard = 2;

  struct Slot {
    const StreamMemberRow* row = nullptr;
    MadeMember member;
    RunningTail moving;
    RunningTail steady;
    float weight = 1;
    float raw = 0;                      ///< of the newest sample; NaN when it has none
    float recent = 0;                   ///< weighted surprise, mean that fades over kSmoothSamples
    std::size_t clean = 0;              ///< samples learned in a row
    std::size_t held = 0;               ///< odd samples, less those that were not, from 0 up
    std::vector<std::uint8_t> waiting;  ///< bins of the samples that wait to be learned, kOdd set
  };

  /// Members of `preset` that suit the stream and fit in its budget; the smallest, if none does.
  /// Those of `trained` come first and do not count for the budget.
  MemberSet(const Preset& preset, const StreamTraits& traits,
            std::span<const TrainedMember> trained = {});
  MemberSet(const MemberSet& other);
  MemberSet(MemberSet&&) = default;
  MemberSet& operator=(MemberSet&&) = default;
  MemberSet& operator=(const MemberSet&) = delete;
  ~MemberSet() = default;

  /// Moves on to a normalised sample, the last of at most a hop that wait to be learned.
  /// NaN while no member has a score.
  float follow(std::span<const float> sample, TimeNs time = kNoTime, TimeNs step = 0);
  /// The newest sample's score by the steady surprises alone, which do not get used to anything.
  float steady_score() const { return steady_score_; }
  /// Learns all that was followed since the last learn() or skip(), but for what is odd, unless
  /// that has lasted, more often than not, for as long as the learning span was: what lasts that
  /// long without an alert is how the stream is now.
  void learn();
  /// Leaves it: what was followed is not normal, or nobody knows.
  void skip();
  void interrupt();

  std::span<Slot> slots() { return slots_; }
  std::span<const Slot> slots() const { return slots_; }
  const History& history() const { return history_; }
  /// Each channel's part of the last scores, adds up to 1.
  std::vector<double> shares() const;
  std::size_t bytes() const;
  double operations() const;
  const StreamTraits& traits() const { return traits_; }
  /// Of a set that was made of the same preset and traits. Bytes of other members are refused.
  void archive(Archive& archive);

 private:
  static constexpr std::uint8_t kOdd = 0x80;

  StreamTraits traits_;
  std::vector<Slot> slots_;
  History history_;
  std::size_t pending_ = 0;  // followed, not yet learned or left
  SmoothMean smooth_;
  SmoothMean steady_smooth_;
  float steady_score_ = 0;
};

}  // namespace anomalyd::detect

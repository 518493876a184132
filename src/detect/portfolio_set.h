#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "detect/calibration.h"
#include "detect/members/stream_member.h"

namespace anomalyd::detect {

/// u(s) = -log10 of the chance that a normal sample scores s or more, in [0, kMost].
///
/// Numerics  a table of kKnots steps of equal surprise, straight lines between them; never falls.
/// Cost      a search of the table: 10 ns; kKnots floats.
class Surprise {
 public:
  static constexpr float kMost = 6;
  static constexpr std::size_t kKnots = 25;

  /// From a member's scores on normal samples.  Errors  kInvalidArgument for too few finite ones.
  static Result<Surprise> fit(std::span<const float> scores);
  /// 0 for NaN.
  float of(float score) const;

 private:
  std::array<float, kKnots> scores_{};  // ascending; knot i is a surprise of i * kMost / (kKnots-1)
  std::size_t known_ = 1;               // knots that the scores told of
  float top_ = 0;                       // what is beyond the last of them
};

/// A preset: which members, and how much a stream may cost.
struct Preset {
  std::string_view kind;                      ///< of the detector
  std::span<const std::string_view> members;  ///< the first ones have the first call on the budget
  MemberSize size;
  std::size_t most_bytes = 0;    ///< of a learned stream
  double most_operations = 0;    ///< of a sample, see StreamMember::operations()
  std::size_t span_samples = 0;  ///< of the learning span that are kept, at most
  bool chooses = false;          ///< weighs members by injected anomalies
};
/// Null for an unknown kind.
const Preset* find_preset(std::string_view kind);

/// The members of one stream and what is made of their scores: each score's surprise, the mean of
/// them by weight, and the mean of that over the last kSmoothSamples samples.
///
/// Threads  one at a time.
class MemberSet {
 public:
  static constexpr std::size_t kSmoothSamples = 32;

  /// A guarded member does not learn a sample with at least this surprise.
  static constexpr float kGuard = 2;

  struct Slot {
    const StreamMemberRow* row = nullptr;
    MadeMember member;
    Surprise surprise;
    float weight = 1;
    float raw = 0;          ///< of the newest sample; NaN when it has none
    float recent = 0;       ///< weighted surprise, mean that fades over kSmoothSamples
    std::size_t clean = 0;  ///< samples learned in a row
    std::size_t held = 0;   ///< surprising ones, less those that were not, from 0 up
    std::vector<std::uint8_t> surprised;  ///< of the samples that wait to be learned
  };

  /// Members of `preset` that suit the stream and fit in its budget.
  MemberSet(const Preset& preset, const StreamTraits& traits);
  MemberSet(const MemberSet& other);
  MemberSet(MemberSet&&) = default;
  MemberSet& operator=(MemberSet&&) = default;
  MemberSet& operator=(const MemberSet&) = delete;
  ~MemberSet() = default;

  /// Moves on to a normalised sample, the last of at most a hop that wait to be learned.
  /// NaN while no member has a score.
  float follow(std::span<const float> sample);
  /// Learns all that was followed since the last learn() or skip(); guarded members leave out what
  /// surprised them, unless they have done so, more often than not, for as long as the learning
  /// span was: what lasts that long without an alert is how the stream is now.
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

 private:
  StreamTraits traits_;
  std::vector<Slot> slots_;
  History history_;
  std::size_t pending_ = 0;  // followed, not yet learned or left
  std::array<float, kSmoothSamples> sums_{};
  std::size_t summed_ = 0;
};

}  // namespace anomalyd::detect

#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "detect/members/history.h"

namespace anomalyd::detect {

/// Normalised values are held in +-kMaxFollowed for members that go from sample to sample: their
/// running float sums forget a larger one too slowly.
inline constexpr float kMaxFollowed = 32.0F;

/// What the learning span tells of a stream; what members are made from.
struct StreamTraits {
  std::size_t channels = 1;
  std::size_t samples = 0;  ///< of the span
  std::size_t hop = 1;      ///< samples that are followed before they are learned, at most
  double period = 0;        ///< in samples, the strongest; 0: none
  double slow_period = 0;   ///< another one, at least three times as long; 0: none
};

/// How large members of a preset may be.
struct MemberSize {
  std::size_t bank_values = 4096;    ///< of the nearest-neighbour profile, over all channels
  std::size_t most_lags = 48;        ///< of the autoregression, over all channels
  std::size_t buckets = 512;         ///< of a season
  std::size_t most_dimensions = 32;  ///< of the windows' principal components
};

/// One scorer of one stream that goes from sample to sample. A pure function of what it was told,
/// in order: the same calls give the same bits.
///
/// A member follows the signal always (follow) and learns what normal is only from samples that
/// it is told to learn, which it has followed before.
///
/// Numerics  samples are finite; scores are finite, or NaN while there is too little to go by.
/// Threads   one at a time.
class StreamMember {
 public:
  virtual ~StreamMember() = default;

  /// Moves on to the newest sample of `history` and scores it: higher is more anomalous.
  virtual float follow(const History& history) = 0;
  /// Learns the sample `back` samples before the newest. It is the last of `clean` samples that
  /// follow on each other and were all learned.
  virtual void learn(const History& history, std::size_t back, std::size_t clean) = 0;
  /// The next sample does not follow on the last one.
  virtual void interrupt() {}

  /// Each channel's energy in the last score, at least 0; adds up to about 1.
  virtual void shares(const History& history, std::span<double> channels) const = 0;
  /// How many of the last samples the score looked at, in the main.
  virtual std::size_t span() const = 0;
  /// Samples back that it will ask of the history.
  virtual std::size_t context() const = 0;
  virtual std::size_t bytes() const = 0;
  /// Arithmetic operations to follow and to learn one sample, roughly.
  virtual double operations() const = 0;
  virtual std::unique_ptr<StreamMember> clone() const = 0;
  /// Walks all that the member has of its stream beyond what it was made from: read into one that
  /// was made alike, it goes on to the last bit. What is read may be anything: places and numbers
  /// of things are held within what is there. A walk that changes is another state format
  /// (stream/STATE.md).
  virtual void archive(Archive& archive) = 0;
};

/// A row of the table of members that go from sample to sample.
struct StreamMemberRow {
  std::string_view name;
  std::string_view finds;  ///< what it is for, a few words
  /// Learns nothing that it finds surprising itself: for members that a long fault would teach it
  /// is normal. Those that remember single windows forget nothing by it, and need the odd ones.
  bool is_guarded;
  /// Counts by the mean of its last surprises: one alone says little, a row of them much.
  bool is_smoothed;
  /// Null when the stream does not suit it (no period, one channel).
  std::unique_ptr<StreamMember> (*make)(const StreamTraits& traits, const MemberSize& size);
};
std::span<const StreamMemberRow> stream_member_rows();
/// Null when there is none of that name.
const StreamMemberRow* find_stream_member(std::string_view name);

using MadeMember = std::unique_ptr<StreamMember>;
MadeMember make_range(const StreamTraits& traits, const MemberSize& size);
MadeMember make_level(const StreamTraits& traits, const MemberSize& size);
MadeMember make_level_short(const StreamTraits& traits, const MemberSize& size);
MadeMember make_variance(const StreamTraits& traits, const MemberSize& size);
MadeMember make_roughness(const StreamTraits& traits, const MemberSize& size);
MadeMember make_spike(const StreamTraits& traits, const MemberSize& size);
MadeMember make_polynomial(const StreamTraits& traits, const MemberSize& size);
MadeMember make_calendar(const StreamTraits& traits, const MemberSize& size);
MadeMember make_seasonal(const StreamTraits& traits, const MemberSize& size);
MadeMember make_state(const StreamTraits& traits, const MemberSize& size);
MadeMember make_ridge(const StreamTraits& traits, const MemberSize& size);
MadeMember make_ridge_short(const StreamTraits& traits, const MemberSize& size);
MadeMember make_subspace(const StreamTraits& traits, const MemberSize& size);
MadeMember make_templates(const StreamTraits& traits, const MemberSize& size);
MadeMember make_profile_32(const StreamTraits& traits, const MemberSize& size);
MadeMember make_profile_48(const StreamTraits& traits, const MemberSize& size);
MadeMember make_profile_64(const StreamTraits& traits, const MemberSize& size);
MadeMember make_profile_96(const StreamTraits& traits, const MemberSize& size);
MadeMember make_profile_128(const StreamTraits& traits, const MemberSize& size);
MadeMember make_profile_period(const StreamTraits& traits, const MemberSize& size);
MadeMember make_half_space_trees(const StreamTraits& traits, const MemberSize& size);
MadeMember make_spectral(const StreamTraits& traits, const MemberSize& size);

}  // namespace anomalyd::detect

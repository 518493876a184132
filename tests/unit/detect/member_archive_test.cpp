#include <array>
#include <cstring>
#include <random>

#include "detect/members/stream_member.h"
#include "detect/portfolio_set.h"
#include "nn/random.h"
#include "support/catch.h"

namespace anomalyd::detect {
namespace {

constexpr std::size_t kHop = 8;

/// A member and the history that it looks into, fed alike.
struct Fed {
  Fed(const StreamMemberRow& row, const StreamTraits& traits)
      : member(row.make(traits, MemberSize{})),
        history(traits.channels, member->context() + traits.hop + 1) {}
  MadeMember member;
  History history;
};

StreamTraits traits_of(std::size_t channels) {
  StreamTraits traits;
  traits.channels = channels;
  traits.samples = 2048;
  traits.hop = kHop;
  traits.period = 57;
  traits.slow_period = 211;
  return traits;
}

std::vector<std::byte> bytes_of(Fed& fed) {
  Archive archive;
  fed.history.archive(archive);
  fed.member->archive(archive);
  return archive.take();
}

Status read_into(Fed& fed, std::span<const std::byte> bytes) {
  Archive archive(bytes);
  fed.history.archive(archive);
  fed.member->archive(archive);
  return archive.finish();
}

/// One hop of a signal with steps, spikes and an interruption, some of it learned.
class Signal {
 public:
  explicit Signal(std::size_t channels) : sample_(channels) {}

  /// The bits of the scores and of the shares after them.
  std::vector<std::uint64_t> feed(Fed& fed) {
    std::mt19937_64 bits(at_);
    if (at_ % (97 * kHop) == 96 * kHop) {
      fed.history.interrupt();
      fed.member->interrupt();
    }
    std::vector<std::uint64_t> out;
    for (std::size_t i = 0; i < kHop; ++i, ++at_) {
      for (std::size_t c = 0; c < sample_.size(); ++c) {
        const double turn = 0.11 * static_cast<double>(at_) + static_cast<double>(c);
        double value = std::sin(turn) + 0.2 * std::sin(2.7 * turn) + 0.2 * nn::unit_uniform(bits);
        if (at_ % 331 > 310) value += 4;
        sample_[c] = static_cast<float>(value);
      }
      const TimeNs step = 600 * kNsPerSecond;
      fed.history.push(sample_, static_cast<TimeNs>(at_) * step, step);
      const float score = fed.member->follow(fed.history);
      std::uint32_t score_bits = 0;
      std::memcpy(&score_bits, &score, sizeof score);
      out.push_back(score_bits);
    }
    if (at_ % 331 > 300) {
      clean_ = 0;
    } else {
      for (std::size_t i = kHop; i-- > 0;) fed.member->learn(fed.history, i, ++clean_);
    }
    std::vector<double> shares(sample_.size(), 0.0);
    fed.member->shares(fed.history, shares);
    for (const double share : shares) {
      out.emplace_back();
      std::memcpy(&out.back(), &share, sizeof share);
    }
    return out;
  }

 private:
  std::vector<float> sample_;
  std::uint64_t at_ = 1;
  std::size_t clean_ = 0;
};

TEST_CASE("Every member that is read back goes on to the last bit", "[detect][members][archive]") {
  for (const StreamMemberRow& row : stream_member_rows()) {
    for (const std::size_t channels : {1U, 3U}) {
      const StreamTraits traits = traits_of(channels);
      if (row.make(traits, MemberSize{}) == nullptr) continue;
      INFO(row.name << ", " << channels << " channels");
      Fed whole(row, traits);
      auto again = std::make_unique<Fed>(row, traits);
      Signal signal(channels);
      std::mt19937_64 bits(channels);
      std::size_t finite = 0;
      for (int hop = 0; hop < 420; ++hop) {
        if (bits() % 11 == 0) {
          const std::vector<std::byte> bytes = bytes_of(*again);
          again = std::make_unique<Fed>(row, traits);
          const Status done = read_into(*again, bytes);
          INFO((done.ok() ? "" : done.error().message));
          REQUIRE(done.ok());
          REQUIRE(bytes_of(*again) == bytes);
        }
        Signal same = signal;
        const auto expected = signal.feed(whole);
        REQUIRE(same.feed(*again) == expected);
        float score = 0;
        const auto low = static_cast<std::uint32_t>(expected.front());
        std::memcpy(&score, &low, sizeof score);
        finite += std::isfinite(score);
      }
      CHECK(finite > 50);
    }
  }
}

TEST_CASE("A set that is read back goes on, through what lasts longer than its span",
          "[detect][members][archive]") {
  StreamTraits traits = traits_of(2);
  traits.samples = 256;
  const Preset preset = make_preset("tiny").value();
  MemberSet whole(preset, traits);
  auto again = std::make_unique<MemberSet>(preset, traits);
  const auto bytes_of_set = [](MemberSet& set) {
    Archive archive;
    set.archive(archive);
    return archive.take();
  };
  // The tails need a range before anything can be odd.
  const std::vector<float> usual{0.1F, 0.2F, 0.5F, 1, 2};
  for (MemberSet* set : {&whole, again.get()}) {
    for (MemberSet::Slot& slot : set->slots()) {
      slot.moving.set_range(usual);
      slot.steady.set_range(usual);
    }
  }
  std::mt19937_64 bits(2);
  std::array<float, 2> sample{};
  std::size_t most_held = 0;
  for (int t = 0; t < 2400; ++t) {
    if (t % 97 == 96) {
      const std::vector<std::byte> bytes = bytes_of_set(*again);
      again = std::make_unique<MemberSet>(preset, traits);
      Archive archive(bytes);
      again->archive(archive);
      REQUIRE(archive.finish().ok());
      REQUIRE(bytes_of_set(*again) == bytes);
    }
    // From 1200 on it is another: odd for a while, then how the stream is now.
    const double level = t < 1200 ? 0 : 3;
    for (float& value : sample) {
      value = static_cast<float>(level + (t < 1200 ? 1 : 2) * nn::unit_uniform(bits));
    }
    const float expected = whole.follow(sample);
    const float found = again->follow(sample);
    REQUIRE((found == expected || (std::isnan(found) && std::isnan(expected))));
    REQUIRE(whole.steady_score() == again->steady_score());
    if (t % kHop != kHop - 1) continue;
    whole.learn();
    again->learn();
    for (const MemberSet::Slot& slot : whole.slots()) most_held = std::max(most_held, slot.held);
  }
  CHECK(most_held > traits.samples);
  CHECK(bytes_of_set(whole) == bytes_of_set(*again));
}

TEST_CASE("Every member is an error or can be used, whatever it is read from",
          "[detect][members][archive][errors]") {
  for (const StreamMemberRow& row : stream_member_rows()) {
    const StreamTraits traits = traits_of(2);
    if (row.make(traits, MemberSize{}) == nullptr) continue;
    INFO(row.name);
    Fed fed(row, traits);
    Signal signal(2);
    for (int hop = 0; hop < 250; ++hop) signal.feed(fed);
    const std::vector<std::byte> good = bytes_of(fed);
    CHECK(read_into(fed, std::span(good).first(good.size() - 1)).error().code ==
          ErrorCode::kCorrupt);
    std::mt19937_64 bits(9);
    for (int i = 0; i < 60; ++i) {
      std::vector<std::byte> bytes = good;
      for (std::uint64_t n = 1 + bits() % 3; n > 0; --n) {
        const std::size_t reach =
            bits() % 2 == 0 ? bytes.size() : std::min<std::size_t>(bytes.size(), 200);
        bytes[bits() % reach] = static_cast<std::byte>(bits());
      }
      Fed read(row, traits);
      if (!read_into(read, bytes).ok()) continue;
      Signal after = signal;
      for (int hop = 0; hop < 40; ++hop) after.feed(read);
      static_cast<void>(bytes_of(read));
    }
  }
}

}  // namespace
}  // namespace anomalyd::detect

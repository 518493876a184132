#include <cmath>
#include <limits>
#include <numbers>
#include <random>
#include <string>
#include <vector>

#include "detect/members/blocks.h"
#include "detect/members/spectrum.h"
#include "detect/members/stream_member.h"
#include "signals.h"
#include "support/catch.h"

namespace anomalyd::detect {
namespace {

// A sample in five minutes, so that days pass.
constexpr TimeNs kStep = 300 * kNsPerSecond;
TimeNs time_of(std::uint64_t t) {
  return 1577664000 * kNsPerSecond + static_cast<TimeNs>(t) * kStep;  // from a Monday on
}

/// A member with a history of its own: samples in, scores out.
class Bench {
 public:
  Bench(const std::string& name, StreamTraits traits, MemberSize size = {})
      : member_(find_stream_member(name)->make(traits, size)),
        history_(traits.channels, (member_ ? member_->context() : 1) + traits.hop + 1),
        hop_(traits.hop) {}

  bool exists() const { return member_ != nullptr; }
  StreamMember& member() { return *member_; }
  const History& history() const { return history_; }

  float step(const std::vector<float>& sample, bool learns = true) {
    history_.push(sample, time_of(history_.count()), kStep);
    const float score = member_->follow(history_);
    learns_ = learns;
    if (++pending_ == hop_) learn();
    return score;
  }
  void interrupt() {
    learn();
    history_.interrupt();
    member_->interrupt();
    clean_ = 0;
  }

 private:
  void learn() {
    if (!learns_) clean_ = 0;
    for (; pending_ > 0; --pending_) {
      if (learns_) member_->learn(history_, pending_ - 1, ++clean_);
    }
  }

  MadeMember member_;
  History history_;
  std::size_t hop_;
  std::size_t pending_ = 0;
  std::size_t clean_ = 0;
  bool learns_ = true;
};

StreamTraits traits(std::size_t channels = 1, double period = 0, std::size_t hop = 1) {
  StreamTraits made;
  made.channels = channels;
  made.samples = 4000;
  made.hop = hop;
  made.period = period;
  return made;
}

/// A wave with a harmonic and a little noise, `channels` of them out of phase.
std::vector<float> wave(std::size_t t, std::size_t channels, std::mt19937_64& bits,
                        double period = 50) {
  std::vector<float> sample;
  for (std::size_t c = 0; c < channels; ++c) {
    const double turn =
        2 * std::numbers::pi * static_cast<double>(t) / period + 0.7 * static_cast<double>(c);
    sample.push_back(
        static_cast<float>(std::sin(turn) + 0.4 * std::sin(2 * turn + 1) + 0.05 * noise(bits)));
  }
  return sample;
}

TEST_CASE("History keeps the last samples of each channel and counts those that follow on",
          "[detect][members][history]") {
  History history(2, 5);
  for (int t = 0; t < 40; ++t) {
    history.push(std::vector<float>{static_cast<float>(t), static_cast<float>(-t)});
    CHECK(history.count() == static_cast<std::uint64_t>(t + 1));
    CHECK(history.at(0, 0) == static_cast<float>(t));
    if (t < 4) continue;
    CHECK(history.run() == 5);
    CHECK(history.last(1, 3, 2)[0] == static_cast<float>(-(t - 4)));
    CHECK(history.last(1, 3, 2)[2] == static_cast<float>(-(t - 2)));
  }
  history.interrupt();
  CHECK(history.run() == 0);
  history.push(std::vector<float>{7, 8});
  CHECK(history.run() == 1);
  CHECK(history.count() == 41);
}

TEST_CASE("History knows when its samples were taken, if it is told",
          "[detect][members][history]") {
  History history(1, 8);
  history.push(std::vector<float>{1});
  CHECK(history.time(0) == kNoTime);
  history.push(std::vector<float>{2}, 1000, 10);
  history.push(std::vector<float>{3}, 1010, 10);
  CHECK(history.time(0) == 1010);
  CHECK(history.time(1) == 1000);
}

TEST_CASE("The calendar compares a half hour with those of earlier days", "[detect][members]") {
  const MadeMember member = find_stream_member("calendar")->make(traits(2), MemberSize());
  History history(2, 8);
  std::mt19937_64 bits(7);
  std::size_t t = 0;
  const auto step = [&](double bump) {
    const std::size_t of_day = t % 288;
    const bool is_weekend = t / 288 % 7 >= 5;
    const double busy = of_day >= 96 && of_day < 204 && !is_weekend ? 4 : 0;
    history.push(std::vector<float>{static_cast<float>(busy + 0.1 * noise(bits) + bump),
                                    static_cast<float>(0.1 * noise(bits))},
                 time_of(t), kStep);
    ++t;
    const float score = member->follow(history);
    member->learn(history, 0, t);
    return score;
  };
  for (int i = 0; i < 288; ++i) REQUIRE(std::isnan(step(0)));  // no earlier day
  float usual = 0;
  for (int i = 0; i < 3 * 288; ++i) usual = std::max(usual, step(0));
  CHECK(usual < 12);
  for (int i = 0; i < 288; ++i) step(0);
  // Saturday is like no day before; a week later it is like the last one.
  float saturday = 0;
  for (int i = 0; i < 288; ++i) saturday = std::max(saturday, step(0));
  CHECK(saturday > 20);
  for (int i = 0; i < 6 * 288; ++i) step(0);
  float next_saturday = 0;
  for (int i = 0; i < 150; ++i) next_saturday = std::max(next_saturday, step(0));
  CHECK(next_saturday < 12);
  // At noon of a Saturday a working day's load is odd, and it is the first channel's.
  CHECK(step(4) > 2 * next_saturday);
  std::vector<double> shares(2);
  member->shares(history, shares);
  CHECK(shares[0] > 0.95);
  // Without a time there is nothing to compare with.
  history.push(std::vector<float>{0, 0});
  CHECK(std::isnan(member->follow(history)));
}

TEST_CASE("The transform is the sum it says, and gives the period of a wave",
          "[detect][members][spectrum]") {
  std::vector<std::complex<double>> values{1, 2, 3, 4};
  fourier(values);
  CHECK(values[0].real() == Approx(10));
  CHECK(values[1].real() == Approx(-2));
  CHECK(values[1].imag() == Approx(2));
  CHECK(values[2].real() == Approx(-2));

  std::mt19937_64 bits(3);
  std::vector<float> series;
  for (std::size_t t = 0; t < 3000; ++t) series.push_back(wave(t, 1, bits, 61.7)[0]);
  const std::vector<double> r = autocorrelation(series, 1000);
  CHECK(r[0] == Approx(1));
  const Periods found = find_periods(r);
  CHECK(found.period == Approx(61.7).margin(0.4));
  CHECK(found.strength > 0.9);

  for (float& value : series) value = static_cast<float>(noise(bits));
  CHECK(find_periods(autocorrelation(series, 1000)).period == 0);
  std::fill(series.begin(), series.end(), 3.0F);
  CHECK(find_periods(autocorrelation(series, 1000)).period == 0);
}

TEST_CASE("The profile is the distance to the nearest window, as computed by hand",
          "[detect][members][profile]") {
  // Against the definition: every window learned, shapes of zero mean and unit variance (with the
  // floor), the nearest that overlaps by no more than half, the mean over the last `points`.
  for (const std::size_t hop : {std::size_t{1}, std::size_t{7}}) {
    MemberSize size;
    size.bank_values = 300;
    Bench bench("profile-32", traits(1, 0, hop), size);
    std::mt19937_64 bits(5);
    std::vector<double> x;
    std::vector<double> distances;
    struct Window {
      std::size_t end;
      bool has_shape;  // false across the gap in what was learned
    };
    std::vector<Window> bank;
    std::size_t learned = 0;
    std::size_t clean = 0;
    constexpr std::size_t kPoints = 32;
    const auto shape = [&](std::size_t end) {
      std::vector<double> window(x.begin() + static_cast<std::ptrdiff_t>(end + 1 - kPoints),
                                 x.begin() + static_cast<std::ptrdiff_t>(end + 1));
      double mean = 0;
      double square = 0;
      for (const double v : window) mean += v / kPoints;
      for (double& v : window) square += (v - mean) * (v - mean) / kPoints;
      for (double& v : window) v = (v - mean) / std::sqrt(square + 0.05 * 0.05);
      return window;
    };
    for (std::size_t t = 0; t < 900; ++t) {
      // From time to time a jump, whose traces in the running products must go away.
      const std::vector<float> sample{t % 200 == 150 ? 20.0F : wave(t, 1, bits, 23)[0]};
      x.push_back(static_cast<double>(sample[0]));
      // For a while nothing is learned, longer than the bank is.
      const bool learns = t / hop < 420 / hop || t / hop >= 650 / hop;
      const float score = bench.step(sample, learns);
      if (t + 1 >= kPoints && bank.size() >= 32) {
        double best = 1e9;
        const std::vector<double> mine = shape(t);
        for (const Window& window : bank) {
          if (!window.has_shape || window.end + kPoints / 2 > t) continue;
          const std::vector<double> theirs = shape(window.end);
          double square = 0;
          for (std::size_t i = 0; i < kPoints; ++i) {
            square += (mine[i] - theirs[i]) * (mine[i] - theirs[i]) / kPoints;
          }
          best = std::min(best, square);
        }
        distances.push_back(std::sqrt(best));
        const std::size_t n = std::min(distances.size(), kPoints);
        double mean = 0;
        for (std::size_t i = distances.size() - n; i < distances.size(); ++i) {
          mean += distances[i] / static_cast<double>(n);
        }
        REQUIRE(static_cast<double>(score) == Approx(mean).margin(2e-3));
      } else if (t < kPoints) {
        CHECK(std::isnan(score));
      }
      if ((t + 1) % hop != 0) continue;
      if (!learns) clean = 0;
      for (std::size_t end = t + 1 - hop; learns && end <= t; ++end) {
        ++clean;
        if (++learned >= kPoints) bank.push_back({end, clean >= kPoints});
        if (bank.size() > 300) bank.erase(bank.begin());
      }
    }
    CHECK(distances.size() > 600);
  }
}

TEST_CASE("The ridge forecast finds the recursion that made a series, and its break",
          "[detect][members][ridge]") {
  Bench bench("ridge-short", traits());
  std::mt19937_64 bits(9);
  double a = 0;
  double b = 0;
  float usual = 0;
  float broken = 0;
  for (int t = 0; t < 3000; ++t) {
    const bool is_break = t >= 2900;
    const double next =
        (is_break ? 0.2 : 1.6) * a - (is_break ? -0.5 : 0.8) * b + 0.1 * noise(bits);
    b = a;
    a = next;
    const float score = bench.step({static_cast<float>(next)});
    if (t > 1500 && !is_break) usual = std::max(usual, score);
    if (t > 1500 && !is_break) CHECK(score < 3);
    if (is_break) broken = std::max(broken, score);
  }
  CHECK(usual > 1);
  CHECK(broken > 1.3F * usual);
}

TEST_CASE("Members that look at values find what they are for", "[detect][members][features]") {
  struct Case {
    std::string name;
    double mean, spread;
    double bump;  // added to the very first sample
  };
  for (const Case& each :
       {Case{"range", 0, 1, 9}, Case{"level", 3, 1, 0}, Case{"variance", 0, 4, 0},
        Case{"roughness", 0, 0.1, 0}, Case{"level-short", 5, 1, 0}, Case{"spike", 0, 1, 9},
        Case{"polynomial", 0, 1, 9}, Case{"state", 2, 0.3, 0},
        Case{"half-space-trees", 4, 0.2, 0}}) {
    CAPTURE(each.name);
    Bench bench(each.name, traits());
    REQUIRE(bench.exists());
    std::mt19937_64 bits(21);
    float usual = 0;
    for (int t = 0; t < 3000; ++t) {
      const float score = bench.step({static_cast<float>(noise(bits))});
      if (t > 1500) usual = std::max(usual, score);
    }
    float odd = 0;
    for (int t = 0; t < 60; ++t) {
      const double value = each.mean + each.spread * noise(bits) + (t == 0 ? each.bump : 0);
      odd = std::max(odd, bench.step({static_cast<float>(value)}, false));
    }
    CHECK(odd > 1.2F * usual);
  }
}

TEST_CASE("Members that look at shapes find one that never was", "[detect][members][shapes]") {
  for (const std::string name : {"profile-48", "profile-64", "profile-96", "profile-period",
                                 "templates", "subspace", "ridge", "seasonal", "spectral"}) {
    CAPTURE(name);
    for (const std::size_t channels : {std::size_t{1}, std::size_t{3}}) {
      Bench bench(name, traits(channels, 50));
      REQUIRE(bench.exists());
      std::mt19937_64 bits(4);
      float usual = 0;
      std::size_t t = 0;
      for (; t < 3000; ++t) {
        const float score = bench.step(wave(t, channels, bits));
        if (t > 1500) usual = std::max(usual, score);
      }
      // The last channel stands still for a while, then goes on.
      float odd = 0;
      double share = 0;
      for (; t < 3100; ++t) {
        std::vector<float> sample = wave(t, channels, bits);
        if (t < 3040) sample.back() = name == "spectral" && t == 3007 ? 6.0F : 0.1F;
        const float score = bench.step(sample, false);
        if (!(score > odd)) continue;
        odd = score;
        std::vector<double> shares(channels);
        bench.member().shares(bench.history(), shares);
        double sum = 0;
        for (const double each : shares) sum += each;
        CHECK(sum == Approx(1));
        share = shares.back();
      }
      CHECK(odd > 1.15F * usual);
      // A forecast is wrong for all channels when it is made from all of them.
      if (name != "ridge") CHECK(share > 0.5);
    }
  }
}

TEST_CASE(
    "Every member gives the same bits whatever it lived in before it was copied, and holds "
    "on after interruptions",
    "[detect][members][replay]") {
  for (const StreamMemberRow& row : stream_member_rows()) {
    CAPTURE(row.name);
    for (const std::size_t channels : {std::size_t{1}, std::size_t{4}}) {
      const auto run = [&](std::size_t hop) {
        Bench bench(std::string(row.name), traits(channels, 50, hop));
        REQUIRE(bench.exists());
        std::mt19937_64 bits(8);
        std::vector<float> scores;
        for (std::size_t t = 0; t < 2500; ++t) {
          if (t == 1201 || t == 1210 || t == 1800) bench.interrupt();
          std::vector<float> sample = wave(t, channels, bits);
          if (t > 700 && t < 800) std::fill(sample.begin(), sample.end(), 0.0F);
          if (t == 900) sample[0] = kMaxFollowed;
          scores.push_back(bench.step(sample, t < 2000 || t > 2100));
        }
        return scores;
      };
      const std::vector<float> first = run(8);
      const std::vector<float> again = run(8);
      std::size_t known = 0;
      for (std::size_t t = 0; t < first.size(); ++t) {
        const bool is_nan = std::isnan(first[t]);
        REQUIRE(is_nan == std::isnan(again[t]));
        if (is_nan) continue;
        REQUIRE(first[t] == again[t]);
        REQUIRE(std::isfinite(first[t]));
        ++known;
      }
      CHECK(known > 1200);
    }
  }
}

TEST_CASE("A clone goes on as the original does, and leaves it alone",
          "[detect][members][replay]") {
  for (const StreamMemberRow& row : stream_member_rows()) {
    CAPTURE(row.name);
    const auto made = row.make(traits(2, 50), {});
    REQUIRE(made != nullptr);
    History history(2, made->context() + 2);
    std::mt19937_64 bits(1);
    std::size_t t = 0;
    for (; t < 1500; ++t) {
      history.push(wave(t, 2, bits), time_of(t), kStep);
      made->follow(history);
      made->learn(history, 0, t + 1);
    }
    const auto copy = made->clone();
    History other = history;
    std::mt19937_64 wild(77);
    std::vector<float> expected;
    std::mt19937_64 same = bits;
    const auto original = made->clone();
    for (std::size_t i = 0; i < 100; ++i) {
      history.push(wave(t + i, 2, bits), time_of(t + i), kStep);
      expected.push_back(original->follow(history));
      original->learn(history, 0, t + i + 1);
      other.push(std::vector<float>(2, static_cast<float>(noise(wild))), time_of(t + i), kStep);
      copy->follow(other);
      copy->learn(other, 0, t + i + 1);
    }
    History third(2, made->context() + 2);
    std::mt19937_64 again(1);
    for (std::size_t i = 0; i < t; ++i) third.push(wave(i, 2, again), time_of(i), kStep);
    for (std::size_t i = 0; i < 100; ++i) {
      third.push(wave(t + i, 2, same), time_of(t + i), kStep);
      REQUIRE(made->follow(third) == expected[i]);
      made->learn(third, 0, t + i + 1);
    }
  }
}

TEST_CASE("Members say what they hold, and do not grow", "[detect][members][cost]") {
  for (const StreamMemberRow& row : stream_member_rows()) {
    CAPTURE(row.name);
    Bench bench(std::string(row.name), traits(2, 50));
    std::mt19937_64 bits(6);
    for (std::size_t t = 0; t < 3000; ++t) bench.step(wave(t, 2, bits));
    const std::size_t before = bench.member().bytes();
    for (std::size_t t = 3000; t < 9000; ++t) bench.step(wave(t, 2, bits));
    CHECK(bench.member().bytes() == before);
    CHECK(before > 0);
    CHECK(before < (200U << 10U));
    CHECK(bench.member().operations() > 0);
    CHECK(bench.member().span() > 0);
  }
}

TEST_CASE("Members that a stream does not suit are not made", "[detect][members]") {
  CHECK_FALSE(Bench("seasonal", traits()).exists());
  CHECK_FALSE(Bench("profile-period", traits()).exists());
  StreamTraits wide = traits(60);
  CHECK_FALSE(Bench("state", wide).exists());
  CHECK_FALSE(Bench("half-space-trees", traits(100)).exists());
  StreamTraits brief = traits();
  brief.samples = 40;
  CHECK_FALSE(Bench("profile-64", brief).exists());
  CHECK_FALSE(Bench("subspace", brief).exists());
  CHECK(find_stream_member("gan") == nullptr);
}

}  // namespace
}  // namespace anomalyd::detect

#include "detect/corruption.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "nn/random.h"

namespace anomalyd::detect {
namespace {

constexpr std::size_t kShortest = 4;  // samples of a stretch, but for spikes
constexpr std::size_t kMostWidth = 16;

double log_uniform(std::mt19937_64& bits, double least, double most) {
  return least * std::pow(most / least, nn::unit_uniform(bits));
}
bool coin(std::mt19937_64& bits) { return (bits() & 1U) != 0; }
double sign_of(std::mt19937_64& bits) { return coin(bits) ? 1.0 : -1.0; }
double normal(std::mt19937_64& bits) {
  return nn::normal_quantile((static_cast<double>(bits() >> 11U) + 0.5) * 0x1.0p-53);
}

/// Samples begin .. begin + length - 1.
struct Stretch {
  std::size_t begin = 0;
  std::size_t length = 0;
};

/// Of any length from kShortest to all of the window, short ones as often as long ones.
Stretch draw_stretch(std::size_t samples, std::mt19937_64& bits) {
  const double most = static_cast<double>(samples);
  const auto drawn = static_cast<std::size_t>(log_uniform(bits, kShortest, most + 1));
  const std::size_t length = std::clamp(drawn, kShortest, samples);
  return {static_cast<std::size_t>(bits() % (samples - length + 1)), length};
}

/// One channel before and after: reads what was, writes what is to be.
struct Line {
  std::span<const float> before;
  std::span<const float> other;
  std::span<float> after;
  std::size_t channels;
  std::size_t channel;
  std::size_t samples;

  double was(std::size_t i) const { return static_cast<double>(before[i * channels + channel]); }
  double others(std::size_t i) const { return static_cast<double>(other[i * channels + channel]); }
  void put(std::size_t i, double value) const {
    after[i * channels + channel] = static_cast<float>(value);
  }
  /// Between samples, held at the ends.
  double at(double position) const {
    const double held = std::clamp(position, 0.0, static_cast<double>(samples - 1));
    const auto low = static_cast<std::size_t>(held);
    const std::size_t high = std::min(low + 1, samples - 1);
    const double part = held - static_cast<double>(low);
    return was(low) + part * (was(high) - was(low));
  }
  double mean(Stretch s) const {
    double sum = 0;
    for (std::size_t i = 0; i < s.length; ++i) sum += was(s.begin + i);
    return sum / static_cast<double>(s.length);
  }
  double spread() const {
    const double middle = mean({0, samples});
    double sum = 0;
    for (std::size_t i = 0; i < samples; ++i) sum += (was(i) - middle) * (was(i) - middle);
    return std::sqrt(sum / static_cast<double>(samples));
  }
};

/// What is drawn once and holds for all channels that a corruption touches.
struct Draw {
  Stretch stretch;
  double amount = 0;       // of a size, in spreads
  double gain = 1;         // kScale, kSpeed, kWarp
  std::size_t from = 0;    // kSplice: where in `other`; kPhase: how far; kSmooth: half width
  bool is_bump = false;    // kDrift
  bool is_joined = false;  // kSplice: without a step at its begin
};

Draw draw(Corruption kind, std::size_t samples, std::mt19937_64& bits) {
  Draw drawn;
  drawn.stretch = draw_stretch(samples, bits);
  drawn.amount = log_uniform(bits, 0.25, 4);
  drawn.is_bump = coin(bits);
  drawn.is_joined = coin(bits);
  const double gain = log_uniform(bits, 1.3, 3);
  drawn.gain = coin(bits) ? gain : 1 / gain;
  drawn.from = static_cast<std::size_t>(bits() % (samples - drawn.stretch.length + 1));
  if (kind == Corruption::kPhase) {
    drawn.from = 1 + static_cast<std::size_t>(bits() % (samples / 2));
  } else if (kind == Corruption::kSmooth) {
    drawn.from = 1 + static_cast<std::size_t>(bits() % std::min(kMostWidth / 2, samples / 4));
  } else if (kind == Corruption::kSpike) {
    drawn.stretch.length = std::min<std::size_t>(1 + bits() % 3, samples);
    drawn.stretch.begin = static_cast<std::size_t>(bits() % (samples - drawn.stretch.length + 1));
    drawn.amount = log_uniform(bits, 1, 8);
  }
  return drawn;
}

/// Adds to values, each by itself.
void add_to(Corruption kind, const Draw& drawn, const Line& line, std::mt19937_64& bits) {
  const Stretch s = drawn.stretch;
  const double own = line.spread();
  // Half of what is added is in the window's own spread, half in the stream's.
  const double size = drawn.amount * (coin(bits) ? std::max(own, 0.05) : std::max(own, 1.0));
  const double sign = sign_of(bits);
  for (std::size_t k = 0; k < s.length; ++k) {
    const double part = static_cast<double>(k + 1) / static_cast<double>(s.length);
    double added = 0;
    if (kind == Corruption::kNoise) added = 0.5 * size * normal(bits);
    if (kind == Corruption::kLevel || kind == Corruption::kSpike) added = sign * size;
    if (kind == Corruption::kDrift) {
      added = sign * size * (drawn.is_bump ? 1 - std::abs(2 * part - 1) : part);
    }
    line.put(s.begin + k, line.was(s.begin + k) + added);
  }
}

void smooth(const Draw& drawn, const Line& line) {
  const Stretch s = drawn.stretch;
  const std::size_t half = drawn.from;
  for (std::size_t k = 0; k < s.length; ++k) {
    const std::size_t i = s.begin + k;
    const std::size_t first = i - std::min(i, half);
    const std::size_t last = std::min(i + half, line.samples - 1);
    line.put(i, line.mean({first, last - first + 1}));
  }
}

/// Puts other places of the same window there.
void move_time(Corruption kind, const Draw& drawn, const Line& line) {
  const Stretch s = drawn.stretch;
  const auto begin = static_cast<double>(s.begin);
  const auto length = static_cast<double>(s.length);
  for (std::size_t k = 0; k < s.length; ++k) {
    const auto at = static_cast<double>(k);
    double from = begin;
    switch (kind) {
      case Corruption::kWarp:
        from += length * std::pow(at / length, drawn.gain);
        break;
      case Corruption::kSpeed:
        from += at * drawn.gain;
        break;
      case Corruption::kReverse:
        from += length - 1 - at;
        break;
      default:  // kPhase: round the window's end
        from = static_cast<double>((s.begin + k + drawn.from) % line.samples);
        break;
    }
    line.put(s.begin + k, line.at(from));
  }
}

void splice(const Draw& drawn, const Line& line) {
  const Stretch s = drawn.stretch;
  const double lift = drawn.is_joined ? line.was(s.begin) - line.others(drawn.from) : 0;
  for (std::size_t k = 0; k < s.length; ++k) {
    line.put(s.begin + k, line.others(drawn.from + k) + lift);
  }
}

void corrupt_line(Corruption kind, const Draw& drawn, const Line& line, std::mt19937_64& bits) {
  const Stretch s = drawn.stretch;
  switch (kind) {
    case Corruption::kNoise:
    case Corruption::kLevel:
    case Corruption::kDrift:
    case Corruption::kSpike:
      add_to(kind, drawn, line, bits);
      return;
    case Corruption::kSmooth:
      smooth(drawn, line);
      return;
    case Corruption::kWarp:
    case Corruption::kSpeed:
    case Corruption::kReverse:
    case Corruption::kPhase:
      move_time(kind, drawn, line);
      return;
    case Corruption::kScale: {
      const double mean = line.mean(s);
      for (std::size_t k = 0; k < s.length; ++k) {
        line.put(s.begin + k, mean + (line.was(s.begin + k) - mean) * drawn.gain);
      }
      return;
    }
    case Corruption::kFlat: {
      const double held = drawn.is_bump ? line.mean(s) : line.was(s.begin);
      for (std::size_t k = 0; k < s.length; ++k) line.put(s.begin + k, held);
      return;
    }
    case Corruption::kSplice:
    case Corruption::kDecouple:
      splice(drawn, line);
      return;
  }
}

bool may_touch_all(Corruption kind) {
  return kind == Corruption::kWarp || kind == Corruption::kSpeed || kind == Corruption::kReverse ||
         kind == Corruption::kSplice || kind == Corruption::kPhase;
}

/// One channel at least; never all of several for kDecouple.
std::vector<char> draw_channels(Corruption kind, std::size_t channels, std::mt19937_64& bits) {
  std::vector<char> touched(channels, 0);
  if (may_touch_all(kind) && coin(bits)) {
    std::fill(touched.begin(), touched.end(), 1);
    return touched;
  }
  const std::size_t most = kind == Corruption::kDecouple ? channels - 1 : channels;
  // Few channels as often as many: faults of one sensor are the ones to learn.
  const auto wanted = static_cast<std::size_t>(log_uniform(bits, 1, static_cast<double>(most) + 1));
  for (std::size_t n = 0; n < std::clamp<std::size_t>(wanted, 1, most);) {
    char& each = touched[static_cast<std::size_t>(bits() % channels)];
    n += each == 0 ? 1 : 0;
    each = 1;
  }
  return touched;
}

}  // namespace

std::string_view to_text(Corruption kind) {
  constexpr std::array<std::string_view, kCorruptions> kNames{
      "noise", "smooth", "drift",  "level", "warp",  "speed",   "reverse",
      "scale", "flat",   "splice", "spike", "phase", "decouple"};
  return kNames[static_cast<std::size_t>(kind)];
}

void corrupt(Corruption kind, std::span<const float> other, std::size_t channels,
             std::mt19937_64& bits, std::span<float> window) {
  ANOMALYD_CHECK(channels > 0 && window.size() % channels == 0 && other.size() == window.size() &&
                     window.size() / channels >= kLeastCorrupted,
                 "corruption: two windows of whole samples were expected");
  if (kind == Corruption::kDecouple && channels == 1) kind = Corruption::kSplice;
  const std::vector<float> before(window.begin(), window.end());
  const std::size_t samples = window.size() / channels;
  const Draw drawn = draw(kind, samples, bits);
  const std::vector<char> touched = draw_channels(kind, channels, bits);
  for (std::size_t c = 0; c < channels; ++c) {
    if (touched[c] == 0) continue;
    corrupt_line(kind, drawn, {before, other, window, channels, c, samples}, bits);
  }
}

Corruption corrupt_somehow(std::span<const float> other, std::size_t channels,
                           std::mt19937_64& bits, std::span<float> window) {
  const std::vector<float> before(window.begin(), window.end());
  const std::size_t kinds = channels > 1 ? kCorruptions : kCorruptions - 1;
  Corruption kind = Corruption::kNoise;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    std::copy(before.begin(), before.end(), window.begin());
    kind = static_cast<Corruption>(bits() % kinds);
    corrupt(kind, other, channels, bits, window);
    float most = 0;
    for (std::size_t i = 0; i < window.size(); ++i) {
      most = std::max(most, std::abs(window[i] - before[i]));
    }
    if (most >= kLeastChange) break;
  }
  return kind;
}

}  // namespace anomalyd::detect

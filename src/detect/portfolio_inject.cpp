#include "detect/portfolio_inject.h"

#include <algorithm>
#include <cmath>

#include "nn/random.h"

namespace anomalyd::detect {
namespace {

constexpr std::size_t kRepeats = 3;
constexpr std::size_t kLead = 192;  // samples before an anomaly, for members to fill their windows
constexpr std::size_t kLag = 48;
constexpr std::size_t kLongest = 96;
constexpr float kFound = 3;
constexpr std::uint64_t kSeed = 20261122;

float held(double value) {
  constexpr auto kMost = static_cast<double>(kMaxFollowed);
  return static_cast<float>(std::clamp(value, -kMost, kMost));
}

/// Twelve uniforms: about standard normal, the same on every platform.
double normal(std::mt19937_64& bits) {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += nn::unit_uniform(bits);
  return sum;
}

/// One channel of a recording.
class Line {
 public:
  Line(Recording& recording, std::size_t channel) : recording_(recording), channel_(channel) {}
  float& at(std::size_t i) { return recording_.values[i * recording_.channels + channel_]; }
  double value(std::size_t i) {
    return static_cast<double>(at(std::min(i, recording_.samples() - 1)));
  }
  double mean(std::size_t begin, std::size_t length) {
    double sum = 0;
    for (std::size_t i = 0; i < length; ++i) sum += value(begin + i);
    return sum / static_cast<double>(length);
  }

 private:
  Recording& recording_;
  std::size_t channel_;
};

/// What changes values where they are.
void inject_value(const Injection& injection, std::mt19937_64& bits, Line line) {
  const double sign = (bits() & 1U) != 0 ? 1 : -1;
  const double mean = line.mean(injection.begin, injection.length);
  const double first = line.value(injection.begin);
  const bool is_louder = (bits() & 1U) != 0;
  const double gain = is_louder ? 1 + injection.strength / 2 : 1 / (1 + injection.strength);
  const std::size_t peak = injection.begin + injection.length / 2;
  for (std::size_t k = 0; k < injection.length; ++k) {
    const std::size_t i = injection.begin + k;
    const double x = line.value(i);
    const double part = static_cast<double>(k + 1) / static_cast<double>(injection.length);
    double y = x;
    if (injection.kind == Anomaly::kSpike && i == peak) y = x + sign * 2 * injection.strength;
    if (injection.kind == Anomaly::kLevel) y = x + sign * injection.strength;
    if (injection.kind == Anomaly::kTrend) y = x + sign * 1.5 * injection.strength * part;
    if (injection.kind == Anomaly::kVariance) y = x + 0.5 * injection.strength * normal(bits);
    if (injection.kind == Anomaly::kAmplitude) y = mean + (x - mean) * gain;
    if (injection.kind == Anomaly::kFlat) y = first;
    line.at(i) = held(y);
  }
}

/// What puts other samples in the place of these: of which time, for sample k of the anomaly.
std::size_t source_of(const Injection& injection, std::size_t k, std::size_t other) {
  switch (injection.kind) {
    case Anomaly::kFrequency:
      return injection.begin + k * 3 / 2;
    case Anomaly::kMissing:
      return injection.begin + k + injection.length / 2;
    case Anomaly::kReversed:
      return injection.begin + injection.length - 1 - k;
    default:
      return other + k;  // kSplice, kDecoupled
  }
}

bool is_of_time(Anomaly kind) {
  return kind == Anomaly::kFrequency || kind == Anomaly::kMissing || kind == Anomaly::kReversed ||
         kind == Anomaly::kSplice || kind == Anomaly::kDecoupled;
}

/// Each member's highest surprise from sample `begin` on; lead_in samples before are followed.
std::vector<float> highest(const MemberSet& members, const Recording& recording,
                           std::size_t begin) {
  MemberSet own(members);
  own.interrupt();
  std::vector<float> most(own.slots().size(), 0.0F);
  for (std::size_t i = 0; i < recording.samples(); ++i) {
    own.follow(recording.sample(i));
    own.skip();
    for (std::size_t m = 0; i >= begin && m < most.size(); ++m) {
      const MemberSet::Slot& slot = own.slots()[m];
      most[m] = std::max(most[m], slot.steady.surprise(slot.raw));
    }
  }
  return most;
}

Recording stretch_of(const Recording& whole, std::size_t from, std::size_t samples) {
  Recording part;
  part.channels = whole.channels;
  const auto at = whole.values.begin() + static_cast<std::ptrdiff_t>(from * whole.channels);
  part.values.assign(at, at + static_cast<std::ptrdiff_t>(samples * whole.channels));
  return part;
}

}  // namespace

std::string_view to_text(Anomaly kind) {
  constexpr std::array<std::string_view, kAnomalies.size()> kNames{
      "spike",   "level",    "trend", "variance", "frequency", "amplitude",
      "missing", "reversed", "flat",  "splice",   "decoupled"};
  return kNames[static_cast<std::size_t>(kind)];
}

void inject(const Injection& injection, std::mt19937_64& bits, Recording& recording) {
  ANOMALYD_CHECK(injection.length > 0 && injection.channel < recording.channels &&
                     injection.begin + injection.length <= recording.samples(),
                 "inject: outside of the recording");
  if (!is_of_time(injection.kind)) {
    inject_value(injection, bits, Line(recording, injection.channel));
    return;
  }
  Recording before = recording;
  const std::size_t other = bits() % (recording.samples() - injection.length + 1);
  for (std::size_t c = 0; c < recording.channels; ++c) {
    if (injection.kind == Anomaly::kDecoupled && c != injection.channel) continue;
    Line to(recording, c);
    Line from(before, c);
    for (std::size_t k = 0; k < injection.length; ++k) {
      to.at(injection.begin + k) = held(from.value(source_of(injection, k, other)));
    }
  }
}

std::vector<double> injected_recall(const MemberSet& members, const Recording& clean) {
  std::vector<double> found(members.slots().size(), 0.0);
  const std::size_t samples = kLead + kLongest + kLag;
  if (clean.samples() < samples) return found;
  std::mt19937_64 bits(kSeed);
  double tried = 0;
  for (std::size_t repeat = 0; repeat < kRepeats; ++repeat) {
    const std::size_t from = bits() % (clean.samples() - samples + 1);
    const Recording stretch = stretch_of(clean, from, samples);
    const std::vector<float> usual = highest(members, stretch, kLead);
    for (const Anomaly kind : kAnomalies) {
      if (kind == Anomaly::kDecoupled && clean.channels == 1) continue;
      Recording odd = stretch;
      Injection injection;
      injection.kind = kind;
      injection.begin = kLead;
      injection.length = kLongest >> repeat;
      injection.channel = bits() % clean.channels;
      injection.strength = 0.5 + 0.5 * static_cast<double>(repeat);
      inject(injection, bits, odd);
      const std::vector<float> now = highest(members, odd, kLead);
      for (std::size_t m = 0; m < found.size(); ++m) {
        found[m] += now[m] >= kFound && now[m] > usual[m] + 1 ? 1 : 0;
      }
      ++tried;
    }
  }
  for (double& each : found) each /= tried;
  return found;
}

}  // namespace anomalyd::detect

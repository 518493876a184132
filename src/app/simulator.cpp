#include "app/simulator.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>

namespace anomalyd::app {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr std::array<std::pair<std::string_view, FaultKind>, 5> kFaultKinds{{
    {"imbalance", FaultKind::kImbalance},
    {"bearing", FaultKind::kBearing},
    {"looseness", FaultKind::kLooseness},
    {"stuck", FaultKind::kStuck},
    {"dropout", FaultKind::kDropout},
}};

// The healthy machine, in g: shaft orders 1 to 3, blade passing, faint bearing tones.
constexpr std::array<double, 3> kShaftG{0.10, 0.04, 0.02};
constexpr double kBladeG = 0.03;
constexpr double kBearingToneG = 0.004;
constexpr double kSpeedSeconds = 10;  // how long the speed stays off its mean

// The faults at severity 1, in g.
constexpr double kImbalanceG = 0.5;
constexpr double kImbalanceGrowthSeconds = 2;
constexpr double kImpulseG = 1.5;
constexpr double kSlip = 0.01;       // of the passing period, one standard deviation
constexpr double kBandwidth = 0.09;  // of the resonance, a share of the rate
constexpr std::array<double, 3> kHalfOrderG{0.15, 0.10, 0.06};  // orders 0.5, 1.5, 2.5
constexpr double kStopG = 0.15;    // where the loose casing meets its stop
constexpr double kStopGive = 0.2;  // how much of the way beyond it is left
constexpr std::array<double, 3> kRingGain{1.0, 0.7, 0.3};

/// sin(2 pi x). Its own polynomial, so that every machine gives the same bits.
///
/// Numerics  absolute error below 1e-13 for |x| < 1e3; Taylor's series to y^17 on |y| <= pi / 2.
double sine_of_turns(double x) {
  x -= std::floor(x + 0.5);  // [-0.5, 0.5): exact, as are the next two
  if (x > 0.25) x = 0.5 - x;
  if (x < -0.25) x = -0.5 - x;
  const double y = 2 * kPi * x;
  const double z = y * y;
  double sum = 0;
  for (int n = 16; n >= 2; n -= 2) sum = (1 + sum) * (-z / (n * (n + 1)));
  return y * (1 + sum);
}

double cosine_of_turns(double x) { return sine_of_turns(x + 0.25); }

/// [0, 1), 53 bits.
double uniform(std::mt19937_64& bits) { return static_cast<double>(bits() >> 11U) * 0x1p-53; }

/// Mean 0, standard deviation 1: twelve uniforms of 21 bits, less their mean.
double normal(std::mt19937_64& bits) {
  constexpr std::uint64_t kMask = (1U << 21U) - 1;
  std::uint64_t sum = 0;
  for (int draw = 0; draw < 4; ++draw) {
    const std::uint64_t word = bits();
    sum += (word & kMask) + ((word >> 21U) & kMask) + ((word >> 42U) & kMask);
  }
  // The mean of a 21-bit integer is half an integer: twelve of them, exactly 6 (2^21 - 1).
  return (static_cast<double>(sum) - 6.0 * static_cast<double>(kMask)) * 0x1p-21;
}

std::uint64_t mix(std::uint64_t seed, std::uint64_t purpose) {  // splitmix64
  std::uint64_t z = seed + purpose * 0x9e3779b97f4a7c15U;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31U);
}

Error refusal(std::string_view what, double got, std::string_view expected) {
  std::array<char, 32> number{};
  std::snprintf(number.data(), number.size(), "%g", got);
  return Error{ErrorCode::kInvalidArgument, "simulator: " + std::string(what) + ": got " +
                                                number.data() + ", expected " +
                                                std::string(expected)};
}

}  // namespace

Result<FaultKind> parse_fault_kind(std::string_view name) {
  std::string known;
  for (const auto& [text, kind] : kFaultKinds) {
    if (text == name) return kind;
    known += (known.empty() ? "" : ", ") + std::string(text);
  }
  return Error{ErrorCode::kInvalidArgument,
               "fault: got '" + std::string(name) + "', expected one of " + known};
}

std::string_view fault_kind_name(FaultKind kind) {
  for (const auto& [text, known] : kFaultKinds) {
    if (known == kind) return text;
  }
  return "unknown";
}

Result<Simulator> Simulator::make(const SimulatorOptions& options) {
  const SimulatorOptions& o = options;
  // Written so that NaN, which compares false, is refused.
  if (!(o.rate_hz >= 10 && o.rate_hz <= 1e6)) return refusal("rate_hz", o.rate_hz, "10 to 1e6");
  if (!(o.shaft_hz > 0 && o.shaft_hz < o.rate_hz / 2)) {
    return refusal("shaft_hz", o.shaft_hz, "more than 0 and less than half of rate_hz");
  }
  if (!(o.speed_wander >= 0 && o.speed_wander <= 0.1)) {
    return refusal("speed_wander", o.speed_wander, "0 to 0.1");
  }
  if (!(o.blades > 0 && o.blades <= 1000)) return refusal("blades", o.blades, "above 0, to 1000");
  if (!(o.bpfo_factor > 0 && o.bpfo_factor <= 1000)) {
    return refusal("bpfo_factor", o.bpfo_factor, "above 0, to 1000");
  }
  if (!(o.bpfi_factor > 0 && o.bpfi_factor <= 1000)) {
    return refusal("bpfi_factor", o.bpfi_factor, "above 0, to 1000");
  }
  if (!(o.resonance_hz >= 0 && o.resonance_hz < o.rate_hz / 2)) {
    return refusal("resonance_hz", o.resonance_hz, "0 or more and less than half of rate_hz");
  }
  if (!(o.noise_g >= 0 && o.noise_g <= 1000)) return refusal("noise_g", o.noise_g, "0 to 1000");
  if (!(o.jitter >= 0 && o.jitter < 0.5)) return refusal("jitter", o.jitter, "0 to below 0.5");
  // Two centuries on either side of what the time stamps can hold.
  if (o.start < 0 || o.start > std::numeric_limits<TimeNs>::max() / 2) {
    return Error{ErrorCode::kInvalidArgument, "simulator: start: got " + std::to_string(o.start) +
                                                  ", expected a time from 1970 to 2115"};
  }
  return Simulator(options);
}

Simulator::Simulator(const SimulatorOptions& options)
    : options_(options),
      noise_bits_(mix(options.seed, 1)),
      speed_bits_(mix(options.seed, 2)),
      jitter_bits_(mix(options.seed, 3)),
      slip_bits_(mix(options.seed, 4)),
      drop_bits_(mix(options.seed, 5)) {
  if (options_.resonance_hz == 0) options_.resonance_hz = 0.32 * options_.rate_hz;
  // y[n] = 2 r cos(w) y[n-1] - r^2 y[n-2] + sin(w) x[n] answers an impulse with a decaying sine
  // whose envelope starts at 1. r is exp(-pi bandwidth / rate) to first order.
  const double w_turns = options_.resonance_hz / options_.rate_hz;
  const double r = 1 - kPi * kBandwidth;
  ring_gain_ = sine_of_turns(w_turns);
  ring_a1_ = 2 * r * cosine_of_turns(w_turns);
  ring_a2_ = -r * r;
}

Status Simulator::inject(const Fault& fault) {
  if (!(fault.start_seconds >= 0 && std::isfinite(fault.start_seconds))) {
    return refusal("fault start_seconds", fault.start_seconds, "0 or more");
  }
  if (!(fault.duration_seconds > 0)) {
    return refusal("fault duration_seconds", fault.duration_seconds, "more than 0");
  }
  const double most = fault.kind == FaultKind::kDropout ? 1 : 100;
  if (!(fault.severity > 0 && fault.severity <= most)) {
    return refusal("fault severity", fault.severity,
                   most == 1 ? "above 0, to 1 (a share of the samples)" : "above 0, to 100");
  }
  faults_.push_back(fault);
  return Done{};
}

double Simulator::strength(FaultKind kind, double elapsed, double growth_seconds) const {
  double sum = 0;
  for (const Fault& fault : faults_) {
    const double age = elapsed - fault.start_seconds;
    if (fault.kind != kind || age < 0 || age >= fault.duration_seconds) continue;
    const double grown = growth_seconds > 0 ? std::min(1.0, age / growth_seconds) : 1.0;
    sum += fault.severity * grown;
  }
  return sum;
}

/// A rotating force: the second radial channel sees it a quarter turn of the tone later.
void Simulator::add_tone(double order, double radial_g, double axial_g,
                         std::array<double, 3>& sum) const {
  if (order * options_.shaft_hz >= options_.rate_hz / 2) return;
  const double turns = order * shaft_turns_;
  const double sine = sine_of_turns(turns);
  sum[0] += radial_g * sine;
  sum[1] -= 0.8 * radial_g * cosine_of_turns(turns);
  sum[2] += axial_g * sine;
}

/// The resonance's answer to the race's passings during this sample; `turns` of the shaft.
double Simulator::ring(double strength, double turns) {
  double input = pending_impulse_;
  pending_impulse_ = 0;
  next_impulse_ -= turns * options_.bpfo_factor;
  while (next_impulse_ <= 0) {
    // It fell `late` samples before this one: shared between two samples, so that the impulses'
    // rate is not rounded to whole periods.
    const double late = std::min(1.0, -next_impulse_ / (turns * options_.bpfo_factor));
    const double impulse = strength * kImpulseG;
    input += late * impulse;
    pending_impulse_ += (1 - late) * impulse;
    next_impulse_ += std::max(0.5, 1 + kSlip * normal(slip_bits_));
  }
  double y = ring_a1_ * ring_y1_ + ring_a2_ * ring_y2_ + ring_gain_ * input;
  if (std::abs(y) < 1e-30) y = 0;  // long after the last impulse: no denormals
  ring_y2_ = ring_y1_;
  ring_y1_ = y;
  return y;
}

bool Simulator::next(TimeNs& time, std::span<float> values) {
  ANOMALYD_CHECK(values.size() == kChannels.size(), "one value a channel");
  const double elapsed = elapsed_seconds();
  const double stamp_error = options_.jitter * (2 * uniform(jitter_bits_) - 1);
  time = options_.start + std::llround((static_cast<double>(index_) + stamp_error) *
                                       (static_cast<double>(kNsPerSecond) / options_.rate_hz));
  ++index_;

  // The speed is an Ornstein-Uhlenbeck process of spread speed_wander around its mean.
  const double step = 1 / (options_.rate_hz * kSpeedSeconds);
  speed_offset_ +=
      options_.speed_wander * std::sqrt(2 * step) * normal(speed_bits_) - step * speed_offset_;
  speed_offset_ = std::clamp(speed_offset_, -0.5, 0.5);
  const double turns = options_.shaft_hz * (1 + speed_offset_) / options_.rate_hz;
  shaft_turns_ += turns;

  std::array<double, 3> sum{};
  for (std::size_t k = 0; k < kShaftG.size(); ++k) {
    add_tone(static_cast<double>(k + 1), kShaftG[k], 0.4 * kShaftG[k], sum);
  }
  add_tone(options_.blades, kBladeG, kBladeG, sum);
  add_tone(options_.bpfo_factor, kBearingToneG, 0.3 * kBearingToneG, sum);
  add_tone(options_.bpfi_factor, kBearingToneG, 0.3 * kBearingToneG, sum);

  if (const double s = strength(FaultKind::kImbalance, elapsed, kImbalanceGrowthSeconds); s > 0) {
    add_tone(1, s * kImbalanceG, 0.1 * s * kImbalanceG, sum);
  }
  const double ringing = ring(strength(FaultKind::kBearing, elapsed), turns);
  for (std::size_t c = 0; c < sum.size(); ++c) sum[c] += kRingGain[c] * ringing;
  if (const double s = strength(FaultKind::kLooseness, elapsed); s > 0) {
    for (std::size_t k = 0; k < kHalfOrderG.size(); ++k) {
      add_tone(static_cast<double>(k) + 0.5, s * kHalfOrderG[k], 0.5 * s * kHalfOrderG[k], sum);
    }
    for (double& value : sum) {
      if (value > kStopG) value = kStopG + kStopGive * (value - kStopG);
    }
  }

  const bool stuck = index_ > 1 && strength(FaultKind::kStuck, elapsed) > 0;
  for (std::size_t c = 0; c < sum.size(); ++c) {
    const auto measured = static_cast<float>(sum[c] + options_.noise_g * normal(noise_bits_));
    if (!stuck) last_[c] = measured;
  }
  std::copy(last_.begin(), last_.end(), values.begin());
  const double missing = strength(FaultKind::kDropout, elapsed);
  return !(uniform(drop_bits_) < missing);
}

}  // namespace anomalyd::app

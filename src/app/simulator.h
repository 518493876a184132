#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace anomalyd::app {

/// What can be wrong with the simulated machine or its sensor.
enum class FaultKind {
  kImbalance,  ///< the shaft's own tone grows over two seconds
  kBearing,    ///< impulses at the outer race's rate ring a resonance
  kLooseness,  ///< half orders of the shaft, and the casing knocks against its stop
  kStuck,      ///< the sensor repeats its last values
  kDropout,    ///< samples are missing
};

/// "imbalance", "bearing", "looseness", "stuck", "dropout"; the error lists them.
Result<FaultKind> parse_fault_kind(std::string_view name);
std::string_view fault_kind_name(FaultKind kind);

/// A fault that is there in [start, start + duration), in seconds since the first sample.
struct Fault {
  FaultKind kind = FaultKind::kBearing;
  double start_seconds = 0;
  double duration_seconds = std::numeric_limits<double>::infinity();
  /// Amplitude, 1 being a clear fault, at most 100. kDropout: the share of samples missing, at
  /// most 1. kStuck: no meaning.
  double severity = 1;
};

struct SimulatorOptions {
  TimeNs start = 0;             ///< time stamp of the first sample
  double rate_hz = 1000;        ///< 10 to 1,000,000
  double shaft_hz = 25;         ///< mean speed; below half of rate_hz
  double speed_wander = 0.002;  ///< spread of the speed around its mean, a share of it; <= 0.1
  double blades = 7;            ///< blade (or tooth) passings a revolution
  double bpfo_factor = 3.5848;  ///< impulses a revolution of a flaw in the outer race
  double bpfi_factor = 5.4152;  ///< ... in the inner race
  double resonance_hz = 0;      ///< what bearing impulses ring; 0: 0.32 rate_hz
  double noise_g = 0.02;        ///< standard deviation of each channel's noise
  double jitter = 0.05;         ///< largest error of a time stamp, in sample periods; < 0.5
  std::uint64_t seed = 1;
};

/// An accelerometer on a rotating machine: x(t) = sum of a_k sin(2 pi k theta(t)) + noise + faults,
/// with theta the shaft's angle in turns, at an even rate with jittered time stamps.
///
/// Shapes    a sample is kChannels.size() values: two radial channels, the axial one.
/// Units     g; faults and elapsed_seconds() in seconds of simulated time.
/// Errors    make() and inject() refuse what is not finite or out of range (kInvalidArgument).
/// Numerics  Same options, same faults, same bits, on every machine: no math library, no standard
///           distribution. Noise is the sum of twelve uniforms, so within 6 standard deviations.
///           A fault leaves all noise as it is: outside its time a stuck or dropped stream
///           equals the clean one to the bit. Tones at or above half the rate are left out.
/// Cost      no heap allocation a sample.
/// Threads   none of its own; one caller at a time.
/// Source    Bearing impulses with random slip: Antoni and Randall 2003, "A stochastic model for
///           simulation and diagnostics of rolling element bearings with localized faults"
///           (outer race, so no modulation by the load zone). Factors: SKF 6205 as published
///           with the CWRU recordings. Half orders and a truncated wave for looseness: Randall,
///           "Vibration-based Condition Monitoring", 2011, ch. 2.
class Simulator {
 public:
  static constexpr std::array<std::string_view, 3> kChannels{"ax", "ay", "az"};

  static Result<Simulator> make(const SimulatorOptions& options);

  /// Adds a fault. Several may be there at once; one that is over stays without effect.
  Status inject(const Fault& fault);

  /// The next sample. False when a dropout swallowed it: `time` and `values` are set nevertheless.
  /// values.size() must be kChannels.size().
  bool next(TimeNs& time, std::span<float> values);

  /// Simulated time of the sample that next() will give.
  double elapsed_seconds() const { return static_cast<double>(index_) / options_.rate_hz; }
  const SimulatorOptions& options() const { return options_; }

 private:
  explicit Simulator(const SimulatorOptions& options);

  /// How strong `kind` is at `elapsed`: severities added, each risen linearly over
  /// `growth_seconds`.
  double strength(FaultKind kind, double elapsed, double growth_seconds = 0) const;
  void add_tone(double order, double radial_g, double axial_g, std::array<double, 3>& sum) const;
  double ring(double strength, double turns);

  SimulatorOptions options_;
  std::vector<Fault> faults_;
  std::int64_t index_ = 0;      // of the sample that next() will give
  double shaft_turns_ = 0;      // angle of the shaft
  double speed_offset_ = 0;     // (speed - mean) / mean
  double next_impulse_ = 1;     // outer-race passings until the next impulse
  double pending_impulse_ = 0;  // the part of the last impulse that falls on this sample
  double ring_gain_ = 0, ring_a1_ = 0, ring_a2_ = 0;  // the resonance as a two-pole filter
  double ring_y1_ = 0, ring_y2_ = 0;                  // and its last two outputs
  std::array<float, 3> last_{};
  // One generator a purpose: a fault must not shift the noise.
  std::mt19937_64 noise_bits_, speed_bits_, jitter_bits_, slip_bits_, drop_bits_;
};

}  // namespace anomalyd::app

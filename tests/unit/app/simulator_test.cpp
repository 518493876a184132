#include "app/simulator.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <complex>
#include <cstdint>
#include <limits>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.h"

namespace anomalyd::app {
namespace {

struct Recording {
  std::vector<TimeNs> times;
  std::vector<bool> arrived;
  std::vector<std::vector<float>> channels{3};
};

Simulator make(const SimulatorOptions& options, const std::vector<Fault>& faults = {}) {
  auto simulator = Simulator::make(options);
  REQUIRE(simulator.ok());
  for (const Fault& fault : faults) REQUIRE(simulator.value().inject(fault).ok());
  return std::move(simulator).value();
}

Recording record(Simulator simulator, std::size_t samples) {
  Recording recording;
  for (std::size_t i = 0; i < samples; ++i) {
    TimeNs time = 0;
    std::array<float, 3> values{};
    recording.arrived.push_back(simulator.next(time, values));
    recording.times.push_back(time);
    for (std::size_t c = 0; c < 3; ++c) recording.channels[c].push_back(values[c]);
  }
  return recording;
}

SimulatorOptions steady() {  // no wander, so that a tone is one line of the spectrum
  SimulatorOptions options;
  options.speed_wander = 0;
  return options;
}

/// Amplitude of the tone at `hz` in `x`, sampled at `rate_hz`: 2 / n |sum x e^(-i w t)|.
template <class Samples>
double amplitude(const Samples& x, double hz, double rate_hz) {
  std::complex<double> sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double turns = hz * static_cast<double>(i) / rate_hz;
    sum += static_cast<double>(x[i]) * std::polar(1.0, -2 * std::numbers::pi * turns);
  }
  return 2 * std::abs(sum) / static_cast<double>(x.size());
}

/// Squared differences: the energy that is left when the slow tones are gone.
std::vector<double> envelope(const std::vector<float>& x) {
  std::vector<double> out;
  for (std::size_t i = 2; i < x.size(); ++i) {
    const double d = static_cast<double>(x[i]) - 2.0 * static_cast<double>(x[i - 1]) +
                     static_cast<double>(x[i - 2]);
    out.push_back(d * d);
  }
  double mean = 0;
  for (const double value : out) mean += value / static_cast<double>(out.size());
  for (double& value : out) value -= mean;
  return out;
}

double kurtosis(const std::vector<float>& x) {
  const auto n = static_cast<double>(x.size());
  double mean = 0;
  for (const float value : x) mean += static_cast<double>(value) / n;
  double m2 = 0;
  double m4 = 0;
  for (const float value : x) {
    const double d = static_cast<double>(value) - mean;
    m2 += d * d / n;
    m4 += d * d * d * d / n;
  }
  return m4 / (m2 * m2);
}

std::uint64_t digest(const Recording& recording) {  // FNV-1a over bits, in order
  std::uint64_t hash = 0xcbf29ce484222325U;
  const auto add = [&hash](std::uint64_t word) { hash = (hash ^ word) * 0x100000001b3U; };
  for (const TimeNs time : recording.times) add(static_cast<std::uint64_t>(time));
  for (const auto& channel : recording.channels) {
    for (const float value : channel) add(std::bit_cast<std::uint32_t>(value));
  }
  return hash;
}

TEST_CASE("Simulator without noise, wander and jitter is its sum of tones",
          "[app][simulator][numeric]") {
  SimulatorOptions options = steady();
  options.noise_g = 0;
  options.jitter = 0;
  options.start = 5 * kNsPerSecond;
  const Recording x = record(make(options), 2000);
  for (std::size_t i = 0; i < 2000; ++i) {
    // The first sample is one step into the first turn.
    const double turns = 25.0 * static_cast<double>(i + 1) / 1000.0;
    const auto tone = [turns](double order, double g) {
      return g * std::sin(2 * std::numbers::pi * order * turns);
    };
    const double expected = tone(1, 0.10) + tone(2, 0.04) + tone(3, 0.02) + tone(7, 0.03) +
                            tone(3.5848, 0.004) + tone(5.4152, 0.004);
    // Values are float: half a unit in the last place of 0.25 is 1.5e-8.
    CHECK(std::abs(static_cast<double>(x.channels[0][i]) - expected) < 2e-8);
    CHECK(x.times[i] == 5 * kNsPerSecond + static_cast<TimeNs>(i) * 1'000'000);
  }
}

TEST_CASE("Simulator's noise has the asked spread, no mean and no memory",
          "[app][simulator][numeric]") {
  SimulatorOptions noisy = steady();
  SimulatorOptions silent = steady();
  silent.noise_g = 0;
  const Recording a = record(make(noisy), 50'000);
  const Recording b = record(make(silent), 50'000);
  for (std::size_t c = 0; c < 3; ++c) {
    double mean = 0;
    double square = 0;
    double lagged = 0;
    double before = 0;
    for (std::size_t i = 0; i < 50'000; ++i) {
      const double d =
          static_cast<double>(a.channels[c][i]) - static_cast<double>(b.channels[c][i]);
      mean += d / 50'000;
      square += d * d / 50'000;
      lagged += d * before / 50'000;
      before = d;
    }
    // Five standard errors: sd / sqrt(n) for the mean, sd / sqrt(2 n) for the spread.
    CHECK(std::abs(mean) < 5 * 0.02 / std::sqrt(50'000.0));
    CHECK(std::abs(std::sqrt(square) - 0.02) < 5 * 0.02 / std::sqrt(100'000.0));
    CHECK(std::abs(lagged) < 5 * 0.0004 / std::sqrt(50'000.0));
  }
}

TEST_CASE("Simulator gives the same bits for the same seed", "[app][simulator][determinism]") {
  const std::vector<Fault> faults{{FaultKind::kImbalance, 0.5, 1, 1},
                                  {FaultKind::kBearing, 1, 2, 1.5},
                                  {FaultKind::kLooseness, 2, 1, 1},
                                  {FaultKind::kStuck, 3, 0.5, 1},
                                  {FaultKind::kDropout, 3.5, 1, 0.3}};
  SimulatorOptions options;
  const Recording first = record(make(options, faults), 5000);
  const Recording again = record(make(options, faults), 5000);
  CHECK(first.times == again.times);
  CHECK(first.arrived == again.arrived);
  CHECK(first.channels == again.channels);
  // Recorded with g++ 12 on x86-64: the same on every machine, compiler and preset.
  CHECK(digest(first) == 0x5012f7ee4c2431d3U);

  options.seed = 2;
  const Recording other = record(make(options, faults), 5000);
  CHECK(first.channels != other.channels);
  CHECK(first.times != other.times);
}

TEST_CASE("Simulator's time stamps stay within their jitter and in order",
          "[app][simulator][time]") {
  SimulatorOptions options;
  options.jitter = 0.4;
  const Recording x = record(make(options), 20'000);
  double largest = 0;
  for (std::size_t i = 0; i < x.times.size(); ++i) {
    const double error = static_cast<double>(x.times[i]) - 1e6 * static_cast<double>(i);
    largest = std::max(largest, std::abs(error));
    if (i > 0) CHECK(x.times[i] > x.times[i - 1]);
  }
  CHECK(largest <= 0.4e6 + 1);
  CHECK(largest > 0.39e6);  // it is there
}

TEST_CASE("Simulator's speed wanders by what was asked", "[app][simulator][numeric]") {
  SimulatorOptions options;
  options.rate_hz = 100;
  options.shaft_hz = 2;
  options.noise_g = 0;
  options.speed_wander = 0.05;
  // Turns from the angle of the first tone: unwrapped phase of the rotating pair (ax, ay), which
  // only the first order is strong enough to turn.
  const Recording x = record(make(options), 100 * 600);
  std::vector<double> speeds;  // over each second
  double phase = 0;
  double kept = 0;
  for (std::size_t i = 0; i < x.times.size(); ++i) {
    const double angle = std::atan2(-static_cast<double>(x.channels[1][i]) / 0.8,
                                    static_cast<double>(x.channels[0][i]));
    // ax = sin, ay = -0.8 cos: the angle falls as the shaft turns.
    double delta = phase - angle;
    delta -= 2 * std::numbers::pi * std::round(delta / (2 * std::numbers::pi));
    kept += delta / (2 * std::numbers::pi);
    phase = angle;
    if ((i + 1) % 1000 == 0) {
      speeds.push_back(kept / 10);
      kept = 0;
    }
  }
  double mean = 0;
  double square = 0;
  for (const double speed : speeds) {
    mean += speed / static_cast<double>(speeds.size());
    square += (speed - 2) * (speed - 2) / static_cast<double>(speeds.size());
  }
  // 60 means over one time constant each; their spread is 0.86 of the process's.
  CHECK(std::abs(mean - 2) < 0.06);
  CHECK(std::sqrt(square) > 0.05);
  CHECK(std::sqrt(square) < 0.15);
}

TEST_CASE("Simulator's imbalance raises the shaft's own tone and no other",
          "[app][simulator][fault]") {
  const Recording clean = record(make(steady()), 12'000);
  const Recording faulty = record(make(steady(), {{FaultKind::kImbalance, 0, 1e9, 1}}), 12'000);
  const auto late = [](const Recording& x) {  // after its growth of 2 s
    return std::vector<float>(x.channels[0].begin() + 4000, x.channels[0].end());
  };
  CHECK(std::abs(amplitude(late(clean), 25, 1000) - 0.1) < 0.005);
  CHECK(std::abs(amplitude(late(faulty), 25, 1000) - 0.6) < 0.005);
  for (const double hz : {50.0, 75.0, 175.0}) {
    CHECK(std::abs(amplitude(late(faulty), hz, 1000) - amplitude(late(clean), hz, 1000)) < 1e-6);
  }
  const auto early = [](const Recording& x) {  // half grown on average over the first 2 s
    return std::vector<float>(x.channels[0].begin(), x.channels[0].begin() + 2000);
  };
  CHECK(std::abs(amplitude(early(faulty), 25, 1000) - 0.35) < 0.02);
}

TEST_CASE("Simulator's bearing fault rings at the outer race's rate and makes the wave spiky",
          "[app][simulator][fault]") {
  const Recording clean = record(make(steady()), 20'000);
  const Recording faulty = record(make(steady(), {{FaultKind::kBearing, 0, 1e9, 1}}), 20'000);
  const double bpfo = 3.5848 * 25;
  const auto line = [&](const Recording& x, double hz) {
    // The slip moves each impulse a little: the line is as wide as a few bins of 0.05 Hz.
    double best = 0;
    const auto e = envelope(x.channels[0]);
    for (double off = -1; off <= 1; off += 0.05) {
      best = std::max(best, amplitude(e, hz + off, 1000));
    }
    return best;
  };
  CHECK(line(faulty, bpfo) > 10 * line(clean, bpfo));
  CHECK(line(faulty, bpfo) > 3 * line(faulty, 0.8 * bpfo));
  CHECK(line(faulty, bpfo) > 3 * line(faulty, 5.4152 * 25));  // not the inner race's
  CHECK(kurtosis(clean.channels[0]) < 3);
  CHECK(kurtosis(faulty.channels[0]) > 4);

  // It is over when it is over, and before it starts nothing shows.
  const Recording some = record(make(steady(), {{FaultKind::kBearing, 5, 5, 1}}), 20'000);
  for (std::size_t i = 0; i < 20'000; ++i) {
    const double d =
        static_cast<double>(some.channels[0][i]) - static_cast<double>(clean.channels[0][i]);
    if (i < 5000) CHECK(d == 0);
    if (i > 10'100) CHECK(std::abs(d) < 1e-6);
  }
}

TEST_CASE("Simulator's looseness brings half orders and flattens one side",
          "[app][simulator][fault]") {
  const Recording clean = record(make(steady()), 8000);
  const Recording faulty = record(make(steady(), {{FaultKind::kLooseness, 0, 1e9, 1}}), 8000);
  for (const double order : {0.5, 1.5, 2.5}) {
    CHECK(amplitude(clean.channels[0], order * 25, 1000) < 0.002);
    CHECK(amplitude(faulty.channels[0], order * 25, 1000) > 0.03);
  }
  const auto lopsided = [](const std::vector<float>& x) {
    const auto [low, high] = std::minmax_element(x.begin(), x.end());
    return static_cast<double>(*high / -*low);
  };
  CHECK(lopsided(clean.channels[0]) > 0.9);
  CHECK(lopsided(faulty.channels[0]) < 0.7);
}

TEST_CASE("Simulator's stuck sensor repeats its last values and then goes on as if nothing was",
          "[app][simulator][fault]") {
  const Recording clean = record(make({}), 3000);
  const Recording stuck = record(make({}, {{FaultKind::kStuck, 1, 1, 1}}), 3000);
  for (std::size_t c = 0; c < 3; ++c) {
    for (std::size_t i = 0; i < 3000; ++i) {
      const bool frozen = i >= 1000 && i < 2000;
      CHECK(stuck.channels[c][i] == (frozen ? clean.channels[c][999] : clean.channels[c][i]));
    }
  }
  CHECK(stuck.times == clean.times);
  CHECK(std::count(stuck.arrived.begin(), stuck.arrived.end(), false) == 0);
}

TEST_CASE("Simulator's dropout swallows the asked share of samples and changes none",
          "[app][simulator][fault]") {
  const Recording clean = record(make({}), 12'000);
  const Recording holes = record(make({}, {{FaultKind::kDropout, 1, 10, 0.3}}), 12'000);
  CHECK(holes.channels == clean.channels);
  CHECK(std::count(clean.arrived.begin(), clean.arrived.end(), false) == 0);
  CHECK(std::count(holes.arrived.begin(), holes.arrived.begin() + 1000, false) == 0);
  CHECK(std::count(holes.arrived.begin() + 11'000, holes.arrived.end(), false) == 0);
  // 10,000 draws of 0.3: five standard deviations are 230.
  const auto missing = std::count(holes.arrived.begin(), holes.arrived.end(), false);
  CHECK(std::abs(static_cast<double>(missing) - 3000) < 230);

  const Recording none = record(make({}, {{FaultKind::kDropout, 0, 1, 1}}), 1000);
  CHECK(std::count(none.arrived.begin(), none.arrived.end(), true) == 0);
}

TEST_CASE("Simulator leaves out tones that its rate cannot carry", "[app][simulator][numeric]") {
  SimulatorOptions options = steady();
  options.rate_hz = 100;  // of 25, 50, 75, 175, 89.6 and 135 Hz only the first is below 50
  options.noise_g = 0;
  const Recording x = record(make(options), 1000);
  CHECK(std::abs(amplitude(x.channels[0], 25, 100) - 0.1) < 1e-6);
  for (std::size_t i = 0; i < x.times.size(); ++i) CHECK(std::abs(x.channels[0][i]) < 0.1001F);
}

TEST_CASE("Simulator refuses options that no machine has and says which",
          "[app][simulator][errors]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto refused = [](auto set, const std::string& named) {
    SimulatorOptions options;
    set(options);
    const auto made = Simulator::make(options);
    REQUIRE_FALSE(made.ok());
    CHECK(made.error().code == ErrorCode::kInvalidArgument);
    CHECK(made.error().message.find(named) != std::string::npos);
  };
  refused([](SimulatorOptions& o) { o.rate_hz = 0; }, "rate_hz: got 0");
  refused([&](SimulatorOptions& o) { o.rate_hz = nan; }, "rate_hz");
  refused([](SimulatorOptions& o) { o.shaft_hz = 500; }, "shaft_hz: got 500");
  refused([](SimulatorOptions& o) { o.shaft_hz = 0; }, "shaft_hz");
  refused([](SimulatorOptions& o) { o.speed_wander = 0.2; }, "speed_wander: got 0.2");
  refused([](SimulatorOptions& o) { o.blades = -1; }, "blades");
  refused([&](SimulatorOptions& o) { o.bpfo_factor = nan; }, "bpfo_factor");
  refused([](SimulatorOptions& o) { o.bpfi_factor = 0; }, "bpfi_factor");
  refused([](SimulatorOptions& o) { o.resonance_hz = 500; }, "resonance_hz: got 500");
  refused([](SimulatorOptions& o) { o.noise_g = -0.1; }, "noise_g");
  refused([](SimulatorOptions& o) { o.jitter = 0.5; }, "jitter: got 0.5");
  refused([](SimulatorOptions& o) { o.start = -1; }, "start: got -1");
}

TEST_CASE("Simulator refuses faults out of range and unknown kinds", "[app][simulator][errors]") {
  Simulator simulator = make({});
  const double inf = std::numeric_limits<double>::infinity();
  const auto message = [&](const Fault& fault) {
    const auto status = simulator.inject(fault);
    return status.ok() ? std::string() : status.error().message;
  };
  CHECK(message({FaultKind::kBearing, -1, 1, 1}).find("start_seconds: got -1") !=
        std::string::npos);
  CHECK(message({FaultKind::kBearing, inf, 1, 1}).find("start_seconds") != std::string::npos);
  CHECK(message({FaultKind::kBearing, 0, 0, 1}).find("duration_seconds: got 0") !=
        std::string::npos);
  CHECK(message({FaultKind::kBearing, 0, 1, 101}).find("severity: got 101") != std::string::npos);
  CHECK(message({FaultKind::kDropout, 0, 1, 1.5}).find("severity: got 1.5") != std::string::npos);
  CHECK(message({FaultKind::kBearing, 0, inf, 1}).empty());

  for (const auto* name : {"imbalance", "bearing", "looseness", "stuck", "dropout"}) {
    const auto kind = parse_fault_kind(name);
    REQUIRE(kind.ok());
    CHECK(fault_kind_name(kind.value()) == name);
  }
  const auto unknown = parse_fault_kind("gremlins");
  REQUIRE_FALSE(unknown.ok());
  CHECK(unknown.error().message.find("'gremlins'") != std::string::npos);
  CHECK(unknown.error().message.find("looseness") != std::string::npos);
}

}  // namespace
}  // namespace anomalyd::app

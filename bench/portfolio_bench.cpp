// What the detectors without a file cost: samples a second on one core, bytes of a learned stream
// and the time to learn it, for each preset at 1, 3 and 8 channels and hops of 1 and 64 samples.
//
//   portfolio_bench [--json] [--seconds N] [--rounds N] [--preset tiny|standard|full]
//
// One stream goes through detect::Detector as a shard sends it: each window is followed,
// normalised, scored, given its p-value and learned. Time is the thread's own CPU time; rates are
// medians over the rounds. The signal is a wave with harmonics and noise, other on each channel.
#include <time.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "detect/detector.h"

namespace {

using namespace anomalyd;

constexpr std::size_t kWindow = 128;
constexpr std::size_t kSpan = 16384;    // samples that are learned from
constexpr std::size_t kWarmUp = 16384;  // samples behind it, for banks to be full
constexpr std::array<std::size_t, 3> kChannels{1, 3, 8};
constexpr std::array<std::size_t, 2> kHops{1, 64};
constexpr std::array<const char*, 3> kPresets{"tiny", "standard", "full"};

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "portfolio_bench: %s\n", what.c_str());
  std::exit(1);
}

double thread_seconds() {
  timespec now{};
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0) fail("no clock of the thread");
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// A signal without end, a window of it at a time: kept as a ring that is read a hop further each.
class Signal {
 public:
  explicit Signal(std::size_t channels) : channels_(channels) {
    std::mt19937_64 bits(1);
    std::normal_distribution<double> noise(0, 0.1);
    for (std::size_t i = 0; i < kRing + kWindow; ++i) {
      // Whole periods in the ring, so that its end goes on at its begin.
      const double t = 2 * 3.14159265358979 * static_cast<double>(i % kRing) / 37.2363636363636;
      for (std::size_t c = 0; c < channels; ++c) {
        const double shift = 0.7 * static_cast<double>(c);
        values_.push_back(static_cast<float>(20 + std::sin(t + shift) +
                                             0.3 * std::sin(3 * t + 2 * shift) + noise(bits)));
      }
    }
    // What is read behind the end is what is read at the begin.
    std::copy_n(values_.begin(), kWindow * channels,
                values_.end() - static_cast<std::ptrdiff_t>(kWindow * channels));
  }

  std::span<const float> window(std::size_t begin) const {
    return std::span(values_).subspan(begin % kRing * channels_, kWindow * channels_);
  }

 private:
  static constexpr std::size_t kRing = 16384;
  std::size_t channels_;
  std::vector<float> values_;
};

struct Figures {
  std::string preset;
  std::size_t channels = 0;
  std::size_t hop = 0;
  double samples_per_second = 0;
  std::size_t bytes = 0;
  double learn_seconds = 0;  ///< all of the learning span, the making of its members with it
};

/// One stream of one detector.
class Stream {
 public:
  Stream(const char* preset, std::size_t channels, std::size_t hop)
      : signal_(channels),
        hop_(hop),
        normalised_(1, static_cast<Eigen::Index>(kWindow * channels)) {
    detect::DetectorInfo info;
    info.kind = preset;
    info.window_samples = kWindow;
    info.hop_samples = hop;
    info.normaliser = detect::NormaliserKind::kStream;
    info.learn_windows = kSpan / hop;
    auto made = detect::make_online_detector(info);
    if (!made.ok()) fail(made.error().message);
    detector_ = std::move(made).value();
    state_ = detector_->start(channels);
  }

  void learn() {
    while (detector_->progress(state_) < 1) {
      detector_->learn(state_, signal_.window(at_));
      at_ += hop_;
    }
  }

  /// Scores so many samples.
  void go_on(std::size_t samples) {
    const detect::StreamState* const states[1] = {&state_};
    for (const std::size_t end = at_ + samples; at_ < end; at_ += hop_) {
      const std::span<const float> raw = signal_.window(at_);
      detector_->follow(state_, raw);
      const std::span<float> row(normalised_.data(), raw.size());
      detector_->normalise(state_, raw, row);
      float score = 0;
      detector_->score(normalised_, states, std::span(&score, 1));
      // Summed up so that the compiler does not leave it out.
      alarms_ += detector_->p_value(state_, score) < 1e-3 ? 1 : 0;
      detector_->update(state_, row);
    }
  }

  std::size_t bytes() const { return state_.bytes(); }
  double alarms() const { return alarms_; }

 private:
  Signal signal_;
  std::size_t hop_;
  nn::Matrix<float> normalised_;
  std::shared_ptr<const detect::Detector> detector_;
  detect::StreamState state_;
  std::size_t at_ = 0;
  double alarms_ = 0;
};

Figures measure(const char* preset, std::size_t channels, std::size_t hop, double seconds,
                std::size_t rounds) {
  Figures figures{preset, channels, hop, 0, 0, 0};
  Stream stream(preset, channels, hop);
  double begin = thread_seconds();
  stream.learn();
  figures.learn_seconds = thread_seconds() - begin;
  stream.go_on(kWarmUp);
  std::vector<double> rates;
  for (std::size_t round = 0; round < rounds; ++round) {
    constexpr std::size_t kChunk = 2048;
    std::size_t samples = 0;
    double spent = 0;
    begin = thread_seconds();
    for (; spent < seconds; spent = thread_seconds() - begin, samples += kChunk) {
      stream.go_on(kChunk);
    }
    rates.push_back(static_cast<double>(samples) / spent);
  }
  std::sort(rates.begin(), rates.end());
  figures.samples_per_second = rates[rates.size() / 2];
  figures.bytes = stream.bytes();
  if (stream.alarms() < 0) fail("a count below 0");
  return figures;
}

void print_table(const std::vector<Figures>& all) {
  std::printf("%-10s %8s %5s %12s %10s %14s %14s\n", "preset", "channels", "hop", "samples/s",
              "ns/sample", "bytes/stream", "learning s");
  for (const Figures& figures : all) {
    std::printf("%-10s %8zu %5zu %12.0f %10.0f %14zu %14.3f\n", figures.preset.c_str(),
                figures.channels, figures.hop, figures.samples_per_second,
                1e9 / figures.samples_per_second, figures.bytes, figures.learn_seconds);
  }
}

void print_json(const std::vector<Figures>& all) {
  std::printf("{\"bench\":\"portfolio\",\"window\":%zu,\"span\":%zu,\"results\":[", kWindow, kSpan);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Figures& figures = all[i];
    std::printf(
        "%s{\"preset\":\"%s\",\"channels\":%zu,\"hop\":%zu,\"samples_per_second\":%.1f,"
        "\"bytes\":%zu,\"learn_seconds\":%.6f}",
        i > 0 ? "," : "", figures.preset.c_str(), figures.channels, figures.hop,
        figures.samples_per_second, figures.bytes, figures.learn_seconds);
  }
  std::printf("]}\n");
}

double positive(const char* option, const char* text) {
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  if (end == text || *end != '\0' || !(value > 0) || value > 1000) {
    fail(std::string(option) + ": '" + text + "', expected a number above 0, at most 1000");
  }
  return value;
}

}  // namespace

int main(int argc, char* argv[]) {
  bool json = false;
  double seconds = 0.5;
  std::size_t rounds = 3;
  std::string only;
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    if (option == "--json") {
      json = true;
    } else if (option == "--seconds" && i + 1 < argc) {
      seconds = positive("--seconds", argv[++i]);
    } else if (option == "--rounds" && i + 1 < argc) {
      rounds = static_cast<std::size_t>(std::ceil(positive("--rounds", argv[++i])));
    } else if (option == "--preset" && i + 1 < argc) {
      only = argv[++i];
      if (std::find(kPresets.begin(), kPresets.end(), only) == kPresets.end()) {
        fail("--preset: '" + only + "', expected tiny, standard or full");
      }
    } else {
      fail(
          "usage: portfolio_bench [--json] [--seconds N] [--rounds N] "
          "[--preset tiny|standard|full]");
    }
  }
  std::vector<Figures> all;
  for (const char* preset : kPresets) {
    if (!only.empty() && only != preset) continue;
    for (const std::size_t channels : kChannels) {
      for (const std::size_t hop : kHops) {
        all.push_back(measure(preset, channels, hop, seconds, rounds));
      }
    }
  }
  if (json) {
    print_json(all);
  } else {
    print_table(all);
  }
  return 0;
}

#include "detect/members/spectrum.h"

#include <bit>
#include <cmath>
#include <numbers>

#include "base/check.h"

namespace anomalyd::detect {
namespace {

using Complex = std::complex<double>;

constexpr std::size_t kLeastLag = 4;
constexpr double kLeastPeak = 0.25;
constexpr double kLeastDip = 0.1;  // below a peak, before it
constexpr double kNearlyAsHigh = 0.9;
constexpr double kClearlyHigher = 0.05;

/// The lag of the peak's top, by the parabola through it and its neighbours.
double refined(std::span<const double> r, std::size_t lag) {
  if (lag + 1 >= r.size()) return static_cast<double>(lag);
  const double curve = r[lag - 1] - 2 * r[lag] + r[lag + 1];
  if (!(curve < 0)) return static_cast<double>(lag);
  return static_cast<double>(lag) + 0.5 * (r[lag - 1] - r[lag + 1]) / curve;
}

}  // namespace

void fourier(std::span<Complex> values) {
  const std::size_t n = values.size();
  ANOMALYD_CHECK(std::has_single_bit(n), "fourier: a power of two was expected");
  for (std::size_t i = 1, j = 0; i < n; ++i) {
    std::size_t bit = n >> 1U;
    for (; (j & bit) != 0; bit >>= 1U) j ^= bit;
    j ^= bit;
    if (i < j) std::swap(values[i], values[j]);
  }
  for (std::size_t half = 1; half < n; half *= 2) {
    const double angle = -std::numbers::pi / static_cast<double>(half);
    for (std::size_t k = 0; k < half; ++k) {
      const Complex turn = std::polar(1.0, angle * static_cast<double>(k));
      for (std::size_t i = k; i < n; i += 2 * half) {
        const Complex a = values[i];
        const Complex& b = values[i + half];
        const Complex odd(turn.real() * b.real() - turn.imag() * b.imag(),
                          turn.real() * b.imag() + turn.imag() * b.real());
        values[i] = a + odd;
        values[i + half] = a - odd;
      }
    }
  }
}

std::vector<double> autocorrelation(std::span<const float> series, std::size_t lags) {
  std::vector<double> r(lags + 1, 0.0);
  const std::size_t n = series.size();
  if (n <= lags + 1) return r;
  double mean = 0;
  for (const float value : series) mean += static_cast<double>(value) / static_cast<double>(n);
  std::vector<Complex> values(std::bit_ceil(n + lags + 1));
  for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<double>(series[i]) - mean;
  fourier(values);
  for (Complex& value : values) value = std::norm(value);
  fourier(values);  // real and even: the inverse but for the factor
  const double variance = values[0].real() / static_cast<double>(n);
  if (!(variance > 1e-12 * static_cast<double>(values.size()))) return r;
  for (std::size_t lag = 0; lag <= lags; ++lag) {
    r[lag] = values[lag].real() / static_cast<double>(n - lag) / variance;
  }
  return r;
}

Periods find_periods(std::span<const double> r) {
  struct Peak {
    std::size_t lag;
    double height;
  };
  std::vector<Peak> peaks;
  double dip = 1;
  double highest = 0;
  for (std::size_t lag = 1; lag + 1 < r.size(); ++lag) {
    dip = std::min(dip, r[lag]);
    const bool is_peak = lag >= kLeastLag && r[lag] >= r[lag - 1] && r[lag] > r[lag + 1] &&
                         r[lag] >= kLeastPeak && r[lag] - dip >= kLeastDip;
    if (!is_peak) continue;
    peaks.push_back({lag, r[lag]});
    highest = std::max(highest, r[lag]);
  }
  Periods found;
  for (const Peak& peak : peaks) {
    if (found.period == 0 && peak.height >= kNearlyAsHigh * highest) {
      found.period = refined(r, peak.lag);
      found.strength = peak.height;
    }
  }
  // A shorter cycle inside of it, if the highest peak is far out: a day in a week.
  for (const Peak& peak : peaks) {
    if (static_cast<double>(peak.lag) * 3 > found.period) break;
    if (peak.height >= 0.6 * highest && peak.height <= found.strength - kClearlyHigher) {
      found.slow = found.period;
      found.period = refined(r, peak.lag);
      found.strength = peak.height;
      break;
    }
  }
  return found;
}

}  // namespace anomalyd::detect

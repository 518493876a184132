#pragma once

#include <complex>
#include <cstddef>
#include <span>
#include <vector>

namespace anomalyd::detect {

/// X(k) = sum of x(n) e^(-2 pi i k n / N), in place, N a power of two.
/// Errors   another N is a bug (check).
/// Cost     N log2 N complex multiply-adds.
/// Source   Cooley and Tukey 1965, radix 2.
void fourier(std::span<std::complex<double>> values);

/// Autocorrelation of lags 0 to `lags`, each against the variance: 1 at lag 0; the sums of a lag
/// are divided by the number of pairs. All 0 for a flat series.
std::vector<double> autocorrelation(std::span<const float> series, std::size_t lags);

/// The periods in an autocorrelation.
struct Periods {
  double period = 0;    ///< of the highest peak, the first of those nearly as high; 0: none
  double strength = 0;  ///< the autocorrelation there
  double slow = 0;      ///< of a higher one at three times the lag or more; 0: none
};
/// Peaks at lags from 4 on, past the first dip, refined by a parabola.
Periods find_periods(std::span<const double> autocorrelation);

}  // namespace anomalyd::detect

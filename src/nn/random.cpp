#include "nn/random.h"

#include <bit>
#include <cmath>

#include "base/check.h"

namespace anomalyd::nn {
namespace {

/// log x for 0 < x < 1, not denormal. std::log may differ in its last bit between machines.
double natural_log(double x) {
  constexpr double kLog2 = 0.69314718055994530942;
  auto bits = std::bit_cast<std::uint64_t>(x);
  auto exponent = static_cast<double>(static_cast<std::int64_t>(bits >> 52U) - 1023);
  double m = std::bit_cast<double>((bits & 0xfffffffffffffULL) | 0x3ff0000000000000ULL);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    exponent += 1;
  }
  // 2 atanh f; |f| < 0.172, so the first term left out is below 1e-20.
  const double f = (m - 1) / (m + 1);
  double series = 0;
  for (int k = 25; k >= 1; k -= 2) series = series * f * f + 1.0 / k;
  return exponent * kLog2 + 2 * f * series;
}

/// The ratio of two polynomials, the highest power first.
template <std::size_t kCount>
double ratio(const double (&above)[kCount], const double (&below)[kCount], double x) {
  double a = 0;
  double b = 0;
  for (std::size_t i = 0; i < kCount; ++i) {
    a = a * x + above[i];
    b = b * x + below[i];
  }
  return a / b;
}

// AS 241's names: a, b for the middle, c, d for the shoulders, e, f for the tails.
constexpr double kA[] = {2509.0809287301226727, 33430.575583588128105, 67265.770927008700853,
                         45921.953931549871457, 13731.693765509461125, 1971.5909503065514427,
                         133.14166789178437745, 3.387132872796366608};
constexpr double kB[] = {
    5226.495278852854561,  28729.085735721942674, 39307.89580009271061,  21213.794301586595867,
    5394.1960214247511077, 687.1870074920579083,  42.313330701600911252, 1};
constexpr double kC[] = {7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177,
                         1.27045825245236838258,   3.64784832476320460504,   5.7694972214606914055,
                         4.6303378461565452959,    1.42343711074968357734};
constexpr double kD[] = {1.05075007164441684324e-9, 5.475938084995344946e-4,
                         0.0151986665636164571966,  0.14810397642748007459,
                         0.68976733498510000455,    1.6763848301838038494,
                         2.05319162663775882187,    1};
constexpr double kE[] = {2.01033439929228813265e-7, 2.71155556874348757815e-5,
                         0.0012426609473880784386,  0.026532189526576123093,
                         0.29656057182850489123,    1.7848265399172913358,
                         5.4637849111641143699,     6.6579046435011037772};
constexpr double kF[] = {2.04426310338993978564e-15, 1.4215117583164458887e-7,
                         1.8463183175100546818e-5,   7.868691311456132591e-4,
                         0.0148753612908506148525,   0.13692988092273580531,
                         0.59983220655588793769,     1};

}  // namespace

double normal_quantile(double p) {
  ANOMALYD_CHECK(p > 0 && p < 1, "a chance lies between 0 and 1");
  const double q = p - 0.5;
  if (q >= -0.425 && q <= 0.425) return q * ratio(kA, kB, 0.180625 - q * q);
  const double r = std::sqrt(-natural_log(q < 0 ? p : 1 - p));
  const double x = r <= 5 ? ratio(kC, kD, r - 1.6) : ratio(kE, kF, r - 5);
  return q < 0 ? -x : x;
}

}  // namespace anomalyd::nn

#pragma once

#if defined(__FMA__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

// The product, for one instruction set. Each kernels_<set>.cpp says before it includes this, in the
// same unnamed namespace:
//
//   kLanes                        floats of a vector
//   kTilePanels                   panels that a tile covers where it can
//   kTileRows, kPanelRows, kHalfRows   most rows of a tile of that width, of one panel, of half one
//   kWidePanels, kWideRows        a tile for products of few rows; kWideRows 0: none
//
// Everything here is in an unnamed namespace and nothing of another header is called but
// intrinsics, which leave no function behind: an inline function compiled for AVX-512 could
// otherwise be the one that the linker keeps for all machines. The loops over rows and vectors must
// be unrolled, or the sums would not stay in registers.

namespace anomalyd::nn {
namespace {

using Index = std::ptrdiff_t;

template <int kCount>
struct Lanes {
  typedef float Vector __attribute__((vector_size(kCount * 4)));
  typedef float InMemory __attribute__((vector_size(kCount * 4), aligned(4), may_alias));
};
template <int kCount>
using Vector = typename Lanes<kCount>::Vector;

template <int kCount>
[[gnu::always_inline]] inline Vector<kCount> load(const float* from) {
  return *reinterpret_cast<const typename Lanes<kCount>::InMemory*>(from);
}

template <int kCount>
[[gnu::always_inline]] inline void store(float* to, Vector<kCount> value) {
  *reinterpret_cast<typename Lanes<kCount>::InMemory*>(to) = value;
}

/// Not V{} + x, which g++ does not fold: it would change -0.
template <int kCount>
[[gnu::always_inline]] inline Vector<kCount> broadcast(float x) {
  return x - Vector<kCount>{};
}

/// sum + a b, rounded once where the machine can. By name, for a compiler that is merely allowed to
/// fuse does not when a sanitizer's check lies between product and sum.
template <int kCount>
[[gnu::always_inline]] inline Vector<kCount> multiply_add(Vector<kCount> a, Vector<kCount> b,
                                                          Vector<kCount> sum) {
#if defined(__AVX512F__)
  if constexpr (kCount == 16) return _mm512_fmadd_ps(a, b, sum);
#endif
#if defined(__FMA__)
  if constexpr (kCount == 8) return _mm256_fmadd_ps(a, b, sum);
  if constexpr (kCount == 4) return _mm_fmadd_ps(a, b, sum);
#elif defined(__aarch64__)
  if constexpr (kCount == 4) return vfmaq_f32(sum, a, b);
#else
  return a * b + sum;
#endif
}

template <int kCount>
[[gnu::always_inline]] inline Vector<kCount> rectify(Vector<kCount> value, float slope) {
  const Vector<kCount> scaled = value * slope;
  return value > Vector<kCount>{} ? value : scaled;
}

/// Copies `count` < 16 floats and touches no other.
[[gnu::always_inline]] inline void copy_few(const float* from, float* to, Index count) {
  if ((count & 8) != 0) {
    __builtin_memcpy(to, from, 32);
    to += 8;
    from += 8;
  }
  if ((count & 4) != 0) {
    __builtin_memcpy(to, from, 16);
    to += 4;
    from += 4;
  }
  if ((count & 2) != 0) {
    __builtin_memcpy(to, from, 8);
    to += 2;
    from += 2;
  }
  if ((count & 1) != 0) *to = *from;
}

/// Of a vector that begins `count` columns before the last: what lies beyond them is zero, or not
/// written.
template <int kCount>
[[gnu::always_inline]] inline Vector<kCount> load_part(const float* from, Index count) {
  if (count >= kCount) return load<kCount>(from);
  alignas(64) float part[kCount] = {};
  if (count > 0) copy_few(from, part, count);
  return load<kCount>(part);
}

template <int kCount>
[[gnu::always_inline]] inline void store_part(float* to, Vector<kCount> value, Index count) {
  if (count >= kCount) {
    store<kCount>(to, value);
  } else if (count > 0) {
    alignas(64) float part[kCount];
    store<kCount>(part, value);
    copy_few(part, to, count);
  }
}

/// How A is walked: a stride known to be one is an offset in the instruction.
enum class Walk { kDepthByOne, kRowsByOne, kAny };

/// Where a tile's rows and columns begin.
struct Place {
  const float* a;
  const float* b;
  const float* bias;  // or null
  float* c;
  Index columns;  // from here on
};

/// C of kRows rows and kVectors vectors, held in registers over all of k. Every product() is made
/// of these; which ones decides nothing about an element's arithmetic.
template <int kCount, int kRows, int kVectors, int kPanel, Walk kWalk>
[[gnu::noinline]] void tile(const Product<float>& p, const Place& at) {
  constexpr int kPerPanel = kPanel / kCount;
  // x86 reaches base + stride and base + 2 stride in one address: a third of the pointers.
  constexpr int kGroup = kWalk == Walk::kDepthByOne ? 3 : 1;
  constexpr int kGroups = (kRows + kGroup - 1) / kGroup;
  const Index panel_stride = p.segments * p.depth * kPanel;

  Vector<kCount> sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) {
    if (at.bias != nullptr) {
      const Vector<kCount> start = load_part<kCount>(at.bias + v * kCount, at.columns - v * kCount);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) sum[r][v] = start;
    } else {
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        sum[r][v] = load_part<kCount>(at.c + r * p.c_row + v * kCount, at.columns - v * kCount);
      }
    }
  }

  const float* b = at.b;
  for (Index s = 0; s < p.segments; ++s) {
    const float* first = at.a + s * p.a_segment;
    if constexpr (kWalk == Walk::kDepthByOne) {
      const float* row[kGroups];
#pragma GCC unroll 16
      for (int g = 0; g < kGroups; ++g) row[g] = first + g * kGroup * p.a_row;
#pragma GCC unroll 4
      for (Index d = 0; d < p.depth; ++d) {
        Vector<kCount> weights[kVectors];
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) {
          weights[v] = load<kCount>(b + (v / kPerPanel) * panel_stride + (v % kPerPanel) * kCount);
        }
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          const Vector<kCount> x = broadcast<kCount>(row[r / kGroup][(r % kGroup) * p.a_row + d]);
#pragma GCC unroll 16
          for (int v = 0; v < kVectors; ++v)
            sum[r][v] = multiply_add<kCount>(x, weights[v], sum[r][v]);
        }
        b += kPanel;
      }
    } else {
      const Index a_row = kWalk == Walk::kRowsByOne ? 1 : p.a_row;
#pragma GCC unroll 4
      for (Index d = 0; d < p.depth; ++d) {
        Vector<kCount> weights[kVectors];
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) {
          weights[v] = load<kCount>(b + (v / kPerPanel) * panel_stride + (v % kPerPanel) * kCount);
        }
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          const Vector<kCount> x = broadcast<kCount>(first[r * a_row]);
#pragma GCC unroll 16
          for (int v = 0; v < kVectors; ++v)
            sum[r][v] = multiply_add<kCount>(x, weights[v], sum[r][v]);
        }
        b += kPanel;
        first += p.a_depth;
      }
    }
  }

  if (p.slope != 1.0F) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sum[r][v] = rectify<kCount>(sum[r][v], p.slope);
    }
  }
  if (at.columns >= kVectors * kCount) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) store<kCount>(at.c + r * p.c_row + v * kCount, sum[r][v]);
    }
  } else {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) {
        store_part<kCount>(at.c + r * p.c_row + v * kCount, sum[r][v], at.columns - v * kCount);
      }
    }
  }
}

/// The tile of `rows` <= kMost rows.
template <int kCount, int kMost, int kVectors, int kPanel, Walk kWalk>
[[gnu::always_inline]] inline void tile_of(Index rows, const Product<float>& p, const Place& at) {
  if constexpr (kMost > 1) {
    if (rows < kMost) return tile_of<kCount, kMost - 1, kVectors, kPanel, kWalk>(rows, p, at);
  }
  tile<kCount, kMost, kVectors, kPanel, kWalk>(p, at);
}

/// All rows of one strip of columns, in tiles of nearly the same height: a short last one would
/// wait for its sums.
template <int kCount, int kMost, int kVectors, int kPanel, Walk kWalk>
void strip(const Product<float>& p, Place at) {
  const Index tiles = (p.rows + kMost - 1) / kMost;
  const Index height = p.rows / tiles;
  const Index taller = p.rows % tiles;
  for (Index t = 0; t < tiles; ++t) {
    const Index rows = height + (t < taller ? 1 : 0);
    tile_of<kCount, kMost, kVectors, kPanel, kWalk>(rows, p, at);
    at.a += rows * p.a_row;
    at.c += rows * p.c_row;
  }
}

template <Walk kWalk>
void columns(const Product<float>& p) {
  // Where both strides vary each row has its own pointer: no more of them than there are registers.
  constexpr int kMost = kWalk == Walk::kAny ? 4 : 64;
  constexpr auto kUpTo = [](int rows) { return rows < kMost ? rows : kMost; };
  constexpr int kPanel = kPanelColumns;
  constexpr int kHalf = kHalfPanelColumns;
  constexpr int kHalfLanes = kLanes < kHalf ? kLanes : kHalf;
  const Index depth = p.segments * p.depth;
  Place at{p.a, p.b, p.bias, p.c, p.columns};
  const auto advance = [&](Index by) {
    at.b += by * depth;
    if (at.bias != nullptr) at.bias += by;
    at.c += by;
    at.columns -= by;
  };
  // A panel is full width from nine columns on.
  const auto panels = [&] { return (at.columns + kPanel - 1 - kHalf) / kPanel; };
  if constexpr (kWideRows > 0) {
    while (p.rows <= kWideRows && panels() >= kWidePanels) {
      tile_of<kLanes, kWideRows, kWidePanels * kPanel / kLanes, kPanel, kWalk>(p.rows, p, at);
      advance(kWidePanels * kPanel);
    }
  }
  if constexpr (kTilePanels > 1) {
    while (panels() >= kTilePanels) {
      strip<kLanes, kUpTo(kTileRows), kTilePanels * kPanel / kLanes, kPanel, kWalk>(p, at);
      advance(kTilePanels * kPanel);
    }
  }
  while (at.columns > kHalf) {
    strip<kLanes, kUpTo(kPanelRows), kPanel / kLanes, kPanel, kWalk>(p, at);
    advance(kPanel);
  }
  if (at.columns > 0) {
    strip<kHalfLanes, kUpTo(kHalfRows), kHalf / kHalfLanes, kHalf, kWalk>(p, at);
  }
}

constexpr int kPartials = kPartialSums;
constexpr int kPartialVectors = kPartials / kLanes;

[[gnu::always_inline]] inline void finish_one_column(const Product<float>& p, Index row,
                                                     float* partial) {
  for (int half = kPartials / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) partial[i] += partial[i + half];
  }
  float* c = p.c + row * p.c_row;
  const float value = partial[0] + (p.bias != nullptr ? *p.bias : *c);
  *c = value > 0.0F ? value : value * p.slope;
}

/// One row when there is one column: the lanes are the partial sums.
void one_column(const Product<float>& p, Index row) {
  Vector<kLanes> sum[kPartialVectors] = {};
  alignas(64) float staged[kPartials];
  const float* b = p.b;
  int filled = 0;
  const auto add = [&](const float* x) {
#pragma GCC unroll 16
    for (int v = 0; v < kPartialVectors; ++v) {
      sum[v] =
          multiply_add<kLanes>(load<kLanes>(x + v * kLanes), load<kLanes>(b + v * kLanes), sum[v]);
    }
    b += kPartials;
  };
  for (Index s = 0; s < p.segments; ++s) {
    const float* a = p.a + row * p.a_row + s * p.a_segment;
    Index d = 0;
    while (d < p.depth) {
      if (filled == 0 && p.a_depth == 1 && d + kPartials <= p.depth) {
        add(a + d);
        d += kPartials;
        continue;
      }
      staged[filled++] = a[d * p.a_depth];
      ++d;
      if (filled == kPartials) {
        add(staged);
        filled = 0;
      }
    }
  }
  if (filled > 0) {  // B is filled up with zeros
    while (filled < kPartials) staged[filled++] = 0.0F;
    add(staged);
  }
  alignas(64) float partial[kPartials];
#pragma GCC unroll 16
  for (int v = 0; v < kPartialVectors; ++v) store<kLanes>(partial + v * kLanes, sum[v]);
  finish_one_column(p, row, partial);
}

/// kLanes rows that lie side by side when there is one column: the lanes are the rows.
void one_column_of_rows(const Product<float>& p, Index row) {
  Vector<kLanes> sum[kPartials] = {};
  const float* b = p.b;
  int phase = 0;
  for (Index s = 0; s < p.segments; ++s) {
    const float* a = p.a + row + s * p.a_segment;
    for (Index d = 0; d < p.depth; ++d) {
      sum[phase] = multiply_add<kLanes>(load<kLanes>(a + d * p.a_depth), broadcast<kLanes>(*b++),
                                        sum[phase]);
      phase = (phase + 1) % kPartials;
    }
  }
  // As one_column() adds its filling: it may turn a -0.
  for (; phase != 0 && phase < kPartials; ++phase) sum[phase] += Vector<kLanes>{};
  for (int i = 0; i < kLanes; ++i) {
    float partial[kPartials];
    for (int k = 0; k < kPartials; ++k) partial[k] = sum[k][i];
    finish_one_column(p, row + i, partial);
  }
}

void run(const Product<float>& given) {
  Product<float> p = given;
  if (p.rows <= 0 || p.columns <= 0) return;
  if (p.segments * p.depth == 0) p.a_row = p.a_segment = 0;     // there may be no A to step through
  if (p.segments == 1 || p.a_segment == p.depth * p.a_depth) {  // one walk
    p.depth *= p.segments;
    p.segments = 1;
  }
  if (p.columns == 1) {
    Index row = 0;
    if (p.a_row == 1 && p.a_depth != 1) {
      for (; row + kLanes <= p.rows; row += kLanes) one_column_of_rows(p, row);
    }
    for (; row < p.rows; ++row) one_column(p, row);
  } else if (p.a_depth == 1) {
    columns<Walk::kDepthByOne>(p);
  } else if (p.a_row == 1) {
    columns<Walk::kRowsByOne>(p);
  } else {
    columns<Walk::kAny>(p);
  }
}

/// Chains of multiply-adds, more than the latency of one hides.
double burn_rounds(long long rounds) {
  constexpr int kChains = 12;
  Vector<kLanes> sum[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) sum[i] = broadcast<kLanes>(1e-3F * static_cast<float>(i));
  const Vector<kLanes> factor = broadcast<kLanes>(0.999F);
  const Vector<kLanes> term = broadcast<kLanes>(1e-4F);
  for (long long round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) sum[i] = multiply_add<kLanes>(sum[i], factor, term);
  }
  Vector<kLanes> total = sum[0];
  for (int i = 1; i < kChains; ++i) total += sum[i];
  // Something must be done with the sums, or there would be none.
  volatile float kept = total[0];
  static_cast<void>(kept);
  return 2.0 * kChains * kLanes * static_cast<double>(rounds);
}

}  // namespace
}  // namespace anomalyd::nn

#include "nn/product.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;

constexpr Index kTileColumns = 8;

// Fixed-size arrays, so that Eigen writes the vector instructions itself at any -O level. Not
// Eigen's own product: it splits k by the size of the machine's caches, which moves the bits.
template <class Scalar>
using Tile = Eigen::Array<Scalar, 1, kTileColumns>;
template <class Scalar>
using ReadTile = Eigen::Map<const Tile<Scalar>>;
template <class Scalar>
using WriteTile = Eigen::Map<Tile<Scalar>>;

template <class Scalar>
void tile_of_four(Index k, const Scalar* a, Index a_row, Index a_col, const Scalar* b, Index b_row,
                  Scalar* c, Index c_row) {
  Tile<Scalar> c0 = ReadTile<Scalar>(c);
  Tile<Scalar> c1 = ReadTile<Scalar>(c + c_row);
  Tile<Scalar> c2 = ReadTile<Scalar>(c + 2 * c_row);
  Tile<Scalar> c3 = ReadTile<Scalar>(c + 3 * c_row);
  for (Index j = 0; j < k; ++j) {
    const Tile<Scalar> row = ReadTile<Scalar>(b + j * b_row);
    const Scalar* column = a + j * a_col;
    c0 += column[0] * row;
    c1 += column[a_row] * row;
    c2 += column[2 * a_row] * row;
    c3 += column[3 * a_row] * row;
  }
  WriteTile<Scalar>(c, kTileColumns) = c0;
  WriteTile<Scalar>(c + c_row, kTileColumns) = c1;
  WriteTile<Scalar>(c + 2 * c_row, kTileColumns) = c2;
  WriteTile<Scalar>(c + 3 * c_row, kTileColumns) = c3;
}

template <class Scalar>
void tile_of_one(Index k, const Scalar* a, Index a_col, const Scalar* b, Index b_row, Scalar* c) {
  Tile<Scalar> c0 = ReadTile<Scalar>(c);
  for (Index j = 0; j < k; ++j) c0 += a[j * a_col] * ReadTile<Scalar>(b + j * b_row);
  WriteTile<Scalar>(c, kTileColumns) = c0;
}

template <class Scalar>
Scalar element(Index k, const Scalar* a, Index a_col, const Scalar* b, Index b_row, Scalar c) {
  for (Index j = 0; j < k; ++j) c += a[j * a_col] * b[j * b_row];
  return c;
}

}  // namespace

template <class Scalar>
void accumulate_product(Index m, Index k, Index n, const Scalar* a, Index a_row, Index a_col,
                        const Scalar* b, Index b_row, Scalar* c, Index c_row) {
  const Index tiled = n - n % kTileColumns;
  for (Index column = 0; column < tiled; column += kTileColumns) {
    Index row = 0;
    for (; row + 4 <= m; row += 4) {
      tile_of_four(k, a + row * a_row, a_row, a_col, b + column, b_row, c + row * c_row + column,
                   c_row);
    }
    for (; row < m; ++row) {
      tile_of_one(k, a + row * a_row, a_col, b + column, b_row, c + row * c_row + column);
    }
  }
  for (Index row = 0; row < m; ++row) {
    for (Index column = tiled; column < n; ++column) {
      Scalar& out = c[row * c_row + column];
      out = element(k, a + row * a_row, a_col, b + column, b_row, out);
    }
  }
}

template void accumulate_product<double>(Index, Index, Index, const double*, Index, Index,
                                         const double*, Index, double*, Index);

}  // namespace anomalyd::nn

// AVX2 and FMA: 16 registers of 8 floats.
#include "nn/kernels_product.h"

namespace anomalyd::nn {
namespace {

constexpr int kLanes = 8;
constexpr int kTilePanels = 1;
constexpr int kTileRows = 6;
constexpr int kPanelRows = kTileRows;
constexpr int kHalfRows = 12;
constexpr int kWidePanels = 2;
constexpr int kWideRows = 2;

}  // namespace
}  // namespace anomalyd::nn

#include "nn/kernels_body.h"

namespace anomalyd::nn::avx2 {

void product(const Product<float>& p) { run(p); }
double burn(long long rounds) { return burn_rounds(rounds); }

}  // namespace anomalyd::nn::avx2

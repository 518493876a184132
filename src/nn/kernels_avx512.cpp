// AVX-512 F, VL, DQ and BW: 32 registers of 16 floats.
#include "nn/kernels_product.h"

namespace anomalyd::nn {
namespace {

constexpr int kLanes = 16;
constexpr int kTilePanels = 2;
constexpr int kTileRows = 8;  // 16 sums: twice what hides the latency of two units
constexpr int kPanelRows = 12;
constexpr int kHalfRows = 12;
constexpr int kWidePanels = 4;
constexpr int kWideRows = 4;

}  // namespace
}  // namespace anomalyd::nn

#include "nn/kernels_body.h"

namespace anomalyd::nn::avx512 {

void product(const Product<float>& p) { run(p); }
double burn(long long rounds) { return burn_rounds(rounds); }

}  // namespace anomalyd::nn::avx512

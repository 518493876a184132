// For every machine: SSE2 on x86-64, which has no fused multiply-add; NEON on aarch64, which has.
#include "nn/kernels_product.h"

namespace anomalyd::nn {
namespace {

constexpr int kLanes = 4;
constexpr int kTilePanels = 1;
#if defined(__aarch64__)  // 32 registers
constexpr int kTileRows = 6;
constexpr int kHalfRows = 12;
#else  // 16
constexpr int kTileRows = 2;
constexpr int kHalfRows = 4;
#endif
constexpr int kPanelRows = kTileRows;
constexpr int kWidePanels = 1;
constexpr int kWideRows = 0;

}  // namespace
}  // namespace anomalyd::nn

#include "nn/kernels_body.h"

namespace anomalyd::nn::baseline {

void product(const Product<float>& p) { run(p); }
double burn(long long rounds) { return burn_rounds(rounds); }

}  // namespace anomalyd::nn::baseline

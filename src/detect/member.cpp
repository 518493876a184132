#include "detect/member.h"

#include <array>

#include "detect/hybrid.h"

namespace anomalyd::detect {
namespace {

constexpr std::array<MemberRow, 8> kRows{{
    {{"autoencoder", true, false}, fit_autoencoder, load_autoencoder, nullptr},
    {{"discriminator", true, false, 160, 8192, 8}, fit_discriminator, load_discriminator, nullptr},
    {{"full", false, true}, nullptr, nullptr, nullptr, make_portfolio},
    {{"hybrid", true, false, 160, 8192, 8, true},
     nullptr,
     nullptr,
     nullptr,
     nullptr,
     fit_hybrid,
     load_hybrid},
    {{"pca", true, false}, fit_pca, load_pca, nullptr},
    {{"standard", false, true}, nullptr, nullptr, nullptr, make_portfolio},
    {{"tiny", false, true}, nullptr, nullptr, nullptr, make_portfolio},
    {{"zscore", false, true}, nullptr, nullptr, make_online_zscore},
}};

std::string shape_text(const std::vector<std::size_t>& shape) {
  std::string text = "[";
  for (const std::size_t extent : shape) {
    text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  }
  return text + "]";
}

}  // namespace

std::span<const MemberKind> member_kinds() {
  static constexpr std::array<MemberKind, kRows.size()> kKinds = [] {
    std::array<MemberKind, kRows.size()> kinds{};
    for (std::size_t i = 0; i < kRows.size(); ++i) kinds[i] = kRows[i].kind;
    return kinds;
  }();
  return kKinds;
}

Result<const MemberRow*> find_member(std::string_view kind) {
  std::string known;
  for (const MemberRow& row : kRows) {
    if (row.kind.name == kind) return &row;
    known += (known.empty() ? "" : ", ") + std::string(row.kind.name);
  }
  return Error{
      ErrorCode::kInvalidArgument,
      "detector: unknown kind \"" + std::string(kind.substr(0, 64)) + "\", known: " + known};
}

Result<std::span<const float>> member_tensor(const nn::TensorFile& file, std::string_view name,
                                             const std::vector<std::size_t>& shape) {
  const auto found = file.tensors.find(name);
  if (found == file.tensors.end()) {
    return Error{ErrorCode::kCorrupt, "tensor \"" + std::string(name) + "\" is missing"};
  }
  if (found->second.shape != shape) {
    return Error{ErrorCode::kCorrupt, "tensor \"" + std::string(name) + "\": shape is " +
                                          shape_text(found->second.shape) + ", expected " +
                                          shape_text(shape)};
  }
  return std::span<const float>(found->second.values);
}

Result<ResidualScale> load_residual(const nn::TensorFile& file, std::string_view name,
                                    std::size_t channels) {
  const auto usual = member_tensor(file, name, {channels});
  if (!usual.ok()) return usual.error();
  for (const float value : usual.value()) {
    if (value < static_cast<float>(ResidualScale::kFloor)) {
      return Error{ErrorCode::kCorrupt,
                   "tensor \"" + std::string(name) + "\": " + std::to_string(value) +
                       ", expected at least " + std::to_string(ResidualScale::kFloor)};
    }
  }
  return ResidualScale({usual.value().begin(), usual.value().end()});
}

}  // namespace anomalyd::detect

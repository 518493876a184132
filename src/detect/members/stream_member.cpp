#include "detect/members/stream_member.h"

#include <array>

namespace anomalyd::detect {
namespace {

constexpr std::array<StreamMemberRow, 22> kRows{{
    {"range", "values never seen", false, true, make_range},
    {"level", "a shift of the mean", true, true, make_level},
    {"level-short", "a jump of the mean", true, false, make_level_short},
    {"variance", "louder or quieter", true, false, make_variance},
    {"roughness", "hiss, smoothing, flat lines", true, false, make_roughness},
    {"spike", "single wild values", true, false, make_spike},
    {"polynomial", "kinks and single wild values", true, true, make_polynomial},
    {"calendar", "wrong for the time of the day or of the week", true, false, make_calendar},
    {"seasonal", "wrong for the time of the period", true, false, make_seasonal},
    {"state", "a joint level, loudness and roughness never seen", true, true, make_state},
    {"ridge", "breaks of the dynamics", true, false, make_ridge},
    {"ridge-short", "breaks of the last steps and of the channels' relations", true, false,
     make_ridge_short},
    {"subspace", "windows outside of their usual components", true, false, make_subspace},
    {"templates", "shapes far from the usual few", false, false, make_templates},
    {"profile-32", "shapes never seen, 32 samples", false, false, make_profile_32},
    {"profile-48", "shapes never seen, 48 samples", false, false, make_profile_48},
    {"profile-64", "shapes never seen, 64 samples", false, false, make_profile_64},
    {"profile-96", "shapes never seen, 96 samples", false, false, make_profile_96},
    {"profile-128", "shapes never seen, 128 samples", false, false, make_profile_128},
    {"profile-period", "shapes never seen, one period", false, false, make_profile_period},
    {"half-space-trees", "values in sparse regions", false, false, make_half_space_trees},
    {"spectral", "what stands out of the last window", false, false, make_spectral},
}};

}  // namespace

std::span<const StreamMemberRow> stream_member_rows() { return kRows; }

const StreamMemberRow* find_stream_member(std::string_view name) {
  for (const StreamMemberRow& row : kRows) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

}  // namespace anomalyd::detect

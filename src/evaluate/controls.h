#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "evaluate/protocol.h"
#include "evaluate/scoring.h"

namespace anomalyd::evaluate {

/// What a detector must beat: none of these looks at a sensor.
enum class Control {
  kRandom,    ///< a uniform p-value for each sample
  kConstant,  ///< always anomalous
  kClock,     ///< how far into the recording it is, and nothing else
};
/// "random", "constant", "clock"; nothing for another name.
std::optional<Control> find_control(std::string_view name);

/// Where SKAB's clock alarms: rows behind the train part. All its experiments have one script.
inline constexpr Span kSkabClock{170, 570};

/// Scores of all samples of series `index`, each known at once.
///
/// Numerics  kRandom: a function of seed, series and sample alone. kClock: SKAB's is kSkabClock;
///           elsewhere the share of the *other* series that are anomalous at this hundredth of the
///           judged part, which is knowledge of the benchmark and not of the data; of recordings,
///           which are anomalous as a whole, it tells the time alone.
SampleScores control_scores(Control control, ProtocolKind protocol, const Dataset& dataset,
                            std::size_t index, std::uint64_t seed);

}  // namespace anomalyd::evaluate

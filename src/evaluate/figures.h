#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "evaluate/protocol.h"
#include "evaluate/series.h"
#include "evaluate/spans.h"

namespace anomalyd::evaluate {

/// One series with what a detector made of it: the judged part alone, without the train part.
struct JudgedSeries {
  const Series* series = nullptr;
  std::vector<double> score;
  std::vector<double> surprise;         ///< -log10 of the p-value
  std::vector<double> normal_p_values;  ///< of windows without a labelled sample, judged while no
                                        ///< alert was open
  std::size_t held_windows = 0;         ///< normal ones that such an alert kept out of these
  std::vector<Span> alerts;             ///< the daemon's own, as rows of the judged part
  std::vector<std::size_t> known_at;    ///< see SampleScores, as rows of the judged part
  std::size_t unscored = 0;             ///< samples of the judged part, see SampleScores

  /// Truth, events and changes of the judged part.
  Marks truth() const { return Marks(series->truth).subspan(series->train); }
  std::vector<Span> events() const;
};

struct Figure {
  std::string name;
  double value = 0;     ///< NaN: does not apply
  bool oracle = false;  ///< its threshold was chosen by the truth
};

/// What a protocol's table shows, and what stands at the head of it.
struct Headline {
  std::string_view name;
  std::string_view title;
};
std::vector<Headline> headlines(ProtocolKind protocol);
/// What a reader must know before he reads the table, one line each.
std::vector<std::string> cautions(ProtocolKind protocol);

/// All figures of a detector on a data set: the protocol's own first, then the general ones.
///
/// Shapes    a JudgedSeries for each series, in order.
/// Numerics  means are over the series that have normal and anomalous samples. What rewards an
/// early
///           alarm (delays, change points, NAB) takes it when its score is known, and is NaN where
///           that is kNever. Pooled figures (f1, far, mar, NAB, operation, calibration) take all
///           samples together, by surprise, which is comparable between series where scores are
///           not. Where all series share one detector (recordings), the areas are over all of them
///           together.
/// Threads   pure.
std::vector<Figure> figures_of(ProtocolKind protocol, const std::vector<JudgedSeries>& judged,
                               double alarm_p);

/// The value of a figure; NaN when it is not there.
double find_figure(const std::vector<Figure>& figures, std::string_view name);

}  // namespace anomalyd::evaluate

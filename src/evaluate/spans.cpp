#include "evaluate/spans.h"

#include <algorithm>
#include <numeric>

namespace anomalyd::evaluate {

std::vector<Span> spans_of(Marks marks) {
  std::vector<Span> spans;
  for (std::size_t i = 0; i < marks.size(); ++i) {
    if (marks[i] == 0) continue;
    if (spans.empty() || spans.back().end != i) spans.push_back({i, i});
    spans.back().end = i + 1;
  }
  return spans;
}

std::vector<std::uint8_t> alarms_held(Scores scores, double fire, double clear) {
  std::vector<std::uint8_t> alarms;
  bool is_on = false;
  for (const double score : scores) {
    is_on = score >= fire || (is_on && score >= clear);
    alarms.push_back(is_on ? 1 : 0);
  }
  return alarms;
}

std::vector<std::uint8_t> alarms_at(Scores scores, double threshold) {
  std::vector<std::uint8_t> alarms(scores.size());
  for (std::size_t i = 0; i < scores.size(); ++i) alarms[i] = scores[i] >= threshold ? 1 : 0;
  return alarms;
}

std::vector<std::size_t> by_falling_score(Scores scores) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  return order;
}

}  // namespace anomalyd::evaluate

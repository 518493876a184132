#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace anomalyd::evaluate {

/// Scores of a series' samples, higher = more anomalous, and its truth: 0 normal, else anomalous.
using Scores = std::span<const double>;
using Marks = std::span<const std::uint8_t>;

/// Samples begin..end-1.
struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t size() const { return end - begin; }
  bool contains(std::size_t i) const { return begin <= i && i < end; }
  friend bool operator==(const Span&, const Span&) = default;
};

/// In place of the sample at which a score is known: after the last one, which is no time to act.
inline constexpr std::size_t kNever = static_cast<std::size_t>(-1);

/// The maximal runs of marked samples, in order: the events of a truth, the alarms of a prediction.
std::vector<Span> spans_of(Marks marks);

/// Marks from what scores `fire` or more until it falls below `clear`: how an alert goes on.
std::vector<std::uint8_t> alarms_held(Scores scores, double fire, double clear);

/// Marks what scores `threshold` or more.
std::vector<std::uint8_t> alarms_at(Scores scores, double threshold);

/// Sample numbers by score, highest first, equal scores in order of time.
std::vector<std::size_t> by_falling_score(Scores scores);

}  // namespace anomalyd::evaluate

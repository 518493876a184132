#include "detect/fit.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <set>

#include "base/stream_key.h"
#include "base/time.h"
#include "detect/composed_detector.h"
#include "detect/portfolio_set.h"

namespace anomalyd::detect {
namespace {

using Eigen::Index;
using nn::Matrix;

enum Part : std::size_t { kTrain, kValidation, kCalibration, kParts };

constexpr std::array<double, kParts> kShares{0.6, 0.15, 0.25};
constexpr std::array<std::size_t, kParts> kLeast{16, 4, Calibration::kMinScores};
constexpr std::array<const char*, kParts> kNames{"training", "early stopping", "the calibration"};
// Windows at a time through the detector's own code, so that memory stays bounded.
constexpr Index kScoreBatch = 256;
// A recording is cut in time when each of its two gaps costs at most this share of it.
constexpr double kMostGap = 0.05;
// Of the only one, which cannot go whole to any part.
constexpr double kMostGapOfOne = 0.15;

Error refuse(const std::string& what) { return Error{ErrorCode::kInvalidArgument, "fit: " + what}; }

Status check_options(const FitOptions& options) {
  if (options.info.channels.empty()) return refuse("no channels");
  if (Status status = check_sizes(options.info); !status.ok()) return status;
  std::set<std::string_view> seen;
  for (const std::string& channel : options.info.channels) {
    if (!name_is_valid(channel)) return refuse("\"" + channel + "\" cannot name a channel");
    if (!seen.insert(channel).second) return refuse("the channel \"" + channel + "\" occurs twice");
  }
  if (options.epochs < 1) return refuse("epochs is " + std::to_string(options.epochs));
  if (options.patience < 1) return refuse("patience is " + std::to_string(options.patience));
  if (!(options.learning_rate > 0 && options.learning_rate < 1)) {
    return refuse("learning_rate is " + std::to_string(options.learning_rate) +
                  ", expected between 0 and 1");
  }
  if (options.batch_windows < 1) return refuse("batch_windows is 0, expected at least 1");
  if (options.threads < 1) return refuse("threads is 0, expected at least 1");
  return Done{};
}

Status check_recordings(const std::vector<Matrix<float>>& recordings, Index columns) {
  for (std::size_t r = 0; r < recordings.size(); ++r) {
    const Matrix<float>& windows = recordings[r];
    const std::string where = "recording " + std::to_string(r) + ": ";
    if (windows.rows() > 0 && windows.cols() != columns) {
      return refuse(where + "windows of " + std::to_string(windows.cols()) + " values, expected " +
                    std::to_string(columns) + " (samples * channels)");
    }
    for (Index row = 0; row < windows.rows(); ++row) {
      for (Index i = 0; i < columns; ++i) {
        if (!std::isfinite(windows(row, i))) {
          return refuse(where + "window " + std::to_string(row) + ", value " + std::to_string(i) +
                        ": " + std::to_string(windows(row, i)) + " is not finite");
        }
      }
    }
  }
  return Done{};
}

/// Windows first..last-1 of one recording.
struct Span {
  std::size_t recording = 0;
  Index first = 0;
  Index last = 0;
  Index size() const { return last - first; }
};
using Split = std::array<std::vector<Span>, kParts>;

Index windows_in(const std::vector<Span>& spans) {
  Index sum = 0;
  for (const Span& span : spans) sum += span.size();
  return sum;
}

/// Parts of the recordings' time that share no sample. A long recording is cut, train first, with
/// a gap of a window's length at each cut; a short one goes whole to the part that lacks most.
Split split_in_time(const std::vector<Span>& usable, Index gap) {
  Split split;
  std::vector<Span> whole;
  for (const Span& span : usable) {
    const Index n = span.size();
    const double most = usable.size() == 1 ? kMostGapOfOne : kMostGap;
    if (static_cast<double>(gap) > most * static_cast<double>(n)) {
      whole.push_back(span);
      continue;
    }
    const auto rest = static_cast<double>(n - 2 * gap);
    const auto train = static_cast<Index>(rest * kShares[kTrain]);
    const auto validation = static_cast<Index>(rest * kShares[kValidation]);
    const Index second = span.first + train + gap;
    const Index third = second + validation + gap;
    split[kTrain].push_back({span.recording, span.first, span.first + train});
    split[kValidation].push_back({span.recording, second, second + validation});
    split[kCalibration].push_back({span.recording, third, span.last});
  }
  for (const Span& span : whole) {
    std::size_t poorest = kTrain;
    double lack = -1;
    for (std::size_t part = 0; part < kParts; ++part) {
      double total = 0;
      for (const auto& spans : split) total += static_cast<double>(windows_in(spans));
      const double want = kShares[part] * (total + static_cast<double>(span.size()));
      const double missing = (want - static_cast<double>(windows_in(split[part]))) / kShares[part];
      if (missing > lack) {
        lack = missing;
        poorest = part;
      }
    }
    split[poorest].push_back(span);
  }
  return split;
}

/// Some number of windows in all that is surely enough, for the message.
std::size_t windows_needed(Index gap, std::size_t recordings) {
  double most = 0;
  for (std::size_t part = 0; part < kParts; ++part) {
    most = std::max(most, static_cast<double>(kLeast[part] + 1) / kShares[part]);
  }
  const double uncut = static_cast<double>(gap) / (recordings == 1 ? kMostGapOfOne : kMostGap);
  return static_cast<std::size_t>(
      std::ceil(std::max(most + 2.0 * static_cast<double>(gap), uncut)));
}

/// The fit's data: raw recordings, and each recording's own scale where the normaliser has one.
class Material {
 public:
  Material(const std::vector<Matrix<float>>& recordings, const DetectorInfo& info)
      : recordings_(recordings), info_(info) {
    for (std::size_t r = 0; r < recordings.size(); ++r) {
      const Index first = info.normaliser == NormaliserKind::kStream ? learn_recording(r) : 0;
      if (recordings[r].rows() > first) usable_.push_back({r, first, recordings[r].rows()});
    }
  }

  /// What is left of each recording for the parts, after a kStream normaliser's learning span.
  const std::vector<Span>& usable() const { return usable_; }

  /// Learns the domain's scale from the training part, where it is what normalises.
  Status learn_domain(const std::vector<Span>& train) {
    if (info_.normaliser != NormaliserKind::kDomain) return Done{};
    std::vector<ChannelMoments> sum(info_.channels.size());
    for (const Span& span : train) add(span, sum);
    scales_.assign(1, ChannelScale::of(sum));
    for (std::size_t c = 0; c < sum.size(); ++c) {
      if (scales_[0].spread[c] > 0) continue;
      return refuse("the channel \"" + info_.channels[c] + "\" is flat (" +
                    std::to_string(sum[c].mean) + ") in all of the " +
                    std::to_string(windows_in(train)) +
                    " training windows, which says nothing of what is normal: leave it out, or "
                    "record while it moves");
    }
    return Done{};
  }

  std::optional<ChannelScale> domain_scale() const {
    if (info_.normaliser != NormaliserKind::kDomain) return std::nullopt;
    return scales_.front();
  }

  Matrix<float> normalised(const std::vector<Span>& spans) const {
    Matrix<float> all(windows_in(spans),
                      static_cast<Index>(info_.window_samples * info_.channels.size()));
    Index to = 0;
    for (const Span& span : spans) {
      for (Index row = span.first; row < span.last; ++row, ++to) {
        const std::span<const float> raw = window(span.recording, row);
        const std::span<float> out(all.data() + to * all.cols(), raw.size());
        if (info_.normaliser == NormaliserKind::kWindow) {
          ChannelScale::of(window_moments(raw, info_.channels.size())).apply(raw, out);
        } else {
          const bool is_own = info_.normaliser == NormaliserKind::kStream;
          scales_[is_own ? span.recording : 0].apply(raw, out);
        }
      }
    }
    return all;
  }

 private:
  std::span<const float> window(std::size_t recording, Index row) const {
    const Matrix<float>& windows = recordings_[recording];
    return {windows.data() + row * windows.cols(), static_cast<std::size_t>(windows.cols())};
  }

  /// Learns a recording's scale as its stream would; the first window after the learning span.
  Index learn_recording(std::size_t recording) {
    ScaleLearner learner(info_.channels.size(), info_.learn_windows);
    std::size_t learned = 0;
    Index row = 0;
    for (; row < recordings_[recording].rows() && learned < info_.learn_windows; ++row) {
      learned += learner.take(window(recording, row));
    }
    scales_.push_back(learner.scale());
    return row;
  }

  void add(const Span& span, std::vector<ChannelMoments>& sum) const {
    for (Index row = span.first; row < span.last; ++row) {
      const std::vector<ChannelMoments> moments =
          window_moments(window(span.recording, row), sum.size());
      for (std::size_t c = 0; c < sum.size(); ++c) sum[c].merge(moments[c]);
    }
  }

  const std::vector<Matrix<float>>& recordings_;
  const DetectorInfo& info_;
  std::vector<ChannelScale> scales_;  // one of the domain, or of each recording
  std::vector<Span> usable_;
};

Result<Calibration> calibrate(const Member& member, const Matrix<float>& windows) {
  const StreamState none;
  std::vector<float> scores(static_cast<std::size_t>(windows.rows()));
  for (Index first = 0; first < windows.rows(); first += kScoreBatch) {
    const Index rows = std::min(kScoreBatch, windows.rows() - first);
    const std::vector<const StreamState*> states(static_cast<std::size_t>(rows), &none);
    member.score(
        windows.middleRows(first, rows), states,
        std::span(scores).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(rows)));
  }
  return Calibration::fit(scores);
}

}  // namespace

std::string digest_of_windows(const std::vector<Matrix<float>>& recordings) {
  std::string hashes;
  for (const Matrix<float>& windows : recordings) {
    const std::uint64_t hash =
        hash_bytes({reinterpret_cast<const char*>(windows.data()),  // NOLINT: bytes of floats
                    static_cast<std::size_t>(windows.size()) * sizeof(float)});
    char text[40];
    std::snprintf(text, sizeof text, "%lldx%016llx,", static_cast<long long>(windows.rows()),
                  static_cast<unsigned long long>(hash));
    hashes += text;
  }
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash_bytes(hashes)));
  return text;
}

Result<Fitted> fit_detector(const std::vector<Matrix<float>>& recordings,
                            const FitOptions& options) {
  const auto begin = system_clock().elapsed();
  // "hybrid-without-ridge" is fitted by the row of "hybrid"; other kinds have no such names.
  const std::string_view kind = options.info.kind;
  Result<const MemberRow*> row = find_member(kind.substr(0, kind.find(kWithout)));
  if (row.ok() && row.value()->fit_detector == nullptr) row = find_member(kind);
  if (!row.ok()) return row.error();
  if (row.value()->fit == nullptr && row.value()->fit_detector == nullptr) {
    return refuse("the kind \"" + options.info.kind +
                  "\" is learned by each stream itself: it has no file to train");
  }
  if (Status status = check_options(options); !status.ok()) return status.error();
  FitOptions settings = options;
  DetectorInfo& info = settings.info;
  if (info.normaliser != NormaliserKind::kStream) info.learn_windows = 0;
  if (info.normaliser == NormaliserKind::kStream && info.learn_windows == 0) {
    info.learn_windows = kDefaultLearnWindows;
  }
  const auto columns = static_cast<Index>(info.window_samples * info.channels.size());
  if (Status status = check_recordings(recordings, columns); !status.ok()) return status.error();
  if (row.value()->fit_detector != nullptr) return row.value()->fit_detector(recordings, settings);

  Material material(recordings, info);
  // Windows further apart than this share no sample.
  const auto gap =
      static_cast<Index>((info.window_samples + info.hop_samples - 1) / info.hop_samples);
  const std::vector<Span>& usable = material.usable();
  const Split split = split_in_time(usable, gap);
  for (std::size_t part = 0; part < kParts; ++part) {
    const Index got = windows_in(split[part]);
    if (got >= static_cast<Index>(kLeast[part])) continue;
    std::string text = std::to_string(windows_in(usable)) + " windows";
    if (info.learn_windows > 0) {
      text += " after the first " + std::to_string(info.learn_windows) +
              " of each recording in which all channels move";
    }
    return refuse(text + " leave " + std::to_string(got) + " for " + kNames[part] +
                  ", which needs " + std::to_string(kLeast[part]) + ": expected at least " +
                  std::to_string(windows_needed(gap, usable.size())) + " in one recording");
  }

  if (Status status = material.learn_domain(split[kTrain]); !status.ok()) return status.error();
  FitReport report;
  report.train_windows = static_cast<std::size_t>(windows_in(split[kTrain]));
  report.validation_windows = static_cast<std::size_t>(windows_in(split[kValidation]));
  report.calibration_windows = static_cast<std::size_t>(windows_in(split[kCalibration]));
  DetectorParts parts;
  {
    const Matrix<float> train = material.normalised(split[kTrain]);
    const Matrix<float> validation = material.normalised(split[kValidation]);
    Result<std::unique_ptr<Member>> member =
        row.value()->fit({train, validation, info.channels.size(), settings, report});
    if (!member.ok()) return member.error();
    parts.member = std::move(member).value();
  }
  Result<Calibration> calibration =
      calibrate(*parts.member, material.normalised(split[kCalibration]));
  if (!calibration.ok()) return calibration.error();
  parts.calibration = std::move(calibration).value();
  parts.scale = material.domain_scale();
  if (info.name.empty()) info.name = info.kind;
  info.training_digest = digest_of_windows(recordings);
  parts.info = info;
  report.seconds = std::chrono::duration<double>(system_clock().elapsed() - begin).count();
  return Fitted{compose(std::move(parts)), report};
}

}  // namespace anomalyd::detect

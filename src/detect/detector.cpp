#include "detect/detector.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "detect/composed_detector.h"
#include "detect/portfolio_set.h"

namespace anomalyd::detect {
namespace {

bool all_finite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

/// Each channel's part of the whole; equal parts when there is nothing to part.
std::vector<double> shares_of(const std::vector<double>& energies) {
  double total = 0;
  for (const double energy : energies) total += energy;
  const bool is_known = total > 0 && std::isfinite(total);
  std::vector<double> shares(energies.size(), 1.0 / static_cast<double>(energies.size()));
  for (std::size_t c = 0; is_known && c < energies.size(); ++c) shares[c] = energies[c] / total;
  return shares;
}

class ComposedDetector final : public Detector {
 public:
  explicit ComposedDetector(DetectorParts parts) : parts_(std::move(parts)) {
    const DetectorInfo& info = parts_.info;
    const std::size_t span = info.learn_windows;
    if (!parts_.calibration) {
      // An online member's span: a quarter for the normaliser, memory to the half, then scores.
      // The normaliser needs more than a few windows: an unlucky tenth would set the floors of
      // the member far off for the stream's whole life. It cannot have the half: the memory is of
      // normalised windows, so it starts after it, and half is needed to calibrate.
      normaliser_windows_ = info.normaliser == NormaliserKind::kStream ? span / 4 : 0;
      memory_windows_ = span / 2;
    } else {
      normaliser_windows_ = info.normaliser == NormaliserKind::kStream ? span : 0;
      memory_windows_ = span;
    }
  }

  const DetectorInfo& info() const override { return parts_.info; }
  bool is_online() const override { return parts_.member->is_online(); }

  StreamState start(std::size_t channels) const override {
    ANOMALYD_CHECK(
        channels > 0 && (parts_.info.channels.empty() || parts_.info.channels.size() == channels),
        "detector: start() with other channels than the detector's");
    StreamState state;
    state.member = parts_.member->new_memory(channels);
    if (const std::size_t span = parts_.info.learn_windows; span > 0) {
      state.learning = std::make_unique<Learning>(Learning{ScaleLearner(channels, span), {}});
    }
    return state;
  }

  double progress(const StreamState& state) const override {
    const std::size_t span = parts_.info.learn_windows;
    if (state.learned_windows >= span) return 1;
    return static_cast<double>(state.learned_windows) / static_cast<double>(span);
  }

  void learn(StreamState& state, std::span<const float> raw) const override {
    if (!all_finite(raw) || progress(state) >= 1) return;
    if (!state.learning->scale.take(raw)) return;
    const std::size_t at = state.learned_windows++;
    if (at < normaliser_windows_) {
      if (state.learned_windows == normaliser_windows_) {
        ChannelScale scale = state.learning->scale.scale();
        state.normaliser = std::move(scale.mean);
        state.normaliser.insert(state.normaliser.end(), scale.spread.begin(), scale.spread.end());
      }
    } else if (!parts_.calibration) {
      learn_member(state, raw, at);
    }
    if (state.learned_windows == parts_.info.learn_windows) finish(state);
  }

  void normalise(const StreamState& state, std::span<const float> raw,
                 std::span<float> normalised) const override {
    check_window(raw);
    ANOMALYD_CHECK(raw.size() == normalised.size(), "detector: normalise() into another size");
    switch (parts_.info.normaliser) {
      case NormaliserKind::kDomain:
        parts_.scale->apply(raw, normalised);
        return;
      case NormaliserKind::kStream:
        apply_scale(state.normaliser, raw, normalised);
        return;
      case NormaliserKind::kWindow:
        scale_of_window(raw).apply(raw, normalised);
        return;
    }
  }

  void score(const nn::Matrix<float>& windows, std::span<const StreamState* const> states,
             std::span<float> scores) const override {
    const auto n = static_cast<std::size_t>(windows.rows());
    ANOMALYD_CHECK(states.size() == n && scores.size() == n,
                   "detector: score() needs a state and a place for each window");
    if (n == 0) return;
    check_window({windows.data(), static_cast<std::size_t>(windows.cols())});
    parts_.member->score(windows, states, scores);
    for (std::size_t i = 0; i < n; ++i) {
      const float* row = windows.data() + static_cast<Eigen::Index>(i) * windows.cols();
      if (!all_finite({row, static_cast<std::size_t>(windows.cols())})) {
        scores[i] = std::numeric_limits<float>::quiet_NaN();
      }
    }
  }

  double p_value(const StreamState& state, float score) const override {
    const Calibration* calibration =
        parts_.calibration ? &*parts_.calibration : state.calibration.get();
    ANOMALYD_CHECK(calibration != nullptr, "detector: p_value() before the stream is learned");
    return calibration->p_value(static_cast<double>(score));
  }

  void update(StreamState& state, std::span<const float> normalised) const override {
    check_window(normalised);
    if (all_finite(normalised)) parts_.member->update(state.member, normalised);
  }

  void archive(StreamState& state, std::size_t channels, Archive& archive) const override {
    const std::size_t span = parts_.info.learn_windows;
    auto learned = state.learned_windows;
    archive.within(learned, 0, static_cast<std::uint32_t>(span), "the windows learned");
    if (!archive.ok()) return;
    state.learned_windows = learned;
    const bool has_scale = normaliser_windows_ > 0 && learned >= normaliser_windows_;
    if (archive.reads()) state.normaliser.assign(has_scale ? 2 * channels : 0, 0.0F);
    archive.sized(state.normaliser, "means and spreads");
    archive.require_finite(state.normaliser, "means and spreads");
    archive.sized(state.member, "numbers of a memory");
    if (archive.reads() && archive.ok() && !state.member.empty() &&
        !parts_.member->accepts(state.member)) {
      archive.fail("a memory that no window leaves");
    }
    if (learned < span) {
      state.learning->scale.archive(archive);
      const bool calibrates = !parts_.calibration && learned > memory_windows_;
      const std::size_t scores = calibrates ? learned - memory_windows_ : 0;
      archive.list(state.learning->scores, scores, scores, "scores of the span");
      archive.require_finite(state.learning->scores, "scores of the span");
    } else {
      state.learning.reset();
      if (!parts_.calibration) Calibration::archive(archive, state.calibration);
    }
  }

  Explanation explain(const StreamState& state, std::span<const float> raw) const override {
    std::vector<float> normalised(raw.size());
    normalise(state, raw, normalised);
    MemberExplanation why = parts_.member->explain(state, normalised);
    Explanation explanation;
    explanation.contributions = shares_of(why.energies);
    explanation.expected = std::move(why.expected);
    scale_for(state, raw).undo(explanation.expected, explanation.expected);
    return explanation;
  }

  Status save(const std::filesystem::path& path) const override {
    if (!parts_.calibration) {
      return Error{ErrorCode::kInvalidArgument, path.string() + ": a detector of kind \"" +
                                                    parts_.info.kind +
                                                    "\" is learned by each stream: no file"};
    }
    return nn::write_tensor_file(path, to_tensor_file(parts_));
  }

 private:
  void check_window(std::span<const float> window) const {
    const std::size_t samples = parts_.info.window_samples;
    const std::size_t channels = parts_.info.channels.size();
    ANOMALYD_CHECK(!window.empty() && window.size() % samples == 0 &&
                       (channels == 0 || window.size() == samples * channels),
                   "detector: a window of samples * channels was expected");
  }

  /// What normalise() applies to this window.
  ChannelScale scale_for(const StreamState& state, std::span<const float> raw) const {
    switch (parts_.info.normaliser) {
      case NormaliserKind::kDomain:
        return *parts_.scale;
      case NormaliserKind::kStream: {
        const auto middle =
            state.normaliser.begin() + static_cast<std::ptrdiff_t>(state.normaliser.size() / 2);
        return {{state.normaliser.begin(), middle}, {middle, state.normaliser.end()}};
      }
      case NormaliserKind::kWindow:
        break;
    }
    return scale_of_window(raw);
  }

  ChannelScale scale_of_window(std::span<const float> raw) const {
    return ChannelScale::of(window_moments(raw, raw.size() / parts_.info.window_samples));
  }

  /// An online member's part of the span: `at` counts its windows from 0.
  void learn_member(StreamState& state, std::span<const float> raw, std::size_t at) const {
    std::vector<float> normalised(raw.size());
    normalise(state, raw, normalised);
    if (at >= memory_windows_) {
      nn::Matrix<float> window(1, static_cast<Eigen::Index>(normalised.size()));
      std::copy(normalised.begin(), normalised.end(), window.data());
      const StreamState* const states[] = {&state};
      float trial = 0;
      score(window, states, {&trial, 1});
      state.learning->scores.push_back(trial);
    }
    parts_.member->update(state.member, normalised);
  }

  void finish(StreamState& state) const {
    if (!parts_.calibration) {
      Result<Calibration> calibration = Calibration::fit(state.learning->scores);
      ANOMALYD_CHECK(calibration.ok(), "detector: finite windows must score finite");
      state.calibration = std::make_unique<Calibration>(std::move(calibration).value());
    }
    state.learning.reset();
  }

  DetectorParts parts_;
  std::size_t normaliser_windows_ = 0;  // of the learning span teach the normaliser
  std::size_t memory_windows_ = 0;      // from here on scores are kept for the calibration
};

}  // namespace

std::size_t StreamState::bytes() const {
  std::size_t total = (normaliser.capacity() + member.capacity()) * sizeof(float);
  if (learning) {
    total +=
        sizeof(Learning) + learning->scale.bytes() + learning->scores.capacity() * sizeof(float);
  }
  if (calibration) total += sizeof(Calibration) + calibration->bytes();
  if (following) total += following->bytes();
  return total;
}

std::shared_ptr<const Detector> compose(DetectorParts parts) {
  if (parts.calibration) {
    parts.info.version.clear();  // so that it is not part of itself
    parts.info.version = digest_of(to_tensor_file(parts));
  }
  return std::make_shared<ComposedDetector>(std::move(parts));
}

Status check_sizes(const DetectorInfo& info) {
  const auto refuse = [](const std::string& what) {
    return Error{ErrorCode::kInvalidArgument, "detector: " + what};
  };
  if (info.window_samples < kMinWindowSamples || info.window_samples > kMaxWindowSamples) {
    return refuse("window_samples is " + std::to_string(info.window_samples) + ", expected " +
                  std::to_string(kMinWindowSamples) + " to " + std::to_string(kMaxWindowSamples));
  }
  if (info.hop_samples < 1 || info.hop_samples > info.window_samples) {
    return refuse("hop_samples is " + std::to_string(info.hop_samples) +
                  ", expected 1 to window_samples (" + std::to_string(info.window_samples) + ")");
  }
  if (info.channels.size() > kMaxChannels) {
    return refuse(std::to_string(info.channels.size()) + " channels, expected at most " +
                  std::to_string(kMaxChannels));
  }
  if (info.channels.size() * info.window_samples > kMaxWindowValues) {
    return refuse("a window of " + std::to_string(info.channels.size() * info.window_samples) +
                  " values, expected at most " + std::to_string(kMaxWindowValues));
  }
  if (info.learn_windows > kMaxLearnWindows) {
    return refuse("learn_windows is " + std::to_string(info.learn_windows) + ", expected at most " +
                  std::to_string(kMaxLearnWindows));
  }
  if (!std::isfinite(info.rate_hz) || info.rate_hz < 0) {
    return refuse("rate_hz is " + std::to_string(info.rate_hz) + ", expected at least 0");
  }
  return Done{};
}

std::string_view to_text(NormaliserKind kind) {
  switch (kind) {
    case NormaliserKind::kDomain:
      return "domain";
    case NormaliserKind::kStream:
      return "stream";
    case NormaliserKind::kWindow:
      return "window";
  }
  return "";
}

Result<NormaliserKind> parse_normaliser(std::string_view text) {
  for (const NormaliserKind kind :
       {NormaliserKind::kDomain, NormaliserKind::kStream, NormaliserKind::kWindow}) {
    if (text == to_text(kind)) return kind;
  }
  return Error{ErrorCode::kUnsupported, "unknown normaliser \"" + std::string(text.substr(0, 64)) +
                                            "\", known: domain, stream, window"};
}

Status check_ablation(std::string_view name) {
  const Result<Preset> preset = make_preset(name);
  if (!preset.ok()) return preset.error();
  return Done{};
}

Result<std::shared_ptr<const Detector>> make_online_detector(const DetectorInfo& info) {
  if (Status status = check_sizes(info); !status.ok()) return status.error();
  // "standard-without-ridge" is made by the row of "standard"; other kinds have no such names.
  const std::size_t without = info.kind.find(kWithout);
  Result<const MemberRow*> row = find_member(std::string_view(info.kind).substr(0, without));
  if (without != std::string::npos && (!row.ok() || row.value()->make_detector == nullptr)) {
    row = find_member(info.kind);
  }
  if (!row.ok()) return row.error();
  if (!row.value()->kind.online) {
    std::string known;
    for (const MemberKind& kind : member_kinds()) {
      if (kind.online) known += (known.empty() ? "" : ", ") + std::string(kind.name);
    }
    return Error{ErrorCode::kInvalidArgument, "detector: the kind \"" + info.kind +
                                                  "\" needs a trained file; without one: " + known};
  }
  if (info.normaliser == NormaliserKind::kDomain) {
    return Error{ErrorCode::kInvalidArgument,
                 "detector: the normaliser \"domain\" needs a trained file; without one: stream"};
  }
  DetectorParts parts;
  parts.info = info;
  if (parts.info.learn_windows == 0) parts.info.learn_windows = kDefaultLearnWindows;
  if (parts.info.learn_windows < kMinOnlineLearnWindows) {
    return Error{ErrorCode::kInvalidArgument,
                 "detector: learn_windows is " + std::to_string(info.learn_windows) +
                     ", without a trained file at least " + std::to_string(kMinOnlineLearnWindows) +
                     " are needed (0: " + std::to_string(kDefaultLearnWindows) + ")"};
  }
  if (parts.info.name.empty()) parts.info.name = info.kind;
  // There are no tensors: what the code does is what the version stands for.
  parts.info.version = "builtin-1";
  if (row.value()->make_detector != nullptr) return row.value()->make_detector(parts.info);
  Result<std::unique_ptr<Member>> member = row.value()->make_online(info);
  if (!member.ok()) return member.error();
  parts.member = std::move(member).value();
  return compose(std::move(parts));
}

}  // namespace anomalyd::detect

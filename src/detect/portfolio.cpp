#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "detect/composed_detector.h"
#include "detect/hybrid.h"
#include "detect/portfolio_learn.h"

namespace anomalyd::detect {
namespace {

constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
// Samples of the learning span that are kept, over all channels.
constexpr std::size_t kMostSpanValues = std::size_t{1} << 20U;
constexpr std::size_t kMostHop = 4096;
// A flat stretch longer than this many windows says nothing more.
constexpr std::size_t kMostFlatWindows = 4;

bool all_finite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

/// What a stream holds: the raw samples of the span while it is learned, then its members.
class PortfolioState final : public Following {
 public:
  std::size_t bytes() const override {
    return sizeof *this + span.values.capacity() * sizeof(float) +
           span.breaks.capacity() * sizeof(std::size_t) + span.times.capacity() * sizeof(TimeNs) +
           (members ? members->bytes() - sizeof *members : 0);
  }

  Recording span;                    // raw, until learned
  std::optional<MemberSet> members;  // once learned
  bool is_fresh = true;              // the next window is all new
  bool is_break = false;             // the next samples that are kept do not follow on
  std::size_t flat_samples = 0;      // in a row, of windows that taught nothing
  TimeNs start = kNoTime;            // of the window that is given next
  TimeNs end = kNoTime;
  float score = kNone;        // of the window that follow() moved on to
  float steady_score = 0;     // of the same, see MemberSet::steady_score()
  bool is_unlearned = false;  // update() has not come since
  bool is_in_alert = false;   // nor since the window before
};

PortfolioState& state_of(const StreamState& state) {
  ANOMALYD_CHECK(state.following != nullptr, "portfolio: a state that start() did not make");
  return static_cast<PortfolioState&>(*state.following);
}

/// A set of members that go from sample to sample, learned from each stream alone.
class PortfolioDetector final : public Detector {
 public:
  PortfolioDetector(DetectorInfo info, const Preset& preset, Networks networks = {})
      : info_(std::move(info)),
        preset_(preset),
        networks_(std::move(networks)),
        trained_(networks_.members()) {}

  const DetectorInfo& info() const override { return info_; }
  bool is_online() const override { return true; }

  StreamState start(std::size_t channels) const override {
    ANOMALYD_CHECK(channels > 0 && (info_.channels.empty() || info_.channels.size() == channels),
                   "detector: start() with other channels than the detector's");
    StreamState state;
    state.learning =
        std::make_unique<Learning>(Learning{ScaleLearner(channels, info_.learn_windows), {}});
    auto following = std::make_unique<PortfolioState>();
    following->span.channels = channels;
    state.following = std::move(following);
    return state;
  }

  double progress(const StreamState& state) const override {
    if (state.learned_windows >= info_.learn_windows) return 1;
    return static_cast<double>(state.learned_windows) / static_cast<double>(info_.learn_windows);
  }

  void learn(StreamState& state, std::span<const float> raw) const override {
    if (progress(state) >= 1) return;
    PortfolioState& own = state_of(state);
    if (!all_finite(raw)) {
      own.is_fresh = true;
      return;
    }
    const bool teaches = state.learning->scale.take(raw);
    const std::span<const float> samples = take_new(own, raw);
    own.flat_samples = state.learning->scale.any_moved()
                           ? 0
                           : own.flat_samples + samples.size() / own.span.channels;
    if (own.flat_samples > kMostFlatWindows * info_.window_samples) {
      own.is_fresh = true;
      return;
    }
    if (own.is_break) begin_stretch(own, samples.size() / own.span.channels);
    own.is_break = false;
    keep(own.span, samples);
    if (!teaches) return;
    if (++state.learned_windows == info_.learn_windows) finish(state, own);
  }

  void set_time(StreamState& state, TimeNs start, TimeNs end) const override {
    PortfolioState& own = state_of(state);
    own.start = start;
    own.end = end;
  }

  void follow(StreamState& state, std::span<const float> raw) const override {
    PortfolioState& own = state_of(state);
    MemberSet& members = *own.members;
    own.score = kNone;
    members.skip();  // what update() did not let in
    if (!all_finite(raw)) {
      interrupt(state);
      return;
    }
    if (own.is_fresh) members.interrupt();
    own.is_in_alert = own.is_unlearned;
    own.is_unlearned = true;
    own.steady_score = 0;
    const std::size_t channels = state.normaliser.size() / 2;
    std::vector<float> sample(channels);
    const std::span<const float> samples = take_new(own, raw);
    const std::size_t hop = info_.hop_samples * channels;
    const TimeNs step = step_of(own);
    TimeNs time = time_of(own, samples.size() / channels);
    for (std::size_t i = 0; i < samples.size(); i += channels) {
      // Of a window that is all new, the last hop alone waits to be learned.
      if ((samples.size() - i) % hop == 0) members.skip();
      apply_scale(state.normaliser, samples.subspan(i, channels), sample);
      clamp(sample);
      const float score = members.follow(sample, time, step);
      if (time != kNoTime) time += step;
      if (!(score <= own.score)) own.score = score;
      own.steady_score = std::max(own.steady_score, members.steady_score());
    }
  }

  void interrupt(StreamState& state) const override {
    PortfolioState& own = state_of(state);
    own.is_fresh = true;
    if (own.members) own.members->skip();
  }

  void normalise(const StreamState& state, std::span<const float> raw,
                 std::span<float> normalised) const override {
    apply_scale(state.normaliser, raw, normalised);
  }

  void score(const nn::Matrix<float>& windows, std::span<const StreamState* const> states,
             std::span<float> scores) const override {
    ANOMALYD_CHECK(
        states.size() == static_cast<std::size_t>(windows.rows()) && scores.size() == states.size(),
        "detector: score() needs a state and a place for each window");
    for (std::size_t i = 0; i < scores.size(); ++i) scores[i] = state_of(*states[i]).score;
  }

  double p_value(const StreamState& state, float score) const override {
    ANOMALYD_CHECK(state.calibration != nullptr,
                   "detector: p_value() before the stream is learned");
    const PortfolioState& own = state_of(state);
    // An alert lasts as long as its fault, though the score gets used to it.
    const float judged = own.is_in_alert && score < own.steady_score ? own.steady_score : score;
    return state.calibration->p_value(static_cast<double>(judged));
  }

  void update(StreamState& state, std::span<const float> /*normalised*/) const override {
    PortfolioState& own = state_of(state);
    own.is_unlearned = false;
    own.members->learn();
  }

  void archive(StreamState& state, std::size_t channels, Archive& archive) const override {
    PortfolioState& own = state_of(state);
    auto learned = state.learned_windows;
    archive.within(learned, 0, static_cast<std::uint32_t>(info_.learn_windows),
                   "the windows learned");
    if (!archive.ok()) return;
    state.learned_windows = learned;
    archive(own.is_fresh, own.is_break, own.flat_samples, own.is_unlearned, own.is_in_alert);
    archive(own.score, own.steady_score);
    // The first slot may lie a little before the first sample, and so before 1970.
    archive.within(own.start, -kTimeEnd / 2, kTimeEnd, "the start of a window");
    archive.within(own.end, -kTimeEnd / 2, kTimeEnd, "the end of a window");
    if (learned < info_.learn_windows) {
      state.learning->scale.archive(archive);
      archive_span(own.span, archive);
      return;
    }
    state.learning.reset();
    archive.list(state.normaliser, 2 * channels, 2 * channels, "means and spreads");
    archive.require_finite(state.normaliser, "means and spreads");
    Calibration::archive(archive, state.calibration);
    StreamTraits traits = own.members ? own.members->traits() : StreamTraits{};
    archive_traits(traits, channels, archive);
    if (!archive.ok()) return;
    if (archive.reads()) own.members.emplace(preset_, traits, trained_);
    own.members->archive(archive);
  }

  Explanation explain(const StreamState& state, std::span<const float> raw) const override {
    Explanation why;
    why.contributions = state_of(state).members->shares();
    const std::size_t channels = why.contributions.size();
    for (std::size_t i = 0; i < raw.size(); ++i) {
      why.expected.push_back(state.normaliser[i % channels]);
    }
    return why;
  }

  Status save(const std::filesystem::path& path) const override {
    if (!networks_.empty()) return nn::write_tensor_file(path, networks_.to_file(info_));
    return Error{ErrorCode::kInvalidArgument, path.string() + ": a detector of kind \"" +
                                                  info_.kind +
                                                  "\" is learned by each stream: no file"};
  }

 private:
  static void clamp(std::span<float> sample) {
    for (float& value : sample) value = std::clamp(value, -kMaxFollowed, kMaxFollowed);
  }

  /// What this window has of new samples: a hop, or all of it after an interruption.
  std::span<const float> take_new(PortfolioState& own, std::span<const float> raw) const {
    const std::size_t channels = own.span.channels;
    ANOMALYD_CHECK(raw.size() == info_.window_samples * channels,
                   "detector: a window of samples * channels was expected");
    if (!own.is_fresh) return raw.last(info_.hop_samples * channels);
    own.is_fresh = false;
    own.is_break = true;
    return raw;
  }

  TimeNs step_of(const PortfolioState& own) const {
    return (own.end - own.start) / static_cast<TimeNs>(info_.window_samples);
  }
  /// When the first of the window's last `samples` was taken.
  TimeNs time_of(const PortfolioState& own, std::size_t samples) const {
    if (own.start == kNoTime) return kNoTime;
    return own.end - static_cast<TimeNs>(samples) * step_of(own);
  }

  /// The next `samples` of the span do not follow on the last.
  void begin_stretch(PortfolioState& own, std::size_t samples) const {
    Recording& span = own.span;
    const TimeNs time = time_of(own, samples);
    if (span.samples() > 0) span.breaks.push_back(span.samples());
    span.step = step_of(own);
    if (time == kNoTime) {
      span.times.clear();
    } else if (span.times.size() == span.breaks.size()) {
      span.times.push_back(time);
    }
  }

  /// Appends to the learning span, of which the last samples are kept.
  void keep(Recording& span, std::span<const float> samples) const {
    const std::size_t most = most_samples(span.channels);
    span.values.insert(span.values.end(), samples.begin(), samples.end());
    if (span.samples() < most + most / 4) return;
    const std::size_t gone = span.samples() - most;
    span.values.erase(span.values.begin(),
                      span.values.begin() + static_cast<std::ptrdiff_t>(gone * span.channels));
    const auto first_kept = std::upper_bound(span.breaks.begin(), span.breaks.end(), gone);
    const auto passed = first_kept - span.breaks.begin();
    if (!span.times.empty()) {
      const std::size_t begun = passed == 0 ? 0 : span.breaks[static_cast<std::size_t>(passed) - 1];
      span.times.erase(span.times.begin(), span.times.begin() + passed);
      span.times.front() += static_cast<TimeNs>(gone - begun) * span.step;
    }
    span.breaks.erase(span.breaks.begin(), first_kept);
    for (std::size_t& at : span.breaks) at -= gone;
  }

  std::size_t most_samples(std::size_t channels) const {
    // Never less than what a calibration needs.
    return std::max(std::min(preset_.span_samples, kMostSpanValues / channels),
                    kMinOnlineLearnWindows * info_.hop_samples + info_.window_samples);
  }

  void archive_span(Recording& span, Archive& archive) const {
    const std::size_t most = 2 * most_samples(span.channels) + info_.window_samples;
    // With it no time of a whole span can overflow: some days.
    const TimeNs most_step = kTimeEnd / static_cast<TimeNs>(most);
    archive.list(span.values, 0, most * span.channels, "values of the span");
    archive.require_finite(span.values, "values of the span");
    const std::size_t samples = span.samples();
    archive.list(span.breaks, 0, samples, "breaks of the span");
    bool has_times = !span.times.empty();
    archive(has_times);
    const std::size_t times = has_times ? span.breaks.size() + 1 : 0;
    archive.list(span.times, times, times, "times of the span");
    archive.within(span.step, 0, most_step, "the time between samples");
    if (!archive.reads()) return;
    bool good = span.values.size() == samples * span.channels;
    for (std::size_t i = 0; i < span.breaks.size(); ++i) {
      const std::size_t before = i == 0 ? 0 : span.breaks[i - 1];
      good = good && span.breaks[i] > before && span.breaks[i] < samples;
    }
    for (const TimeNs time : span.times) good = good && time >= -kTimeEnd / 2 && time < kTimeEnd;
    if (!good) archive.fail("a span whose parts do not fit each other");
  }

  void archive_traits(StreamTraits& traits, std::size_t channels, Archive& archive) const {
    constexpr double kMostPeriod = 1e6;
    archive.same(channels, "the channels");
    archive.same(info_.hop_samples, "the hop");
    traits.channels = channels;
    traits.hop = info_.hop_samples;
    archive.within(traits.samples, 0, std::size_t{1} << 31U, "the samples of the span");
    archive.within(traits.period, 0, kMostPeriod, "the period");
    archive.within(traits.slow_period, 0, kMostPeriod, "the slow period");
  }

  void finish(StreamState& state, PortfolioState& own) const {
    ChannelScale scale = state.learning->scale.scale();
    state.normaliser = std::move(scale.mean);
    state.normaliser.insert(state.normaliser.end(), scale.spread.begin(), scale.spread.end());
    apply_scale(state.normaliser, own.span.values, own.span.values);
    clamp(own.span.values);
    Result<LearnedPortfolio> learned =
        learn_portfolio(preset_, own.span, info_.hop_samples, trained_);
    if (!learned.ok()) {
      // A span that was read back may be less than what is said to be learned from it.
      state = start(own.span.channels);
      return;
    }
    own.members.emplace(std::move(learned.value().members));
    state.calibration = std::make_unique<Calibration>(std::move(learned.value().calibration));
    own.span = Recording{own.span.channels, {}, {}, {}, 0};
    state.learning.reset();
  }

  DetectorInfo info_;
  Preset preset_;
  Networks networks_;
  std::vector<TrainedMember> trained_;
};

}  // namespace

std::shared_ptr<const Detector> compose_portfolio(const DetectorInfo& info, const Preset& preset,
                                                  Networks networks) {
  return std::make_shared<PortfolioDetector>(info, preset, std::move(networks));
}

Status check_portfolio(const DetectorInfo& info) {
  const auto refuse = [&](const std::string& what) {
    return Error{ErrorCode::kInvalidArgument, info.kind + ": " + what};
  };
  if (info.normaliser != NormaliserKind::kStream) {
    return refuse(
        "it goes from sample to sample and learns each stream by itself; expected the normaliser "
        "\"stream\"");
  }
  if (info.hop_samples > kMostHop) {
    return refuse("hop_samples is " + std::to_string(info.hop_samples) + ", expected at most " +
                  std::to_string(kMostHop));
  }
  // Fewer windows do not calibrate: the stream would learn for ever.
  if (info.learn_windows < kMinOnlineLearnWindows) {
    return refuse("learn_windows is " + std::to_string(info.learn_windows) +
                  ", expected at least " + std::to_string(kMinOnlineLearnWindows));
  }
  return Done{};
}

Result<std::shared_ptr<const Detector>> make_portfolio(const DetectorInfo& info) {
  const Result<Preset> preset = make_preset(info.kind);
  if (!preset.ok()) return preset.error();
  if (Status fits = check_portfolio(info); !fits.ok()) return fits.error();
  return std::shared_ptr<const Detector>(std::make_shared<PortfolioDetector>(info, preset.value()));
}

}  // namespace anomalyd::detect

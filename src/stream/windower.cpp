#include "stream/windower.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"

namespace anomalyd::stream {
namespace {

constexpr std::size_t kDiscoverySamples = 32;
constexpr std::size_t kMaxDiscoverySamples = 1024;
constexpr std::size_t kMaxDiscoveryValues = 1UL << 15U;
constexpr std::size_t kWholeGroups = 2;    // of samples that share a stamp, to tell the rate by
constexpr double kMinPeriodNs = 100;       // what a sensor of 10 MHz has
constexpr double kMaxWindowNs = 0x1.0p60;  // what a window spans: times before it do not overflow
constexpr TimeNs kMaxTime = TimeNs{1} << 62;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// The roundest number within 0.5 % of `value`: 12000 for 11996, 25600 for 25611.
double snap(double value) {
  double step = std::pow(10.0, std::floor(std::log10(value)));
  while (step > value * 1e-6) {
    const double rounded = std::round(value / step) * step;
    if (std::abs(rounded - value) <= 0.005 * value) return rounded;
    step /= 10;
  }
  return value;
}

/// A period as people name it: whole rates above 1 Hz, whole periods below.
double snap_period(double period_ns) {
  return period_ns <= 1e9 ? 1e9 / snap(1e9 / period_ns) : snap(period_ns);
}

/// The sampling period of sorted stamps: the median step where stamps differ, the mean one where
/// groups of samples share a stamp. 0 when they do not tell.
double find_period(const std::vector<TimeNs>& sorted, bool at_end) {
  std::vector<TimeNs> steps;
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i] != sorted[i - 1]) steps.push_back(sorted[i] - sorted[i - 1]);
  }
  if (steps.empty()) return 0;
  if (steps.size() + 1 < sorted.size()) {
    // The first and the last group may be cut off: those between them count, and the time to the
    // next one. A recording that ends with two or three has no better than their mean.
    const bool whole = steps.size() >= kWholeGroups + 1;
    if (!whole && !at_end) return 0;
    const TimeNs first = whole ? sorted.front() + steps.front() : sorted.front();
    const auto samples =
        static_cast<double>(std::lower_bound(sorted.begin(), sorted.end(), sorted.back()) -
                            std::lower_bound(sorted.begin(), sorted.end(), first));
    return snap_period(static_cast<double>(sorted.back() - first) / samples);
  }
  std::nth_element(steps.begin(), steps.begin() + static_cast<std::ptrdiff_t>(steps.size() / 2),
                   steps.end());
  const auto median = static_cast<double>(steps[steps.size() / 2]);
  // Steps of jittered stamps: their mean is better than any one of them, without the gaps.
  double sum = 0;
  std::size_t count = 0;
  for (const TimeNs step : steps) {
    if (static_cast<double>(step) < 1.75 * median) {
      sum += static_cast<double>(step);
      ++count;
    }
  }
  return snap_period(sum / static_cast<double>(count));
}

}  // namespace

/// A sample that is held until the channels are known.
struct Windower::DiscoverySample {
  TimeNs time;
  std::vector<std::pair<std::uint16_t, float>> values;  // channel, value
};

/// The first samples of a stream, until its channels and rate are known.
struct Windower::Discovery {
  std::vector<std::string> channels;
  std::vector<DiscoverySample> samples;  // in the order they came

  explicit Discovery(const WindowRules& rules) {
    if (rules.channels != nullptr) channels = *rules.channels;
  }

  void add(const WindowRules& rules, const Schema& schema, TimeNs time,
           std::span<const float> values) {
    DiscoverySample sample{time, {}};
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (std::isnan(values[i])) continue;
      auto at = std::find(channels.begin(), channels.end(), schema.channels[i]);
      if (at == channels.end()) {
        if (rules.channels != nullptr || channels.size() == kMaxChannels) continue;
        at = channels.insert(channels.end(), schema.channels[i]);
      }
      sample.values.emplace_back(static_cast<std::uint16_t>(at - channels.begin()), values[i]);
    }
    samples.push_back(std::move(sample));
  }
};

bool Windower::only_repeats(const std::vector<DiscoverySample>& samples) {
  for (std::size_t i = 1; i < samples.size(); ++i) {
    if (samples[i].time == samples[i - 1].time && samples[i].values != samples[i - 1].values) {
      return false;
    }
  }
  return true;
}

namespace {

double longest_period(const WindowRules& rules) {
  return kMaxWindowNs / static_cast<double>(rules.window_samples);
}

/// The rules' channels, or those that were found.
void archive_names(const WindowRules& rules, std::vector<std::string>& names, Archive& archive) {
  archive.list(names, kMaxChannels, sizeof(std::uint32_t), "channels",
               [](Archive& a, std::string& name) { a.text(name, 255, "letters of a channel"); });
  if (rules.channels != nullptr && names != *rules.channels) {
    archive.fail("other channels than the domain's");
  }
}

}  // namespace

/// Writes the grid's slots to the ring and announces windows.
class Windower::Ring final : public SlotSink {
 public:
  Ring(Windower& owner, const WindowRules& rules, WindowSink& sink)
      : owner_(owner), rules_(rules), sink_(sink) {}

  void on_slot(std::span<const float> values) override {
    const std::size_t c = owner_.channel_count_;
    float* slot = owner_.ring_.get() + owner_.head_ * c;
    const float* previous = owner_.filled_ > 0 ? last_slot().data() : nullptr;
    bool missing = false;
    for (std::size_t i = 0; i < c; ++i) missing |= std::isnan(values[i]);
    if (!missing && owner_.missing_ == nullptr) {
      std::memcpy(slot, values.data(), c * sizeof(float));
    } else {
      carry(values, previous, slot);
    }
    owner_.head_ = owner_.head_ + 1 == rules_.window_samples ? 0 : owner_.head_ + 1;
    if (owner_.filled_ < rules_.window_samples) ++owner_.filled_;
    if (--owner_.until_window_ == 0) {
      owner_.until_window_ = static_cast<std::uint32_t>(rules_.hop_samples);
      const GridRules grid = owner_.grid_rules(rules_);
      sink_.on_window(
          owner_,
          owner_.resampler_.slot_time(grid, static_cast<std::int64_t>(rules_.window_samples)),
          owner_.resampler_.slot_time(grid, 0));
    }
  }

  void on_break() override {
    owner_.filled_ = 0;
    owner_.until_window_ = static_cast<std::uint32_t>(rules_.window_samples);
    owner_.missing_.reset();
    ++owner_.counts_.breaks;
    sink_.on_gap(owner_);
  }

  std::span<const float> last_slot() const override {
    const std::size_t c = owner_.channel_count_;
    const std::size_t last = (owner_.head_ == 0 ? rules_.window_samples : owner_.head_) - 1;
    return {owner_.ring_.get() + last * c, c};
  }

 private:
  /// Channels without a value keep their last one, for max_gap.
  void carry(std::span<const float> values, const float* previous, float* slot) {
    const std::size_t c = owner_.channel_count_;
    if (owner_.missing_ == nullptr) {
      owner_.missing_ = std::make_unique<std::vector<std::uint32_t>>(c, 0);
    }
    const double longest = static_cast<double>(rules_.max_gap_ns) / owner_.period_ns_;
    bool any = false;
    for (std::size_t i = 0; i < c; ++i) {
      std::uint32_t& count = (*owner_.missing_)[i];
      if (!std::isnan(values[i])) {
        count = 0;
        slot[i] = values[i];
        continue;
      }
      any = true;
      if (count < std::numeric_limits<std::uint32_t>::max()) ++count;
      slot[i] = previous != nullptr && count <= longest ? previous[i] : kNaN;
    }
    if (!any) owner_.missing_.reset();
  }

  Windower& owner_;
  const WindowRules& rules_;
  WindowSink& sink_;
};

void WindowerCounts::add(const WindowerCounts& other) {
  samples += other.samples;
  duplicate += other.duplicate;
  late += other.late;
  excess += other.excess;
  time_range += other.time_range;
  breaks += other.breaks;
}

void WindowerCounts::archive(Archive& archive) {
  archive(samples, duplicate, late, excess, time_range, breaks);
}

Windower::Windower() = default;
Windower::~Windower() = default;
Windower::Windower(Windower&&) noexcept = default;
Windower& Windower::operator=(Windower&&) noexcept = default;

std::span<const std::string> Windower::channels() const {
  return channels_ == nullptr ? std::span<const std::string>() : std::span(*channels_);
}

GridRules Windower::grid_rules(const WindowRules& rules) const {
  return {period_ns_, rules.lateness_ns, rules.max_gap_ns, rules.window_samples,
          rules.window_samples};
}

void Windower::begin(const WindowRules& rules, ChannelNames channels, double period_ns) {
  channel_count_ = static_cast<std::uint16_t>(channels->size());
  channels_ = std::move(channels);
  period_ns_ = period_ns;
  ring_ = std::make_unique<float[]>(rules.window_samples * channel_count_);
  until_window_ = static_cast<std::uint32_t>(rules.window_samples);
}

void Windower::map_schema(const Schema& schema) {
  schema_hash_ = schema.hash;
  schema_size_ = static_cast<std::uint16_t>(schema.channels.size());
  mapping_.reset();
  identity_ = std::equal(schema.channels.begin(), schema.channels.end(), channels_->begin(),
                         channels_->end());
  if (identity_) return;
  mapping_ = std::make_unique<std::vector<std::int16_t>>();
  for (const std::string& name : schema.channels) {
    const auto at = std::find(channels_->begin(), channels_->end(), name);
    mapping_->push_back(at == channels_->end()
                            ? std::int16_t{-1}
                            : static_cast<std::int16_t>(at - channels_->begin()));
  }
}

void Windower::push(const WindowRules& rules, const Schema& schema, TimeNs time,
                    std::span<const float> values, WindowSink& sink) {
  ++counts_.samples;
  if (time < 0 || time >= kMaxTime) {
    ++counts_.time_range;
    return;
  }
  newest_ = std::max(newest_, time);
  if (!discovered() && discovery_ == nullptr && rules.rate_hz > 0 && rules.channels != nullptr) {
    begin(rules, rules.channels, 1e9 / rules.rate_hz);
  }
  if (!discovered()) {
    if (discovery_ == nullptr) discovery_ = std::make_unique<Discovery>(rules);
    discovery_->add(rules, schema, time, values);
    // At 32 and then only when there are twice as many, so that looking stays cheap.
    const std::size_t size = discovery_->samples.size();
    if (size >= kDiscoverySamples && std::has_single_bit(size)) discover(rules, sink, false);
    return;
  }
  if (schema.hash != schema_hash_ || schema.channels.size() != schema_size_) map_schema(schema);
  if (identity_) {
    push_grid(rules, time, values, sink);
    return;
  }
  std::array<float, kMaxChannels> ordered;
  std::fill_n(ordered.begin(), channel_count_, kNaN);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if ((*mapping_)[i] >= 0) ordered[static_cast<std::size_t>((*mapping_)[i])] = values[i];
  }
  push_grid(rules, time, std::span(ordered).first(channel_count_), sink);
}

void Windower::push_grid(const WindowRules& rules, TimeNs time, std::span<const float> values,
                         WindowSink& sink) {
  Ring ring(*this, rules, sink);
  switch (resampler_.push(grid_rules(rules), time, values, ring)) {
    case Arrival::kPlaced:
    case Arrival::kHeld:
      break;
    case Arrival::kDuplicate:
      ++counts_.duplicate;
      break;
    case Arrival::kLate:
      ++counts_.late;
      break;
    case Arrival::kExcess:
      ++counts_.excess;
      break;
  }
  counts_.excess += resampler_.take_excess();
}

void Windower::discover(const WindowRules& rules, WindowSink& sink, bool at_end) {
  const std::vector<DiscoverySample>& samples = discovery_->samples;
  std::vector<TimeNs> times;
  bool whole = true;
  for (const DiscoverySample& sample : samples) {
    times.push_back(sample.time);
    whole = whole && sample.values.size() == discovery_->channels.size();
  }
  std::sort(times.begin(), times.end());
  // Parts of one sample that came apart share a stamp, and so do repeats: they are no group.
  if (!whole || only_repeats(samples)) {
    times.erase(std::unique(times.begin(), times.end()), times.end());
  }
  double period = rules.rate_hz > 0 ? 1e9 / rules.rate_hz : find_period(times, at_end);
  if (period < kMinPeriodNs || period > longest_period(rules)) period = 0;
  if (period == 0 || discovery_->channels.empty()) {
    const bool hopeless = samples.size() * std::max<std::size_t>(1, discovery_->channels.size()) >=
                              kMaxDiscoveryValues ||
                          samples.size() >= kMaxDiscoverySamples;
    if (hopeless || at_end) {
      counts_.excess += samples.size();
      discovery_.reset();
    }
    return;
  }
  const std::unique_ptr<Discovery> found = std::move(discovery_);
  begin(rules,
        rules.channels != nullptr
            ? rules.channels
            : std::make_shared<const std::vector<std::string>>(found->channels),
        period);
  std::vector<float> values(channel_count_);
  for (const DiscoverySample& sample : found->samples) {
    std::fill(values.begin(), values.end(), kNaN);
    for (const auto& [channel, value] : sample.values) values[channel] = value;
    push_grid(rules, sample.time, values, sink);
  }
}

void Windower::flush(const WindowRules& rules, WindowSink& sink) {
  if (discovery_ != nullptr) discover(rules, sink, true);
  if (!discovered()) return;
  Ring ring(*this, rules, sink);
  resampler_.flush(grid_rules(rules), ring);
  counts_.excess += resampler_.take_excess();
}

void Windower::archive(const WindowRules& rules, Archive& archive) {
  archive.within(newest_, 0, kMaxTime, "the newest time");
  bool is_discovering = discovery_ != nullptr;
  bool is_discovered = discovered();
  archive(is_discovering, is_discovered);
  if (is_discovering) archive_discovery(rules, archive);
  if (is_discovered && archive.ok()) archive_grid(rules, archive);
}

void Windower::archive_discovery(const WindowRules& rules, Archive& archive) {
  if (archive.reads()) discovery_ = std::make_unique<Discovery>(rules);
  archive_names(rules, discovery_->channels, archive);
  const std::size_t channels = discovery_->channels.size();
  archive.list(
      discovery_->samples, kMaxDiscoverySamples - 1, sizeof(TimeNs) + sizeof(std::uint32_t),
      "samples held", [&](Archive& a, DiscoverySample& sample) {
        a.within(sample.time, 0, kMaxTime - 1, "the time of a sample");
        a.list(sample.values, channels, sizeof(std::uint16_t) + sizeof(float), "values of a sample",
               [&](Archive& each, auto& value) {
                 each.within(value.first, 0, static_cast<std::uint16_t>(channels - 1), "a channel");
                 each(value.second);
               });
      });
}

void Windower::archive_grid(const WindowRules& rules, Archive& archive) {
  double period = period_ns_;
  std::vector<std::string> names;
  if (!archive.reads()) names = *channels_;
  archive_names(rules, names, archive);
  archive.within(period, std::numeric_limits<double>::min(), longest_period(rules), "the period");
  const std::size_t values = rules.window_samples * names.size();
  if (archive.reads() && (names.empty() || values > archive.left() / sizeof(float))) {
    archive.fail("a window does not fit into the bytes left");
  }
  if (!archive.ok()) return;
  if (archive.reads()) {
    begin(rules,
          rules.channels != nullptr
              ? rules.channels
              : std::make_shared<const std::vector<std::string>>(std::move(names)),
          period);
  }
  // The mapping from a schema is found anew.
  const auto samples = static_cast<std::uint32_t>(rules.window_samples);
  archive.raw(std::span(ring_.get(), values));
  archive.within(head_, 0, samples - 1, "the place in a ring");
  archive.within(filled_, 0, samples, "the samples in a ring");
  archive.within(until_window_, 1, std::max(samples, static_cast<std::uint32_t>(rules.hop_samples)),
                 "the samples until the next window");
  bool has_missing = missing_ != nullptr;
  archive(has_missing);
  if (has_missing) {
    if (archive.reads()) {
      missing_ = std::make_unique<std::vector<std::uint32_t>>(channel_count_, 0);
    }
    archive.sized(*missing_, "channels missing");
  }
  resampler_.archive(archive, period_ns_, channel_count_);
}

void Windower::copy_window(std::span<float> out) const {
  const std::size_t size = out.size();
  const std::size_t oldest = head_ * std::size_t{channel_count_};
  ANOMALYD_CHECK(oldest < size || oldest == 0, "copy_window: out must hold a window");
  std::memcpy(out.data(), ring_.get() + oldest, (size - oldest) * sizeof(float));
  std::memcpy(out.data() + (size - oldest), ring_.get(), oldest * sizeof(float));
}

std::size_t Windower::bytes() const {
  std::size_t total = resampler_.bytes();
  if (mapping_ != nullptr)
    total += sizeof(std::vector<std::int16_t>) + mapping_->capacity() * sizeof(std::int16_t);
  if (missing_ != nullptr)
    total += sizeof(std::vector<std::uint32_t>) + missing_->capacity() * sizeof(std::uint32_t);
  if (discovery_ != nullptr) {
    total += sizeof *discovery_;
    for (const auto& s : discovery_->samples)
      total += sizeof s + s.values.capacity() * sizeof s.values[0];
  }
  return total;
}

}  // namespace anomalyd::stream

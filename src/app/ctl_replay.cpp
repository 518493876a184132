#include "app/ctl_replay.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <memory>
#include <optional>

#include "app/ctl_feed.h"

namespace anomalyd::app::ctl {
namespace {

constexpr std::chrono::seconds kTimeout{30};

Error refuse(std::string message) { return Error{ErrorCode::kInvalidArgument, std::move(message)}; }

class RecordingSource final : public SampleSource {
 public:
  RecordingSource(RecordingReader reader, TimeNs shift)
      : reader_(std::move(reader)), shift_(shift) {}

  std::size_t channels() const override { return reader_.recording().channels.size(); }
  Result<bool> next(TimeNs& time, std::span<float> values) override {
    Result<bool> row = reader_.next(time, values);
    if (row.ok() && row.value() && __builtin_add_overflow(time, shift_, &time)) {
      return refuse(reader_.recording().path + ": --start moves it beyond the end of time");
    }
    return row;
  }

 private:
  RecordingReader reader_;
  const TimeNs shift_;
};

/// Samples a second, for the column form.
double mean_rate(const Recording& recording, const RecordingOptions& options) {
  if (options.rate_hz > 0) return options.rate_hz;
  const double span = static_cast<double>(recording.latest - recording.earliest);
  if (recording.samples < 2 || span <= 0) return 1;
  return static_cast<double>(recording.samples - 1) * 1e9 / span;
}

Status check(const ReplayOptions& options) {
  if (Status status = options.recording.check(); !status.ok()) return status;
  if (options.batch_rows < 1 || options.batch_rows > 1'000'000) {
    return refuse("--batch: expected 1 to 1000000, got " + std::to_string(options.batch_rows));
  }
  if (options.connections < 1 || options.connections > 64) {
    return refuse("--connections: expected 1 to 64, got " + std::to_string(options.connections));
  }
  return Done{};
}

}  // namespace

Result<std::vector<StreamKey>> replay_keys(const std::vector<std::string>& files,
                                           const std::string& stream, const std::string& labels) {
  if (!stream.empty() && files.size() > 1) {
    return refuse("--stream: " + std::to_string(files.size()) +
                  " recordings cannot be one stream; leave it out to name them by their files");
  }
  const auto common = parse_labels(labels);
  if (!common.ok()) return refuse("--labels: " + common.error().message);
  std::vector<StreamKey> keys;
  std::map<std::string, std::string> taken;  // key -> file
  for (const std::string& file : files) {
    const auto named = StreamKey::parse(stream);
    if (!stream.empty() && !named.ok()) return refuse("--stream: " + named.error().message);
    std::vector<Label> all = stream.empty() ? std::vector<Label>{} : named.value().labels();
    all.insert(all.end(), common.value().begin(), common.value().end());
    auto key = StreamKey::make(stream.empty() ? stream_name_from(file) : named.value().name(),
                               std::move(all));
    if (!key.ok()) return refuse(file + ": " + key.error().message);
    const auto [at, is_new] = taken.emplace(key.value().text(), file);
    if (!is_new) {
      return refuse(file + " and " + at->second + " would be one stream, " + key.value().text() +
                    ": rename one of them");
    }
    keys.push_back(std::move(key).value());
  }
  return keys;
}

int replay(const ReplayOptions& options, Console& console) {
  if (const Status checked = check(options); !checked.ok()) {
    return fail(console, checked.error(), kUsage);
  }
  const auto speed = parse_speed(options.speed);
  if (!speed.ok()) return fail(console, speed.error(), kUsage);
  const auto format = parse_wire_format(options.format);
  if (!format.ok()) return fail(console, format.error(), kUsage);
  std::optional<TimeNs> start;
  if (!options.start.empty()) {
    const auto parsed = parse_start(options.start, system_clock());
    if (!parsed.ok()) return fail(console, parsed.error(), kUsage);
    start = parsed.value();
  }
  const auto files = list_recordings(options.paths);
  if (!files.ok()) return fail(console, files.error());
  const auto keys = replay_keys(files.value(), options.stream, options.labels);
  if (!keys.ok()) return fail(console, keys.error(), kUsage);

  // Streams go round the connections; a stream keeps to one, so that its order is kept.
  const std::size_t lane_count = std::min(options.connections, files.value().size());
  struct Part {
    std::vector<std::unique_ptr<SampleSource>> sources;
    std::vector<SendStream> streams;
  };
  std::vector<Part> parts(lane_count);
  std::uint64_t total = 0;
  TimeNs begin = std::numeric_limits<TimeNs>::max();
  for (std::size_t i = 0; i < files.value().size(); ++i) {
    auto reader = RecordingReader::open(files.value()[i], options.recording);
    if (!reader.ok()) return fail(console, reader.error());
    const Recording recording = reader.value().recording();
    total += recording.samples;
    TimeNs shift = 0;
    if (start && __builtin_sub_overflow(*start, recording.earliest, &shift)) {
      return fail(console, refuse("--start: too far from the times of " + recording.path), kUsage);
    }
    begin = std::min(begin, recording.earliest + shift);
    Part& part = parts[i % lane_count];
    part.streams.push_back(
        {keys.value()[i], recording.channels, mean_rate(recording, options.recording)});
    part.sources.push_back(std::make_unique<RecordingSource>(std::move(reader).value(), shift));
  }

  std::vector<Lane> lanes;
  for (Part& part : parts) {
    auto client = make_client(options.url, options.server, kTimeout);
    if (!client.ok()) return fail(console, client.error(), kUsage);
    const std::size_t streams = part.streams.size();
    auto encoder = Encoder::make(format.value(), std::move(part.streams));
    if (!encoder.ok()) return fail(console, encoder.error(), kUsage);
    SendOptions send;
    send.gzip = options.gzip;
    Interleaver::Rules rules;
    rules.slice_rows = std::max(rules.slice_rows, options.batch_rows / streams);
    lanes.push_back(
        {std::make_unique<Interleaver>(std::move(part.sources), rules),
         std::make_unique<Sender>(std::move(client).value(), std::move(encoder).value(), send)});
  }
  return run_feed(std::move(lanes), files.value().size(), total, speed.value(), begin,
                  options.batch_rows, options.json, console);
}

}  // namespace anomalyd::app::ctl

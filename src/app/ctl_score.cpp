#include "app/ctl_score.h"

#include <algorithm>
#include <ostream>

#include "alert/alert_json.h"
#include "app/ctl_replay.h"
#include "app/domains.h"

namespace anomalyd::app::ctl {
namespace {

constexpr std::size_t kBatchRows = 4096;

Error refuse(std::string message) { return Error{ErrorCode::kInvalidArgument, std::move(message)}; }

/// Prints windows and alerts as they come.
class Printer final : public stream::Observer {
 public:
  Printer(const ScoreOptions& options, Console& console) : options_(options), console_(console) {
    if (options_.json) return;
    if (options_.csv) {
      console_.out << "time,score,p_value\n";
    } else {
      print_row("time", "score", "p_value");
    }
  }

  void on_score(const stream::Stream&, TimeNs start, TimeNs end, float score, double p) override {
    std::string text;
    append_float(text, score);
    if (options_.json) {
      const bool is_finite = score - score == 0;
      console_.out << "{\"window\":{\"start\":" << json_time(start)
                   << ",\"time\":" << json_time(end) << ",\"score\":" << (is_finite ? text : "null")
                   << ",\"p_value\":" << json_number(p) << "}}\n";
    } else if (options_.csv) {
      console_.out << plain_time(end) << ',' << text << ',' << plain_p(p) << '\n';
    } else {
      print_row(plain_time(end), text, p == p ? short_number(p, 6) : "nan");
    }
  }

  void on_alert(const alert::Alert& alert, bool changed) override {
    if (!changed) return;
    if (alert.state == alert::AlertState::kFiring) ++fired_;
    if (options_.json) {
      console_.out << "{\"alert\":" << alert::to_json(alert, false) << "}\n";
      return;
    }
    std::string line = "alert " + alert.id + " " + std::string(alert::to_string(alert.state)) +
                       ": since " + to_rfc3339(alert.start) + ", peak score " +
                       short_number(alert.peak_score, 6) + ", p " + short_number(alert.peak_p, 3);
    if (!alert.contributions.empty()) line += ", most of it " + alert.contributions[0].channel;
    console_.err << line << "\n";
  }

  void on_alert_cancelled(const alert::Alert& alert) override {
    if (!options_.json) console_.err << "alert " << alert.id << " cancelled: not confirmed\n";
  }

  std::uint64_t fired() const { return fired_; }

 private:
  std::string plain_time(TimeNs time) const {
    return options_.time_ns ? std::to_string(time) : to_rfc3339(time);
  }
  std::string json_time(TimeNs time) const {
    return options_.time_ns ? std::to_string(time) : '"' + to_rfc3339(time) + '"';
  }
  static std::string plain_p(double p) { return p == p ? json_number(p) : "nan"; }

  /// Windows are printed as they come, so the widths are fixed.
  void print_row(std::string time, std::string score, std::string p) {
    time.resize(std::max<std::size_t>(time.size(), 30), ' ');
    score.insert(0, score.size() < 15 ? 15 - score.size() : 0, ' ');
    p.insert(0, p.size() < 12 ? 12 - p.size() : 0, ' ');
    console_.out << time << "  " << score << "  " << p << '\n';
  }

  const ScoreOptions& options_;
  Console& console_;
  std::uint64_t fired_ = 0;
};

Result<std::shared_ptr<const stream::DomainSet>> domains_of(const ScoreOptions& options) {
  if (!options.detector.empty()) {
    Config config = default_config();
    DomainConfig domain;
    domain.detector = options.detector;
    return only_domain(std::move(config), domain);
  }
  const Result<Config> config = read_config(options.config);
  if (!config.ok()) return config.error();
  const Result<DomainConfig> domain = choose_domain(config.value(), options.domain);
  if (!domain.ok()) return domain.error();
  return only_domain(config.value(), domain.value());
}

void warn_missing_channels(const stream::Domain& domain, const Recording& recording,
                           Console& console) {
  for (const std::string& channel : domain.detector->info().channels) {
    if (std::find(recording.channels.begin(), recording.channels.end(), channel) ==
        recording.channels.end()) {
      console.err << "anomalyctl: warning: " << recording.path << " has no column " << channel
                  << ", which the detector needs\n";
    }
  }
}

void print_summary(const stream::ShardStreams& shard, std::uint64_t samples, std::uint64_t fired,
                   bool json, Console& console) {
  const stream::Stream& stream = shard.streams().front();
  const stream::DropCounts& drops = shard.drops();
  const std::uint64_t dropped = drops.duplicate + drops.late + drops.excess + drops.time_range;
  if (json) {
    console.out << "{\"summary\":{\"stream\":" << json_string(stream.key)
                << ",\"samples\":" << samples << ",\"dropped\":" << dropped
                << ",\"gaps\":" << stream.windower.counts().breaks
                << ",\"windows\":" << stream.windows_scored
                << ",\"invalid\":" << stream.windows_invalid << ",\"alerts_fired\":" << fired
                << ",\"state\":" << json_string(stream::to_string(stream.state()))
                << ",\"progress\":" << json_number(stream.progress()) << "}}\n";
    return;
  }
  console.err << samples << " samples (" << dropped << " dropped), " << stream.windows_scored
              << " windows scored (" << stream.windows_invalid << " invalid), " << fired
              << " alerts fired; the stream is " << stream::to_string(stream.state());
  if (stream.state() == stream::State::kLearning) {
    console.err << " (" << static_cast<int>(stream.progress() * 100) << " % of its learning span)";
  }
  console.err << "\n";
}

}  // namespace

Result<Config> read_config(const std::string& path) {
  return path.empty() ? Result<Config>(default_config()) : load_config(path);
}

Result<DomainConfig> choose_domain(const Config& config, const std::string& name) {
  if (name.empty() && config.domains.size() == 1) return config.domains.front();
  std::string known;
  for (const DomainConfig& domain : config.domains) {
    if (domain.name == name) return domain;
    known += (known.empty() ? "" : ", ") + domain.name;
  }
  return refuse("--domain: " +
                (name.empty() ? std::string("there are several") : "no domain '" + name + "'") +
                "; expected one of: " + known);
}

Result<std::shared_ptr<const stream::DomainSet>> only_domain(Config config,
                                                             const DomainConfig& domain) {
  config.domains = {domain};
  auto made = make_domains(config);
  if (!made.ok()) return made;
  auto set = std::make_shared<stream::DomainSet>(*made.value());
  set->find = [only = set->domains.front()](const StreamKey&) { return only; };
  return std::shared_ptr<const stream::DomainSet>(std::move(set));
}

Result<std::uint64_t> score_recording(RecordingReader& reader, std::string_view key,
                                      std::size_t batch_rows, stream::ShardStreams& shard) {
  const std::vector<std::string>& channels = reader.recording().channels;
  const std::vector<std::string_view> names(channels.begin(), channels.end());
  std::vector<float> values(channels.size());
  std::uint64_t samples = 0;
  for (bool more = true; more;) {
    SampleBatch batch;
    const std::uint32_t schema = batch.schema(names);
    while (batch.samples() < batch_rows) {
      TimeNs time = 0;
      const Result<bool> row = reader.next(time, values);
      if (!row.ok()) return row.error();
      more = row.value();
      if (!more) break;
      batch.append(key, schema, time, values);
    }
    samples += batch.samples();
    shard.process(batch);
  }
  return samples;
}

int score(const ScoreOptions& options, Console& console) {
  if (const Status checked = options.recording.check(); !checked.ok()) {
    return fail(console, checked.error(), kUsage);
  }
  if (options.detector.empty() == options.config.empty()) {
    return fail(console, refuse("score: expected one of --detector and --config"), kUsage);
  }
  const auto keys = replay_keys({options.file}, options.stream, "");
  if (!keys.ok()) return fail(console, keys.error(), kUsage);
  const auto domains = domains_of(options);
  if (!domains.ok()) return fail(console, domains.error());
  auto reader = RecordingReader::open(options.file, options.recording);
  if (!reader.ok()) return fail(console, reader.error());
  warn_missing_channels(*domains.value()->domains.front(), reader.value().recording(), console);

  Printer printer(options, console);
  stream::ShardStreams shard({}, {}, domains.value(), printer);
  const auto samples =
      score_recording(reader.value(), keys.value().front().text(), kBatchRows, shard);
  if (!samples.ok()) return fail(console, samples.error());
  if (options.flush) shard.flush();
  print_summary(shard, samples.value(), printer.fired(), options.json, console);
  return kOk;
}

}  // namespace anomalyd::app::ctl

#include "app/ctl_simulate.h"

#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <fstream>
#include <memory>
#include <ostream>

#include "app/ctl_feed.h"
#include "app/ctl_recording.h"

namespace anomalyd::app::ctl {
namespace {

constexpr std::chrono::seconds kTimeout{30};
constexpr std::string_view kFileStart = "2026-01-01T00:00:00Z";
constexpr std::size_t kBatchRows = 5000;

Error refuse(std::string message) { return Error{ErrorCode::kInvalidArgument, std::move(message)}; }

/// The simulator for so many seconds; samples that a dropout swallows are not there.
class SimulatorSource final : public SampleSource {
 public:
  SimulatorSource(Simulator simulator, double seconds)
      : simulator_(std::move(simulator)), seconds_(seconds) {}

  std::size_t channels() const override { return Simulator::kChannels.size(); }
  Result<bool> next(TimeNs& time, std::span<float> values) override {
    while (simulator_.elapsed_seconds() < seconds_) {
      if (simulator_.next(time, values)) return true;
    }
    return false;
  }

 private:
  Simulator simulator_;
  const double seconds_;
};

Result<Simulator> make_simulator(const SimulateOptions& options) {
  if (!(options.seconds > 0 && options.seconds <= 3.2e9)) {
    return refuse("--seconds: expected above 0 and at most 3.2e9, got " +
                  short_number(options.seconds, 9));
  }
  const std::string start = !options.start.empty() ? options.start
                            : options.out.empty()  ? "now"
                                                   : std::string(kFileStart);
  const auto begin = parse_start(start, system_clock());
  if (!begin.ok()) return begin.error();
  SimulatorOptions settings;
  settings.start = begin.value();
  settings.rate_hz = options.rate_hz;
  settings.seed = options.seed;
  Result<Simulator> simulator = Simulator::make(settings);
  if (!simulator.ok()) return simulator;
  Fault defaults;
  defaults.start_seconds = options.fault_at.value_or(defaults.start_seconds);
  defaults.duration_seconds = options.fault_seconds.value_or(defaults.duration_seconds);
  defaults.severity = options.severity.value_or(defaults.severity);
  if (options.faults.empty() && (options.fault_at || options.fault_seconds || options.severity)) {
    return refuse("--fault-at, --fault-seconds and --severity need a --fault KIND");
  }
  for (const std::string& text : options.faults) {
    const Result<Fault> fault = parse_fault(text, defaults);
    if (!fault.ok()) return fault.error();
    const Status injected = simulator.value().inject(fault.value());
    if (!injected.ok()) return refuse("--fault " + text + ": " + injected.error().message);
  }
  return simulator;
}

Result<std::uint64_t> write_csv(SampleSource& source, std::ostream& out) {
  std::string text = "time";
  for (const std::string_view channel : Simulator::kChannels) text += "," + std::string(channel);
  text += '\n';
  std::array<float, Simulator::kChannels.size()> values{};
  TimeNs time = 0;
  std::uint64_t rows = 0;
  constexpr std::size_t kBufferBytes = 1UL << 16U;
  for (;;) {
    const Result<bool> row = source.next(time, values);
    if (!row.ok()) return row.error();
    if (!row.value()) break;
    ++rows;
    text += to_rfc3339(time);
    for (const float value : values) {
      text += ',';
      append_float(text, value);
    }
    text += '\n';
    if (text.size() > kBufferBytes) {
      out << text;
      text.clear();
    }
  }
  out << text << std::flush;
  if (!out) return Error{ErrorCode::kExhausted, "cannot write all of it"};
  return rows;
}

int simulate_to_file(SampleSource& source, const SimulateOptions& options, Console& console) {
  const bool is_stdout = options.out == "-";
  std::ofstream file;
  if (!is_stdout) {
    file.open(options.out, std::ios::binary | std::ios::trunc);
    if (!file) {
      return fail(console, Error{ErrorCode::kUnavailable, options.out + ": cannot be written"});
    }
  }
  const auto rows = write_csv(source, is_stdout ? console.out : file);
  if (!rows.ok()) {
    return fail(console, Error{rows.error().code, options.out + ": " + rows.error().message});
  }
  std::ostream& summary = is_stdout ? console.err : console.out;
  if (options.json) {
    summary << "{\"file\":" << json_string(options.out) << ",\"samples\":" << rows.value() << "}\n";
  } else {
    summary << rows.value() << " samples in " << options.out << "\n";
  }
  return kOk;
}

}  // namespace

Result<Fault> parse_fault(std::string_view text, const Fault& defaults) {
  const auto bad = [&](const std::string& what) {
    return refuse("--fault " + std::string(text) + ": " + what +
                  "; expected KIND[@START[+SECONDS[*SEVERITY]]], as in bearing@120+20*1.5");
  };
  Fault fault = defaults;
  const std::size_t at = std::min(text.find('@'), text.size());
  const Result<FaultKind> kind = parse_fault_kind(text.substr(0, at));
  if (!kind.ok()) return bad(kind.error().message);
  fault.kind = kind.value();
  if (at == text.size()) return fault;
  const char* p = text.data() + at + 1;
  const char* const end = text.data() + text.size();
  const auto number = [&](double& value) {
    const auto [stop, ec] = std::from_chars(p, end, value);
    const bool is_number = ec == std::errc() && std::isfinite(value);
    p = stop;
    return is_number;
  };
  if (!number(fault.start_seconds)) return bad("START is no number");
  if (p < end && *p == '+') {
    ++p;
    if (!number(fault.duration_seconds)) return bad("SECONDS is no number");
    if (p < end && *p == '*') {
      ++p;
      if (!number(fault.severity)) return bad("SEVERITY is no number");
    }
  }
  if (p != end) return bad("'" + std::string(p, end) + "' is not understood");
  return fault;
}

int simulate(const SimulateOptions& options, Console& console) {
  if (options.url.empty() == options.out.empty()) {
    return fail(console, refuse("simulate: expected one of --to URL and --out FILE"), kUsage);
  }
  const auto speed = parse_speed(options.speed);
  if (!speed.ok()) return fail(console, speed.error(), kUsage);
  const auto labels = parse_labels(options.labels);
  if (!labels.ok()) return fail(console, refuse("--labels: " + labels.error().message), kUsage);
  auto key = StreamKey::make(options.stream, labels.value());
  if (!key.ok()) return fail(console, refuse("--stream: " + key.error().message), kUsage);
  auto simulator = make_simulator(options);
  if (!simulator.ok()) return fail(console, simulator.error(), kUsage);
  const TimeNs begin = simulator.value().options().start;
  auto source = std::make_unique<SimulatorSource>(std::move(simulator).value(), options.seconds);
  if (!options.out.empty()) return simulate_to_file(*source, options, console);

  auto client = make_client(options.url, options.server, kTimeout);
  if (!client.ok()) return fail(console, client.error(), kUsage);
  SendStream stream{std::move(key).value(), {}, options.rate_hz};
  for (const std::string_view channel : Simulator::kChannels) stream.channels.emplace_back(channel);
  auto encoder = Encoder::make(WireFormat::kLineProtocol, {std::move(stream)});
  if (!encoder.ok()) return fail(console, encoder.error(), kUsage);
  std::vector<std::unique_ptr<SampleSource>> sources;
  sources.push_back(std::move(source));
  std::vector<Lane> lanes;
  lanes.push_back({std::make_unique<Interleaver>(std::move(sources), Interleaver::Rules{}),
                   std::make_unique<Sender>(std::move(client).value(), std::move(encoder).value(),
                                            SendOptions{})});
  const auto total = static_cast<std::uint64_t>(options.seconds * options.rate_hz);
  return run_feed(std::move(lanes), 1, total, speed.value(), begin, kBatchRows, options.json,
                  console);
}

}  // namespace anomalyd::app::ctl

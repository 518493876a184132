#include "app/ctl_simulate.h"

#include <cmath>
#include <fstream>
#include <sstream>

#include "app/ctl_recording.h"
#include "support/catch.h"
#include "support/ctl_files.h"

namespace anomalyd::app::ctl {
namespace {

TEST_CASE("A fault is read with what it leaves out", "[app][ctl]") {
  Fault defaults;
  defaults.start_seconds = 7;
  defaults.severity = 2;
  const auto plain = parse_fault("bearing", defaults);
  REQUIRE(plain.ok());
  CHECK(plain.value().kind == FaultKind::kBearing);
  CHECK(plain.value().start_seconds == 7);
  CHECK(std::isinf(plain.value().duration_seconds));
  CHECK(plain.value().severity == 2);
  const auto at = parse_fault("stuck@1.5", defaults);
  REQUIRE(at.ok());
  CHECK(at.value().start_seconds == 1.5);
  CHECK(std::isinf(at.value().duration_seconds));
  const auto all = parse_fault("dropout@120+20*0.5", defaults);
  REQUIRE(all.ok());
  CHECK(all.value().kind == FaultKind::kDropout);
  CHECK(all.value().start_seconds == 120);
  CHECK(all.value().duration_seconds == 20);
  CHECK(all.value().severity == 0.5);
}

TEST_CASE("A fault that cannot be read is refused with its form", "[app][ctl]") {
  for (const char* bad : {"", "rust", "bearing@", "bearing@x", "bearing@1+", "bearing@1+2*",
                          "bearing@1*2", "bearing@1+2*3x", "bearing@nan", "bearing@1+inf"}) {
    const auto fault = parse_fault(bad, {});
    REQUIRE(!fault.ok());
    CHECK(fault.error().message.find("expected KIND[@START") != std::string::npos);
  }
  CHECK(parse_fault("rust", {}).error().message.find("looseness") != std::string::npos);
}

int run(const SimulateOptions& options, std::string& out, std::string& err) {
  std::ostringstream out_stream;
  std::ostringstream err_stream;
  Console console{out_stream, err_stream, false};
  const int status = simulate(options, console);
  out = out_stream.str();
  err = err_stream.str();
  return status;
}

TEST_CASE("A simulated file is the simulator's samples, to the bit", "[app][ctl]") {
  const testing::TemporaryFolder folder;
  SimulateOptions options;
  options.out = (folder.path() / "s.csv").string();
  options.seconds = 3;
  options.rate_hz = 500;
  options.seed = 9;
  options.faults = {"dropout@1+1*0.5"};
  std::string out;
  std::string err;
  REQUIRE(run(options, out, err) == kOk);

  SimulatorOptions settings;
  settings.start = parse_rfc3339("2026-01-01T00:00:00Z").value();
  settings.rate_hz = 500;
  settings.seed = 9;
  Simulator simulator = Simulator::make(settings).value();
  REQUIRE(simulator.inject({FaultKind::kDropout, 1, 1, 0.5}).ok());
  auto reader = RecordingReader::open(options.out, {});
  REQUIRE(reader.ok());
  CHECK(reader.value().recording().channels == std::vector<std::string>{"ax", "ay", "az"});
  std::array<float, 3> read{};
  std::array<float, 3> made{};
  TimeNs read_time = 0;
  TimeNs made_time = 0;
  int rows = 0;
  for (int i = 0; i < 1500; ++i) {
    if (!simulator.next(made_time, made)) continue;
    REQUIRE(reader.value().next(read_time, read).value());
    REQUIRE(read_time == made_time);
    REQUIRE(read == made);
    ++rows;
  }
  CHECK(!reader.value().next(read_time, read).value());
  CHECK(rows > 1100);
  CHECK(rows < 1400);
  CHECK(out == std::to_string(rows) + " samples in " + options.out + "\n");
}

TEST_CASE("Flags of simulate that cannot be are wrong usage", "[app][ctl]") {
  std::string out;
  std::string err;
  SimulateOptions options;
  CHECK(run(options, out, err) == kUsage);
  options.out = "-";
  options.seconds = 0;
  CHECK(run(options, out, err) == kUsage);
  options.seconds = 1;
  options.fault_at = 3;
  CHECK(run(options, out, err) == kUsage);
  CHECK(err.find("need a --fault") != std::string::npos);
  options.faults = {"bearing"};
  options.severity = -1;
  CHECK(run(options, out, err) == kUsage);
  options.severity = 1;
  REQUIRE(run(options, out, err) == kOk);
  CHECK(out.substr(0, 14) == "time,ax,ay,az\n");
  CHECK(err == "1000 samples in -\n");
}

}  // namespace
}  // namespace anomalyd::app::ctl

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/ctl_output.h"
#include "app/ctl_send.h"
#include "app/simulator.h"
#include "base/result.h"

namespace anomalyd::app::ctl {

struct SimulateOptions {
  std::string url;  ///< either this
  ServerFlags server;
  std::string out;  ///< or this is set; "-" is standard output
  std::string stream = "sim";
  std::string labels;
  double rate_hz = 1000;
  double seconds = 60;
  std::string speed = "1";
  std::uint64_t seed = 1;
  std::string start;                ///< empty: now for a daemon, 2026-01-01T00:00:00Z for a file
  std::vector<std::string> faults;  ///< see parse_fault()
  std::optional<double> fault_at;   ///< for the faults that do not say it themselves
  std::optional<double> fault_seconds;
  std::optional<double> severity;
  bool json = false;
};

/// KIND[@START[+SECONDS[*SEVERITY]]], for example "bearing@120+20*1.5"; what it leaves out is as
/// in `defaults`.
/// Errors   kInvalidArgument: an unknown kind (lists the known), what is no number.
Result<Fault> parse_fault(std::string_view text, const Fault& defaults);

/// Sends a simulated machine to a daemon as it happens, or writes it as CSV.
int simulate(const SimulateOptions& options, Console& console);

}  // namespace anomalyd::app::ctl

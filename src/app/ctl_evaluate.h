#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "app/ctl_output.h"
#include "evaluate/runner.h"

namespace anomalyd::app::ctl {

struct EvaluateOptions {
  std::string protocol;
  std::string data;
  std::string detectors = "all";  ///< names or files, comma separated
  std::string mode = "causal";
  std::string normal = "*normal*";  ///< of `recordings`
  std::string faulty = "*fault*";
  std::string html;  ///< file to write a report to
  bool json = false;
  std::uint64_t seed = 1;
  std::size_t threads = 0;  ///< 0: one a core; the table is the same
  std::size_t limit = 0;
  std::size_t plots = 6;
  std::size_t window_samples = 0;
  std::size_t hop_samples = 0;
  int epochs = 60;
  double alarm_p = 1e-3;
};

/// Runs a benchmark and prints its table, or one JSON object.
int evaluate(const EvaluateOptions& options, Console& console);

/// What was run, for the heads of tables and reports.
struct EvaluateHead {
  std::string protocol;
  std::string mode;
  std::size_t series = 0;
  std::uint64_t seed = 0;
  double alarm_p = 0;
};

/// {"protocol":…,"mode":…,"results":[{"detector":…,"metrics":{…},"failed":…,"unscored":…,
/// "judged":…,"seconds":…}]}; a figure that does not apply is null.
std::string evaluation_json(const EvaluateHead& head,
                            const std::vector<evaluate::DetectorResult>& results);

/// A report that needs no other file: the table, and for some series of each detector the signal,
/// the score with its threshold, the truth and the alerts; which series could not be learned or
/// scored, and why.
std::string evaluation_html(const EvaluateHead& head, evaluate::ProtocolKind protocol,
                            const std::vector<evaluate::DetectorResult>& results);

/// "3 of 900 judged samples have no score of their own".
std::string unscored_text(const evaluate::DetectorResult& result);

/// A figure as the table shows it: at most four digits, "-" for one that does not apply.
std::string figure_text(double value);

}  // namespace anomalyd::app::ctl

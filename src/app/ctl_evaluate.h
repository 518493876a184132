#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "app/ctl_output.h"
#include "evaluate/runner.h"
#include "evaluate/synthetic.h"

namespace anomalyd::app::ctl {

struct EvaluateOptions {
  std::string protocol;  ///< or "synthetic"
  std::string data;
  std::string file;    ///< of `synthetic`: the recording
  double train = 0.5;  ///< of `synthetic`: the share of the recording that is learned from
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

inline constexpr std::string_view kSynthetic = "synthetic";

/// Runs a benchmark and prints its table, or one JSON object; or, with the protocol "synthetic",
/// tells what of anomalies put into a recording its detectors would catch.
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

/// What a table of synthetic anomalies tells, for its head.
struct SyntheticHead {
  EvaluateHead run;  ///< its protocol is the file's name
  std::size_t rows = 0;
  std::size_t train_rows = 0;
  double sample_seconds = 0;  ///< 0: not known
};
void print_synthetic(const SyntheticHead& head,
                     const std::vector<evaluate::SyntheticResult>& results, std::ostream& out);
/// {"protocol":"synthetic","file":…,"results":[{"detector":…,"metrics":{"caught":…},
/// "anomalies":[{"kind":"level","strength":1,"length":48,"put":4,"caught":3,…}]}]}.
std::string synthetic_json(const SyntheticHead& head,
                           const std::vector<evaluate::SyntheticResult>& results);
/// What a detector would catch and what it would miss, in a sentence: a kind, strength and length
/// is caught when three of four of it are.
std::string synthetic_sentence(const evaluate::SyntheticResult& result,
                               const evaluate::SyntheticResult& random);

/// "3 of 900 judged samples have no score of their own".
std::string unscored_text(const evaluate::DetectorResult& result);

/// A figure as the table shows it: at most four digits, "-" for one that does not apply.
std::string figure_text(double value);

}  // namespace anomalyd::app::ctl

// anomalyctl: flags and dispatch; each command is app/ctl_<group>.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <functional>
#include <iostream>
#include <string>

#include "app/config.h"
#include "app/ctl_bench.h"
#include "app/ctl_evaluate.h"
#include "app/ctl_query.h"
#include "app/ctl_replay.h"
#include "app/ctl_score.h"
#include "app/ctl_simulate.h"
#include "app/ctl_token.h"
#include "app/ctl_train.h"
#include "app/version.h"
#include "heap_count.h"

namespace {

using namespace anomalyd;
namespace ctl = app::ctl;

constexpr const char* kUrlVariable = "ANOMALYD_URL";

/// What the chosen command will do, once all flags are read.
using Run = std::function<int(ctl::Console&)>;

struct Commands {
  CLI::App& cli;
  Run run;

  CLI::App& add(const char* name, const char* what) { return *cli.add_subcommand(name, what); }
};

void add_json(CLI::App& command, bool& json, const char* what = "Print JSON") {
  command.add_flag("--json", json, what);
}

void add_server(CLI::App& command, ctl::ServerFlags& flags) {
  command.add_option("--token-file", flags.token_file, "File with the token for the daemon")
      ->type_name("FILE")
      ->envname("ANOMALYD_TOKEN_FILE");
  command
      .add_option("--ca-file", flags.ca_file,
                  "Who may vouch for an https daemon (PEM); else the system's own authorities")
      ->type_name("FILE")
      ->envname("ANOMALYD_CA_FILE");
  auto* certificate =
      command.add_option("--cert", flags.certificate, "Certificate to show to the daemon (PEM)");
  auto* key = command.add_option("--key", flags.key, "Its key (PEM)");
  certificate->type_name("FILE")->needs(key);
  key->type_name("FILE")->needs(certificate);
}

void add_url(CLI::App& command, const char* flag, std::string& url, ctl::ServerFlags& flags) {
  command.add_option(flag, url, "The daemon's address")
      ->type_name("URL")
      ->envname(kUrlVariable)
      ->capture_default_str();
  add_server(command, flags);
}

void add_recording(CLI::App& command, ctl::RecordingOptions& options) {
  command.add_option("--time-column", options.time_column,
                     "Column with the times; else time, timestamp, datetime, ts or date");
  command
      .add_option("--time-unit", options.time_unit,
                  "Of a time column with numbers: s, ms, us, ns, rfc3339 or auto")
      ->capture_default_str();
  command.add_option("--rate-hz", options.rate_hz,
                     "Row i is i / RATE seconds after 1970; a time column is not used");
}

void add_shares(CLI::App& command, ctl::RecordingOptions& options) {
  command.add_option("--from-share", options.from_share, "Leave out what is before this share")
      ->type_name("0..1");
  command.add_option("--to-share", options.to_share, "Leave out what is from this share on")
      ->type_name("0..1");
}

void add_train(Commands& commands) {
  auto options = std::make_shared<ctl::TrainOptions>();
  CLI::App& command =
      commands.add("train", "Learn a detector from CSV recordings of normal operation");
  command.add_option("--config,-c", options->config, "Configuration file; without it the defaults")
      ->type_name("FILE");
  command.add_option("--domain", options->domain,
                     "Domain to train for; may be left out if only one");
  command
      .add_option("--data", options->data, "CSV files, each one recording, or folders with *.csv")
      ->required()
      ->type_name("PATH");
  command
      .add_option("--out", options->out,
                  "Folder, or file that ends in .safetensors; else where the domain looks for it")
      ->type_name("PATH");
  command
      .add_option("--first", options->recording.to_share,
                  "Use only the first share of each recording's time, such as 0.5")
      ->type_name("0..1");
  command.add_option("--threads", options->threads, "0: one a core; the result is the same");
  add_recording(command, options->recording);
  add_json(command, options->json, "Print the summary as JSON");
  command.callback([&commands, options] {
    commands.run = [options](ctl::Console& console) { return ctl::train(*options, console); };
  });
}

void add_inspect(Commands& commands) {
  auto options = std::make_shared<ctl::InspectOptions>();
  CLI::App& command = commands.add(
      "inspect", "Print what a detector file holds; status 1 and the reason if it is refused");
  command.add_option("file", options->file, "Detector file")->required()->type_name("FILE");
  add_json(command, options->json);
  command.callback([&commands, options] {
    commands.run = [options](ctl::Console& console) { return ctl::inspect(*options, console); };
  });
}

void add_score(Commands& commands) {
  auto options = std::make_shared<ctl::ScoreOptions>();
  CLI::App& command = commands.add(
      "score",
      "Score a recording: one line a window, to the last bit what a daemon gives that is fed the "
      "same. Times are the windows' ends");
  command.add_option("file", options->file, "CSV recording")->required()->type_name("FILE.csv");
  auto* detector =
      command.add_option("--detector", options->detector,
                         "Detector file, its name in the models folder, or a kind that needs "
                         "no file: standard, tiny, full, zscore");
  auto* config = command.add_option("--config,-c", options->config,
                                    "Take detector and rules from this config");
  detector->excludes(config);
  command.add_option("--domain", options->domain, "Domain of the config")->needs(config);
  command.add_option("--stream", options->stream, "Name or key; else from the file's name");
  add_recording(command, options->recording);
  add_shares(command, options->recording);
  auto* json = command.add_flag(
      "--json", options->json,
      "One object a line: {\"window\":...}, {\"alert\":...}, at the end {\"summary\":...}");
  command.add_flag("--csv", options->csv, "Print time,score,p_value with exact numbers")
      ->excludes(json);
  command.add_flag("--time-ns", options->time_ns, "Times as integer nanoseconds");
  command.add_flag("--flush", options->flush,
                   "Also score what still waits for late samples at the end, as a daemon, whose "
                   "streams do not end, would not");
  command.callback([&commands, options] {
    commands.run = [options](ctl::Console& console) { return ctl::score(*options, console); };
  });
}

void add_replay(Commands& commands) {
  auto options = std::make_shared<ctl::ReplayOptions>();
  CLI::App& command = commands.add(
      "replay", "Send CSV recordings to a running daemon, each as a stream of its own");
  command.add_option("files", options->paths, "CSV files, or folders with *.csv")
      ->required()
      ->type_name("FILE");
  add_url(command, "--to", options->url, options->server);
  command.add_option("--speed", options->speed, "Times as fast as it was recorded, or max")
      ->type_name("N|max")
      ->capture_default_str();
  auto* stream =
      command.add_option("--stream", options->stream, "Name or key, for one recording only");
  command.add_flag("--name-from-file")
      ->description("Name streams by their files, which is also the default")
      ->excludes(stream);
  command.add_option("--labels", options->labels, "Labels of all streams")->type_name("a=b,...");
  command
      .add_option("--format", options->format,
                  "line-protocol and rows carry each sample's own time; columns makes times even")
      ->type_name("line-protocol|rows|columns")
      ->capture_default_str();
  command.add_option("--start", options->start, "Move each recording so that it begins then")
      ->type_name("TIME|now");
  command.add_option("--batch", options->batch_rows, "Most samples a request")
      ->capture_default_str();
  command
      .add_option("--connections", options->connections,
                  "Streams are spread over so many connections")
      ->capture_default_str();
  command.add_flag("--gzip", options->gzip, "Compress the requests");
  add_recording(command, options->recording);
  add_shares(command, options->recording);
  add_json(command, options->json, "Print the summary as JSON");
  command.callback([&commands, options] {
    commands.run = [options](ctl::Console& console) { return ctl::replay(*options, console); };
  });
}

void add_simulate(Commands& commands) {
  auto options = std::make_shared<ctl::SimulateOptions>();
  CLI::App& command = commands.add(
      "simulate", "Send a simulated accelerometer on a rotating machine, or write it as CSV");
  auto* to = command.add_option("--to", options->url, "The daemon's address")->type_name("URL");
  add_server(command, options->server);
  command.add_option("--out", options->out, "CSV file to write; - is standard output")
      ->type_name("FILE")
      ->excludes(to);
  command.add_option("--stream", options->stream, "Name")->capture_default_str();
  command.add_option("--labels", options->labels, "Labels")->type_name("a=b,...");
  command.add_option("--rate", options->rate_hz, "Samples a second")->capture_default_str();
  command.add_option("--seconds", options->seconds, "How long, in event time")
      ->capture_default_str();
  command.add_option("--speed", options->speed, "Times as fast as it happens, or max")
      ->type_name("N|max")
      ->capture_default_str();
  command.add_option("--seed", options->seed, "Same seed, same samples")->capture_default_str();
  command
      .add_option("--start", options->start,
                  "Time of the first sample; else now, or 2026-01-01T00:00:00Z with --out")
      ->type_name("TIME|now");
  command
      .add_option("--fault", options->faults,
                  "imbalance, bearing, looseness, stuck or dropout, from START for SECONDS; may be "
                  "given several times")
      ->type_name("KIND[@START[+SECONDS[*SEVERITY]]]")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command.add_option("--fault-at", options->fault_at, "START of faults that do not say it");
  command.add_option("--fault-seconds", options->fault_seconds,
                     "SECONDS of faults that do not say it");
  command.add_option("--severity", options->severity, "SEVERITY of faults that do not say it");
  add_json(command, options->json, "Print the summary as JSON");
  command.callback([&commands, options] {
    commands.run = [options](ctl::Console& console) { return ctl::simulate(*options, console); };
  });
}

void add_evaluate(Commands& commands) {
  auto options = std::make_shared<ctl::EvaluateOptions>();
  CLI::App& command = commands.add(
      "evaluate", "Run a benchmark through the daemon's own code and print a table with controls");
  command
      .add_option("protocol", options->protocol,
                  "skab, nab, ucr, csv or recordings; or synthetic: which anomalies put into a "
                  "recording would be caught")
      ->required()
      ->type_name("PROTOCOL");
  command.add_option("file", options->file, "synthetic: the recording")->type_name("FILE.csv");
  command.add_option("--data", options->data, "The benchmark's folder, as published")
      ->type_name("DIR");
  command
      .add_option("--train", options->train,
                  "synthetic: share of the recording, from its start, that is learned from")
      ->capture_default_str();
  command
      .add_option("--detectors", options->detectors,
                  "Kinds, and files that end in .safetensors, with commas between them; or all")
      ->type_name("LIST|all")
      ->capture_default_str();
  command.add_option("--mode", options->mode, "What a score may know")
      ->type_name("causal|lag|offline")
      ->capture_default_str();
  add_json(command, options->json, "Print one JSON object");
  command.add_option("--html", options->html, "Also write a report with plots")->type_name("FILE");
  command.add_option("--plots", options->plots, "Series of each detector in the report")
      ->capture_default_str();
  command.add_option("--seed", options->seed, "Same seed, same table")->capture_default_str();
  command.add_option("--threads", options->threads, "0: one a core; the table is the same");
  command.add_option("--limit", options->limit, "Only so many series, evenly picked by name");
  command.add_option("--alarm-p", options->alarm_p, "The fixed threshold, as a p-value")
      ->capture_default_str();
  command.add_option("--window", options->window_samples,
                     "Samples a window; else from the length of the train part");
  command.add_option("--hop", options->hop_samples, "Samples between windows; else likewise");
  command.add_option("--epochs", options->epochs, "Most epochs of trained detectors")
      ->capture_default_str();
  command.add_option("--normal", options->normal, "recordings: names of normal files")
      ->type_name("PATTERN")
      ->capture_default_str();
  command.add_option("--faulty", options->faulty, "recordings: names of faulty files")
      ->type_name("PATTERN")
      ->capture_default_str();
  command.callback([&commands, options] {
    commands.run = [options](ctl::Console& console) { return ctl::evaluate(*options, console); };
  });
}

void add_queries(Commands& commands) {
  const char* const json = "Print the server's JSON";
  auto streams = std::make_shared<ctl::StreamsOptions>();
  CLI::App& list = commands.add("streams", "List the daemon's streams, or show one");
  list.add_option("key", streams->key, "Key of one stream, such as pump{site=\"a\"}");
  add_url(list, "--url", streams->url, streams->server);
  list.add_option("--state", streams->state, "learning, normal, anomalous, degraded or excluded");
  list.add_option("--domain", streams->domain, "Only of this domain");
  list.add_option("--name", streams->name, "Only with this name");
  list.add_option("--limit", streams->limit, "Most streams")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  add_json(list, streams->json, json);
  list.callback([&commands, streams] {
    commands.run = [streams](ctl::Console& console) { return ctl::streams(*streams, console); };
  });

  auto alerts = std::make_shared<ctl::AlertsOptions>();
  CLI::App& alert = commands.add("alerts", "List alerts, newest first, or show one");
  alert.add_option("id", alerts->id, "Id of one alert");
  add_url(alert, "--url", alerts->url, alerts->server);
  alert.add_option("--state", alerts->state, "pending, firing or resolved");
  alert.add_option("--stream", alerts->stream, "Only of the stream with this key");
  alert.add_option("--label", alerts->labels, "Only of streams with this label")
      ->type_name("NAME=VALUE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  alert.add_option("--from", alerts->from, "RFC 3339 or integer nanoseconds")->type_name("TIME");
  alert.add_option("--to", alerts->to, "RFC 3339 or integer nanoseconds")->type_name("TIME");
  alert.add_option("--limit", alerts->limit, "Most alerts")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  add_json(alert, alerts->json, json);
  alert.callback([&commands, alerts] {
    commands.run = [alerts](ctl::Console& console) { return ctl::alerts(*alerts, console); };
  });

  auto status = std::make_shared<ctl::QueryOptions>();
  CLI::App& show = commands.add("status", "Show how the daemon is");
  add_url(show, "--url", status->url, status->server);
  add_json(show, status->json, json);
  show.callback([&commands, status] {
    commands.run = [status](ctl::Console& console) { return ctl::status(*status, console); };
  });
}

void add_check_config(Commands& commands) {
  auto options = std::make_shared<ctl::CheckConfigOptions>();
  CLI::App& command = commands.add("check-config", "Check a configuration file");
  command.add_option("file", options->path, "Configuration file")->required()->type_name("FILE");
  add_json(command, options->json, "Print the result as JSON");
  command.callback([&commands, options] {
    commands.run = [options](ctl::Console& console) {
      return ctl::check_config(*options, console);
    };
  });
}

void add_token(Commands& commands) {
  auto options = std::make_shared<ctl::TokenOptions>();
  CLI::App& command = commands.add(
      "token", "Make a token, and the line of the daemon's token file (http.tokens) for it");
  command.add_option("name", options->name, "Whose it is, for logs and for basic authentication")
      ->required();
  command
      .add_option("--scope", options->scopes,
                  "What it may do: ingest, read, write, admin; several with commas between")
      ->required()
      ->delimiter(',')
      ->type_name("SCOPE,...");
  command.add_option("--streams", options->streams, "Only streams whose names match one of these")
      ->delimiter(',')
      ->type_name("PATTERN,...");
  command.add_option("--max-streams", options->max_streams, "Most streams that it may bring")
      ->check(CLI::PositiveNumber);
  command
      .add_option("--out", options->out, "Write the token to this new file, not to the terminal")
      ->type_name("FILE");
  command.add_option("--append", options->append, "Add the line to this token file")
      ->type_name("FILE");
  add_json(command, options->json);
  command.callback([&commands, options] {
    commands.run = [options](ctl::Console& console) { return ctl::token(*options, console); };
  });
}

void add_bench(Commands& commands) {
  CLI::App& bench = commands.add("bench", "Measure what this machine makes of anomalyd");
  bench.require_subcommand(1);
  auto options = std::make_shared<ctl::BenchOptions>();
  options->allocations = heap_requests;
  CLI::App& command = *bench.add_subcommand(
      "nn", "Scoring and training of the reference net, beside the machine's multiply-add peak");
  command
      .add_option("--threads", options->threads, "Train with so many threads too; 1: only with one")
      ->capture_default_str();
  command.add_option("--seconds", options->seconds, "How long, for each figure")
      ->capture_default_str();
  command.add_option("--instruction-set", options->instruction_set,
                     "Only with this one: baseline, avx2 or avx512");
  command
      .add_option("--out", options->out,
                  "Also write the net, 64 windows and what comes of them, as bench/nn_peers.py "
                  "reads it")
      ->type_name("FILE.safetensors");
  add_json(command, options->json);
  command.callback([&commands, options] {
    commands.run = [options](ctl::Console& console) { return ctl::bench_nn(*options, console); };
  });
}

int parse_and_run(int argc, char* argv[]) {
  CLI::App cli{"Works with anomalyd: trains detectors, feeds the daemon, asks it"};
  cli.set_version_flag("--version",
                       std::string(app::kVersion) + " (" + std::string(app::kRevision) + ")");
  cli.require_subcommand(1);
  cli.footer(
      "Results go to standard output, progress and errors to standard error.\n"
      "Exit status: 0 good; 1 failed (bad data, the server refused); 2 wrong usage; 3 no server "
      "there.\n"
      "ANOMALYD_URL is the daemon's address for replay without --to and the queries without "
      "--url, ANOMALYD_TOKEN_FILE and ANOMALYD_CA_FILE are --token-file and --ca-file.");
  Commands commands{cli, {}};
  add_train(commands);
  add_inspect(commands);
  add_score(commands);
  add_replay(commands);
  add_simulate(commands);
  add_evaluate(commands);
  add_queries(commands);
  add_check_config(commands);
  add_token(commands);
  add_bench(commands);
  try {
    cli.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return cli.exit(error) == 0 ? ctl::kOk : ctl::kUsage;
  }
  ctl::Console console{std::cout, std::cerr, isatty(STDERR_FILENO) == 1};
  const int status = commands.run(console);
  std::cout.flush();
  if (std::cout || status != ctl::kOk) return status;
  std::cerr << "anomalyctl: standard output cannot be written\n";
  return ctl::kFailed;
}

}  // namespace

int main(int argc, char* argv[]) {
  signal(SIGPIPE, SIG_IGN);  // a reader that goes away is an error on the stream
  try {
    return parse_and_run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "anomalyctl: " << error.what() << "\n";
    return ctl::kFailed;
  }
}

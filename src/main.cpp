// anomalyd: flags, signals and exit status; all else is app::Engine.
#include <pthread.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <iostream>
#include <optional>
#include <string>

#include "app/config.h"
#include "app/domains.h"
#include "app/engine.h"
#include "app/systemd.h"
#include "app/version.h"
#include "base/log.h"

namespace {

using namespace anomalyd;

constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;

struct Flags {
  std::string config;
  std::string listen;
  bool check_config = false;
  bool print_config = false;
};

/// After all that says where to listen.
Result<app::Config> with_exposure_checked(Result<app::Config> config) {
  if (!config.ok()) return config;
  const Status exposed = app::check_exposure(config.value());
  if (!exposed.ok()) return exposed.error();
  return config;
}

Result<app::Config> read_config(const Flags& flags) {
  Result<app::Config> config = flags.config.empty() ? Result<app::Config>(app::default_config())
                                                    : app::load_config(flags.config);
  if (!config.ok() || flags.listen.empty()) return with_exposure_checked(std::move(config));
  // Checked as the key it stands for is. A single-quoted TOML string takes all but its quote.
  const Result<app::Config> given =
      app::parse_config("[http]\nlisten = '" + flags.listen + "'\n", "--listen");
  if (!given.ok()) return given.error();
  config.value().listen = given.value().listen;
  config.value().http.address = given.value().http.address;
  config.value().http.port = given.value().http.port;
  return with_exposure_checked(std::move(config));
}

void configure_log(const app::Config& config) {
  log::configure(config.log_level, config.log_format, app::stderr_is_journal());
}

void reload(app::Engine& engine, const Flags& flags) {
  app::notify_reloading();
  const Result<app::Config> config = read_config(flags);
  Status status = config.ok() ? engine.reload(config.value()) : Status(config.error());
  if (!config.ok()) engine.metrics().reloaded(false, system_clock().now());
  if (status.ok()) {
    configure_log(config.value());
    log::info("configuration reloaded");
  } else {
    log::error("configuration not reloaded, the old one stays",
               {{"error", status.error().message}});
  }
  app::notify_ready();
}

/// Waits for signals and pets the watchdog while the shards make progress. Returns when it is
/// time to stop.
void supervise(app::Engine& engine, const Flags& flags, const sigset_t& signals) {
  using std::chrono::nanoseconds;
  const nanoseconds watchdog = app::watchdog_interval();
  const nanoseconds turn = watchdog.count() > 0
                               ? std::min<nanoseconds>(watchdog, std::chrono::seconds(2))
                               : nanoseconds(std::chrono::seconds(2));
  const timespec wait{static_cast<time_t>(turn.count() / kNsPerSecond),
                      static_cast<long>(turn.count() % kNsPerSecond)};
  nanoseconds next_look = system_clock().elapsed() + turn;
  for (;;) {
    const int signal = sigtimedwait(&signals, nullptr, &wait);
    if (signal == SIGHUP) {
      reload(engine, flags);
    } else if (signal == SIGTERM || signal == SIGINT) {
      log::info("stopping", {{"signal", signal == SIGTERM ? "SIGTERM" : "SIGINT"}});
      return;
    }
    // Signals wake this loop too: what has happened since a moment ago tells nothing.
    if (system_clock().elapsed() < next_look) continue;
    next_look = system_clock().elapsed() + turn;
    engine.prune_alerts();
    if (engine.progressed()) {
      app::notify_watchdog();
    } else {
      log::warn("a shard has not turned its loop");
    }
  }
}

int run(const Flags& flags) {
  // Before any thread, and before READY: a signal that came earlier would end the process.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGHUP, SIGTERM, SIGINT}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);

  const Result<app::Config> config = read_config(flags);
  if (!config.ok()) {
    std::cerr << config.error().message << "\n";
    return kExitFailure;
  }
  if (flags.print_config) {
    std::cout << app::print_config(config.value());
    return 0;
  }
  if (flags.check_config) {
    Status status = app::check_access(config.value());
    if (status.ok()) status = app::check_domains(config.value());
    if (status.ok()) return 0;
    std::cerr << status.error().message << "\n";
    return kExitFailure;
  }
  configure_log(config.value());
  log::info("anomalyd starts", {{"version", std::string(app::kVersion)},
                                {"revision", std::string(app::kRevision)},
                                {"config", flags.config.empty() ? "defaults" : flags.config}});
  const auto engine = app::Engine::make(config.value(), system_clock());
  const Status started = engine->start();
  if (!started.ok()) {
    log::write(log::Level::kFatal, "cannot start", {{"error", started.error().message}});
    return kExitFailure;
  }
  for (const std::string& warning : app::exposure_warnings(config.value())) {
    log::warn(warning, {{"address", config.value().listen}});
  }
  log::info("ready", {{"address", config.value().http.address},
                      {"port", std::to_string(engine->port())},
                      {"store", config.value().store_directory.string()}});
  app::notify_status("ready on " + config.value().http.address + " port " +
                     std::to_string(engine->port()));
  app::notify_ready();
  supervise(*engine, flags, signals);
  app::notify_stopping();
  engine->stop();
  log::info("stopped");
  return 0;
}

int parse_and_run(int argc, char* argv[]) {
  Flags flags;
  CLI::App cli{"Sensor-stream anomaly detection daemon"};
  cli.set_version_flag("--version",
                       std::string(app::kVersion) + " (" + std::string(app::kRevision) + ")");
  cli.add_option("--config,-c", flags.config, "Configuration file; without it the defaults")
      ->type_name("FILE");
  cli.add_option("--listen", flags.listen, "Listen here instead of http.listen; port 0 takes any")
      ->type_name("ADDRESS:PORT");
  cli.add_flag("--check-config", flags.check_config,
               "Check the configuration and exit: 0 when it is good, 1 when not");
  cli.add_flag("--print-config", flags.print_config,
               "Print the configuration with all defaults filled in and exit");
  try {
    cli.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return cli.exit(error) == 0 ? 0 : kExitUsage;
  }
  return run(flags);
}

}  // namespace

int main(int argc, char* argv[]) {
  try {
    return parse_and_run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "anomalyd: " << error.what() << "\n";
    return kExitFailure;
  }
}

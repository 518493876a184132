#pragma once

#include <chrono>
#include <string>

namespace anomalyd::app {

/// Messages to the service manager, as sd_notify(3); nothing happens when there is none.
/// Threads   safe from any thread.
void notify_ready();
/// Asks for `more` time to start, from now on, beyond TimeoutStartSec.
void notify_starting(const std::string& status, std::chrono::seconds more);
void notify_reloading();
void notify_stopping();
void notify_status(const std::string& status);
void notify_watchdog();

/// How often the watchdog wants to be petted (half of WatchdogSec); zero when there is none.
std::chrono::microseconds watchdog_interval();
/// True when stderr goes to the journal, which reads priorities from "<6>" prefixes.
bool stderr_is_journal();

}  // namespace anomalyd::app

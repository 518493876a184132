#include "app/systemd.h"

#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>

namespace anomalyd::app {

void notify_ready() { sd_notify(0, "READY=1"); }

void notify_starting(const std::string& status, std::chrono::seconds more) {
  const std::chrono::microseconds extension = more;
  sd_notify(
      0,
      ("STATUS=" + status + "\nEXTEND_TIMEOUT_USEC=" + std::to_string(extension.count())).c_str());
}

void notify_reloading() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const long long usec = static_cast<long long>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000;
  sd_notify(0, ("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(usec)).c_str());
}

void notify_stopping() { sd_notify(0, "STOPPING=1"); }

void notify_status(const std::string& status) { sd_notify(0, ("STATUS=" + status).c_str()); }

void notify_watchdog() { sd_notify(0, "WATCHDOG=1"); }

std::chrono::microseconds watchdog_interval() {
  std::uint64_t usec = 0;
  if (sd_watchdog_enabled(0, &usec) <= 0) return std::chrono::microseconds(0);
  return std::chrono::microseconds(usec / 2);
}

bool stderr_is_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");  // NOLINT(concurrency-mt-unsafe): not set
  struct stat stat {};
  if (stream == nullptr || fstat(STDERR_FILENO, &stat) != 0) return false;
  return std::to_string(stat.st_dev) + ":" + std::to_string(stat.st_ino) == stream;
}

}  // namespace anomalyd::app

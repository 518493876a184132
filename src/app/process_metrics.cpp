#include "app/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace anomalyd::app {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily single(std::string name, std::string help, MetricType type, double value) {
  MetricFamily made = family(std::move(name), std::move(help), type);
  add_value(made, {}, value);
  return made;
}

/// When the machine booted, since the Unix epoch. Not from /proc/stat, which a sandbox may hide.
double boot_time_seconds() {
  const auto seconds = [](clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  };
  return seconds(CLOCK_REALTIME) - seconds(CLOCK_BOOTTIME);
}

}  // namespace

MetricFamily family(std::string name, std::string help, MetricType type) {
  MetricFamily made;
  made.name = std::move(name);
  made.help = std::move(help);
  made.type = type;
  return made;
}

void add_value(MetricFamily& family, std::vector<ClientMetric::Label> labels, double value) {
  ClientMetric metric;
  metric.label = std::move(labels);
  if (family.type == MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  family.metric.push_back(std::move(metric));
}

std::vector<MetricFamily> collect_process_metrics() {
  std::vector<MetricFamily> families;
  std::ifstream file("/proc/self/stat");
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  // The command's name, field 2, may hold spaces: what counts comes after its closing bracket.
  const std::size_t close = text.rfind(')');
  if (close != std::string::npos) {
    std::istringstream fields(text.substr(close + 2));
    std::vector<double> values;  // values[i] is field i + 3 of proc(5), except the state
    std::string state;
    fields >> state;
    values.push_back(0);
    for (double value = 0; fields >> value;) values.push_back(value);
    if (values.size() > 21) {
      const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
      const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
      families.push_back(single("process_cpu_seconds_total",
                                "User and system CPU time spent by the process.",
                                MetricType::Counter, (values[11] + values[12]) / ticks));
      families.push_back(
          single("process_threads", "Threads of the process.", MetricType::Gauge, values[17]));
      families.push_back(single("process_start_time_seconds",
                                "When the process started, since the Unix epoch.",
                                MetricType::Gauge, boot_time_seconds() + values[19] / ticks));
      families.push_back(single("process_virtual_memory_bytes", "Virtual memory of the process.",
                                MetricType::Gauge, values[20]));
      families.push_back(single("process_resident_memory_bytes", "Resident memory of the process.",
                                MetricType::Gauge, values[21] * page));
    }
  }
  std::error_code error;
  double open_files = 0;
  // Not a range-for: its increment throws.
  std::filesystem::directory_iterator entry("/proc/self/fd", error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    ++open_files;
  }
  if (!error) {
    families.push_back(
        single("process_open_fds", "Open file descriptors.", MetricType::Gauge, open_files));
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    families.push_back(single("process_max_fds", "Most file descriptors that may be open.",
                              MetricType::Gauge, static_cast<double>(limit.rlim_cur)));
  }
  return families;
}

}  // namespace anomalyd::app

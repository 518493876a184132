#pragma once

#include <vector>

#include <prometheus/metric_family.h>

#include "base/time.h"

namespace anomalyd::app {

/// The process_* metrics as Prometheus' own client libraries name them, from /proc/self. What
/// cannot be read is left out.
std::vector<prometheus::MetricFamily> collect_process_metrics();

/// One sample of a family, for figures that live elsewhere than in a registry.
prometheus::MetricFamily family(std::string name, std::string help, prometheus::MetricType type);
void add_value(prometheus::MetricFamily& family,
               std::vector<prometheus::ClientMetric::Label> labels, double value);

}  // namespace anomalyd::app

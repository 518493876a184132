#pragma once

#include <string>
#include <vector>

#include "app/config.h"

namespace anomalyd::app {

/// The keys whose values differ and that a running daemon cannot take over, "http.threads", in the
/// order of the file. Everything but domains, models and the log is fixed when it starts.
std::vector<std::string> keys_needing_restart(const Config& running, const Config& wanted);

}  // namespace anomalyd::app

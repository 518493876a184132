#include "app/restart_keys.h"

#include <algorithm>
#include <array>
#include <sstream>
#include <string_view>

namespace anomalyd::app {
namespace {

constexpr std::array<std::string_view, 5> kFixed{"http", "ingest", "stream", "store", "daemon"};

/// The lines "section.key = value" of the fixed sections. Read off the printed config, which has
/// every key, so that none can be forgotten here.
std::vector<std::string> fixed_settings(const Config& config) {
  std::vector<std::string> settings;
  std::istringstream text(print_config(config));
  std::string section;
  for (std::string line; std::getline(text, line);) {
    if (line.starts_with('[')) {
      section = line.substr(1, line.find(']') - 1);
    } else if (line.find(" = ") != std::string::npos &&
               std::find(kFixed.begin(), kFixed.end(), section) != kFixed.end()) {
      settings.push_back(section + "." + line);
    }
  }
  return settings;
}

}  // namespace

std::vector<std::string> keys_needing_restart(const Config& running, const Config& wanted) {
  const std::vector<std::string> old = fixed_settings(running);
  std::vector<std::string> keys;
  for (const std::string& setting : fixed_settings(wanted)) {
    if (std::find(old.begin(), old.end(), setting) == old.end()) {
      keys.push_back(setting.substr(0, setting.find(" = ")));
    }
  }
  return keys;
}

}  // namespace anomalyd::app

#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "app/config.h"
#include "app/ctl_output.h"
#include "app/ctl_recording.h"

namespace anomalyd::app::ctl {

struct TrainOptions {
  std::string config;
  std::string domain;
  std::vector<std::string> data;
  std::string
      out;  ///< a folder, or a file that ends in .safetensors; empty: where the domain looks
  RecordingOptions recording;
  std::size_t threads = 0;  ///< 0: one a core
  bool json = false;
};

/// Where `train` writes a domain's detector.
std::filesystem::path train_target(const Config& config, const DomainConfig& domain,
                                   const std::string& out);

/// Learns a detector from recordings of normal operation and writes its file.
int train(const TrainOptions& options, Console& console);

struct InspectOptions {
  std::string file;
  bool json = false;
};

/// Prints what a detector file holds, and why it is refused if it is (then kFailed).
int inspect(const InspectOptions& options, Console& console);

struct CheckConfigOptions {
  std::string path;
  bool json = false;
};

/// Says what is wrong with a configuration file, one line each, or as JSON
/// {"file":…,"valid":…,"errors":[…]}. Nothing is said of a good one without `json`.
int check_config(const CheckConfigOptions& options, Console& console);

}  // namespace anomalyd::app::ctl

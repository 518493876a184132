#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "app/ctl_output.h"
#include "app/ctl_recording.h"
#include "app/ctl_send.h"
#include "base/result.h"
#include "base/stream_key.h"

namespace anomalyd::app::ctl {

struct ReplayOptions {
  std::vector<std::string> paths;
  RecordingOptions recording;
  std::string url{kDefaultUrl};
  ServerFlags server;
  std::string speed = "max";
  std::string stream;  ///< name or key; only for one recording; empty: from the file's name
  std::string labels;
  std::string format = "line-protocol";
  std::string start;  ///< empty: the recordings' own times
  std::size_t batch_rows = 5000;
  std::size_t connections = 1;
  bool gzip = false;
  bool json = false;
};

/// The keys under which recordings are sent.
/// Errors   kInvalidArgument: `stream` with several recordings, two recordings with one key, what
///          is no name, key or labels.
Result<std::vector<StreamKey>> replay_keys(const std::vector<std::string>& files,
                                           const std::string& stream, const std::string& labels);

/// Sends recordings to a running daemon, each as a stream of its own, in order of event time.
int replay(const ReplayOptions& options, Console& console);

}  // namespace anomalyd::app::ctl

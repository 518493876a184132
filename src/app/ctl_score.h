#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "app/config.h"
#include "app/ctl_output.h"
#include "app/ctl_recording.h"
#include "base/result.h"
#include "stream/shard_streams.h"

namespace anomalyd::app::ctl {

/// The config of a command: the file's, or the defaults when there is none.
Result<Config> read_config(const std::string& path);
/// The domain of this name; of a config with only one domain the name may be left out.
/// Errors   kInvalidArgument, listing the domains.
Result<DomainConfig> choose_domain(const Config& config, const std::string& name);
/// The domains of a config with `domain` alone, which every stream then belongs to.
/// Errors   make_domains()'s.
Result<std::shared_ptr<const stream::DomainSet>> only_domain(Config config,
                                                             const DomainConfig& domain);

struct ScoreOptions {
  std::string file;
  std::string detector;  ///< a file, a name or a kind, as a domain's `detector`; or
  std::string config;    ///< the domain that says it
  std::string domain;
  RecordingOptions recording;
  std::string stream;  ///< name or key; empty: from the file's name
  bool json = false;
  bool csv = false;
  bool time_ns = false;  ///< times as integer nanoseconds
  bool flush = false;
};

/// Feeds a recording to the shard's own code in batches of `batch_rows`.
/// Errors   the reader's.
Result<std::uint64_t> score_recording(RecordingReader& reader, std::string_view key,
                                      std::size_t batch_rows, stream::ShardStreams& shard);

/// Prints one line a window: what the daemon that is fed the same recording gives, to the last
/// bit. It does not flush, since the daemon does not: a stream has no end.
int score(const ScoreOptions& options, Console& console);

}  // namespace anomalyd::app::ctl

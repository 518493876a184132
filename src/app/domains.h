#pragma once

#include <memory>

#include "app/config.h"
#include "base/result.h"
#include "stream/domain.h"

namespace anomalyd::app {

/// Makes the domains of a config: loads their detector files or makes the kinds that need none,
/// and checks that what the config says of windows, channels and rate agrees with the file.
/// Errors   kInvalidArgument, kNotFound, kCorrupt, kUnsupported, each "domain NAME: what".
Result<std::shared_ptr<const stream::DomainSet>> make_domains(const Config& config);

/// What make_domains() would refuse of the domains whose detector needs no file, for a check of the
/// config: files are not looked for.
Status check_domains(const Config& config);

/// The settings a detector of this domain is trained with, defaults filled in.
detect::DetectorInfo training_info(const DomainConfig& domain);
/// How recordings of this domain are cut into windows for training.
stream::WindowRules training_windows(const DomainConfig& domain, const detect::DetectorInfo& info);

/// Where a domain's detector file is, or would be written; empty for a kind without a file.
std::filesystem::path detector_path(const Config& config, const DomainConfig& domain);

}  // namespace anomalyd::app

#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "base/result.h"

namespace anomalyd::http {

/// The whole of a small file: tokens, certificates, keys. `credential:NAME` is the file NAME that
/// systemd made for the service (LoadCredential=), under $CREDENTIALS_DIRECTORY.
/// Errors   kNotFound; kInvalidArgument for what cannot be read or is longer than `max_bytes`, and
///          for a credential outside of a service that has any.
Result<std::string> read_secret_file(const std::filesystem::path& path, std::size_t max_bytes);

}  // namespace anomalyd::http

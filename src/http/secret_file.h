#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "base/result.h"

namespace anomalyd::http {

/// What other users may do with a file; if they may more, the log says so.
enum class Secrecy {
  kPublic,   ///< whatever they like
  kTrusted,  ///< read it
  kSecret,   ///< nothing
};

/// The whole of a small file: tokens, certificates, keys. `credential:NAME` is the file NAME that
/// systemd made for the service (LoadCredential=), under $CREDENTIALS_DIRECTORY.
/// Errors   kNotFound; kInvalidArgument for what is no regular file (a pipe would keep the daemon
///          waiting), cannot be read or is longer than `max_bytes`, and for a credential outside of
///          a service that has any.
Result<std::string> read_secret_file(const std::filesystem::path& path, std::size_t max_bytes,
                                     Secrecy secrecy = Secrecy::kPublic);

}  // namespace anomalyd::http

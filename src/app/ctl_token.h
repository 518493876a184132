#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "app/ctl_output.h"

namespace anomalyd::app::ctl {

struct TokenOptions {
  std::string name;
  std::vector<std::string> scopes;   ///< "ingest", "read", "write", "admin"
  std::vector<std::string> streams;  ///< patterns; none: every stream
  std::size_t max_streams = 0;       ///< 0: no limit of its own
  std::string out;                   ///< a new file for the token; empty: it is printed
  std::string append;                ///< the token file that gets the line; empty: it is printed
  bool json = false;
};

/// Makes a token and the line of the token file that lets it in. A name that the file has already
/// is refused, and so is a file for the token that is there.
int token(const TokenOptions& options, Console& console);

}  // namespace anomalyd::app::ctl

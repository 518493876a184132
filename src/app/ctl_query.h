#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "app/ctl_output.h"
#include "app/ctl_send.h"
#include "http/client.h"

namespace anomalyd::app::ctl {

struct QueryOptions {
  std::string url{kDefaultUrl};
  ServerFlags server;
  bool json = false;  ///< the server's own JSON; of several pages, their items in one
};

struct StreamsOptions : QueryOptions {
  std::string key;  ///< one stream, fully
  std::string state;
  std::string domain;
  std::string name;
  std::size_t limit = 1000;  ///< how many to ask for, over as many pages as it takes
};

struct AlertsOptions : QueryOptions {
  std::string id;  ///< one alert, fully
  std::string state;
  std::string stream;
  std::vector<std::string> labels;  ///< name=value, all must match
  std::string from;
  std::string to;
  std::size_t limit = 100;
};

int streams(const StreamsOptions& options, Console& console);
int alerts(const AlertsOptions& options, Console& console);
int status(const QueryOptions& options, Console& console);

// The same with the client given, for tests.
int streams(const StreamsOptions& options, http::Client& client, Console& console);
int alerts(const AlertsOptions& options, http::Client& client, Console& console);
int status(const QueryOptions& options, http::Client& client, Console& console);

}  // namespace anomalyd::app::ctl

#pragma once

#include <array>
#include <cstddef>

#include "http/router.h"
#include "stream/shard_streams.h"

namespace anomalyd::app {

class Engine;

/// How many streams are in which state.
struct StreamCensus {
  std::array<std::size_t, stream::kStates> by_state{};
  std::size_t pending = 0;
  std::size_t firing = 0;
  void add(const StreamCensus& other);
};
StreamCensus count_streams(const stream::ShardStreams& streams);

/// Adds the routes that ask and never change anything: /api/v1, /-/healthy, /-/ready, /metrics,
/// /openapi.json and the landing page. Handlers run on the server's workers, but for the two that
/// tell how the daemon is.
void add_api_routes(Engine& engine, http::Router& router);

}  // namespace anomalyd::app

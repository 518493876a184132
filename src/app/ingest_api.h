#pragma once

#include "http/router.h"

namespace anomalyd::app {

class Engine;

/// Adds the routes by which samples come in: /api/v1/samples, and /write, /api/v2/write, /ping and
/// /health as InfluxDB's clients expect them. Handlers run on the connection's thread.
void add_ingest_routes(Engine& engine, http::Router& router);

}  // namespace anomalyd::app

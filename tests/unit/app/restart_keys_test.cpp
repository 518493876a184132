#include "app/restart_keys.h"

#include "support/catch.h"

namespace anomalyd::app {
namespace {

std::vector<std::string> keys(const std::string& wanted) {
  return keys_needing_restart(parse_config("", "old").value(), parse_config(wanted, "new").value());
}

TEST_CASE("What a reload cannot take over is named, key by key", "[app][config][reload]") {
  CHECK(keys("").empty());
  CHECK(keys("[log]\nlevel = \"debug\"\n[models]\ndirectory = \"/m\"\n"
             "[[domain]]\nname = \"a\"\nhold = \"9s\"\n[domain.train]\nseed = 5\n")
            .empty());
  const std::vector<std::string> all{
      "http.listen",          "http.threads",          "http.workers",
      "http.max_body_bytes",  "http.max_header_bytes", "http.max_target_bytes",
      "http.max_connections", "http.request_timeout",  "http.idle_timeout",
      "ingest.max_rows",      "ingest.max_json_depth", "ingest.max_decompressed_bytes",
      "ingest.max_future",    "ingest.max_past",       "stream.shards",
      "stream.queue_samples", "stream.max_streams",    "stream.score_history_bytes",
      "store.directory",      "store.alert_retention", "daemon.drain_timeout",
  };
  CHECK(keys("[http]\nlisten = \"127.0.0.1:1\"\nthreads = 3\nworkers = 3\n"
             "max_body_bytes = 2048\nmax_header_bytes = 2048\nmax_target_bytes = 2048\n"
             "max_connections = 7\nrequest_timeout = \"7s\"\nidle_timeout = \"7s\"\n"
             "[ingest]\nmax_rows = 7\nmax_json_depth = 7\nmax_decompressed_bytes = 2048\n"
             "max_future = \"7s\"\nmax_past = \"7s\"\n"
             "[stream]\nshards = 7\nqueue_samples = 2048\nmax_streams = 7\n"
             "score_history_bytes = 7\n"
             "[store]\ndirectory = \"/s\"\nalert_retention = \"7d\"\n"
             "[daemon]\ndrain_timeout = \"7s\"\n") == all);
}

}  // namespace
}  // namespace anomalyd::app

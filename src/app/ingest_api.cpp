#include "app/ingest_api.h"

#include <optional>
#include <string>
#include <utility>

#include "app/engine.h"
#include "app/stream_quota.h"
#include "app/version.h"
#include "base/log.h"
#include "ingest/codec.h"
#include "ingest/gzip.h"
#include "ingest/reject_body.h"

namespace anomalyd::app {
namespace {

using http::problem;
using http::Request;
using http::Response;
using Refusal = Metrics::Refusal;

Response retry_later(std::string_view detail) {
  Response response = problem(503, detail);
  response.headers.push_back({"Retry-After", "1"});
  return response;
}

/// Undoes Content-Encoding; nothing when the request may go on, else the refusal.
std::optional<Response> unpack(Engine& engine, Request& request) {
  const std::string& encoding = request.content_encoding;
  if (encoding.empty() || encoding == "identity") return {};
  if (encoding != "gzip" && encoding != "x-gzip" && encoding != "deflate") {
    engine.metrics().count_refused(Refusal::kEncoding);
    return problem(415, "Content-Encoding: expected gzip, deflate or identity, got '" +
                            encoding.substr(0, 64) + "'");
  }
  auto plain = ingest::gunzip(request.body, engine.config().max_decompressed_bytes);
  if (plain.ok()) {
    request.body = std::move(plain).value();
    return {};
  }
  const bool large = plain.error().code == ErrorCode::kExhausted;
  engine.metrics().count_refused(large ? Refusal::kTooLarge : Refusal::kEncoding);
  return problem(large ? 413 : 400, plain.error().message);
}

/// Tells the log and the metrics of samples that the sender's token may not bring.
void tell_denied(Engine& engine, const StreamQuota::Refused& held) {
  engine.metrics().count_denied(held.foreign, held.excess);
  static log::Throttle throttle;
  unsigned suppressed = 0;
  if (throttle.allow(suppressed)) {
    log::warn("samples of streams that a token may not bring",
              {{"refused", std::to_string(held.samples())},
               {"reason", held.message},
               {"suppressed", std::to_string(suppressed)}});
  }
}

/// Hands the good samples to the shards, but for those that the sender's token may not bring, which
/// count in `decoded.denied`. Nothing when they are accepted: a batch that is not has used up
/// nothing of the token's quota.
std::optional<Response> hand_over(Engine& engine, const Metrics::Protocol& protocol,
                                  const Request& request, ingest::Decoded& decoded) {
  StreamQuota::Refused held;
  if (request.token != nullptr) held = engine.stream_quota().hold(*request.token, decoded.batch);
  const std::size_t samples = decoded.batch.samples();
  if (samples > 0) {
    const auto accepted = engine.intake().accept(std::move(decoded.batch));
    if (request.token != nullptr) {
      engine.stream_quota().settle(*request.token, held, accepted.ok());
    }
    if (!accepted.ok()) {
      engine.metrics().count_refused(Refusal::kQueueFull);
      return retry_later(accepted.error().message);
    }
    protocol.samples->Increment(static_cast<double>(samples));
  }
  if (held.samples() > 0) tell_denied(engine, held);
  decoded.denied = held.samples();
  decoded.denied_message = std::move(held.message);
  return {};
}

/// Counts what was refused and hands what was good to the shards. Nothing when that is accepted,
/// else the answer that the sender gets instead.
std::optional<Response> accept(Engine& engine, const Metrics::Protocol& protocol,
                               const Request& request, ingest::Decoded& decoded) {
  protocol.requests->Increment();
  if (decoded.over_max_rows) {
    // Senders halve a batch that is too large and send it again: nothing of it may be kept.
    engine.metrics().count_refused(Refusal::kTooLarge);
    return problem(413, "more than " + std::to_string(engine.config().ingest.max_rows) +
                            " samples in one request (ingest.max_rows)");
  }
  if (auto refused = hand_over(engine, protocol, request, decoded)) return refused;
  if (decoded.skipped_fields > 0) {
    protocol.skipped_fields->Increment(static_cast<double>(decoded.skipped_fields));
  }
  if (decoded.rejected > 0) {
    for (std::size_t i = 0; i < protocol.rejected.size(); ++i) {
      if (decoded.rejected_by_reason[i] == 0) continue;
      protocol.rejected[i]->Increment(static_cast<double>(decoded.rejected_by_reason[i]));
    }
    static log::Throttle throttle;
    unsigned suppressed = 0;
    if (throttle.allow(suppressed)) {
      const ingest::Reject& first = decoded.rejects.front();
      log::warn("samples refused", {{"refused", std::to_string(decoded.rejected)},
                                    {"line", std::to_string(first.line)},
                                    {"reason", first.message},
                                    {"suppressed", std::to_string(suppressed)}});
    }
  }
  return {};
}

Response post_samples(Engine& engine, Request& request) {
  if (!engine.ready()) {
    engine.metrics().count_refused(Refusal::kNotReady);
    return retry_later("the daemon is starting or stopping");
  }
  const bool lines = request.content_type == "application/x-ndjson" ||
                     request.content_type == "application/ndjson" ||
                     request.content_type == "application/jsonl";
  if (!lines && !request.content_type.empty() && request.content_type != "application/json") {
    engine.metrics().count_refused(Refusal::kEncoding);
    return problem(415, "Content-Type: expected application/json or application/x-ndjson, got '" +
                            request.content_type.substr(0, 64) + "'");
  }
  if (auto refused = unpack(engine, request)) return std::move(*refused);
  ingest::Decoded decoded;
  const TimeNs now = engine.clock().now();
  if (lines) {
    ingest::decode_ndjson(request.body, now, engine.config().ingest, decoded);
  } else {
    ingest::decode_json(request.body, now, engine.config().ingest, decoded);
  }
  std::size_t samples = decoded.batch.samples();
  if (auto refused = accept(engine, engine.metrics().json(), request, decoded))
    return std::move(*refused);
  samples -= decoded.denied;
  if (decoded.rejected + decoded.denied > 0) {
    std::string detail = std::to_string(decoded.rejected) + " refused, " + std::to_string(samples) +
                         " samples accepted";
    if (decoded.denied > 0) {
      detail += "; " + decoded.denied_message + " (" + std::to_string(decoded.denied) + " samples)";
    }
    return problem(400, detail, ingest::problem_errors(decoded));
  }
  return http::json_response(200, "{\"accepted\":" + std::to_string(samples) + "}");
}

/// What the two versions of InfluxDB's write API differ in.
struct Dialect {
  std::optional<std::int64_t> (*unit_ns)(std::string_view precision);
  std::string_view precisions;
  std::string (*partial_write)(const ingest::Decoded& decoded);
};

std::optional<std::int64_t> v1_unit(std::string_view precision) {
  if (precision == "n" || precision == "ns" || precision.empty()) return 1;
  if (precision == "u" || precision == "us" || precision == "µ") return 1'000;
  if (precision == "ms") return 1'000'000;
  if (precision == "s") return kNsPerSecond;
  if (precision == "m") return 60 * kNsPerSecond;
  if (precision == "h") return 3600 * kNsPerSecond;
  return {};
}

std::optional<std::int64_t> v2_unit(std::string_view precision) {
  if (precision == "ns" || precision.empty()) return 1;
  if (precision == "us") return 1'000;
  if (precision == "ms") return 1'000'000;
  if (precision == "s") return kNsPerSecond;
  return {};
}

constexpr Dialect kV1{v1_unit, "n, u, ms, s, m or h", ingest::influx_v1_body};
constexpr Dialect kV2{v2_unit, "ns, us, ms or s", ingest::influx_v2_body};

Response write_lines(Engine& engine, const Dialect& dialect, Request& request) {
  if (!engine.ready()) {
    engine.metrics().count_refused(Refusal::kNotReady);
    return retry_later("the daemon is starting or stopping");
  }
  const std::string* given = request.parameter("precision");
  const std::string precision = given == nullptr ? std::string() : *given;
  const auto unit = dialect.unit_ns(precision);
  if (!unit) {
    return problem(400, "query parameter precision: expected " + std::string(dialect.precisions) +
                            ", got '" + precision.substr(0, 32) + "'");
  }
  if (auto refused = unpack(engine, request)) return std::move(*refused);
  ingest::Decoded decoded;
  ingest::decode_line_protocol(request.body, *unit, engine.clock().now(), engine.config().ingest,
                               decoded);
  if (auto refused = accept(engine, engine.metrics().line_protocol(), request, decoded)) {
    return std::move(*refused);
  }
  // Also for what a token may not bring: Telegraf drops what a 400 refuses, and with "partial
  // write" in it says so, but sends what a 403 refuses again and again.
  if (decoded.rejected + decoded.denied > 0) {
    return http::json_response(400, dialect.partial_write(decoded));
  }
  return {204, "", "", {}};
}

}  // namespace

void add_ingest_routes(Engine& engine, http::Router& router) {
  using http::Scope;
  using http::Where;
  router.add({"POST", "/api/v1/samples", Where::kConnection,
              [&engine](Request& request) { return post_samples(engine, request); },
              Scope::kIngest});
  router.add({"POST", "/write", Where::kConnection,
              [&engine](Request& request) { return write_lines(engine, kV1, request); },
              Scope::kIngest});
  router.add({"POST", "/api/v2/write", Where::kConnection,
              [&engine](Request& request) { return write_lines(engine, kV2, request); },
              Scope::kIngest});
  router.add({"GET", "/ping", Where::kConnection,
              [](Request&) {
                return Response{
                    204, "", "", {{"X-Influxdb-Version", "anomalyd-" + std::string(kVersion)}}};
              },
              Scope::kOpen});
  router.add({"GET", "/health", Where::kConnection,
              [&engine](Request&) {
                const bool ready = engine.ready();
                return http::json_response(ready ? 200 : 503,
                                           std::string("{\"name\":\"anomalyd\",\"status\":\"") +
                                               (ready ? "pass" : "fail") + "\",\"version\":\"" +
                                               std::string(kVersion) + "\"}");
              },
              Scope::kOpen});
}

}  // namespace anomalyd::app

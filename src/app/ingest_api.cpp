#include "app/ingest_api.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "app/engine.h"
#include "app/intake.h"
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

/// What became of a request, from decoding to the answer.
struct Work {
  ingest::Decoded decoded;
  std::size_t samples = 0;  ///< that were accepted
  std::shared_ptr<const http::Token> token;
  StreamQuota::Refused held;
  std::optional<Intake::Refused> refused;
};
/// The answer to a request of which all or a part was accepted.
using Say = std::function<Response(const Work& work)>;

Response refuse(Engine& engine, const Intake::Refused& refused) {
  using Why = Intake::Refused::Why;
  switch (refused.why) {
    case Why::kQueueFull:
      engine.metrics().count_refused(Refusal::kQueueFull);
      return retry_later(refused.message);
    case Why::kDiskFull: {
      engine.metrics().count_refused(Refusal::kDiskFull);
      Response response = problem(507, refused.message);
      response.headers.push_back({"Retry-After", "10"});
      return response;
    }
    case Why::kJournal:
      engine.metrics().count_refused(Refusal::kJournal);
      return retry_later(refused.message);
    case Why::kTooLarge:
      engine.metrics().count_refused(Refusal::kTooLarge);
      return problem(413, refused.message);
  }
  return {};
}

void count_rejected(const Metrics::Protocol& protocol, const ingest::Decoded& decoded) {
  if (decoded.skipped_fields > 0) {
    protocol.skipped_fields->Increment(static_cast<double>(decoded.skipped_fields));
  }
  if (decoded.rejected == 0) return;
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

/// Counts what became of the request, and answers it. A batch that was not accepted has used up
/// nothing of the token's quota.
Response finish(Engine& engine, const Metrics::Protocol& protocol, Work& work, const Say& say) {
  if (work.token != nullptr && work.samples > 0) {
    engine.stream_quota().settle(*work.token, work.held, !work.refused);
  }
  if (work.refused) return refuse(engine, *work.refused);
  protocol.samples->Increment(static_cast<double>(work.samples));
  if (work.held.samples() > 0) tell_denied(engine, work.held);
  work.decoded.denied = work.held.samples();
  work.decoded.denied_message = std::move(work.held.message);
  count_rejected(protocol, work.decoded);
  return say(work);
}

/// Hands the good samples to the intake, but for those that the sender's token may not bring. The
/// answer comes once they are in the journal.
Response accept(Engine& engine, const Metrics::Protocol& protocol, const Request& request,
                const std::shared_ptr<Work>& work, Say say) {
  protocol.requests->Increment();
  if (work->decoded.over_max_rows) {
    // Senders halve a batch that is too large and send it again: nothing of it may be kept.
    engine.metrics().count_refused(Refusal::kTooLarge);
    return problem(413, "more than " + std::to_string(engine.config().ingest.max_rows) +
                            " samples in one request (ingest.max_rows)");
  }
  work->token = request.token;
  SampleBatch& batch = work->decoded.batch;
  if (work->token != nullptr) work->held = engine.stream_quota().hold(*work->token, batch);
  work->samples = batch.samples();
  if (work->samples == 0) return finish(engine, protocol, *work, say);
  Response response;
  response.later = std::make_shared<http::Later>();
  response.later->start = [&engine, work](std::function<void()> done) {
    engine.intake().accept(std::move(work->decoded.batch),
                           [work, done = std::move(done)](std::optional<Intake::Refused> refused) {
                             work->refused = std::move(refused);
                             done();
                           });
  };
  response.later->finish = [&engine, &protocol, work, say = std::move(say)] {
    return finish(engine, protocol, *work, say);
  };
  return response;
}

Response say_json(const Work& work) {
  const ingest::Decoded& decoded = work.decoded;
  if (decoded.rejected + decoded.denied == 0) {
    return http::json_response(200, "{\"accepted\":" + std::to_string(work.samples) + "}");
  }
  std::string detail = std::to_string(decoded.rejected) + " refused, " +
                       std::to_string(work.samples) + " samples accepted";
  if (decoded.denied > 0) {
    detail += "; " + decoded.denied_message + " (" + std::to_string(decoded.denied) + " samples)";
  }
  return problem(400, detail, ingest::problem_errors(decoded));
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
  const auto work = std::make_shared<Work>();
  const TimeNs now = engine.clock().now();
  if (lines) {
    ingest::decode_ndjson(request.body, now, engine.config().ingest, work->decoded);
  } else {
    ingest::decode_json(request.body, now, engine.config().ingest, work->decoded);
  }
  return accept(engine, engine.metrics().json(), request, work, say_json);
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
  const auto work = std::make_shared<Work>();
  ingest::decode_line_protocol(request.body, *unit, engine.clock().now(), engine.config().ingest,
                               work->decoded);
  return accept(engine, engine.metrics().line_protocol(), request, work,
                [&dialect](const Work& done) -> Response {
                  // Also for what a token may not bring: Telegraf drops what a 400 refuses, and
                  // with "partial write" in it says so, but sends what a 403 refuses again and
                  // again.
                  if (done.decoded.rejected + done.decoded.denied > 0) {
                    return http::json_response(400, dialect.partial_write(done.decoded));
                  }
                  return {204, "", "", {}};
                });
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

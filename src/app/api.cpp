#include "app/api.h"

#include <array>
#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "alert/alert_json.h"
#include "app/engine.h"
#include "app/openapi.h"
#include "app/version.h"

namespace anomalyd::app {
namespace {

using http::problem;
using http::Request;
using http::Response;
using nlohmann::json;

constexpr std::size_t kDefaultLimit = 100;
constexpr std::size_t kMaxLimit = 1000;
/// Streams that one question looks at: what a shard is kept from its work for.
constexpr std::size_t kStreamsAQuestion = 20'000;

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

Response ok(const json& value) { return http::json_response(200, dump(value)); }

/// A float as the shortest decimal that reads back as the same float: 0.1, not 0.10000000149.
json number(float value) {
  std::array<char, 32> text{};
  const auto [end, ec] = std::to_chars(text.data(), text.data() + text.size(), value);
  double decimal = std::numeric_limits<double>::quiet_NaN();
  if (ec == std::errc()) std::from_chars(text.data(), end, decimal);
  return decimal;  // NaN becomes null
}

json time_or_null(TimeNs time) { return time == 0 ? json(nullptr) : json(to_rfc3339(time)); }

/// A query parameter that is a time: RFC 3339 or integer nanoseconds.
Result<std::optional<TimeNs>> time_parameter(const Request& request, std::string_view name) {
  const std::string* text = request.parameter(name);
  if (text == nullptr) return std::optional<TimeNs>();
  TimeNs ns = 0;
  const auto [end, ec] = std::from_chars(text->data(), text->data() + text->size(), ns);
  if (ec == std::errc() && end == text->data() + text->size()) return std::optional(ns);
  const Result<TimeNs> time = parse_rfc3339(*text);
  if (time.ok()) return std::optional(time.value());
  return Error{ErrorCode::kInvalidArgument,
               "query parameter " + std::string(name) +
                   ": expected integer nanoseconds or RFC 3339: " + time.error().message};
}

Result<std::size_t> limit_parameter(const Request& request) {
  const std::string* text = request.parameter("limit");
  if (text == nullptr) return kDefaultLimit;
  std::size_t limit = 0;
  const auto [end, ec] = std::from_chars(text->data(), text->data() + text->size(), limit);
  if (ec != std::errc() || end != text->data() + text->size() || limit < 1 || limit > kMaxLimit) {
    return Error{ErrorCode::kInvalidArgument,
                 "query parameter limit: expected 1 to 1000, got '" + text->substr(0, 32) + "'"};
  }
  return limit;
}

/// Refuses query parameters that a route does not have: a typo must not look like "nothing found".
Status only_parameters(const Request& request, std::initializer_list<std::string_view> known) {
  for (const http::Parameter& parameter : request.query) {
    bool found = false;
    std::string names;
    for (const std::string_view name : known) {
      found = found || parameter.name == name;
      names += (names.empty() ? "" : ", ") + std::string(name);
    }
    if (!found) {
      return Error{ErrorCode::kInvalidArgument,
                   "unknown query parameter '" + parameter.name.substr(0, 64) +
                       (names.empty() ? "': this route has none" : "', expected one of " + names)};
    }
  }
  return Done{};
}

Response bad_request(const Error& error) { return problem(400, error.message); }

Response retry_later(const std::string& why) {
  Response response = problem(503, why);
  response.headers.push_back({"Retry-After", "1"});
  return response;
}

Response not_ready() { return retry_later("the daemon is starting or stopping"); }
Response no_answer() { return retry_later("a shard is too busy to answer, or stopping"); }

json describe(const stream::Stream& stream) {
  const StreamKey key = StreamKey::parse(stream.key).value();
  json labels = json::object();
  for (const Label& label : key.labels()) labels[label.name] = label.value;
  json out{{"key", stream.key},
           {"name", key.name()},
           {"labels", std::move(labels)},
           {"state", to_string(stream.state())},
           {"progress", stream.progress()},
           {"domain", nullptr},
           {"detector", nullptr},
           {"newest_time", time_or_null(stream.windower.newest())},
           {"last_time", nullptr},
           {"last_score", nullptr},
           {"last_p_value", nullptr},
           {"alert", stream.open ? json(stream.open->id) : json(nullptr)}};
  if (stream.domain != nullptr) {
    const detect::DetectorInfo& info = stream.domain->detector->info();
    out["domain"] = stream.domain->name;
    out["detector"] = {{"name", info.name}, {"kind", info.kind}, {"version", info.version}};
  }
  if (const stream::ScorePoint* last = stream.scores.last()) {
    out["last_time"] = to_rfc3339(last->time);
    out["last_score"] = number(last->score);
    out["last_p_value"] = number(last->p_value);
  }
  return out;
}

json describe_fully(const stream::Stream& stream) {
  json out = describe(stream);
  const stream::WindowerCounts& counts = stream.windower.counts();
  json channels = json::array();
  for (const std::string& name : stream.windower.channels()) channels.push_back(name);
  out["channels"] = std::move(channels);
  out["rate_hz"] = stream.windower.discovered() ? json(stream.windower.rate_hz()) : json(nullptr);
  out["samples"] = {{"received", counts.samples},
                    {"duplicate", counts.duplicate},
                    {"late", counts.late},
                    {"excess", counts.excess},
                    {"time_range", counts.time_range}};
  out["gaps"] = counts.breaks;
  out["windows"] = {{"scored", stream.windows_scored}, {"invalid", stream.windows_invalid}};
  out["fire_p_value"] = stream.learned ? json(stream.rules.fire_p) : json(nullptr);
  out["clear_p_value"] = stream.learned ? json(stream.rules.clear_p) : json(nullptr);
  out["memory_bytes"] = stream.bytes();
  return out;
}

/// Where a listing of streams goes on: the shard and the number of the stream in it.
struct StreamCursor {
  std::size_t shard = 0;
  std::size_t number = 0;

  static std::optional<StreamCursor> parse(const std::string& text) {
    StreamCursor cursor;
    const char* const end = text.data() + text.size();
    const auto [dot, ec] = std::from_chars(text.data(), end, cursor.shard);
    if (ec != std::errc() || dot == end || *dot != '.') return {};
    const auto [last, ec2] = std::from_chars(dot + 1, end, cursor.number);
    if (ec2 != std::errc() || last != end) return {};
    return cursor;
  }
  std::string text() const { return std::to_string(shard) + "." + std::to_string(number); }
};

/// What a listing of streams asks for; its texts are those of the query.
struct StreamFilter {
  std::optional<std::string> state;
  std::optional<std::string> domain;
  std::optional<std::string> name;

  static Result<StreamFilter> of(const Request& request) {
    const auto wanted = [&](std::string_view parameter) {
      const std::string* value = request.parameter(parameter);
      return value == nullptr ? std::nullopt : std::optional(*value);
    };
    StreamFilter filter{wanted("state"), wanted("domain"), wanted("name")};
    if (filter.state && !is_state(*filter.state)) {
      return Error{ErrorCode::kInvalidArgument,
                   "query parameter state: expected learning, normal, anomalous, degraded or "
                   "excluded, got '" +
                       filter.state->substr(0, 32) + "'"};
    }
    return filter;
  }

  bool takes(const stream::Stream& stream) const {
    if (state && to_string(stream.state()) != *state) return false;
    if (domain && (stream.domain == nullptr || stream.domain->name != *domain)) return false;
    return !name || StreamKey::parse(stream.key).value().name() == *name;
  }

 private:
  static bool is_state(std::string_view text) {
    for (std::size_t i = 0; i < stream::kStates; ++i) {
      if (to_string(static_cast<stream::State>(i)) == text) return true;
    }
    return false;
  }
};

/// Streams of one shard, and how far the shard was looked through for them.
struct StreamsFound {
  json streams = json::array();
  std::size_t next = 0;
  bool is_end = false;
};

StreamsFound find_streams(const stream::ShardStreams& shard, const StreamFilter& filter,
                          std::size_t from, std::size_t most) {
  StreamsFound found;
  const auto& all = shard.streams();
  const std::size_t stop = std::min(all.size(), from + kStreamsAQuestion);
  std::size_t i = from;
  for (; i < stop && found.streams.size() < most; ++i) {
    if (filter.takes(all[i])) found.streams.push_back(describe(all[i]));
  }
  found.next = i;
  found.is_end = i >= all.size();
  return found;
}

Response list_streams(Engine& engine, Request& request) {
  const Status known = only_parameters(request, {"limit", "cursor", "state", "domain", "name"});
  if (!known.ok()) return bad_request(known.error());
  const Result<std::size_t> limit = limit_parameter(request);
  if (!limit.ok()) return bad_request(limit.error());
  StreamCursor at;
  if (const std::string* cursor = request.parameter("cursor")) {
    const auto parsed = StreamCursor::parse(*cursor);
    if (!parsed) return problem(400, "query parameter cursor: not one that this server gave");
    at = *parsed;
  }
  const Result<StreamFilter> filter = StreamFilter::of(request);
  if (!filter.ok()) return bad_request(filter.error());

  json streams = json::array();
  while (at.shard < engine.shards() && streams.size() < limit.value()) {
    auto part = engine.ask<StreamsFound>(
        at.shard,
        [filter = filter.value(), from = at.number, room = limit.value() - streams.size()](
            const stream::ShardStreams& shard) { return find_streams(shard, filter, from, room); });
    if (!part) return no_answer();
    for (json& stream : part->streams) streams.push_back(std::move(stream));
    at = part->is_end ? StreamCursor{at.shard + 1, 0} : StreamCursor{at.shard, part->next};
  }
  const bool more = at.shard < engine.shards();
  return ok({{"streams", std::move(streams)}, {"next", more ? json(at.text()) : json(nullptr)}});
}

/// Asks the shard of the stream that the route's {key} names; 404 when there is none.
Response with_stream(Engine& engine, const Request& request,
                     std::function<json(const stream::Stream&)> describe_it) {
  const Result<StreamKey> key = StreamKey::parse(request.capture("key"));
  if (!key.ok()) return bad_request(key.error());
  auto answer = engine.ask<std::optional<json>>(
      engine.shard_of(key.value().text()),
      [text = key.value().text(), describe_it = std::move(describe_it)](
          const stream::ShardStreams& shard) -> std::optional<json> {
        const stream::Stream* stream = shard.find(text);
        if (stream == nullptr) return std::nullopt;
        return describe_it(*stream);
      });
  if (!answer) return no_answer();
  if (!*answer) return problem(404, "no stream " + key.value().text());
  return ok(**answer);
}

Response get_stream(Engine& engine, Request& request) {
  const Status known = only_parameters(request, {});
  if (!known.ok()) return bad_request(known.error());
  return with_stream(engine, request, describe_fully);
}

Response get_scores(Engine& engine, Request& request) {
  const Status known = only_parameters(request, {"from", "to"});
  if (!known.ok()) return bad_request(known.error());
  const auto from = time_parameter(request, "from");
  if (!from.ok()) return bad_request(from.error());
  const auto to = time_parameter(request, "to");
  if (!to.ok()) return bad_request(to.error());
  const TimeNs first = from.value().value_or(0);
  const TimeNs last = to.value().value_or(std::numeric_limits<TimeNs>::max());
  return with_stream(engine, request, [first, last](const stream::Stream& stream) {
    json scores = json::array();
    for (const stream::ScorePoint& point : stream.scores.between(first, last)) {
      scores.push_back({{"time", to_rfc3339(point.time)},
                        {"score", number(point.score)},
                        {"p_value", number(point.p_value)}});
    }
    return json{{"stream", stream.key}, {"scores", std::move(scores)}};
  });
}

Response list_alerts(Engine& engine, Request& request) {
  const Status known =
      only_parameters(request, {"state", "stream", "label", "from", "to", "limit", "cursor"});
  if (!known.ok()) return bad_request(known.error());
  store::AlertQuery query;
  if (const std::string* state = request.parameter("state")) {
    const auto parsed = alert::parse_state(*state);
    if (!parsed.ok()) return bad_request(parsed.error());
    query.state = parsed.value();
  }
  if (const std::string* stream = request.parameter("stream")) {
    const Result<StreamKey> key = StreamKey::parse(*stream);
    if (!key.ok()) return bad_request(key.error());
    query.stream = key.value().text();
  }
  for (const http::Parameter& parameter : request.query) {
    if (parameter.name != "label") continue;
    const std::size_t equals = parameter.value.find('=');
    if (equals == std::string::npos) {
      return problem(400, "query parameter label: expected name=value, got '" +
                              parameter.value.substr(0, 64) + "'");
    }
    query.labels.push_back({parameter.value.substr(0, equals), parameter.value.substr(equals + 1)});
  }
  const auto from = time_parameter(request, "from");
  if (!from.ok()) return bad_request(from.error());
  const auto to = time_parameter(request, "to");
  if (!to.ok()) return bad_request(to.error());
  query.from = from.value();
  query.to = to.value();
  const Result<std::size_t> limit = limit_parameter(request);
  if (!limit.ok()) return bad_request(limit.error());
  query.limit = limit.value();
  if (const std::string* cursor = request.parameter("cursor")) query.cursor = *cursor;

  const auto page = engine.database().find(query);
  if (!page.ok()) {
    return problem(page.error().code == ErrorCode::kInvalidArgument ? 400 : 503,
                   page.error().message);
  }
  // The alerts bring their own JSON: it is put together as text.
  std::string body = "{\"alerts\":[";
  for (std::size_t i = 0; i < page.value().alerts.size(); ++i) {
    if (i > 0) body += ',';
    body += to_json(page.value().alerts[i], false);
  }
  const std::string& next = page.value().next;
  body += "],\"next\":" + (next.empty() ? "null" : dump(json(next))) + "}";
  return http::json_response(200, std::move(body));
}

Response get_alert(Engine& engine, Request& request) {
  const Status known = only_parameters(request, {});
  if (!known.ok()) return bad_request(known.error());
  const std::string& id = request.capture("id");
  const auto found = engine.database().get(id);
  if (!found.ok()) return problem(503, found.error().message);
  if (!found.value()) return problem(404, "no alert " + id.substr(0, 64));
  return http::json_response(200, to_json(*found.value(), true));
}

Response list_detectors(Engine& engine, Request& request) {
  const Status known = only_parameters(request, {});
  if (!known.ok()) return bad_request(known.error());
  json detectors = json::array();
  // Held by name: a reload may free what a temporary would have held.
  const std::shared_ptr<const stream::DomainSet> set = engine.domains();
  for (const auto& domain : set->domains) {
    const detect::DetectorInfo& info = domain->detector->info();
    detectors.push_back({{"domain", domain->name},
                         {"name", info.name},
                         {"kind", info.kind},
                         {"version", info.version},
                         {"channels", info.channels},
                         {"rate_hz", info.rate_hz == 0 ? json(nullptr) : json(info.rate_hz)},
                         {"window_samples", info.window_samples},
                         {"hop_samples", info.hop_samples},
                         {"normaliser", to_text(info.normaliser)},
                         {"learn_windows", info.learn_windows},
                         {"seed", info.seed},
                         {"training_digest", info.training_digest}});
  }
  return ok({{"detectors", std::move(detectors)}});
}

json journal_status(const store::Journal& journal) {
  const store::JournalFigures figures = journal.figures();
  const auto trouble = journal.trouble();
  return {{"position", figures.position},
          {"bytes", figures.bytes},
          {"capacity_bytes", figures.max_bytes},
          {"segments", figures.segments},
          {"trouble", trouble ? json(trouble->message) : json(nullptr)}};
}

Response get_status(Engine& engine, Request& request) {
  const Status known = only_parameters(request, {});
  if (!known.ok()) return bad_request(known.error());
  StreamCensus census;
  json shards = json::array();
  for (std::size_t i = 0; i < engine.shards(); ++i) {
    const auto counted = engine.ask<StreamCensus>(i, count_streams);
    if (!counted) return no_answer();
    census.add(*counted);
    const stream::ShardFigures figures = engine.shard_figures(i);
    shards.push_back({{"streams", figures.streams},
                      {"samples", figures.samples},
                      {"queued_samples", figures.queued_samples},
                      {"queue_capacity_samples", figures.queue_capacity},
                      {"position", figures.position},
                      {"newest_time", time_or_null(figures.newest)}});
  }
  json states = json::object();
  for (std::size_t i = 0; i < stream::kStates; ++i) {
    states[std::string(to_string(static_cast<stream::State>(i)))] = census.by_state[i];
  }
  const AlertWriter& writer = engine.alert_writer();
  const auto uptime = std::chrono::duration_cast<std::chrono::milliseconds>(engine.uptime());
  return ok({{"version", kVersion},
             {"revision", kRevision},
             {"started_at", to_rfc3339(engine.started_at())},
             {"uptime_seconds", static_cast<double>(uptime.count()) / 1000},
             {"ready", engine.ready()},
             {"streams", std::move(states)},
             {"alerts", {{"pending", census.pending}, {"firing", census.firing}}},
             {"shards", std::move(shards)},
             {"store", {{"queued", writer.queued()}, {"failing", writer.failing()}}},
             {"journal", journal_status(engine.journal())}});
}

/// Routes that need shards and database answer 503 until they are there.
http::Handler when_ready(Engine& engine, Response (*handler)(Engine&, Request&)) {
  return [&engine, handler](Request& request) {
    return engine.ready() ? handler(engine, request) : not_ready();
  };
}

Response plain(int status, std::string text) {
  return {status, "text/plain; charset=utf-8", std::move(text) + "\n", {}};
}

constexpr std::string_view kLanding = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>anomalyd</title></head><body>
<h1>anomalyd</h1>
<ul>
<li><a href="/api/v1/status">status</a></li>
<li><a href="/api/v1/streams">streams</a></li>
<li><a href="/api/v1/alerts">alerts</a></li>
<li><a href="/api/v1/detectors">detectors</a></li>
<li><a href="/metrics">metrics</a></li>
<li><a href="/openapi.json">the API's description</a></li>
</ul>
</body></html>
)";

}  // namespace

void StreamCensus::add(const StreamCensus& other) {
  for (std::size_t i = 0; i < by_state.size(); ++i) by_state[i] += other.by_state[i];
  pending += other.pending;
  firing += other.firing;
}

StreamCensus count_streams(const stream::ShardStreams& streams) {
  StreamCensus census;
  for (const stream::Stream& stream : streams.streams()) {
    ++census.by_state[static_cast<std::size_t>(stream.state())];
    if (stream.machine.phase() == alert::Phase::kPending) ++census.pending;
    if (stream.machine.phase() == alert::Phase::kFiring) ++census.firing;
  }
  return census;
}

void add_api_routes(Engine& engine, http::Router& router) {
  const auto get = [&](std::string pattern, http::Handler handler) {
    router.add(
        {"GET", std::move(pattern), http::Where::kWorker, std::move(handler), http::Scope::kRead});
  };
  get("/", [](Request&) {
    return Response{200, "text/html; charset=utf-8", std::string(kLanding), {}};
  });
  get("/api/v1/status", when_ready(engine, get_status));
  get("/api/v1/streams", when_ready(engine, list_streams));
  get("/api/v1/streams/{key}", when_ready(engine, get_stream));
  get("/api/v1/streams/{key}/scores", when_ready(engine, get_scores));
  get("/api/v1/alerts", when_ready(engine, list_alerts));
  get("/api/v1/alerts/{id}", when_ready(engine, get_alert));
  get("/api/v1/detectors", when_ready(engine, list_detectors));
  get("/openapi.json",
      [](Request&) { return http::json_response(200, std::string(openapi_document())); });
  get("/metrics", [&engine](Request&) {
    return Response{200, "text/plain; version=0.0.4; charset=utf-8", engine.scrape(), {}};
  });
  // Not on the workers, who may all be waiting for a shard.
  for (const char* path : {"/-/healthy", "/healthz"}) {
    router.add({"GET", path, http::Where::kConnection,
                [](Request&) { return plain(200, "anomalyd is alive"); }, http::Scope::kOpen});
  }
  router.add({"GET", "/-/ready", http::Where::kConnection,
              [&engine](Request&) {
                if (!engine.ready()) return not_ready();
                if (!engine.alert_writer().keeps_up()) {
                  return problem(503, "alerts cannot be written");
                }
                if (const auto trouble = engine.journal().trouble()) {
                  return problem(503, trouble->message);
                }
                return plain(200, "anomalyd is ready");
              },
              http::Scope::kOpen});
}

}  // namespace anomalyd::app

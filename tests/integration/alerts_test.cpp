#include <algorithm>
#include <cmath>
#include <set>

#include "running_engine.h"

namespace anomalyd::app {
namespace {

using testing::json;
using testing::kLearnSamples;
using testing::Machine;
using testing::make_config;
using testing::RunningEngine;
using testing::TempDir;

/// The alerts of a query, once there are `count` of them.
json await_alerts(RunningEngine& daemon, const std::string& query, std::size_t count) {
  json alerts;
  const bool came = testing::await([&] {
    alerts = daemon.get_json("/api/v1/alerts?" + query).at("alerts");
    return alerts.size() == count;
  });
  INFO(query << ": " << alerts.dump());
  REQUIRE(came);
  return alerts;
}

/// True when the database has as many open alerts as the streams have.
bool alerts_are_written(RunningEngine& daemon) {
  const json open = daemon.get_json("/api/v1/status").at("alerts");
  for (const char* state : {"pending", "firing"}) {
    const json page = daemon.get_json(std::string("/api/v1/alerts?state=") + state);
    if (open.at(state) != page.at("alerts").size()) return false;
  }
  return true;
}

/// Streams that each learned, had one fault and recovered, one after the other in event time.
void make_alerts(RunningEngine& daemon, const std::vector<std::string>& measurements) {
  for (std::size_t i = 0; i < measurements.size(); ++i) {
    Machine machine(measurements[i], i + 1);
    std::string lines = machine.lines(kLearnSamples + static_cast<int>(i) * 100);
    lines += machine.lines(320, 5);
    lines += machine.lines(320);
    daemon.write(lines);
  }
}

TEST_CASE("A fault goes from pending to firing to resolved, and the API shows each",
          "[integration][alerts][life]") {
  const TempDir dir;
  RunningEngine daemon(make_config(dir));
  Machine machine("pump,site=a,unit=7");
  const std::string key = R"(pump{site="a",unit="7"})";
  const auto step = [&](int samples, double shift = 0) {
    daemon.write(machine.lines(samples, shift));
    REQUIRE(daemon.await_received(key, machine.sent()));
  };

  step(500);
  CHECK(daemon.state_of(key) == "learning");
  const json learning = daemon.get_json("/api/v1/streams/" + http::percent_encode(key));
  CHECK(learning.at("progress") > 0.3);
  CHECK(learning.at("progress") < 1);
  CHECK(learning.at("last_score").is_null());
  step(kLearnSamples - 500);
  CHECK(daemon.state_of(key) == "normal");
  CHECK(daemon.get_json("/api/v1/alerts").at("alerts").empty());

  // A window's hop at a time, so that every state is there to be seen.
  std::vector<std::string> seen;
  std::string id;
  for (int i = 0; i < 60 && (seen.empty() || seen.back() != "resolved"); ++i) {
    step(16, i < 12 ? 5 : 0);
    // The writer may be a step behind the stream.
    REQUIRE(testing::await([&] { return alerts_are_written(daemon); }));
    const json open = daemon.get_json("/api/v1/streams/" + http::percent_encode(key)).at("alert");
    if (open.is_string()) id = open;
    const json alerts = daemon.get_json("/api/v1/alerts").at("alerts");
    if (alerts.empty()) continue;
    REQUIRE(alerts.size() == 1);
    const std::string state = alerts[0].at("state");
    if (seen.empty() || seen.back() != state) seen.push_back(state);
    if (state == "firing") {
      CHECK(daemon.state_of(key) == "anomalous");
      CHECK(alerts[0].at("resolved_at").is_null());
      CHECK_FALSE(alerts[0].at("fired_at").is_null());
    }
  }
  CHECK(seen == std::vector<std::string>{"pending", "firing", "resolved"});

  const json alert = daemon.get_json("/api/v1/alerts/" + id);
  CHECK(alert.at("id") == id);
  CHECK(alert.at("stream") == key);
  CHECK(alert.at("name") == "pump");
  CHECK(alert.at("labels") == json{{"site", "a"}, {"unit", "7"}});
  CHECK(alert.at("domain") == "machines");
  CHECK(alert.at("detector") == "zscore");
  CHECK(alert.at("end_reason") == "cleared");
  const TimeNs fault = Machine::kStart + kLearnSamples * Machine::kPeriod;
  const TimeNs start = parse_rfc3339(alert.at("start").get<std::string>()).value();
  CHECK(start > fault - 32 * Machine::kPeriod);
  CHECK(start < fault + 32 * Machine::kPeriod);
  CHECK(alert.at("peak").at("p_value") <= alert.at("threshold_p_value"));

  double sum = 0;
  for (const json& share : alert.at("contributions")) sum += share.at("share").get<double>();
  CHECK(std::abs(sum - 1) < 1e-9);
  CHECK(alert["contributions"].at(0).at("channel") == "ax");
  CHECK(alert["contributions"].at(0).at("share") > 0.9);
  const json& context = alert.at("context");
  CHECK(context.at("channels") == json{"ax", "ay"});
  CHECK(context.at("actual").at("ax").size() == 32);
  CHECK(context.at("expected").at("ay").size() == 32);
  const auto mean = [&](const char* which) {
    double total = 0;
    for (const json& value : context.at(which).at("ax")) total += value.get<double>();
    return total / 32;
  };
  CHECK(mean("actual") > 4);
  CHECK(std::abs(mean("expected")) < 0.5);

  CHECK(daemon.metric("anomalyd_alert_transitions_total{domain=\"machines\",state=\"firing\"}") ==
        1);
  CHECK(daemon.metric("anomalyd_alert_transitions_total{domain=\"machines\",state=\"resolved\"}") ==
        1);
  CHECK(daemon.metric("anomalyd_alert_open{state=\"firing\"}") == 0);
}

TEST_CASE("Alerts are found by state, stream, label and time, and paged newest first",
          "[integration][alerts][query]") {
  const TempDir dir;
  RunningEngine daemon(make_config(dir));
  make_alerts(daemon, {"a,site=x,unit=1", "b,site=x", "c,site=y,unit=1", "d", "e,site=x,unit=2"});
  const json all = await_alerts(daemon, "state=resolved", 5);

  std::vector<std::string> starts;
  std::set<std::string> ids;
  for (const json& alert : all) {
    starts.push_back(alert.at("start"));
    ids.insert(alert.at("id").get<std::string>());
    CHECK_FALSE(alert.contains("context"));
  }
  CHECK(ids.size() == 5);
  CHECK(std::is_sorted(starts.rbegin(), starts.rend()));
  const auto count = [&](const std::string& query) {
    return daemon.get_json("/api/v1/alerts?" + query).at("alerts").size();
  };
  CHECK(count("state=firing") == 0);
  CHECK(count("label=site%3Dx") == 3);
  CHECK(count("label=site%3Dx&label=unit%3D1") == 1);
  CHECK(count("label=site%3Dz") == 0);
  CHECK(count("stream=d") == 1);
  CHECK(count("stream=a%7Bsite%3D%22x%22%2Cunit%3D%221%22%7D") == 1);
  CHECK(count("stream=nobody") == 0);
  const std::string middle = all[2].at("start");
  const std::string later = to_rfc3339(parse_rfc3339(middle).value() + 1);
  CHECK(count("from=" + all[4].at("start").get<std::string>()) == 5);
  CHECK(count("to=" + middle) == 2);
  CHECK(count("to=" + later) == 3);
  CHECK(count("from=" + std::to_string(Machine::kStart) + "&to=" + later) == 3);

  std::set<std::string> paged;
  std::string target = "/api/v1/alerts?limit=2";
  int pages = 0;
  for (bool more = true; more && pages < 10; ++pages) {
    const json page = daemon.get_json(target);
    CHECK(page.at("alerts").size() == (pages < 2 ? 2 : 1));
    for (const json& alert : page["alerts"]) paged.insert(alert.at("id").get<std::string>());
    more = page.at("next").is_string();
    if (more) {
      target =
          "/api/v1/alerts?limit=2&cursor=" + http::percent_encode(page["next"].get<std::string>());
    }
  }
  CHECK(pages == 3);
  CHECK(paged == ids);
}

TEST_CASE("Streams are listed by state, domain and name, page by page over the shards",
          "[integration][streams][query]") {
  const TempDir dir;
  RunningEngine daemon(make_config(dir, "[stream]\nshards = 3\n",
                                   "learn_windows = 60\n[domain.match]\nstreams = [\"m*\"]\n"));
  std::string lines;
  for (int i = 0; i < 40; ++i) lines += "m" + std::to_string(i) + " ax=1\n";
  lines += "other ax=1\n";
  daemon.write(lines);
  REQUIRE(testing::await([&] { return daemon.metric("anomalyd_stream_samples_total") == 41; }));

  std::set<std::string> keys;
  std::string target = "/api/v1/streams?limit=7";
  int pages = 0;
  for (bool more = true; more && pages < 50; ++pages) {
    const json page = daemon.get_json(target);
    CHECK(page.at("streams").size() <= 7);
    for (const json& stream : page["streams"]) keys.insert(stream.at("key").get<std::string>());
    more = page.at("next").is_string();
    if (more) {
      target =
          "/api/v1/streams?limit=7&cursor=" + http::percent_encode(page["next"].get<std::string>());
    }
  }
  CHECK(keys.size() == 41);
  const auto count = [&](const std::string& query) {
    return daemon.get_json("/api/v1/streams?" + query).at("streams").size();
  };
  CHECK(count("state=learning") == 40);
  CHECK(count("state=excluded") == 1);
  CHECK(count("state=normal") == 0);
  CHECK(count("domain=machines") == 40);
  CHECK(count("domain=others") == 0);
  CHECK(count("name=m7") == 1);
  const json excluded = daemon.get_json("/api/v1/streams/other");
  CHECK(excluded.at("domain").is_null());
  CHECK(excluded.at("detector").is_null());
  CHECK(daemon.metric("anomalyd_stream_samples_dropped_total{reason=\"no_domain\"}") == 1);
  CHECK(daemon.metric("anomalyd_stream_streams{state=\"excluded\"}") == 1);
}

TEST_CASE("The scores of a stream are those between from and to", "[integration][scores][query]") {
  const TempDir dir;
  RunningEngine daemon(make_config(dir));
  Machine machine("s");
  daemon.write(machine.lines(kLearnSamples + 160));
  REQUIRE(daemon.await_received("s", machine.sent()));
  const json scores = daemon.get_json("/api/v1/streams/s/scores").at("scores");
  REQUIRE(scores.size() >= 10);
  std::vector<TimeNs> times;
  for (const json& point : scores) {
    times.push_back(parse_rfc3339(point.at("time").get<std::string>()).value());
    CHECK(point.at("score").is_number());
    CHECK(point.at("p_value") > 0);
    CHECK(point.at("p_value") <= 1);
  }
  CHECK(std::is_sorted(times.begin(), times.end()));
  const json some = daemon.get_json("/api/v1/streams/s/scores?from=" + std::to_string(times[2]) +
                                    "&to=" + to_rfc3339(times[5]));
  REQUIRE(some.at("scores").size() == 3);
  CHECK(some["scores"][0] == scores[2]);
  const json last = daemon.get_json("/api/v1/streams/s");
  CHECK(last.at("last_score") == scores.back().at("score"));
  CHECK(last.at("last_time") == scores.back().at("time"));
}

TEST_CASE("What a query gets wrong is a problem with its status and the reason",
          "[integration][api][errors]") {
  const TempDir dir;
  RunningEngine daemon(make_config(dir));
  const auto problem = [&](const std::string& target, int status, const std::string& part,
                           const std::string& method = "GET") {
    const http::Response response = daemon.send(method, target);
    INFO(method << " " << target << ": " << response.status << " " << response.body);
    CHECK(response.status == status);
    CHECK(response.content_type == "application/problem+json");
    const json body = json::parse(response.body);
    CHECK(body.at("type") == "about:blank");
    CHECK(body.at("status") == status);
    CHECK_FALSE(body.at("title").get<std::string>().empty());
    CHECK(body.at("detail").get<std::string>().find(part) != std::string::npos);
    return response;
  };
  problem("/api/v1/alerts?limit=0", 400, "limit: expected 1 to 1000, got '0'");
  problem("/api/v1/alerts?limit=1001", 400, "limit");
  problem("/api/v1/alerts?limit=ten", 400, "'ten'");
  problem("/api/v1/alerts?state=burning", 400, "burning");
  problem("/api/v1/alerts?cursor=nonsense", 400, "cursor");
  problem("/api/v1/alerts?label=site", 400, "expected name=value, got 'site'");
  problem("/api/v1/alerts?from=yesterday", 400, "from");
  problem("/api/v1/alerts?from=2&to=1", 400, "from");
  problem("/api/v1/alerts?stream=%7B", 400, "");
  problem("/api/v1/alerts?stat=firing", 400, "'stat', expected one of state, stream");
  problem("/api/v1/streams?state=asleep", 400, "asleep");
  problem("/api/v1/streams?cursor=1", 400, "cursor");
  problem("/api/v1/streams/a?x=1", 400, "this route has none");
  problem("/api/v1/streams/a%7B", 400, "");
  problem("/api/v1/streams/nobody", 404, "no stream nobody");
  problem("/api/v1/streams/nobody/scores", 404, "no stream nobody");
  problem("/api/v1/streams/nobody/scores?to=1.5", 400, "to");
  problem("/api/v1/alerts/0123456789abcdef", 404, "no alert 0123456789abcdef");
  problem("/api/v1/nothing", 404, "/api/v1/nothing");
  problem("/api/v1/streams?limit=%zz", 400, "hex");

  const auto allowed = [&](const std::string& target, const std::string& method) {
    const http::Response response = problem(target, 405, "", method);
    for (const http::Parameter& header : response.headers) {
      if (header.name == "Allow") return header.value;
    }
    return std::string();
  };
  CHECK(allowed("/api/v1/alerts", "DELETE") == "GET, HEAD");
  CHECK(allowed("/api/v1/samples", "GET") == "POST");
  CHECK(allowed("/metrics", "POST") == "GET, HEAD");
}

}  // namespace
}  // namespace anomalyd::app

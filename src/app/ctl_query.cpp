#include "app/ctl_query.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <ostream>

#include "base/text.h"

namespace anomalyd::app::ctl {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::chrono::seconds kTimeout{10};
constexpr std::size_t kPageLimit = 1000;  // the server's

std::string dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// A cell of a table. What a text holds comes from outside: control characters, which could drive
/// a terminal, become '?'.
std::string cell(const Json& value) {
  if (value.is_null()) return "-";
  if (value.is_number_float()) return short_number(value.get<double>(), 5);
  std::string text = value.is_string() ? value.get<std::string>() : dump(value);
  std::replace_if(text.begin(), text.end(), is_control, '?');
  return text;
}

/// The member at the end of the path; null when the answer does not have it.
Json at(const Json& value, std::initializer_list<const char*> path) {
  const Json* here = &value;
  for (const char* name : path) {
    if (!here->is_object()) return nullptr;
    const auto found = here->find(name);
    if (found == here->end()) return nullptr;
    here = &*found;
  }
  return *here;
}

std::string join(const Json& values) {
  std::string text;
  if (!values.is_array()) return "-";
  for (const Json& value : values) text += (text.empty() ? "" : ", ") + cell(value);
  return text;
}

struct Answer {  // NOLINT(bugprone-exception-escape): nlohmann's destructor, which does not throw
  std::string body;  ///< as the server wrote it
  Json json;
};

Result<Answer> get(http::Client& client, const std::string& target) {
  const auto response = client.send("GET", target, "", "");
  if (!response.ok()) return response.error();
  if (response.value().status != 200) {
    return Error{ErrorCode::kInvalidArgument,
                 "the server answered " + server_detail(response.value())};
  }
  Answer answer{response.value().body, Json::parse(response.value().body, nullptr, false)};
  if (!answer.json.is_object()) {
    return Error{ErrorCode::kCorrupt, "the answer to " + target + " is no JSON object"};
  }
  return answer;
}

std::string with(std::string query, std::string_view name, const std::string& value) {
  if (value.empty()) return query;
  query += (query.empty() ? "?" : "&") + std::string(name) + "=" + http::percent_encode(value);
  return query;
}

/// Asks for page after page until there are `limit` items or no more.
Result<Answer> get_list(http::Client& client, const std::string& path, const std::string& query,
                        const char* member, std::size_t limit) {
  Answer all;
  std::string cursor;
  for (bool is_first = true;; is_first = false) {
    const std::size_t have = is_first ? 0 : all.json[member].size();
    std::string asked = with(query, "limit", std::to_string(std::min(limit - have, kPageLimit)));
    asked = with(std::move(asked), "cursor", cursor);
    Result<Answer> page = get(client, path + asked);
    if (!page.ok()) return page;
    const auto items = page.value().json.find(member);
    if (items == page.value().json.end() || !items->is_array()) {
      return Error{ErrorCode::kCorrupt, "the answer to " + path + " has no array " + member};
    }
    const Json next = at(page.value().json, {"next"});
    const bool has_more = next.is_string();
    const bool is_empty = items->empty();
    if (is_first) {
      all = std::move(page).value();
    } else {
      for (Json& item : *items) all.json[member].push_back(std::move(item));
      all.json["next"] = next;
      all.body = dump(all.json);
    }
    // An empty page with a cursor is legal (a filter that found nothing so far), but the same
    // cursor again is not.
    if (!has_more || all.json[member].size() >= limit ||
        (is_empty && next.get<std::string>() == cursor)) {
      return all;
    }
    cursor = next.get<std::string>();
  }
}

void say_more(const Answer& answer, Console& console) {
  if (at(answer.json, {"next"}).is_string()) {
    console.err << "anomalyctl: there are more; ask with a larger --limit\n";
  }
}

int fail_query(Console& console, const Error& error) {
  return fail(console, error, exit_of_server_error(error));
}

/// The command with a client of its own.
template <class Options>
int with_client(const Options& options, Console& console,
                int (*command)(const Options&, http::Client&, Console&)) {
  const auto client = make_client(options.url, options.server, kTimeout);
  if (!client.ok()) return fail(console, client.error(), kUsage);
  return command(options, *client.value(), console);
}

/// An object as one row a member: name and value, those of objects in it as "outer.inner".
void add_members(Table& table, const std::string& prefix, const Json& object) {
  for (const auto& [name, value] : object.items()) {
    std::string full = prefix;
    if (!full.empty()) full += '.';
    full += name;
    if (value.is_object()) {
      add_members(table, full, value);
    } else if (value.is_array()) {
      table.add({full, join(value)});
    } else {
      table.add({full, cell(value)});
    }
  }
}

void print_members(const Json& object, std::ostream& out) {
  Table table({{"", Table::Align::kLeft}, {"", Table::Align::kLeft}});
  add_members(table, "", object);
  table.print(out);
}

int print_one(http::Client& client, const std::string& target, bool json, Console& console,
              const std::function<void(Json&)>& shorten = {}) {
  Result<Answer> answer = get(client, target);
  if (!answer.ok()) return fail_query(console, answer.error());
  if (json) {
    console.out << answer.value().body << "\n";
    return kOk;
  }
  if (shorten) shorten(answer.value().json);
  print_members(answer.value().json, console.out);
  return kOk;
}

/// The arrays of an alert's context are for programs: a person is told how long they are.
void shorten_alert(Json& alert) {
  const Json shares = at(alert, {"contributions"});
  if (shares.is_array()) {
    std::string text;
    for (const Json& share : shares) {
      text += (text.empty() ? "" : ", ") + cell(at(share, {"channel"})) + " " +
              cell(at(share, {"share"}));
    }
    alert["contributions"] = text;
  }
  const Json samples = at(alert, {"context", "actual"});
  if (!samples.is_object() || samples.empty()) return;
  const std::size_t count = samples.begin()->size();
  alert["context"].erase("actual");
  alert["context"].erase("expected");
  alert["context"]["samples"] = std::to_string(count) + " actual and expected (see --json)";
}

}  // namespace

int streams(const StreamsOptions& options, http::Client& client, Console& console) {
  if (!options.key.empty()) {
    return print_one(client, "/api/v1/streams/" + http::percent_encode(options.key), options.json,
                     console);
  }
  std::string query = with("", "state", options.state);
  query = with(std::move(query), "domain", options.domain);
  query = with(std::move(query), "name", options.name);
  const auto answer = get_list(client, "/api/v1/streams", query, "streams", options.limit);
  if (!answer.ok()) return fail_query(console, answer.error());
  if (options.json) {
    console.out << answer.value().body << "\n";
    return kOk;
  }
  Table table({{"STREAM"},
               {"STATE"},
               {"LEARNED", Table::Align::kRight},
               {"DOMAIN"},
               {"DETECTOR"},
               {"LAST WINDOW"},
               {"SCORE", Table::Align::kRight},
               {"P-VALUE", Table::Align::kRight},
               {"ALERT"}});
  for (const Json& stream : answer.value().json["streams"]) {
    const Json progress = at(stream, {"progress"});
    const Json version = at(stream, {"detector", "version"});
    table.add({cell(at(stream, {"key"})), cell(at(stream, {"state"})),
               progress.is_number()
                   ? std::to_string(static_cast<int>(progress.get<double>() * 100)) + " %"
                   : "-",
               cell(at(stream, {"domain"})),
               cell(at(stream, {"detector", "name"})) +
                   (version.is_string() && version != "" ? " " + cell(version) : ""),
               cell(at(stream, {"last_time"})), cell(at(stream, {"last_score"})),
               cell(at(stream, {"last_p_value"})), cell(at(stream, {"alert"}))});
  }
  table.print(console.out);
  say_more(answer.value(), console);
  return kOk;
}

int alerts(const AlertsOptions& options, http::Client& client, Console& console) {
  if (!options.id.empty()) {
    return print_one(client, "/api/v1/alerts/" + http::percent_encode(options.id), options.json,
                     console, shorten_alert);
  }
  std::string query = with("", "state", options.state);
  query = with(std::move(query), "stream", options.stream);
  for (const std::string& label : options.labels) query = with(std::move(query), "label", label);
  query = with(std::move(query), "from", options.from);
  query = with(std::move(query), "to", options.to);
  const auto answer = get_list(client, "/api/v1/alerts", query, "alerts", options.limit);
  if (!answer.ok()) return fail_query(console, answer.error());
  if (options.json) {
    console.out << answer.value().body << "\n";
    return kOk;
  }
  Table table({{"ID"},
               {"STATE"},
               {"STREAM"},
               {"START"},
               {"END"},
               {"PEAK SCORE", Table::Align::kRight},
               {"PEAK P", Table::Align::kRight},
               {"CHANNEL"}});
  for (const Json& alert : answer.value().json["alerts"]) {
    const Json shares = at(alert, {"contributions"});
    const Json top = shares.is_array() && !shares.empty() ? at(shares[0], {"channel"}) : Json();
    table.add({cell(at(alert, {"id"})), cell(at(alert, {"state"})), cell(at(alert, {"stream"})),
               cell(at(alert, {"start"})), cell(at(alert, {"end"})),
               cell(at(alert, {"peak", "score"})), cell(at(alert, {"peak", "p_value"})),
               cell(top)});
  }
  table.print(console.out);
  say_more(answer.value(), console);
  return kOk;
}

int status(const QueryOptions& options, http::Client& client, Console& console) {
  const auto number_shards = [](Json& answer) {
    const Json shards = at(answer, {"shards"});
    if (!shards.is_array()) return;
    Json numbered = Json::object();
    for (std::size_t i = 0; i < shards.size(); ++i) numbered[std::to_string(i)] = shards[i];
    answer["shards"] = numbered;
  };
  return print_one(client, "/api/v1/status", options.json, console, number_shards);
}

int streams(const StreamsOptions& options, Console& console) {
  return with_client<StreamsOptions>(options, console, streams);
}

int alerts(const AlertsOptions& options, Console& console) {
  return with_client<AlertsOptions>(options, console, alerts);
}

int status(const QueryOptions& options, Console& console) {
  return with_client<QueryOptions>(options, console, status);
}

}  // namespace anomalyd::app::ctl

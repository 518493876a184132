#include "store/database.h"

#include <atomic>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "support.h"

namespace anomalyd::store {
namespace {

using alert::Alert;
using alert::AlertState;

std::vector<std::string> names(const AlertPage& page) {
  std::vector<std::string> found;
  for (const Alert& alert : page.alerts) found.push_back(alert.stream.name());
  return found;
}
using Names = std::vector<std::string>;

TEST_CASE("An alert comes back as it was put, also after reopening", "[store][database]") {
  const Folder folder;
  Alert alert = make_alert("pump", -5, AlertState::kResolved,
                           {{"unit", "7"}, {"site", "a \"b\" \\ \xc3\xa4"}});
  alert.end = 7;
  alert.fired_at = 3;
  alert.resolved_at = std::numeric_limits<TimeNs>::max();
  alert.end_reason = "cleared";
  alert.threshold_p = 1e-6;
  alert.peak_score = 12.3456789012345678;
  alert.peak_p = 1e-15;
  alert.peak_time = 2;
  alert.contributions = {{"ax", 0.75}, {"ay", 0.25}};
  alert.context.start = 2;
  alert.context.rate_hz = 25600;
  alert.context.channels = {"ax", "ay"};
  alert.context.actual = {1, 2, 3, 4};
  alert.context.expected = {0, 0.5F, 0.25F, 0};
  const auto path = folder / "deep" / "er" / "anomalyd.db";
  REQUIRE(put(*open_database(path), alert).ok());

  const auto database = open_database(path);
  CHECK(database->count().value() == 1);
  const auto found = database->get(alert.id).value();
  REQUIRE(found.has_value());
  CHECK(found->id == alert.id);
  CHECK(found->stream.text() == alert.stream.text());
  CHECK(found->stream.labels() == alert.stream.labels());
  CHECK(found->domain == "pumps");
  CHECK(found->detector == "bearing");
  CHECK(found->detector_version == "0123456789ab");
  CHECK(found->state == AlertState::kResolved);
  CHECK(found->start == -5);
  CHECK(found->end == 7);
  CHECK(found->fired_at == 3);
  CHECK(found->resolved_at == std::numeric_limits<TimeNs>::max());
  CHECK(found->end_reason == "cleared");
  CHECK(found->threshold_p == 1e-6);
  CHECK(found->peak_score == alert.peak_score);
  CHECK(found->peak_p == 1e-15);
  CHECK(found->peak_time == 2);
  REQUIRE(found->contributions.size() == 2);
  CHECK(found->contributions[0].channel == "ax");
  CHECK(found->contributions[1].share == 0.25);
  CHECK(found->context.start == 2);
  CHECK(found->context.rate_hz == 25600);
  CHECK(found->context.channels == alert.context.channels);
  CHECK(found->context.actual == alert.context.actual);
  CHECK(found->context.expected == alert.context.expected);

  const auto page = database->find({}).value();
  REQUIRE(page.alerts.size() == 1);
  CHECK(page.next.empty());
  CHECK(page.alerts[0].contributions.size() == 2);
  CHECK(page.alerts[0].context.actual.empty());
  CHECK_FALSE(database->get("no such id").value().has_value());
}

TEST_CASE("Non-finite figures come back as they were", "[store][database][non-finite]") {
  const Folder folder;
  const auto database = open_database(folder / "a.db");
  Alert alert = make_alert("pump", 1);
  alert.peak_score = std::numeric_limits<double>::infinity();
  alert.peak_p = std::numeric_limits<double>::quiet_NaN();
  REQUIRE(put(*database, alert).ok());
  const auto found = database->get(alert.id).value();
  CHECK(found->peak_score == std::numeric_limits<double>::infinity());
  CHECK(std::isnan(found->peak_p));
}

TEST_CASE("Putting an alert again replaces it", "[store][database]") {
  const Folder folder;
  const auto database = open_database(folder / "a.db");
  Alert alert = make_alert("pump", 1, AlertState::kPending, {{"site", "a"}});
  REQUIRE(put(*database, alert).ok());
  alert.state = AlertState::kFiring;
  alert.end = 99;
  REQUIRE(put(*database, alert).ok());
  REQUIRE(put(*database, alert).ok());
  CHECK(database->count().value() == 1);
  CHECK(database->get(alert.id).value()->end == 99);
  CHECK(database->find({.labels = {{"site", "a"}}}).value().alerts.size() == 1);
  CHECK(database->find({.state = AlertState::kPending}).value().alerts.empty());
  REQUIRE(database->remove(alert.id).ok());
  REQUIRE(database->remove(alert.id).ok());
  CHECK(database->count().value() == 0);
  CHECK(database->find({.labels = {{"site", "a"}}}).value().alerts.empty());
}

TEST_CASE("find() filters by state, stream, labels and time, newest first", "[store][find]") {
  const Folder folder;
  const auto database = open_database(folder / "a.db");
  const std::vector<Alert> alerts{
      make_alert("old", 10 * kNsPerSecond, AlertState::kResolved, {{"site", "a"}, {"unit", "1"}}),
      make_alert("mid", 20 * kNsPerSecond, AlertState::kFiring, {{"site", "a"}, {"unit", "2"}}),
      make_alert("new", 30 * kNsPerSecond, AlertState::kResolved, {{"site", "b"}, {"unit", "1"}}),
      make_alert("bare", 40 * kNsPerSecond, AlertState::kPending),
  };
  REQUIRE(database->put(alerts).ok());
  const auto find = [&](const AlertQuery& query) { return names(database->find(query).value()); };
  const auto at = [](double seconds) { return static_cast<TimeNs>(seconds * 1e9); };

  CHECK(find({}) == Names{"bare", "new", "mid", "old"});
  CHECK(find({.state = AlertState::kResolved}) == Names{"new", "old"});
  CHECK(find({.state = AlertState::kFiring}) == Names{"mid"});
  CHECK(find({.stream = R"(mid{site="a",unit="2"})"}) == Names{"mid"});
  CHECK(find({.stream = "mid"}).empty());
  CHECK(find({.stream = "bare"}) == Names{"bare"});
  const std::string mid = R"(mid{site="a",unit="2"})";
  CHECK(find({.state = AlertState::kFiring, .stream = mid, .labels = {{"unit", "2"}}}) ==
        Names{"mid"});
  CHECK(find({.state = AlertState::kPending, .stream = mid}).empty());
  CHECK(find({.stream = mid, .labels = {{"unit", "1"}}}).empty());

  CHECK(find({.labels = {{"site", "a"}}}) == Names{"mid", "old"});
  CHECK(find({.labels = {{"unit", "1"}}}) == Names{"new", "old"});
  CHECK(find({.labels = {{"unit", "1"}, {"site", "a"}}}) == Names{"old"});
  CHECK(find({.labels = {{"site", "a"}, {"unit", "1"}}}) == Names{"old"});
  CHECK(find({.labels = {{"site", "a"}, {"site", "b"}}}).empty());
  CHECK(find({.labels = {{"site", "A"}}}).empty());  // exact: neither case, prefix nor pattern
  CHECK(find({.labels = {{"site", ""}}}).empty());
  CHECK(find({.labels = {{"site", "%"}}}).empty());
  CHECK(find({.labels = {{"SITE", "a"}}}).empty());
  CHECK(find({.state = AlertState::kResolved, .labels = {{"site", "a"}}}) == Names{"old"});

  // Spans are [10, 11), [20, open), [30, 31), [40, open).
  CHECK(find({.from = at(10.5)}) == Names{"bare", "new", "mid", "old"});
  CHECK(find({.from = at(11)}) == Names{"bare", "new", "mid"});
  CHECK(find({.from = at(50)}) == Names{"bare", "mid"});
  CHECK(find({.to = at(30)}) == Names{"mid", "old"});
  CHECK(find({.to = at(30) + 1}) == Names{"new", "mid", "old"});
  CHECK(find({.from = at(5), .to = at(10)}).empty());
  CHECK(find({.from = at(5), .to = at(10) + 1}) == Names{"old"});
  CHECK(find({.labels = {{"site", "a"}}, .from = at(12), .to = at(25)}) == Names{"mid"});
}

TEST_CASE("A resolved alert without length is found where it is", "[store][find]") {
  const Folder folder;
  const auto database = open_database(folder / "a.db");
  Alert alert = make_alert("dot", 10, AlertState::kResolved);
  alert.end = alert.start;
  REQUIRE(put(*database, alert).ok());
  CHECK(database->find({.from = 10, .to = 11}).value().alerts.size() == 1);
  CHECK(database->find({.from = 11, .to = 12}).value().alerts.empty());
}

TEST_CASE("Paging neither loses nor repeats alerts of equal start", "[store][find][cursor]") {
  const Folder folder;
  const auto database = open_database(folder / "a.db");
  std::vector<Alert> alerts;
  for (int i = 0; i < 1000; ++i) {
    alerts.push_back(make_alert("s" + std::to_string(i), 1795320306'000'000'000,
                                i % 3 == 0 ? AlertState::kFiring : AlertState::kResolved,
                                {{"site", i % 2 == 0 ? "a" : "b"}, {"all", "x"}}));
  }
  REQUIRE(database->put(alerts).ok());
  const auto page_through = [&](AlertQuery query) {
    std::set<std::string> seen;
    std::string last;
    std::size_t pages = 0;
    do {
      const AlertPage page = database->find(query).value();
      REQUIRE(page.alerts.size() <= query.limit);
      REQUIRE((page.next.empty() || page.alerts.size() == query.limit));
      for (const Alert& alert : page.alerts) {
        REQUIRE(seen.insert(alert.id).second);
        REQUIRE((last.empty() || alert.id < last));
        last = alert.id;
      }
      query.cursor = page.next;
      REQUIRE(++pages < 2000);
      // What comes newer, or goes, meanwhile does not disturb.
      if (pages == 2) REQUIRE(put(*database, make_alert("late", 1795320307'000'000'000)).ok());
    } while (!query.cursor.empty());
    REQUIRE(database->remove(make_alert("late", 1795320307'000'000'000).id).ok());
    return seen.size();
  };
  CHECK(page_through({.limit = 7}) == 1000);
  CHECK(page_through({.to = 1795320306'000'000'001, .limit = 70}) == 1000);
  CHECK(page_through({.from = 0, .limit = 300}) == 1000);
  CHECK(page_through({.limit = 1000}) == 1000);
  CHECK(page_through({.limit = 500}) == 1000);
  CHECK(page_through({.labels = {{"all", "x"}}, .limit = 99}) == 1000);
  CHECK(page_through({.labels = {{"all", "x"}, {"site", "b"}}, .limit = 10}) == 500);
  CHECK(page_through({.state = AlertState::kFiring, .limit = 10}) == 334);
}

TEST_CASE("Paging walks starts on both sides of 1970", "[store][find][cursor]") {
  const Folder folder;
  const auto database = open_database(folder / "a.db");
  constexpr TimeNs kFirst = std::numeric_limits<TimeNs>::min();
  constexpr TimeNs kLast = std::numeric_limits<TimeNs>::max();
  std::vector<TimeNs> wanted{kLast, 1, 0, -1, -256, kFirst};
  for (const TimeNs start : wanted) {
    Alert alert = make_alert("pump", start);
    alert.end = start;
    REQUIRE(put(*database, alert).ok());
  }
  std::vector<TimeNs> found;
  AlertQuery query{.limit = 1};
  do {
    const AlertPage page = database->find(query).value();
    found.push_back(page.alerts.at(0).start);
    query.cursor = page.next;
  } while (!query.cursor.empty() && found.size() < 10);
  CHECK(found == wanted);
  // A cursor and `to` together: the earlier one counts.
  const std::string after_last = database->find({.limit = 1}).value().next;
  CHECK(database->find({.to = 0, .cursor = after_last}).value().alerts.at(0).start == -1);
  const std::string after_zero = database->find({.limit = 3}).value().next;
  CHECK(database->find({.to = 1, .cursor = after_zero}).value().alerts.at(0).start == -1);
  // At the same time `to` counts, for it leaves out all that start then.
  REQUIRE(put(*database, make_alert("a", 0)).ok());
  REQUIRE(put(*database, make_alert("b", 0)).ok());
  const std::string within_zero = database->find({.limit = 3}).value().next;
  CHECK(database->find({.cursor = within_zero}).value().alerts.at(0).start == 0);
  CHECK(database->find({.to = 0, .cursor = within_zero}).value().alerts.at(0).start == -1);
}

TEST_CASE("Impossible queries are refused and say what was expected", "[store][find][errors]") {
  const Folder folder;
  const auto database = open_database(folder / "a.db");
  for (const std::string& cursor :
       {std::string("x"), std::string("zz00000000000000aa"), std::string("0000000000000000"),
        std::string("00000000000000000"), std::string("+100000000000000aa"),
        std::string("' OR 1=1 --"), std::string(5000, 'a'), std::string("\0\0", 2)}) {
    const auto refused = database->find({.cursor = cursor});
    INFO(cursor);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == ErrorCode::kInvalidArgument);
    CHECK(contains(refused.error().message, "not a cursor"));
    CHECK(refused.error().message.size() < 200);
  }
  for (const std::size_t limit : {std::size_t{0}, std::size_t{1001}}) {
    const auto refused = database->find({.limit = limit});
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == ErrorCode::kInvalidArgument);
    CHECK(contains(refused.error().message, std::to_string(limit) + ", expected 1 to 1000"));
  }
  CHECK(database->find({.from = 5, .to = 5}).error().code == ErrorCode::kInvalidArgument);
  CHECK(database->find({.from = 6, .to = 5}).error().code == ErrorCode::kInvalidArgument);
  AlertQuery many;
  many.labels.resize(kMaxLabels + 1, Label{"a", "b"});
  CHECK(database->find(many).error().code == ErrorCode::kInvalidArgument);
  many.labels.resize(kMaxLabels);
  CHECK(database->find(many).ok());
}

TEST_CASE("Text that looks like SQL is text", "[store][database][hostile]") {
  const Folder folder;
  const auto database = open_database(folder / "a.db");
  const std::string evil = "x'); DROP TABLE alert; --";
  const std::string nul("a\0b", 3);
  Alert alert = make_alert(evil, 5, AlertState::kFiring, {{"site' OR '1'", evil}});
  alert.id = evil;
  alert.domain = evil;
  alert.detector = nul;
  alert.detector_version = "%_?1:a@b$c";
  alert.end_reason = "\"; SELECT 1; \xff";
  alert.contributions = {{evil, 1.0}};
  alert.context.channels = {nul};
  REQUIRE(put(*database, alert).ok());
  REQUIRE(put(*database, make_alert("good", 6)).ok());
  CHECK(database->count().value() == 2);
  const auto found = database->get(evil).value();
  REQUIRE(found.has_value());
  CHECK(found->domain == evil);
  CHECK(found->detector == nul);
  CHECK(found->detector_version == alert.detector_version);
  CHECK(found->end_reason == alert.end_reason);
  CHECK(found->contributions[0].channel == evil);
  CHECK(found->context.channels[0] == nul);
  CHECK_FALSE(database->get("' OR 1=1 --").value().has_value());
  CHECK(database->find({.stream = "' OR 1=1 --"}).value().alerts.empty());
  CHECK(database->find({.stream = alert.stream.text()}).value().alerts.size() == 1);
  CHECK(database->find({.labels = {{"site' OR '1'", evil}}}).value().alerts.size() == 1);
  CHECK(database->find({.labels = {{"' OR 1=1 --", "' OR 1=1 --"}}}).value().alerts.empty());
  // An id of any bytes makes a cursor that goes on behind it.
  const auto page = database->find({.limit = 1}).value();
  const auto rest = database->find({.cursor = page.next}).value();
  REQUIRE(rest.alerts.size() == 1);
  CHECK(rest.alerts[0].id == evil);
  REQUIRE(database->close_open_alerts("'; DROP TABLE alert; --").ok());
  CHECK(database->get(evil).value()->end_reason == "'; DROP TABLE alert; --");
  REQUIRE(database->remove("' OR 1=1 --").ok());
  CHECK(database->count().value() == 2);
}

TEST_CASE("Closing open alerts drops pending ones and resolves firing ones", "[store][database]") {
  const Folder folder;
  const auto database = open_database(folder / "a.db");
  const std::vector<Alert> alerts{make_alert("p", 1, AlertState::kPending, {{"site", "a"}}),
                                  make_alert("f", 2, AlertState::kFiring, {{"site", "a"}}),
                                  make_alert("g", 3, AlertState::kFiring),
                                  make_alert("r", 4, AlertState::kResolved)};
  REQUIRE(database->put(alerts).ok());
  CHECK(database->close_open_alerts("restart").value() == 2);
  CHECK(names(database->find({}).value()) == Names{"r", "g", "f"});
  CHECK(names(database->find({.labels = {{"site", "a"}}}).value()) == Names{"f"});
  const auto closed = database->get(alerts[1].id).value();
  CHECK(closed->state == AlertState::kResolved);
  CHECK(closed->end_reason == "restart");
  CHECK(closed->resolved_at == alerts[1].end);
  CHECK(closed->end == alerts[1].end);
  const auto untouched = database->get(alerts[3].id).value();
  CHECK(untouched->end_reason.empty());
  CHECK(database->close_open_alerts("restart").value() == 0);
}

TEST_CASE("Pruning takes what ended before, and nothing that is open", "[store][database]") {
  const Folder folder;
  const auto database = open_database(folder / "a.db");
  std::vector<Alert> alerts;
  for (int i = 0; i < 1200; ++i) {
    alerts.push_back(make_alert("s" + std::to_string(i), i * kNsPerSecond, AlertState::kResolved,
                                {{"site", "a"}}));
  }
  alerts.push_back(make_alert("open", 0, AlertState::kFiring));
  alerts.push_back(make_alert("wait", 0, AlertState::kPending));
  REQUIRE(database->put(alerts).ok());
  CHECK(database->prune(0).value() == 0);
  CHECK(database->prune(alerts[1100].end, 600).value() == 600);
  CHECK(database->prune(alerts[1100].end).value() == 500);
  CHECK(database->count().value() == 102);
  CHECK(database->get(alerts[1100].id).value().has_value());
  CHECK_FALSE(database->get(alerts[1099].id).value().has_value());
  CHECK(database->find({.labels = {{"site", "a"}}, .limit = 1000}).value().alerts.size() == 100);
  CHECK(database->get(alerts[1200].id).value().has_value());
  CHECK(database->get(alerts[1201].id).value().has_value());
}

TEST_CASE("Many threads read and write at once", "[store][database][threads]") {
  const Folder folder;
  const auto path = folder / "a.db";
  const auto database = open_database(path);
  const auto second = open_database(path);  // as another process would
  constexpr int kWriters = 3, kRounds = 40, kBatch = 5;
  std::atomic<int> failures{0};
  std::atomic<bool> is_done{false};
  std::vector<std::thread> threads;
  for (int w = 0; w < kWriters; ++w) {
    threads.emplace_back([&, w] {
      Database& mine = w == 0 ? *second : *database;
      for (int round = 0; round < kRounds; ++round) {
        std::vector<Alert> batch;
        for (int i = 0; i < kBatch; ++i) {
          batch.push_back(make_alert("w" + std::to_string(w), round * kBatch + i,
                                     AlertState::kFiring, {{"round", std::to_string(round)}}));
        }
        if (!mine.put(batch).ok()) ++failures;
      }
    });
  }
  for (int r = 0; r < 2; ++r) {
    threads.emplace_back([&, r] {
      const Database& mine = r == 0 ? *database : *second;
      std::size_t before = 0;
      while (!is_done) {
        const auto count = mine.count();
        // Whole transactions only, and never fewer than before.
        if (!count.ok() || count.value() % kBatch != 0 || count.value() < before) ++failures;
        if (count.ok()) before = count.value();
        const auto page = mine.find({.labels = {{"round", "7"}}});
        if (!page.ok() || page.value().alerts.size() % kBatch != 0) ++failures;
      }
    });
  }
  for (int w = 0; w < kWriters; ++w) threads[static_cast<std::size_t>(w)].join();
  is_done = true;
  for (std::size_t r = kWriters; r < threads.size(); ++r) threads[r].join();
  CHECK(failures == 0);
  CHECK(database->count().value() == kWriters * kRounds * kBatch);
}

}  // namespace
}  // namespace anomalyd::store

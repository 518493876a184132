#include "app/ctl_send.h"

#include <deque>
#include <limits>

#include "app/ctl_feed.h"
#include "ingest/codec.h"
#include "ingest/gzip.h"
#include "support/catch.h"

namespace anomalyd::app::ctl {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// Answers as it is told to, then with 204, and keeps what it was sent.
class ScriptedClient final : public http::Client {
 public:
  struct Log {
    std::vector<std::string> bodies;
    std::vector<std::string> targets;
    std::deque<Result<http::Response>> answers;
  };
  explicit ScriptedClient(Log& log) : log_(log) {}

  Result<http::Response> send(std::string_view, std::string_view target, std::string_view body,
                              std::string_view, const std::vector<http::Parameter>&) override {
    log_.bodies.emplace_back(body);
    log_.targets.emplace_back(target);
    if (log_.answers.empty()) return http::Response{204, "", "", {}};
    Result<http::Response> answer = log_.answers.front();
    log_.answers.pop_front();
    return answer;
  }

 private:
  Log& log_;
};

SendStream stream(const char* key, std::vector<std::string> channels, double rate_hz = 0) {
  return {StreamKey::parse(key).value(), std::move(channels), rate_hz};
}

std::string line_of(const std::string& body, std::size_t line) {
  std::size_t at = 0;
  for (std::size_t i = 0; i < line; ++i) at = body.find('\n', at) + 1;
  return body.substr(at, body.find('\n', at) - at);
}

struct Fixture {
  Fixture(WireFormat format, std::vector<SendStream> streams, SendOptions options = {})
      : sender(std::make_unique<ScriptedClient>(log),
               Encoder::make(format, std::move(streams)).value(), options) {}
  Status send() {
    return sender.send(batch, [this](std::chrono::nanoseconds time) { slept.push_back(time); });
  }
  ScriptedClient::Log log;
  SendBatch batch;
  Sender sender;
  std::vector<std::chrono::nanoseconds> slept;
};

TEST_CASE("Line protocol carries keys, values and times as they are", "[app][ctl]") {
  const auto encoder = Encoder::make(
      WireFormat::kLineProtocol,
      {stream("my pump{a b=\"x, y=z\\\"\\\\q\"}", {"ax", "b c"}), stream("plain", {"v"})});
  REQUIRE(encoder.ok());
  SendBatch batch;
  batch.add(0, 1'234'567'890'123'456'789, std::array{0.1F, -1e-30F});
  batch.add(1, 5, std::array{3.0F});
  batch.add(0, 7, std::array{kNaN, 2.0F});
  const std::string body = encoder.value().encode(batch, 0, 3);
  CHECK(line_of(body, 1) == "plain v=3 5");

  ingest::Decoded decoded;
  ingest::decode_line_protocol(body, 1, 0, {}, decoded);
  CHECK(decoded.rejected == 0);
  REQUIRE(decoded.batch.runs().size() == 3);
  const Run& first = decoded.batch.runs()[0];
  CHECK(decoded.batch.key(first) == "my pump{a b=\"x, y=z\\\"\\\\q\"}");
  CHECK(decoded.batch.schema_of(first).channels == std::vector<std::string>{"ax", "b c"});
  CHECK(decoded.batch.times(first)[0] == 1'234'567'890'123'456'789);
  CHECK(decoded.batch.values(first)[0] == 0.1F);
  CHECK(decoded.batch.values(first)[1] == -1e-30F);
  CHECK(decoded.batch.times(decoded.batch.runs()[1])[0] == 5);
  CHECK(decoded.batch.schema_of(decoded.batch.runs()[2]).channels ==
        std::vector<std::string>{"b c"});
}

TEST_CASE("What line protocol cannot carry is refused, and rows can", "[app][ctl]") {
  for (const SendStream& bad :
       {stream("_x", {"v"}), stream("#x", {"v"}), stream("x{a=\"\"}", {"v"}),
        stream("x{a=\"b\\\\\"}", {"v"}), stream("x{_a=\"b\"}", {"v"}), stream("x", {"_v"})}) {
    CHECK(!Encoder::make(WireFormat::kLineProtocol, {bad}).ok());
    const auto encoder = Encoder::make(WireFormat::kRows, {bad});
    REQUIRE(encoder.ok());
    SendBatch batch;
    batch.add(0, 9, std::array{0.1F});
    std::string body = encoder.value().encode(batch, 0, 1);
    body.reserve(body.size() + 64);
    ingest::Decoded decoded;
    ingest::decode_ndjson(body, 0, {}, decoded);
    CHECK(decoded.rejected == 0);
    REQUIRE(decoded.batch.samples() == 1);
    CHECK(decoded.batch.key(decoded.batch.runs()[0]) == bad.key.text());
    CHECK(decoded.batch.values(decoded.batch.runs()[0])[0] == 0.1F);
    CHECK(decoded.batch.times(decoded.batch.runs()[0])[0] == 9);
  }
}

TEST_CASE("Columns begin anew where a stamp leaves the grid", "[app][ctl]") {
  const auto encoder = Encoder::make(WireFormat::kColumns, {stream("s", {"x", "y"}, 1000)});
  REQUIRE(encoder.ok());
  SendBatch batch;
  for (int i = 0; i < 4; ++i) {
    batch.add(0, i * 1'000'000 + (i > 1 ? 5'000'000 : 0),
              std::array{0.25F * static_cast<float>(i), kNaN});
  }
  std::string body = encoder.value().encode(batch, 0, 4);
  CHECK(line_of(body, 0) ==
        "{\"stream\":\"s\",\"labels\":{},\"start\":0,\"rate_hz\":1000,\"channels\":{\"x\":[0,0.25],"
        "\"y\":[null,null]}}");
  body.reserve(body.size() + 64);
  ingest::Decoded decoded;
  ingest::decode_ndjson(body, 0, {}, decoded);
  CHECK(decoded.rejected == 0);
  CHECK(decoded.batch.samples() == 4);
}

TEST_CASE("Columns stay below the daemon's limit of a line", "[app][ctl]") {
  const auto encoder = Encoder::make(WireFormat::kColumns, {stream("s", {"x", "y"}, 1000)});
  SendBatch batch;
  for (int i = 0; i < 60'000; ++i) {
    batch.add(0, TimeNs{1'000'000} * i, std::array{-1.1754944e-38F, -1.2345678e+38F});
  }
  std::string body = encoder.value().encode(batch, 0, 60'000);
  CHECK(body.size() > (1UL << 20U));
  body.reserve(body.size() + 64);
  ingest::Decoded decoded;
  ingest::decode_ndjson(body, 0, {}, decoded);
  INFO((decoded.rejects.empty() ? "" : decoded.rejects[0].message));
  CHECK(decoded.rejected == 0);
  CHECK(decoded.batch.samples() == 60'000);
}

TEST_CASE("A busy server is asked again as it says", "[app][ctl]") {
  Fixture f(WireFormat::kLineProtocol, {stream("s", {"x"})});
  f.log.answers.push_back(http::Response{503, "", "", {{"retry-after", "2"}}});
  f.log.answers.push_back(http::Response{503, "", "", {}});
  f.batch.add(0, 1, std::array{1.0F});
  REQUIRE(f.send().ok());
  CHECK(f.slept ==
        std::vector<std::chrono::nanoseconds>{std::chrono::seconds(2), std::chrono::seconds(4)});
  CHECK(f.sender.counts().accepted == 1);
  CHECK(f.sender.counts().retries == 2);
  CHECK(f.log.bodies[0] == f.log.bodies[2]);
}

TEST_CASE("A server that stays busy is given up", "[app][ctl]") {
  SendOptions options;
  options.busy_for = std::chrono::seconds(1);
  Fixture f(WireFormat::kLineProtocol, {stream("s", {"x"})}, options);
  for (int i = 0; i < 100; ++i) {
    f.log.answers.push_back(
        http::Response{503, "application/problem+json", "{\"detail\":\"queue full\"}", {}});
  }
  f.batch.add(0, 1, std::array{1.0F});
  const Status sent = f.send();
  REQUIRE(!sent.ok());
  CHECK(sent.error().code == ErrorCode::kExhausted);
  CHECK(sent.error().message.find("queue full") != std::string::npos);
  CHECK(exit_of_server_error(sent.error()) == kFailed);
  CHECK(f.slept.size() < 10);
}

TEST_CASE("Waits grow but end at their bound", "[app][ctl]") {
  Fixture f(WireFormat::kLineProtocol, {stream("s", {"x"})});
  for (int i = 0; i < 12; ++i) f.log.answers.push_back(http::Response{429, "", "", {}});
  f.batch.add(0, 1, std::array{1.0F});
  REQUIRE(f.send().ok());
  CHECK(f.slept.front() == std::chrono::milliseconds(50));
  CHECK(f.slept[1] == std::chrono::milliseconds(100));
  CHECK(f.slept.back() == std::chrono::seconds(5));
}

TEST_CASE("A batch that is too large goes in halves, in order", "[app][ctl]") {
  Fixture f(WireFormat::kLineProtocol, {stream("s", {"x"})});
  f.log.answers.push_back(http::Response{413, "", "", {}});
  f.log.answers.push_back(http::Response{413, "", "", {}});
  for (int i = 0; i < 8; ++i) f.batch.add(0, i, std::array{static_cast<float>(i)});
  REQUIRE(f.send().ok());
  CHECK(f.sender.counts().accepted == 8);
  CHECK(f.sender.max_rows() == 2);
  std::string sent;
  for (std::size_t i = 2; i < f.log.bodies.size(); ++i) sent += f.log.bodies[i];
  CHECK(sent == f.log.bodies[0]);
  const std::size_t before = f.log.bodies.size();
  CHECK(f.log.bodies.size() == 6);
  REQUIRE(f.send().ok());  // from now on it fits at once
  CHECK(f.log.bodies.size() == before + 4);
}

TEST_CASE("One sample that is too large is an error", "[app][ctl]") {
  Fixture f(WireFormat::kLineProtocol, {stream("s", {"x"})});
  f.log.answers.push_back(
      http::Response{413, "application/problem+json", "{\"detail\":\"body of 9 bytes\"}", {}});
  f.batch.add(0, 1, std::array{1.0F});
  const Status sent = f.send();
  REQUIRE(!sent.ok());
  CHECK(sent.error().message == "the server refused the samples: 413: body of 9 bytes");
}

TEST_CASE("Samples refused one by one are counted, with the first reason", "[app][ctl]") {
  Fixture lines(WireFormat::kLineProtocol, {stream("s", {"x"})});
  lines.log.answers.push_back(
      http::Response{400,
                     "application/json",
                     "{\"code\":\"invalid\",\"message\":\"partial write: 2 lines refused: line 1 "
                     "(1-based): too late\",\"line\":1}",
                     {}});
  for (int i = 0; i < 5; ++i) lines.batch.add(0, i, std::array{1.0F});
  REQUIRE(lines.send().ok());
  CHECK(lines.sender.counts().accepted == 3);
  CHECK(lines.sender.counts().refused == 2);
  CHECK(lines.sender.refusal().find("too late") != std::string::npos);

  Fixture rows(WireFormat::kRows, {stream("s", {"x"})});
  rows.log.answers.push_back(
      http::Response{400,
                     "application/problem+json",
                     "{\"detail\":\"1 refused, 4 samples accepted\",\"errors\":[{\"detail\":\"bad "
                     "name\"}]}",
                     {}});
  for (int i = 0; i < 5; ++i) rows.batch.add(0, i, std::array{1.0F});
  REQUIRE(rows.send().ok());
  CHECK(rows.sender.counts().accepted == 4);
  CHECK(rows.sender.counts().refused == 1);
  CHECK(rows.sender.refusal() == "400: 1 refused, 4 samples accepted: bad name");
}

TEST_CASE("Another refusal ends the sending with the server's words", "[app][ctl]") {
  Fixture f(WireFormat::kRows, {stream("s", {"x"})});
  f.log.answers.push_back(http::Response{404, "text/plain", "not\there", {}});
  f.batch.add(0, 1, std::array{1.0F});
  const Status sent = f.send();
  REQUIRE(!sent.ok());
  CHECK(sent.error().message == "the server refused the samples: 404: not here");
  CHECK(exit_of_server_error(sent.error()) == kFailed);
}

TEST_CASE("A server that never answered is away, one that did is waited for", "[app][ctl]") {
  const Error away{ErrorCode::kUnavailable, "refused"};
  Fixture never(WireFormat::kLineProtocol, {stream("s", {"x"})});
  never.log.answers.push_back(away);
  never.batch.add(0, 1, std::array{1.0F});
  const Status sent = never.send();
  REQUIRE(!sent.ok());
  CHECK(exit_of_server_error(sent.error()) == kUnreachable);
  CHECK(never.slept.empty());

  Fixture back(WireFormat::kLineProtocol, {stream("s", {"x"})});
  back.batch.add(0, 1, std::array{1.0F});
  REQUIRE(back.send().ok());
  back.log.answers.push_back(away);
  back.log.answers.push_back(away);
  REQUIRE(back.send().ok());
  CHECK(back.slept.size() == 2);
  for (int i = 0; i < 100; ++i) back.log.answers.push_back(away);
  CHECK(exit_of_server_error(back.send().error()) == kUnreachable);
}

TEST_CASE("Requests may be compressed", "[app][ctl]") {
  SendOptions options;
  options.gzip = true;
  Fixture f(WireFormat::kLineProtocol, {stream("s", {"x"})}, options);
  f.batch.add(0, 1, std::array{1.0F});
  REQUIRE(f.send().ok());
  const auto plain = ingest::gunzip(f.log.bodies[0], 1000);
  REQUIRE(plain.ok());
  CHECK(plain.value() == "s x=1 1\n");
}

/// So many samples, `step` apart.
class Steps final : public SampleSource {
 public:
  Steps(TimeNs first, TimeNs step, int count) : time_(first), step_(step), left_(count) {}
  std::size_t channels() const override { return 1; }
  Result<bool> next(TimeNs& time, std::span<float> values) override {
    if (left_-- <= 0) return false;
    time = time_;
    values[0] = static_cast<float>(time_);
    time_ += step_;
    return true;
  }

 private:
  TimeNs time_;
  TimeNs step_;
  int left_;
};

Interleaver interleave(Interleaver::Rules rules, std::initializer_list<Steps> steps) {
  std::vector<std::unique_ptr<SampleSource>> sources;
  for (const Steps& source : steps) sources.push_back(std::make_unique<Steps>(source));
  return {std::move(sources), rules};
}

TEST_CASE("Streams progress together, whatever their rates", "[app][ctl]") {
  Interleaver::Rules rules;
  rules.slice_rows = 10;
  rules.lead_ns = 50;
  Interleaver samples =
      interleave(rules, {Steps(0, 1, 3000), Steps(0, 100, 30), Steps(500, 3, 800)});
  std::vector<TimeNs> latest(3, 0);
  std::vector<int> counts(3, 0);
  TimeNs highest = 0;
  for (;;) {
    SendBatch batch;
    REQUIRE(samples.fill(batch, 77, std::numeric_limits<TimeNs>::max()).ok());
    if (batch.size() == 0) break;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const SendBatch::Row& row = batch.row(i);
      CHECK((counts[row.stream] == 0 || row.time > latest[row.stream]));
      CHECK(static_cast<float>(row.time) == batch.values(row, 1)[0]);
      // None is behind what was already sent of another by more than the lead.
      CHECK(row.time >= highest - rules.lead_ns);
      latest[row.stream] = row.time;
      highest = std::max(highest, row.time);
      ++counts[row.stream];
    }
  }
  CHECK(counts == std::vector<int>{3000, 30, 800});
  CHECK(!samples.next_time());
}

TEST_CASE("Streams of one rate go round", "[app][ctl]") {
  Interleaver::Rules rules;
  rules.slice_rows = 2;
  rules.lead_ns = 1000;
  Interleaver samples = interleave(rules, {Steps(0, 1, 6), Steps(0, 1, 6)});
  SendBatch batch;
  REQUIRE(samples.fill(batch, 100, std::numeric_limits<TimeNs>::max()).ok());
  std::string order;
  for (std::size_t i = 0; i < batch.size(); ++i) order += std::to_string(batch.row(i).stream);
  CHECK(order == "001100110011");
}

TEST_CASE("Nothing is taken before its time", "[app][ctl]") {
  Interleaver samples = interleave({}, {Steps(0, 10, 100), Steps(25, 10, 100)});
  SendBatch batch;
  REQUIRE(samples.fill(batch, 1000, 30).ok());
  CHECK(batch.size() == 5);
  REQUIRE(samples.next_time());
  CHECK(*samples.next_time() == 35);
}

class ManualClock final : public Clock {
 public:
  TimeNs now() const override { return 1'000; }
  std::chrono::nanoseconds elapsed() const override { return time; }
  std::chrono::nanoseconds time{0};
};

TEST_CASE("A paced feed takes as long as it should", "[app][ctl]") {
  Fixture f(WireFormat::kLineProtocol, {stream("s", {"x"})});
  Interleaver samples = interleave({}, {Steps(5'000'000'000, 10'000'000, 1001)});  // ten seconds
  ManualClock clock;
  std::atomic<std::uint64_t> sent{0};
  const std::atomic<bool> stop{false};
  const Pace pace{10, 5'000'000'000, clock.elapsed()};
  const Status done = feed(
      samples, f.sender, pace, 5000, clock,
      [&](std::chrono::nanoseconds time) { clock.time += time; }, sent, stop);
  REQUIRE(done.ok());
  CHECK(sent.load() == 1001);
  CHECK(clock.time == std::chrono::seconds(1));
  CHECK(f.log.bodies.size() == 11);
}

TEST_CASE("Speeds and starts are read strictly", "[app][ctl]") {
  CHECK(parse_speed("max").value() == 0);
  CHECK(parse_speed("0.5").value() == 0.5);
  for (const char* bad : {"", "0", "-1", "fast", "1x", "nan", "inf"}) CHECK(!parse_speed(bad).ok());
  const ManualClock clock;
  CHECK(parse_start("now", clock).value() == 1'000);
  CHECK(parse_start("-12", clock).value() == -12);
  CHECK(parse_start("1970-01-01T00:00:01Z", clock).value() == kNsPerSecond);
  CHECK(!parse_start("yesterday", clock).ok());
  CHECK(parse_wire_format("rows").value() == WireFormat::kRows);
  CHECK(!parse_wire_format("xml").ok());
}

}  // namespace
}  // namespace anomalyd::app::ctl

#include "app/ctl_score.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <sstream>

#include "app/ctl_send.h"
#include "app/ctl_train.h"
#include "app/domains.h"
#include "ingest/codec.h"
#include "support/catch.h"
#include "support/ctl_files.h"

namespace anomalyd::app::ctl {
namespace {

using testing::TemporaryFolder;

struct Scored {
  TimeNs start;
  TimeNs end;
  std::uint32_t score_bits;
  std::uint64_t p_bits;
  bool operator==(const Scored&) const = default;
};

class BitKeeper final : public stream::Observer {
 public:
  void on_score(const stream::Stream&, TimeNs start, TimeNs end, float score, double p) override {
    Scored scored{start, end, 0, 0};
    std::memcpy(&scored.score_bits, &score, sizeof score);
    std::memcpy(&scored.p_bits, &p, sizeof p);
    windows.push_back(scored);
  }
  void on_alert(const alert::Alert&, bool) override { ++alerts; }
  void on_alert_cancelled(const alert::Alert&) override {}
  std::vector<Scored> windows;
  int alerts = 0;
};

std::shared_ptr<const stream::DomainSet> online_domain() {
  DomainConfig domain;
  domain.detector = "zscore";
  domain.window_samples = 16;
  domain.hop_samples = 8;
  domain.learn_windows = 60;
  const auto set = only_domain(default_config(), domain);
  REQUIRE(set.ok());
  return set.value();
}

/// A recording with jitter, a gap, missing cells, an empty row and a change at the end.
std::string recording_text() {
  std::string text = testing::wavy_csv(4000);
  text += "1060.0,,0.5\n1060.01,0.5,\n1060.02,,\n";
  for (int i = 3; i < 400; ++i) {
    text +=
        std::to_string(1060 + i * 0.01) + "," + std::to_string(std::sin(i * 2.9) * 3) + ",0.1\n";
  }
  return text;
}

TEST_CASE("A file's scores are those of the same samples over the wire, to the bit", "[app][ctl]") {
  const TemporaryFolder folder;
  const std::string path = folder.write("r.csv", recording_text());
  const auto domains = online_domain();

  BitKeeper whole;
  stream::ShardStreams shard({}, {}, domains, whole);
  auto reader = RecordingReader::open(path, {});
  REQUIRE(reader.ok());
  const auto samples = score_recording(reader.value(), "r", 4096, shard);
  REQUIRE(samples.ok());
  CHECK(samples.value() == 4399);
  CHECK(whole.windows.size() > 300);
  CHECK(whole.alerts > 0);

  for (const std::size_t rows : {1U, 7U, 333U}) {
    auto again = RecordingReader::open(path, {});
    REQUIRE(again.ok());
    const auto encoder =
        Encoder::make(WireFormat::kLineProtocol,
                      {{StreamKey::parse("r").value(), again.value().recording().channels, 0}});
    REQUIRE(encoder.ok());
    BitKeeper pieces;
    stream::ShardStreams daemon({}, {}, domains, pieces);
    std::vector<float> values(2);
    for (bool more = true; more;) {
      SendBatch batch;
      TimeNs time = 0;
      while (batch.size() < rows) {
        more = again.value().next(time, values).value();
        if (!more) break;
        batch.add(0, time, values);
      }
      ingest::Decoded decoded;
      ingest::decode_line_protocol(encoder.value().encode(batch, 0, batch.size()), 1, 0, {},
                                   decoded);
      REQUIRE(decoded.rejected == 0);
      daemon.process(decoded.batch);
    }
    CHECK(pieces.windows == whole.windows);
    CHECK(pieces.alerts == whole.alerts);
  }
}

int run(const ScoreOptions& options, std::string& out, std::string& err) {
  std::ostringstream out_stream;
  std::ostringstream err_stream;
  Console console{out_stream, err_stream, false};
  const int status = score(options, console);
  out = out_stream.str();
  err = err_stream.str();
  return status;
}

std::size_t lines_with(const std::string& text, std::string_view what) {
  std::size_t count = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    count += line.find(what) != std::string::npos ? 1 : 0;
  }
  return count;
}

TEST_CASE("score prints each window once, in the form that is asked for", "[app][ctl]") {
  const TemporaryFolder folder;
  ScoreOptions options;
  options.file = folder.write("r.csv", recording_text());
  options.config = folder.write("c.toml",
                                "[[domain]]\nname = \"d\"\nmatch = { streams = [\"nothing*\"] }\n"
                                "detector = \"zscore\"\nwindow_samples = 16\nhop_samples = 8\n"
                                "learn_windows = 60\n");
  options.json = true;
  std::string out;
  std::string err;
  REQUIRE(run(options, out, err) == kOk);
  const std::size_t windows = lines_with(out, "{\"window\":{\"start\":\"");
  CHECK(windows > 300);
  CHECK(lines_with(out, "{\"alert\":{\"id\":") > 0);
  CHECK(lines_with(out, "{\"summary\":{\"stream\":\"r\",\"samples\":4399") == 1);
  CHECK(lines_with(out, "\"windows\":" + std::to_string(windows)) == 1);

  options.json = false;
  options.csv = true;
  options.time_ns = true;
  REQUIRE(run(options, out, err) == kOk);
  CHECK(out.starts_with("time,score,p_value\n"));
  CHECK(lines_with(out, ",") == windows + 1);
  CHECK(lines_with(err, "windows scored") == 1);

  options.flush = true;
  options.csv = false;
  REQUIRE(run(options, out, err) == kOk);
  CHECK(lines_with(out, "") >= windows + 1);
}

TEST_CASE("score says what is wrong with its flags and files", "[app][ctl]") {
  const TemporaryFolder folder;
  ScoreOptions options;
  options.file = folder.write("r.csv", "time,x\n1,1\n");
  std::string out;
  std::string err;
  CHECK(run(options, out, err) == kUsage);
  options.detector = (folder.path() / "none.safetensors").string();
  CHECK(run(options, out, err) == kFailed);
  CHECK(err.find("none.safetensors") != std::string::npos);
  options.detector = "zscore";
  REQUIRE(run(options, out, err) == kOk);
  CHECK(err.find("learning") != std::string::npos);
  options.file = (folder.path() / "none.csv").string();
  CHECK(run(options, out, err) == kFailed);
}

TEST_CASE("A domain is chosen by name, or is the only one", "[app][ctl]") {
  Config config = default_config();
  CHECK(choose_domain(config, "").ok());
  CHECK(choose_domain(config, "default").ok());
  REQUIRE(!choose_domain(config, "x").ok());
  config.domains.push_back(config.domains.front());
  config.domains.back().name = "second";
  REQUIRE(!choose_domain(config, "").ok());
  CHECK(choose_domain(config, "").error().message.find("default, second") != std::string::npos);
  CHECK(choose_domain(config, "second").value().name == "second");
}

struct TrainFixture {
  int run(const std::string& extra_config = "") {
    options.config =
        folder.write("c.toml",
                     "[[domain]]\nname = \"d\"\ndetector = \"made\"\nwindow_samples = 16\n"
                     "hop_samples = 8\n" +
                         extra_config + "\n[domain.train]\nkind = \"pca\"\n");
    std::ostringstream out_stream;
    std::ostringstream err_stream;
    Console console{out_stream, err_stream, false};
    const int status = train(options, console);
    out = out_stream.str();
    err = err_stream.str();
    return status;
  }
  TemporaryFolder folder;
  TrainOptions options;
  std::string out;
  std::string err;
};

TEST_CASE("train writes the detector that score and inspect read", "[app][ctl]") {
  TrainFixture f;
  f.options.data = {f.folder.write("r.csv", testing::wavy_csv(6000))};
  f.options.out = (f.folder.path() / "models").string();
  f.options.recording.to_share = 0.9;
  f.options.json = true;
  REQUIRE(f.run() == kOk);
  const std::string file = (f.folder.path() / "models" / "made.safetensors").string();
  CHECK(f.out.find("\"file\":\"" + file + "\"") != std::string::npos);
  CHECK(f.out.find("\"channels\":[\"ax\",\"ay\"],\"rate_hz\":100,") != std::string::npos);
  CHECK(f.out.find("\"threshold_score\":") != std::string::npos);
  const auto detector = detect::load_detector(file);
  REQUIRE(detector.ok());
  CHECK(detector.value()->info().rate_hz == 100);

  ScoreOptions score_options;
  score_options.file = f.options.data.front();
  score_options.detector = file;
  score_options.csv = true;
  std::string out;
  std::string err;
  REQUIRE(run(score_options, out, err) == kOk);
  CHECK(lines_with(out, ",") > 500);

  std::ostringstream inspected;
  std::ostringstream errors;
  Console console{inspected, errors, false};
  REQUIRE(inspect({file, false}, console) == kOk);
  CHECK(inspected.str().find("pca") != std::string::npos);
  CHECK(inspected.str().find("calibration") != std::string::npos);
  CHECK(errors.str().empty());
}

TEST_CASE("inspect shows a broken file as far as it goes and says why", "[app][ctl]") {
  TrainFixture f;
  f.options.data = {f.folder.write("r.csv", testing::wavy_csv(6000))};
  f.options.out = (f.folder.path() / "x.safetensors").string();
  REQUIRE(f.run() == kOk);
  std::ifstream in(f.options.out, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  std::ostringstream out;
  std::ostringstream err;
  Console console{out, err, false};
  CHECK(inspect({f.folder.write("flipped.safetensors", bytes), true}, console) == kFailed);
  CHECK(out.str().find("\"ok\":false") != std::string::npos);
  CHECK(out.str().find("\"shape\":[") != std::string::npos);
  CHECK(err.str().find("flipped.safetensors") != std::string::npos);
  CHECK(inspect({f.folder.write("cut.safetensors", bytes.substr(0, 20)), false}, console) ==
        kFailed);
  CHECK(inspect({(f.folder.path() / "none").string(), false}, console) == kFailed);
}

TEST_CASE("train refuses files that do not go together, by name", "[app][ctl]") {
  TrainFixture f;
  f.folder.write("a.csv", "time,x,y\n1,1,1\n");
  f.folder.write("b.csv", "time,y,x\n1,1,1\n");
  f.folder.write("z.csv", "time,x,q\n1,1,1\n");
  f.options.data = {f.folder.path().string()};
  CHECK(f.run() == kFailed);
  CHECK(f.err.find("z.csv: columns x, q, but ") != std::string::npos);

  TrainFixture rates;
  rates.options.data = {rates.folder.write("a.csv", testing::wavy_csv(1000))};
  std::string slow = "time,ax,ay\n";
  for (int i = 0; i < 200; ++i) slow += std::to_string(i) + ",1,1\n";
  rates.options.data.push_back(rates.folder.write("slow.csv", slow));
  CHECK(rates.run() == kFailed);
  CHECK(rates.err.find("slow.csv: 1 samples a second") != std::string::npos);
}

TEST_CASE("train says when there is too little to learn from", "[app][ctl]") {
  TrainFixture f;
  f.options.data = {f.folder.write("r.csv", testing::wavy_csv(20))};
  f.options.out = f.folder.path().string();
  CHECK(f.run() == kFailed);
  CHECK(!f.err.empty());
  CHECK(!std::filesystem::exists(f.folder.path() / "made.safetensors"));
}

TEST_CASE("A detector goes where its domain looks for it", "[app][ctl]") {
  Config config = default_config();
  config.models_directory = "/m";
  DomainConfig domain;
  domain.name = "d";
  CHECK(train_target(config, domain, "") == "/m/d.safetensors");
  domain.detector = "pump";
  CHECK(train_target(config, domain, "") == "/m/pump.safetensors");
  CHECK(train_target(config, domain, "out") == "out/pump.safetensors");
  CHECK(train_target(config, domain, "x/y.safetensors") == "x/y.safetensors");
}

TEST_CASE("check-config says what is wrong as lines or as JSON", "[app][ctl]") {
  const TemporaryFolder folder;
  const auto check = [](const std::string& path, bool json) {
    std::ostringstream out;
    std::ostringstream err;
    Console console{out, err, false};
    const int status = check_config({path, json}, console);
    return std::to_string(status) + "|" + out.str() + "|" + err.str();
  };
  const std::string good = folder.write("good.toml", "[stream]\nshards = 2\n");
  CHECK(check(good, false) == "0||");
  CHECK(check(good, true) == "0|{\"file\":\"" + good + "\",\"valid\":true,\"errors\":[]}\n|");
  const std::string bad = folder.write("bad.toml", "[stream]\nshards = 0\nshard = 1\n");
  const std::string lines = check(bad, false);
  CHECK(lines.starts_with("1||"));
  CHECK(std::count(lines.begin(), lines.end(), '\n') == 2);
  const std::string json = check(bad, true);
  CHECK(json.starts_with("1|{\"file\":\"" + bad + "\",\"valid\":false,\"errors\":[\""));
  CHECK(json.find("stream.shards: 0") != std::string::npos);
  CHECK(json.find("\",\"") != json.rfind("\",\""));  // two errors
  CHECK(json.ends_with("\"]}\n|"));
  CHECK(check((folder.path() / "none.toml").string(), true).starts_with("1|{\"file\":"));
}

}  // namespace
}  // namespace anomalyd::app::ctl

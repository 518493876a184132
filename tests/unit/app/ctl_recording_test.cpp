#include "app/ctl_recording.h"

#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "app/ctl_replay.h"
#include "base/stream_key.h"
#include "stream/shard_streams.h"
#include "support/catch.h"
#include "support/ctl_files.h"
#include "support/fake_detector.h"

namespace anomalyd::app::ctl {
namespace {

using testing::TemporaryFolder;

TEST_CASE("A folder gives its CSV files by name", "[app][ctl]") {
  const TemporaryFolder folder;
  folder.write("b.csv", "x\n1\n");
  folder.write("a.CSV", "x\n1\n");
  folder.write("notes.txt", "x\n1\n");
  std::filesystem::create_directory(folder.path() / "c.csv");
  const auto files = list_recordings({folder.path().string()});
  REQUIRE(files.ok());
  REQUIRE(files.value().size() == 2);
  CHECK(files.value()[0].ends_with("a.CSV"));
  CHECK(files.value()[1].ends_with("b.csv"));
  const auto empty = list_recordings({(folder.path() / "c.csv").string()});
  REQUIRE(!empty.ok());
  CHECK(empty.error().code == ErrorCode::kInvalidArgument);
  const auto none = list_recordings({(folder.path() / "none").string()});
  REQUIRE(!none.ok());
  CHECK(none.error().code == ErrorCode::kNotFound);
}

std::vector<TimeNs> times_of(const std::string& path, double from, double to) {
  RecordingOptions options;
  options.time_unit = "ns";
  options.from_share = from;
  options.to_share = to;
  auto reader = RecordingReader::open(path, options);
  REQUIRE(reader.ok());
  std::vector<TimeNs> times;
  std::vector<float> values(reader.value().recording().channels.size());
  TimeNs time = 0;
  for (;;) {
    const auto row = reader.value().next(time, values);
    REQUIRE(row.ok());
    if (!row.value()) break;
    times.push_back(time);
  }
  CHECK(reader.value().recording().samples == times.size());
  CHECK(reader.value().recording().earliest == times.front());
  CHECK(reader.value().recording().latest == times.back());
  return times;
}

TEST_CASE("The shares of a recording are its parts, without overlap", "[app][ctl]") {
  const TemporaryFolder folder;
  std::string text = "time,x\n";
  for (int i = 0; i <= 10; ++i) text += std::to_string(1000 + i * i) + ",1\n";  // denser at first
  const std::string path = folder.write("r.csv", text);
  CHECK(times_of(path, 0, 0.5) ==
        std::vector<TimeNs>{1000, 1001, 1004, 1009, 1016, 1025, 1036, 1049});
  CHECK(times_of(path, 0.5, 1) == std::vector<TimeNs>{1064, 1081, 1100});
  CHECK(times_of(path, 0, 1).size() == 11);
}

TEST_CASE("Rows without a value are no samples", "[app][ctl]") {
  const TemporaryFolder folder;
  const std::string path = folder.write("r.csv", "time,x,y\n1,1,2\n2,,\n3,,4\n");
  CHECK(times_of(path, 0, 1) == std::vector<TimeNs>{1, 3});
  const auto empty =
      RecordingReader::open(folder.write("e.csv", "time,x\n1,\n"), RecordingOptions{});
  REQUIRE(!empty.ok());
  CHECK(empty.error().message.find("no row with a value") != std::string::npos);
}

TEST_CASE("A bad row is found before the good ones are used", "[app][ctl]") {
  const TemporaryFolder folder;
  const auto reader = RecordingReader::open(folder.write("r.csv", "time,x\n1,1\n2,oops\n"), {});
  REQUIRE(!reader.ok());
  CHECK(reader.error().message.find("r.csv:3") != std::string::npos);
}

TEST_CASE("Options that cannot be are refused by flag", "[app][ctl]") {
  RecordingOptions options;
  CHECK(options.check().ok());
  options.from_share = 0.5;
  options.to_share = 0.5;
  CHECK(!options.check().ok());
  options = {};
  options.time_unit = "weeks";
  REQUIRE(!options.check().ok());
  CHECK(options.check().error().message.find("--time-unit") == 0);
  options = {};
  options.rate_hz = -1;
  CHECK(!options.check().ok());
  options.rate_hz = 10;
  options.time_column = "t";
  CHECK(!options.check().ok());
}

TEST_CASE("A file's name becomes a stream's name", "[app][ctl]") {
  CHECK(stream_name_from("/data/pump 7.csv") == "pump 7");
  CHECK(stream_name_from("a=b,c{d}\"\\.csv") == "a_b_c_d___");
  CHECK(stream_name_from("x/grün.csv") == "grün");
  CHECK(stream_name_from("bad\xff\xc3name.csv") == "bad__name");
  CHECK(stream_name_from("#1.csv") == "x#1");
  CHECK(stream_name_from("_1.csv") == "x_1");
  CHECK(name_is_valid(stream_name_from(std::string(300, 'a'))));
  CHECK(name_is_valid(stream_name_from(std::string(254, 'a') + "ü")));
}

TEST_CASE("Labels are read as pairs", "[app][ctl]") {
  const auto labels = parse_labels("site=lab,unit=7");
  REQUIRE(labels.ok());
  CHECK(labels.value() == std::vector<Label>{{"site", "lab"}, {"unit", "7"}});
  CHECK(parse_labels("").value().empty());
  CHECK(!parse_labels("site").ok());
  CHECK(!parse_labels("=lab").ok());
}

TEST_CASE("Recordings get different keys or none", "[app][ctl]") {
  const auto keys = replay_keys({"a/x.csv", "a/y.csv"}, "", "site=lab");
  REQUIRE(keys.ok());
  CHECK(keys.value()[0].text() == "x{site=\"lab\"}");
  CHECK(keys.value()[1].text() == "y{site=\"lab\"}");
  const auto same = replay_keys({"a/x.csv", "b/x.csv"}, "", "");
  REQUIRE(!same.ok());
  CHECK(same.error().message.find("b/x.csv and a/x.csv") == 0);
  CHECK(!replay_keys({"a", "b"}, "pump", "").ok());
  const auto one = replay_keys({"a"}, "pump{unit=\"7\"}", "site=lab");
  REQUIRE(one.ok());
  CHECK(one.value()[0].text() == "pump{site=\"lab\",unit=\"7\"}");
}

/// Keeps what it is given to score.
class WindowKeeper final : public stream::Observer {
 public:
  void on_score(const stream::Stream&, TimeNs, TimeNs, float score, double) override {
    scores.push_back(score);
  }
  void on_alert(const alert::Alert&, bool) override {}
  void on_alert_cancelled(const alert::Alert&) override {}
  std::vector<float> scores;
};

TEST_CASE("What is learned from is cut as the shard cuts it", "[app][ctl]") {
  const TemporaryFolder folder;
  const std::string path = folder.write("r.csv", testing::wavy_csv(700));
  auto domain = std::make_shared<stream::Domain>();
  detect::DetectorInfo info;
  info.window_samples = 16;
  info.hop_samples = 8;
  domain->detector = std::make_shared<testing::MeanDetector>(info);
  domain->windows.window_samples = 16;
  domain->windows.hop_samples = 8;
  auto set = std::make_shared<stream::DomainSet>();
  set->domains = {domain};
  set->find = [domain](const StreamKey&) { return domain; };

  auto reader = RecordingReader::open(path, {});
  REQUIRE(reader.ok());
  const auto cut = cut_windows(reader.value(), domain->windows);
  REQUIRE(cut.ok());
  CHECK(cut.value().rate_hz == Approx(100));
  CHECK(cut.value().missing == 0);
  CHECK(cut.value().gaps == 1);

  auto again = RecordingReader::open(path, {});
  REQUIRE(again.ok());
  WindowKeeper keeper;
  stream::ShardStreams shard({}, {}, set, keeper);
  std::vector<float> values(2);
  std::vector<std::string_view> names{"ax", "ay"};
  TimeNs time = 0;
  SampleBatch batch;
  while (again.value().next(time, values).value()) {
    batch.append("s", batch.schema(names), time, values);
  }
  shard.process(batch);
  shard.flush();
  REQUIRE(keeper.scores.size() == static_cast<std::size_t>(cut.value().windows.rows()));
  CHECK(keeper.scores.size() > 50);
  for (std::size_t i = 0; i < keeper.scores.size(); ++i) {
    // The fake's score is the window's mean.
    CHECK(keeper.scores[i] == cut.value().windows.row(static_cast<Eigen::Index>(i)).mean());
  }
}

TEST_CASE("Windows with missing values are left out of training", "[app][ctl]") {
  const TemporaryFolder folder;
  std::string text = "time,x,y\n";
  for (int i = 0; i < 100; ++i) {
    text += std::to_string(i / 10) + "." + std::to_string(i % 10) + ",1," +
            (i < 50 ? std::string() : "2") + "\n";
  }
  auto reader = RecordingReader::open(folder.write("r.csv", text), {});
  REQUIRE(reader.ok());
  stream::WindowRules rules;
  rules.rate_hz = 10;
  rules.channels =
      std::make_shared<const std::vector<std::string>>(std::vector<std::string>{"x", "y"});
  rules.window_samples = 10;
  rules.hop_samples = 10;
  const auto cut = cut_windows(reader.value(), rules);
  REQUIRE(cut.ok());
  CHECK(cut.value().missing == 5);
  REQUIRE(cut.value().windows.rows() == 5);
  CHECK(cut.value().windows.allFinite());
}

}  // namespace
}  // namespace anomalyd::app::ctl

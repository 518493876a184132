#include "evaluate/protocol.h"

#include <sys/resource.h>

#include <cmath>
#include <filesystem>

#include "evaluate/readers.h"
#include "evaluate/text_table.h"
#include "support/catch.h"
#include "support/ctl_files.h"

namespace anomalyd::evaluate {
namespace {

using testing::TemporaryFolder;

Result<Dataset> read(const TemporaryFolder& folder, const char* protocol) {
  const auto found = find_protocol(protocol);
  REQUIRE(found.ok());
  ReadOptions options;
  options.data = folder.path();
  return read_dataset(*found.value(), options);
}

std::string message(const Result<Dataset>& result) {
  REQUIRE_FALSE(result.ok());
  return result.error().message;
}

bool has(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

void make_folder(const TemporaryFolder& folder, const char* name) {
  std::filesystem::create_directories(folder.path() / name);
}

std::string skab_csv(int rows) {
  std::string text = "datetime;Pressure;Current;anomaly;changepoint\n";
  for (int i = 0; i < rows; ++i) {
    char line[80];
    std::snprintf(line, sizeof line, "2020-03-09 10:%02d:%02d;%d.5;1.25;%s;%s\n", i / 60, i % 60, i,
                  i >= 450 ? "1.0" : "0.0", i == 450 ? "1.0" : "0.0");
    text += line;
  }
  return text;
}

TEST_CASE("A table tells where a cell is wrong", "[evaluate][table]") {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& text) {
    const std::string path = folder.write("t.csv", text);
    ColumnRoles roles;
    roles.label = "label";
    const auto series = read_series(path, roles);
    REQUIRE_FALSE(series.ok());
    return series.error().message;
  };
  CHECK(has(refused("a,label\n1,0\n\nx,0\n"), "t.csv:4: column 'a': expected a number, got 'x'"));
  CHECK(has(refused("a,label\n1e99,0\n"), "t.csv:2: column 'a'"));
  CHECK(has(refused("a,label\ninf,0\n"), "t.csv:2: column 'a'"));
  CHECK(has(refused("a,label\n1,2\n"), "t.csv:2: column 'label': expected 0 or 1, got '2'"));
  CHECK(has(refused("a,label\n1\n"), "t.csv:2: 1 cells, expected 2"));
  CHECK(has(refused("a,a,label\n"), "t.csv:1: the column 'a' occurs twice"));
  CHECK(has(refused("time,a,label\nnoon,1,0\n"), "t.csv:2: column 'time': expected a time"));
  CHECK(has(refused("a,b\n1,2\n"), "t.csv:1: expected a column 'label'"));
  CHECK(has(refused("time,label\n1,0\n"), "0 channels"));
  CHECK(has(refused("a,label\n"), "expected rows"));
  CHECK(has(refused(""), "t.csv:0: expected a header"));
  CHECK(has(refused("a{b},label\n1,0\n"), "cannot name a channel"));
  CHECK(has(refused("a,label\n\x01\x02,0\n"),
            "got '?"
            "?'"));
}

TEST_CASE("A table reads separators, quotes, missing cells and times", "[evaluate][table]") {
  const TemporaryFolder folder;
  ColumnRoles roles;
  roles.label = "label";
  const auto series =
      read_series(folder.write("t.csv",
                               "\xEF\xBB\xBF\"ts\"\tax\tlabel\r\n"
                               "2020-01-01T00:00:00.5Z\t1\t0\r\n2020-01-01 00:00:02.5\t\t1\r\n\r\n"
                               "2020-01-01 01:00:04.5+01:00\tnan\t1\r\n"),
                  roles);
  REQUIRE(series.ok());
  const Series& s = series.value();
  CHECK(s.channels == std::vector<std::string>{"ax"});
  REQUIRE(s.samples() == 3);
  CHECK(s.values[0] == 1);
  CHECK(std::isnan(s.values[1]));
  CHECK(std::isnan(s.values[2]));
  CHECK(s.sample_seconds == Approx(2));
  CHECK(s.times[0] == parse_rfc3339("2020-01-01T00:00:00.5Z").value());
  CHECK(s.events == std::vector<Span>{{1, 3}});
  CHECK(parse_time("12.5") == TimeNs{12'500'000'000});
  CHECK_FALSE(parse_time("1e300"));
  CHECK_FALSE(parse_time("2020-13-01 00:00:00"));
  CHECK_FALSE(parse_number("1 2"));
  CHECK_FALSE(parse_number(""));
}

TEST_CASE("SKAB: the first 400 rows of each file train, the anomaly-free one is left out",
          "[evaluate][skab]") {
  const TemporaryFolder folder;
  for (const char* sub : {"data/valve1", "data/other", "data/anomaly-free"}) {
    make_folder(folder, sub);
  }
  folder.write("data/valve1/0.csv", skab_csv(600));
  folder.write("data/other/1.csv", skab_csv(500));
  folder.write("data/anomaly-free/anomaly-free.csv", "datetime;Pressure\n");
  const auto dataset = read(folder, "skab");
  REQUIRE(dataset.ok());
  REQUIRE(dataset.value().series.size() == 2);
  const Series& first = dataset.value().series[1];
  CHECK(first.name == "valve1/0.csv");
  CHECK(first.channels == std::vector<std::string>{"Pressure", "Current"});
  CHECK(first.train == 400);
  CHECK(first.samples() == 600);
  CHECK(first.events == std::vector<Span>{{450, 600}});
  CHECK(first.changes == std::vector<std::size_t>{450});
  CHECK(first.sample_seconds == 1);

  folder.write("data/other/2.csv", skab_csv(400));
  CHECK(has(message(read(folder, "skab")), "400 rows, expected more"));
  folder.write("data/other/2.csv", "datetime;Pressure;anomaly;changepoint\nnow;1;0;0\n");
  CHECK(has(message(read(folder, "skab")), "2.csv:2: column 'datetime'"));
}

TEST_CASE("NAB: windows are rows, probation is not judged", "[evaluate][nab]") {
  const TemporaryFolder folder;
  make_folder(folder, "data/real");
  make_folder(folder, "labels");
  std::string text = "timestamp,value\n";
  for (int i = 0; i < 100; ++i) {
    char line[80];
    std::snprintf(line, sizeof line, "2014-04-01 %02d:%02d:00,%d\n", i / 12, i % 12 * 5, i);
    text += line;
  }
  folder.write("data/real/a.csv", text);
  const auto labels = [&](const std::string& json) {
    folder.write("labels/combined_windows.json", json);
    return read(folder, "nab");
  };
  const auto good =
      labels(R"({"real/a.csv": [["2014-04-01 02:00:00.000000", "2014-04-01 02:10:00.000000"],)"
             R"( ["2014-04-01 02:15:00.000000", "2014-04-01 02:15:00.000000"]], "gone.csv": []})");
  REQUIRE(good.ok());
  const Series& series = good.value().series[0];
  CHECK(series.train == 15);
  CHECK(series.events == std::vector<Span>{{24, 27}, {27, 28}});  // two, though they touch
  CHECK(series.truth[26] == 1);
  CHECK(series.truth[28] == 0);
  CHECK(series.sample_seconds == 300);
  CHECK(has(message(labels("{}")), "no windows for \"real/a.csv\""));
  CHECK(has(message(labels("[1")), "expected a JSON object"));
  CHECK(has(message(labels(R"({"real/a.csv": 3})")), "expected a list of windows"));
  CHECK(has(message(labels(R"({"real/a.csv": [["2014-04-01 02:00:00"]]})")), "[first, last]"));
  CHECK(has(message(labels(R"({"real/a.csv": [["2014-04-01 02:00:01", "x"]]})")),
            "window 0: expected two times of rows"));
  CHECK(has(message(labels(R"({"real/a.csv": [], "real/a.csv": []})")), "occurs twice"));
  CHECK(has(message(labels(R"({"real/a.csv": [["2014-04-01 02:10:00", "2014-04-01 02:00:00"]]})")),
            "do not overlap"));
  CHECK(has(message(labels(R"({"real/a.csv": [["2014-04-01 02:00:00", "2014-04-01 02:10:00"],)"
                           R"(["2014-04-01 02:10:00", "2014-04-01 02:20:00"]]})")),
            "do not overlap"));
}

TEST_CASE("NAB: labels of a hostile hand are refused in few words", "[evaluate][nab]") {
  const TemporaryFolder folder;
  make_folder(folder, "data");
  make_folder(folder, "labels");
  folder.write("data/a.csv", "timestamp,value\n2014-04-01 00:00:00,1\n2014-04-01 00:05:00,2\n");
  const auto refused = [&](const std::string& json) {
    folder.write("labels/combined_windows.json", json);
    const std::string text = message(read(folder, "nab"));
    CHECK(text.size() < 600);
    return text;
  };
  constexpr std::size_t kDeep = 1'000'000;
  const std::string deep = std::string(kDeep, '[') + std::string(kDeep, ']');
  CHECK(has(refused(deep), "nested deeper than"));
  CHECK(has(refused(R"({"a.csv": [[)" + deep + ", 1]]}"), "nested deeper than"));
  CHECK(has(refused(R"({"a.csv": [[[], {"a": 1}]]})"),
            "got a value of type array and a value of type object"));
  const std::string wide(1'000'000, 'x');
  CHECK(has(refused(R"({"a.csv": [[")" + wide + R"(", "y"]]})"), "got \"xxx"));
  CHECK(has(refused(R"({"a.csv": [["\u0007\u00e9", "y"]]})"), "got \"?"));
  CHECK(has(refused("{\"a.csv\": [[\"" + wide + "]]}"), "expected a JSON object"));
}

TEST_CASE("NAB: a window begins at the first row of its time", "[evaluate][nab]") {
  const TemporaryFolder folder;
  make_folder(folder, "data");
  make_folder(folder, "labels");
  // An hour that the end of summer time repeats.
  std::string text = "timestamp,value\n";
  for (const int hour : {0, 1, 2, 1, 2, 3, 4}) {
    text += "2014-10-26 0" + std::to_string(hour) + ":00:00,1\n";
  }
  folder.write("data/a.csv", text);
  folder.write("labels/combined_windows.json",
               R"({"a.csv": [["2014-10-26 01:00:00", "2014-10-26 02:00:00"],)"
               R"( ["2014-10-26 03:00:00", "2014-10-26 04:00:00"]]})");
  const auto dataset = read(folder, "nab");
  REQUIRE(dataset.ok());
  CHECK(dataset.value().series[0].events == std::vector<Span>{{1, 3}, {5, 7}});
}

TEST_CASE("A walk that breaks off is an error, not a shorter list", "[evaluate][protocol]") {
  const TemporaryFolder folder;
  folder.write("a.csv", "x\n1\n");
  // Each folder on the way down takes a descriptor, of which there are few.
  std::filesystem::path deep = folder.path();
  for (int i = 0; i < 64; ++i) deep /= "b";
  std::filesystem::create_directories(deep);
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit few = before;
  few.rlim_cur = 32;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
  const auto broken = files_below(folder.path(), ".csv");
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  REQUIRE_FALSE(broken.ok());
  CHECK(broken.error().code == ErrorCode::kUnavailable);
  CHECK(has(broken.error().message, folder.path().string()));
  CHECK(files_below(folder.path(), ".csv").ok());
}

TEST_CASE("UCR: the name tells train and range, values stand in lines or in a row",
          "[evaluate][ucr]") {
  const TemporaryFolder folder;
  make_folder(folder, "archive");
  folder.write("archive/readme.txt", "about");
  folder.write("archive/001_UCR_Anomaly_NOISEa_b_4_6_7.txt",
               "  1.0e+00\n  -2.5e-01\n3\n4\n5\n6\n7\n8\n");
  folder.write("archive/002_UCR_Anomaly_row_2_3_3.txt", " 1 2 3 4");
  const auto dataset = read(folder, "ucr");
  REQUIRE(dataset.ok());
  REQUIRE(dataset.value().series.size() == 2);
  const Series& first = dataset.value().series[0];
  CHECK(first.values == std::vector<float>{1, -0.25F, 3, 4, 5, 6, 7, 8});
  CHECK(first.train == 4);
  CHECK(first.events == std::vector<Span>{{5, 7}});
  CHECK(first.sample_seconds == 0);
  CHECK(dataset.value().series[1].events == std::vector<Span>{{2, 3}});

  folder.write("archive/003_UCR_Anomaly_x_2_3_9.txt", "1 2 3");
  CHECK(has(message(read(folder, "ucr")), "TRAINEND < BEGIN <= END <= 3"));
  folder.write("archive/003_UCR_Anomaly_x_2_3_9.txt", "1 2\n3 four");
  CHECK(has(message(read(folder, "ucr")), ".txt:2: sample 4: expected a number"));
  std::filesystem::remove(folder.path() / "archive/003_UCR_Anomaly_x_2_3_9.txt");
  folder.write("archive/004_UCR_Anomaly_x_2_3_99999999999999999999999.txt", "1 2 3");
  CHECK(has(message(read(folder, "ucr")), "expected a name that ends in"));
}

TEST_CASE("CSV: a train file goes before its test file", "[evaluate][csv]") {
  const TemporaryFolder folder;
  folder.write("m_train.csv", "time,a,b\n0,1,2\n60,3,4\n");
  folder.write("m_test.csv", "time,a,b,label\n0,5,6,0\n60,7,8,1\n120,9,10,1\n");
  const auto dataset = read(folder, "csv");
  REQUIRE(dataset.ok());
  const Series& series = dataset.value().series[0];
  CHECK(series.name == "m");
  CHECK(series.train == 2);
  CHECK(series.values == std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  CHECK(series.events == std::vector<Span>{{3, 5}});
  CHECK(series.sample_seconds == 60);
  folder.write("n_test.csv", "a,label\n1,0\n");
  CHECK(has(message(read(folder, "csv")), "n_train.csv"));
  folder.write("n_train.csv", "b\n1\n");
  CHECK(has(message(read(folder, "csv")), "expected the channels of"));
  folder.write("n_train.csv", "a,label\n1,1\n");
  CHECK(has(message(read(folder, "csv")), "sample 0 is labelled anomalous"));
}

TEST_CASE("Recordings: names tell normal from faulty", "[evaluate][recordings]") {
  const TemporaryFolder folder;
  folder.write("N_800_1.csv", "time,ax,label\n0,1,walk\n0.5,2,walk\n1,3,walk\n1.5,4,sit\n");
  folder.write("IR_800_1.csv", "time,ax,label\n0,1,walk\n0.5,2,walk\n");
  folder.write("other.csv", "anything\n");
  ReadOptions options;
  options.data = folder.path();
  options.normal = "N_*";
  options.faulty = "?R_*";
  const auto dataset = read_recordings(options);
  REQUIRE(dataset.ok());
  REQUIRE(dataset.value().series.size() == 2);
  REQUIRE(dataset.value().training.size() == 1);  // a single normal file is halved
  CHECK(dataset.value().training[0].train == 2);
  CHECK(dataset.value().training[0].values == std::vector<float>{1, 2});
  const Series& faulty = dataset.value().series[0];
  CHECK(faulty.train == 0);
  CHECK(faulty.events == std::vector<Span>{{0, 2}});
  const Series& normal = dataset.value().series[1];
  CHECK(normal.train == 0);
  CHECK(normal.values == std::vector<float>{3, 4});
  CHECK(normal.events.empty());
  folder.write("N_800_2.csv", "time,ax,label\n0,9,walk\n0.5,9,walk\n");
  const auto two = read_recordings(options);
  REQUIRE(two.ok());
  REQUIRE(two.value().training.size() == 1);
  CHECK(two.value().training[0].name == "N_800_1.csv");
  CHECK(two.value().series[1].name == "N_800_2.csv");
  folder.write("OR_800_1.csv", "time,ay\n0,1\n");
  CHECK(has(read_recordings(options).error().message, "columns ay, expected those of the files"));
  options.faulty = "*";
  CHECK(has(read_recordings(options).error().message, "matches both"));
  options.faulty = "none*";
  CHECK(has(read_recordings(options).error().message, "0 match 'none*'"));
}

TEST_CASE("Calibration: the normal parts alone, of the sets that are there", "[evaluate]") {
  const TemporaryFolder folder;
  CHECK(has(message(read(folder, "calibration")), "expected one or more of the folders cwru, msl"));
  make_folder(folder, "ucr");
  make_folder(folder, "smd");
  make_folder(folder, "uestc_bearing");
  std::string rows;
  for (int i = 0; i < 500; ++i) rows += std::to_string(i) + "\n";
  folder.write("ucr/1_UCR_Anomaly_x_200_400_410.txt", rows);
  folder.write("ucr/2_UCR_Anomaly_soon_200_290_300.txt", rows);  // nothing before its guard
  folder.write("smd/m_train.csv", "time,a\n0,1\n60,2\n120,3\n180,4\n");
  folder.write("smd/m_test.csv", "time,a,label\n0,1,1\n");
  folder.write("uestc_bearing/N_800_1.csv", "a\n1\n2\n3\n4\n5\n6\n7\n8\n");
  folder.write("uestc_bearing/B_800_1.csv", "a\n1\n2\n");
  const auto dataset = read(folder, "calibration");
  REQUIRE(dataset.ok());
  const std::vector<Series>& series = dataset.value().series;
  REQUIRE(series.size() == 3);
  CHECK(series[0].name == "smd/m_train.csv");
  CHECK(series[0].samples() == 4);
  CHECK(series[0].train == 2);
  CHECK(series[0].sample_seconds == 60);
  CHECK(series[1].name == "ucr/1_UCR_Anomaly_x_200_400_410.txt");
  CHECK(series[1].samples() == 299);  // row 399 is the labelled range's first, 100 before it
  CHECK(series[1].values.size() == 299);
  CHECK(series[1].train == 200);
  CHECK(series[1].events.empty());
  CHECK(series[2].name == "uestc_bearing/N_800_1.csv");
  CHECK(series[2].train == 2);
}

TEST_CASE("Patterns, names and parts", "[evaluate][protocol]") {
  CHECK(matches("abc", "abc"));
  CHECK(matches("abc", "a*"));
  CHECK(matches("abcbc", "*bc"));
  CHECK(matches("", "*"));
  CHECK(matches("a/b.csv", "?/*.csv"));
  CHECK_FALSE(matches("abc", "a?"));
  CHECK_FALSE(matches("abc", ""));
  // A pattern that a naive matcher tries for ever.
  CHECK_FALSE(matches(std::string(2000, 'a'), "a*a*a*a*a*a*a*a*a*a*b"));
  const auto unknown = find_protocol("swat");
  REQUIRE_FALSE(unknown.ok());
  CHECK(has(unknown.error().message, "skab, nab, ucr, csv, recordings, calibration"));
  const TemporaryFolder folder;
  CHECK(has(message(read(folder, "ucr")), "no *.txt in it"));
  for (int i = 0; i < 6; ++i) {
    folder.write(std::to_string(i) + "_UCR_Anomaly_x_1_2_2.txt", "1 2 3");
  }
  ReadOptions options;
  options.data = folder.path();
  options.limit = 3;
  const auto part = read_dataset(*find_protocol("ucr").value(), options);
  REQUIRE(part.ok());
  REQUIRE(part.value().series.size() == 3);
  CHECK(part.value().series[1].name == "2_UCR_Anomaly_x_1_2_2.txt");
}

}  // namespace
}  // namespace anomalyd::evaluate

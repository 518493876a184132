#include "ingest/csv.h"

#include <cmath>
#include <limits>
#include <sstream>

#include "support/catch.h"

namespace anomalyd::ingest {
namespace {

Result<CsvReader> open_text(const std::string& text, const CsvOptions& options = {}) {
  return CsvReader::read(std::make_unique<std::istringstream>(text), "f.csv", options);
}

struct Row {
  TimeNs time = 0;
  std::vector<float> values;
};

std::vector<Row> all(CsvReader& reader) {
  std::vector<Row> rows;
  for (;;) {
    Row row;
    row.values.resize(reader.channels().size());
    const auto more = reader.next(row.time, row.values);
    if (!more.ok()) FAIL(more.error().message);
    if (!more.value()) return rows;
    rows.push_back(std::move(row));
  }
}

std::string header_error(const std::string& text, const CsvOptions& options = {}) {
  const auto reader = open_text(text, options);
  REQUIRE_FALSE(reader.ok());
  CHECK(reader.error().code == ErrorCode::kInvalidArgument);
  return reader.error().message;
}

std::string row_error(const std::string& text, const CsvOptions& options = {}) {
  auto reader = open_text(text, options);
  REQUIRE(reader.ok());
  TimeNs time = 0;
  std::vector<float> values(reader.value().channels().size());
  const auto row = reader.value().next(time, values);
  REQUIRE_FALSE(row.ok());
  return row.error().message;
}

TEST_CASE("A CSV row has a time and a value for each channel", "[ingest][csv]") {
  auto reader =
      open_text("ax;Time;label;ay\n0.25;1.5;1;-3\r\n\n;2;0;nan\n\"4\";\"3\";0; 5e2").value();
  CHECK(reader.channels() == std::vector<std::string>{"ax", "ay"});
  const auto rows = all(reader);
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].time == 1'500'000'000);
  CHECK(rows[0].values == std::vector<float>{0.25F, -3.0F});
  CHECK(rows[1].time == 2'000'000'000);
  CHECK(std::isnan(rows[1].values[0]));
  CHECK(std::isnan(rows[1].values[1]));
  CHECK(rows[2].time == 3'000'000'000);
  CHECK(rows[2].values == std::vector<float>{4.0F, 500.0F});
  CHECK(reader.line() == 5);
}

TEST_CASE("CSV columns are chosen by name", "[ingest][csv]") {
  CsvOptions options;
  options.channels = {"anomaly", "a"};
  auto reader = open_text("t0\ttime\ta\tb\tanomaly\nx\t7\t1\ttext\t0.5\n", options).value();
  CHECK(reader.channels() == options.channels);
  const auto rows = all(reader);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].values == std::vector<float>{0.5F, 1.0F});
  options = {};
  options.time_column = "clock";
  auto other = open_text(
                   "\xef\xbb\xbf"
                   "clock,time\n1,2\n",
                   options)
                   .value();
  CHECK(other.channels() == std::vector<std::string>{"time"});
  CHECK(all(other).at(0).time == 1'000'000'000);
}

TEST_CASE("CSV times are exact in every unit", "[ingest][csv]") {
  const auto time_of = [](const char* text, const char* unit) {
    CsvOptions options;
    options.time_unit = parse_time_unit(unit).value();
    auto reader = open_text(std::string("time,v\n") + text + ",1\n", options).value();
    return all(reader).at(0).time;
  };
  CHECK(time_of("1700000000.123456789", "auto") == 1700000000'123456789);
  CHECK(time_of("-0.0000000015", "s") == -2);
  CHECK(time_of("1700000000123.5", "ms") == 1700000000'123500000);
  CHECK(time_of("1700000000123456", "us") == 1700000000'123456000);
  CHECK(time_of("1700000000123456789", "ns") == 1700000000'123456789);
  CHECK(time_of("1.7e9", "auto") == 1700000000'000000000);
  CHECK(time_of("0.1", "s") == 100'000'000);
  CHECK(time_of("2026-11-22T04:05:06.5Z", "auto") == 1795320306'500'000'000);
  CHECK(time_of("2026-11-22 05:05:06.5+01:00", "rfc3339") == 1795320306'500'000'000);
  CHECK(time_of("2026-11-22 04:05:06", "auto") == 1795320306'000'000'000);
}

TEST_CASE("CSV without a time column is read at a rate, without drift", "[ingest][csv]") {
  CsvOptions options;
  options.rate_hz = 3;
  options.start = 10;
  auto reader = open_text("date,v\nmonday,1\ntuesday,2\n\nx,3\ny,4\n", options).value();
  CHECK(reader.channels() == std::vector<std::string>{"v"});
  const auto rows = all(reader);
  REQUIRE(rows.size() == 4);
  CHECK(rows[1].time == 10 + 333333333);
  CHECK(rows[2].time == 10 + 666666667);
  CHECK(rows[3].time == 10 + 1000000000);
}

TEST_CASE("A bad CSV row says where, and the next one is read", "[ingest][csv][errors]") {
  CHECK(row_error("time,x\n1,abc\n") == "f.csv:2: column 'x': expected a number, got 'abc'");
  CHECK(row_error("time,x\n1,inf\n") == "f.csv:2: column 'x': expected a number, got 'inf'");
  CHECK(row_error("time,x\n1,1e39\n") == "f.csv:2: column 'x': expected a number, got '1e39'");
  CHECK(row_error("time,x\n1,1 2\n") == "f.csv:2: column 'x': expected a number, got '1 2'");
  CHECK(row_error("time,x\n\n1\n") == "f.csv:3: expected 2 columns, got 1");
  CHECK(row_error("time,x\n1,2,3\n") == "f.csv:2: expected 2 columns, got 3");
  CHECK(row_error("time,x\nnoon,2\n") ==
        "f.csv:2: column 'time': expected a date and time, or seconds since 1970, got 'noon'");
  CHECK(row_error("time,x\n,2\n").find("got ''") != std::string::npos);
  CHECK(row_error("time,x\n99999999999,2\n").find("column 'time'") != std::string::npos);
  CHECK(row_error("time,x\n1e300,2\n").find("column 'time'") != std::string::npos);
  CHECK(row_error("time,x\n2026-13-22 04:05:06,2\n").find("column 'time'") != std::string::npos);
  CHECK(row_error("time,x\n1,\"2\n3,4\n") == "f.csv:2: a quote is not closed");
  CHECK(row_error("time,x\n1," + std::string(2'000'000, '1')) ==
        "f.csv:2: a row of more than 1048576 bytes");

  auto reader = open_text("time,x\n1,1\n2,?\n3,3\n").value();
  TimeNs time = 0;
  std::vector<float> values(1);
  CHECK(reader.next(time, values).value());
  CHECK_FALSE(reader.next(time, values).ok());
  CHECK(reader.next(time, values).value());
  CHECK(time == 3'000'000'000);
  CHECK_FALSE(reader.next(time, values).value());
}

TEST_CASE("Bad CSV rows are skipped and counted when asked for", "[ingest][csv][errors]") {
  CsvOptions options;
  options.skip_bad_rows = true;
  auto reader = open_text("time,x\n1,1\n2,?\n3,3\n4\n5,5\n", options).value();
  CHECK(all(reader).size() == 3);
  CHECK(reader.skipped() == 2);
  CHECK(reader.first_skipped() == "f.csv:3: column 'x': expected a number, got '?'");
}

TEST_CASE("A CSV header that does not fit says why", "[ingest][csv][errors]") {
  CHECK(header_error("") == "f.csv:1: expected a header with column names, got an empty file");
  CHECK(header_error("1,2\n3,4\n").find("got the numbers '1,2'") != std::string::npos);
  CHECK(header_error("a,b\n1,2\n").find("expected a column named time") != std::string::npos);
  CHECK(header_error("time,label\n").find("at least one column") != std::string::npos);
  CHECK(header_error("time,a,a\n") == "f.csv:1: column 'a' is there twice");
  CHECK(header_error("time,\"a, b\"\n").find("column 2: 'a, b' cannot") != std::string::npos);
  CHECK(header_error("time,\n").find("column 2: '' cannot name a channel") != std::string::npos);
  CsvOptions options;
  options.channels = {"z"};
  CHECK(header_error("time,a\n", options) ==
        "f.csv:1: no column 'z' for a channel; the file has time, a");
  options.channels = {"a", "a"};
  CHECK(header_error("time,a\n", options).find("twice") != std::string::npos);
  options = {};
  options.time_column = "t";
  CHECK(header_error("time,a\n", options) == "f.csv:1: no column 't' for the time");
  options.rate_hz = 5;
  CHECK(header_error("t,a\n", options).find("got both") != std::string::npos);
  options = {};
  options.rate_hz = -1;
  CHECK(header_error("t,a\n", options).find("rate_hz") != std::string::npos);
  CHECK_FALSE(parse_time_unit("min").ok());
}

TEST_CASE("A CSV file that cannot be read is an error with its path", "[ingest][csv][errors]") {
  const auto missing = CsvReader::open("/nowhere/x.csv", {});
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.error().code == ErrorCode::kNotFound);
  CHECK(missing.error().message.find("/nowhere/x.csv: cannot open") == 0);
  CHECK_FALSE(CsvReader::open("/", {}).ok());
}

TEST_CASE("A CSV file longer than the buffer is read whole", "[ingest][csv]") {
  std::string text = "time,v,\"w\"\n";
  for (int i = 0; i < 60000; ++i) {
    text += std::to_string(i) + "," + std::to_string(i) + ".5,\"-" + std::to_string(i) + "\"\n";
  }
  REQUIRE(text.size() > 1'000'000);
  auto reader = open_text(text).value();
  const auto rows = all(reader);
  REQUIRE(rows.size() == 60000);
  bool same = true;
  for (int i = 0; i < 60000; ++i) {
    const Row& row = rows[static_cast<std::size_t>(i)];
    same = same && row.time == i * kNsPerSecond && row.values[0] == static_cast<float>(i) + 0.5F &&
           row.values[1] == static_cast<float>(-i);
  }
  CHECK(same);
}

}  // namespace
}  // namespace anomalyd::ingest

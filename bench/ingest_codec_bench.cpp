// How fast the codecs turn bytes into sample batches, on one core: rows a second of CPU time.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "base/check.h"
#include "ingest/codec.h"
#include "ingest/csv.h"
#include "ingest/gzip.h"

namespace {

using namespace anomalyd;
using namespace anomalyd::ingest;

constexpr std::size_t kStreams = 100'000;
constexpr std::size_t kRows = 200'000;

/// Bodies of `lines` rows each, kRows in all, made by `write(row, stream, x, y, z)`.
template <class Write>
std::vector<std::string> bodies(std::size_t lines, std::size_t streams, const Write& write) {
  std::mt19937_64 bits(1);
  std::uniform_real_distribution<double> value(-20, 20);
  std::vector<std::string> result;
  for (std::size_t row = 0; row < kRows; ++row) {
    if (row % lines == 0) result.emplace_back();
    char text[256];
    const int size =
        write(text, sizeof text, row, bits() % streams, value(bits), value(bits), value(bits));
    result.back().append(text, static_cast<std::size_t>(size));
  }
  for (std::string& body : result) body.reserve(body.size() + 64);
  return result;
}

template <class Decode>
void run(benchmark::State& state, const std::vector<std::string>& requests, const Decode& decode) {
  std::size_t rows = 0;
  std::size_t bytes = 0;
  for (auto _ : state) {
    for (const std::string& body : requests) {
      Decoded decoded;
      decode(body, decoded);
      ANOMALYD_CHECK(decoded.rejected == 0, "the bench's rows are good");
      rows += decoded.batch.samples();
      bytes += body.size();
      benchmark::DoNotOptimize(decoded.batch.runs().data());
    }
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(rows));
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
}

/// Arguments: rows a request, streams.
void line_protocol(benchmark::State& state) {
  const auto requests =
      bodies(static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1)),
             [](char* text, std::size_t size, std::size_t row, std::size_t s, double x, double y,
                double z) {
               return std::snprintf(text, size,
                                    "vibration,plant=p%zu,line=l%zu,sensor=s%06zu "
                                    "x=%.4f,y=%.4f,z=%.4f %lld\n",
                                    s % 7, s % 97, s, x, y, z,
                                    1700000000000000000LL + static_cast<long long>(row) * 1000000);
             });
  run(state, requests,
      [](const std::string& body, Decoded& out) { decode_line_protocol(body, 1, 0, {}, out); });
}
BENCHMARK(line_protocol)
    ->Args({100, kStreams})
    ->Args({700, kStreams})
    ->Args({kRows, kStreams})
    ->Args({100, 1})
    ->Unit(benchmark::kMillisecond);

void ndjson_rows(benchmark::State& state) {
  const auto requests =
      bodies(static_cast<std::size_t>(state.range(0)), kStreams,
             [](char* text, std::size_t size, std::size_t row, std::size_t s, double x, double y,
                double z) {
               return std::snprintf(
                   text, size,
                   "{\"stream\":\"vibration\",\"labels\":{\"line\":\"l%zu\",\"sensor\":"
                   "\"s%06zu\"},\"time\":%lld,\"values\":{\"x\":%.4f,\"y\":%.4f,"
                   "\"z\":%.4f}}\n",
                   s % 97, s, 1700000000000000000LL + static_cast<long long>(row), x, y, z);
             });
  run(state, requests,
      [](const std::string& body, Decoded& out) { decode_ndjson(body, 0, {}, out); });
}
BENCHMARK(ndjson_rows)->Arg(100)->Arg(kRows)->Unit(benchmark::kMillisecond);

void json_columns(benchmark::State& state) {
  std::mt19937_64 bits(1);
  std::uniform_real_distribution<double> value(-20, 20);
  std::string body = R"({"stream":"fast","start":0,"rate_hz":25600,"channels":{)";
  for (const char* channel : {"x", "y", "z"}) {
    body += (*channel == 'x' ? "\"" : ",\"") + std::string(channel) + "\":[";
    for (int i = 0; i < 10000; ++i) {
      char text[32];
      std::snprintf(text, sizeof text, "%s%.4f", i == 0 ? "" : ",", value(bits));
      body += text;
    }
    body += "]";
  }
  body += "}}";
  body.reserve(body.size() + 64);
  run(state, {body}, [](const std::string& text, Decoded& out) { decode_json(text, 0, {}, out); });
}
BENCHMARK(json_columns)->Unit(benchmark::kMillisecond);

void csv_rows(benchmark::State& state) {
  auto texts = bodies(
      kRows, 1,
      [](char* text, std::size_t size, std::size_t row, std::size_t, double x, double y, double z) {
        return std::snprintf(text, size, "%.3f,%.4f,%.4f,%.4f\n",
                             1700000000.0 + static_cast<double>(row) * 1e-3, x, y, z);
      });
  const std::string text = "time,x,y,z\n" + texts.front();
  std::size_t rows = 0;
  for (auto _ : state) {
    auto reader = CsvReader::read(std::make_unique<std::istringstream>(text), "bench", {});
    TimeNs time = 0;
    std::vector<float> values(3);
    while (reader.value().next(time, values).value()) ++rows;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(rows));
  state.SetBytesProcessed(static_cast<std::int64_t>(rows * text.size() / kRows));
}
BENCHMARK(csv_rows)->Unit(benchmark::kMillisecond);

void gunzip_line_protocol(benchmark::State& state) {
  const auto texts = bodies(
      700, kStreams,
      [](char* text, std::size_t size, std::size_t row, std::size_t s, double x, double, double) {
        return std::snprintf(text, size, "vibration,sensor=s%06zu x=%.4f %zu\n", s, x, row);
      });
  const std::string packed = gzip(texts.front()).value();
  for (auto _ : state) benchmark::DoNotOptimize(gunzip(packed, 1UL << 24U).value().data());
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * texts.front().size()));
}
BENCHMARK(gunzip_line_protocol);

}  // namespace

BENCHMARK_MAIN();

// What checkpoints cost: bytes of a stream's state, and the time to save, write, read and restore
// many of them.
//
//   checkpoint_bench [--kind zscore|tiny|standard|full] [--streams N] [--channels N] [--folder DIR]
//
// One stream is learned as a shard would learn it and read back under N keys; then all of them
// count as changed. Saving and restoring is the shard's CPU time, writing and reading the time on
// the wall, for one transaction in a new database in DIR (a temporary folder).
#include <time.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "store/database.h"
#include "stream/shard_streams.h"

namespace {

using namespace anomalyd;

struct Options {
  std::string kind = "tiny";
  std::size_t streams = 10'000;
  std::size_t channels = 3;
  std::filesystem::path folder = std::filesystem::temp_directory_path();
};

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "checkpoint_bench: %s\n", what.c_str());
  std::exit(1);
}

double thread_seconds() {
  timespec now{};
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0) fail("no clock of the thread");
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Options parse(int argc, char* argv[]) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) fail(name + ": a value was expected");
    const std::string value = argv[i + 1];
    if (name == "--kind") {
      options.kind = value;
    } else if (name == "--streams") {
      options.streams = std::stoul(value);
    } else if (name == "--channels") {
      options.channels = std::stoul(value);
    } else if (name == "--folder") {
      options.folder = value;
    } else {
      fail(name + ": unknown, expected --kind, --streams, --channels or --folder");
    }
  }
  return options;
}

class Nobody final : public stream::Observer {
 public:
  void on_score(const stream::Stream&, TimeNs, TimeNs, float, double) override {}
  void on_alert(const alert::Alert&, bool) override {}
  void on_alert_cancelled(const alert::Alert&) override {}
};

std::shared_ptr<const stream::DomainSet> domains_of(const Options& options) {
  detect::DetectorInfo info;
  info.kind = options.kind;
  info.window_samples = 128;
  info.hop_samples = 64;
  auto made = detect::make_online_detector(info);
  if (!made.ok()) fail(made.error().message);
  auto domain = std::make_shared<stream::Domain>();
  domain->name = "bench";
  domain->detector = std::move(made).value();
  domain->windows.rate_hz = 100;
  std::vector<std::string> names;
  for (std::size_t c = 0; c < options.channels; ++c) names.push_back("c" + std::to_string(c));
  domain->windows.channels = std::make_shared<const std::vector<std::string>>(std::move(names));
  auto set = std::make_shared<stream::DomainSet>();
  set->domains = {domain};
  set->find = [domain](const StreamKey&) { return domain; };
  return set;
}

/// The state of a stream that has been learned, its banks full.
std::vector<std::byte> learned_state(const std::shared_ptr<const stream::DomainSet>& domains) {
  Nobody nobody;
  stream::ShardStreams shard({}, {}, domains, nobody);
  const std::vector<std::string>& names = *domains->domains[0]->windows.channels;
  const std::vector<std::string_view> views(names.begin(), names.end());
  std::mt19937_64 bits(1);
  std::normal_distribution<double> noise(0, 0.1);
  std::vector<float> values(names.size());
  for (int i = 0; i < 24'000;) {
    SampleBatch batch;
    const std::uint32_t schema = batch.schema(views);
    for (const int end = i + 1000; i < end; ++i) {
      for (std::size_t c = 0; c < values.size(); ++c) {
        const double turn = 0.17 * i + 0.7 * static_cast<double>(c);
        values[c] =
            static_cast<float>(20 + std::sin(turn) + 0.3 * std::sin(3 * turn) + noise(bits));
      }
      batch.append("s", schema, i * TimeNs{10'000'000}, values);
    }
    shard.process(batch);
  }
  if (shard.streams()[0].state() != stream::State::kNormal) fail("the stream was not learned");
  return shard.save(0);
}

}  // namespace

int main(int argc, char* argv[]) {
  const Options options = parse(argc, argv);
  const auto domains = domains_of(options);
  const std::vector<std::byte> state = learned_state(domains);
  const auto n = static_cast<double>(options.streams);

  Nobody nobody;
  stream::ShardStreams::Limits limits;
  limits.max_streams = options.streams;
  stream::ShardStreams shard(limits, {}, domains, nobody);
  const double restore_begin = thread_seconds();
  for (std::size_t i = 0; i < options.streams; ++i) {
    const std::string key = "pump{unit=\"" + std::to_string(i) + "\"}";
    if (!shard.restore(key, 1, state).ok()) fail("a state was not read back");
  }
  const double restore_seconds = thread_seconds() - restore_begin;

  store::ShardCheckpoint checkpoint;
  checkpoint.position = 1;
  const double save_begin = thread_seconds();
  checkpoint.state = shard.save_counters();
  for (std::uint32_t i = 0; i < options.streams; ++i) {
    checkpoint.streams.push_back({shard.streams()[i].key, 1, shard.save(i)});
  }
  const double save_seconds = thread_seconds() - save_begin;

  std::string pattern = (options.folder / "anomalyd-bench-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) fail("no temporary folder in " + options.folder.string());
  const std::filesystem::path folder = pattern;
  double write_seconds = 0;
  double again_seconds = 0;
  double read_seconds = 0;
  double open_seconds = 0;
  {
    auto database = store::Database::open(folder / "anomalyd.db");
    if (!database.ok()) fail(database.error().message);
    std::vector<store::Change> changes;
    changes.emplace_back(std::move(checkpoint));
    for (double* seconds : {&write_seconds, &again_seconds}) {
      // SQLite leaves a page alone that would be written as it is: of a live stream none is.
      for (store::StreamCheckpoint& stream :
           std::get<store::ShardCheckpoint>(changes.front()).streams) {
        for (std::size_t at = 0; at < stream.state.size(); at += 256) {
          stream.state[at] ^= std::byte{1};
        }
      }
      const double begin = wall_seconds();
      const Status written = database.value()->write(changes);
      if (!written.ok()) fail(written.error().message);
      *seconds = wall_seconds() - begin;
    }
  }
  {
    const double begin = wall_seconds();
    auto database = store::Database::open(folder / "anomalyd.db");
    if (!database.ok()) fail(database.error().message);
    open_seconds = wall_seconds() - begin;
    std::size_t read = 0;
    const Status done = database.value()->each_stream_checkpoint(
        [&](const store::StreamCheckpoint& stream) -> Status {
          read += stream.state.size();
          return Done{};
        });
    if (!done.ok() || read != state.size() * options.streams) fail("not all was read");
    read_seconds = wall_seconds() - begin - open_seconds;
  }
  const auto file_bytes = static_cast<double>(std::filesystem::file_size(folder / "anomalyd.db"));
  std::filesystem::remove_all(folder);

  std::printf("%zu streams of kind %s, %zu channels\n", options.streams, options.kind.c_str(),
              options.channels);
  std::printf("  state            %9zu bytes a stream, %.0f MB in all, file %.0f MB\n",
              state.size(), static_cast<double>(state.size()) * n / 1e6, file_bytes / 1e6);
  std::printf("  save             %9.2f us a stream, %.2f s in all\n", 1e6 * save_seconds / n,
              save_seconds);
  std::printf("  write, new rows  %9.2f us a stream, %.2f s in all\n", 1e6 * write_seconds / n,
              write_seconds);
  std::printf("  write, again     %9.2f us a stream, %.2f s in all\n", 1e6 * again_seconds / n,
              again_seconds);
  std::printf("  open             %9.2f us a stream, %.2f s in all\n", 1e6 * open_seconds / n,
              open_seconds);
  std::printf("  read             %9.2f us a stream, %.2f s in all\n", 1e6 * read_seconds / n,
              read_seconds);
  std::printf("  restore          %9.2f us a stream, %.2f s in all\n", 1e6 * restore_seconds / n,
              restore_seconds);
  return 0;
}

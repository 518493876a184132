// Drives a real daemon over loopback and prints what it reached: rows per second of line protocol
// from socket to ring, windows per second of a detector, resident memory at 1, 1,000 and 100,000
// streams, and the time from a sample's arrival to its window's judgement.
//
//   daemon_bench PATH/TO/anomalyd [--seconds N] [--streams N] [--detector FILE]
//                [--connections N] [--sync POLICY] [--only journal]
//
// `--only journal` prints the rows per second of line protocol under each policy of store.sync, for
// two sizes of request.
//
// The daemon runs on CPU 0 (and on 0 and 1 where it says "two cores"), the load comes from CPU 1.
// Rates are given by the wall clock and by the daemon's own CPU time: on a machine with few cores
// the load's own work limits the first, so that the second is the one to compare.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <limits>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace {

std::size_t lines_a_request = 100;
std::size_t connections_at_once = 64;  // a sender waits for the journal: one alone is not a load
std::string sync_policy = "interval";

using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

constexpr std::size_t kDigits = 19;  // of a time stamp in nanoseconds
constexpr std::int64_t kFirst = 1'700'000'000'000'000'000;

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "daemon_bench: %s\n", what.c_str());
  std::exit(1);
}

double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void pin(std::initializer_list<int> cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
}

/// One keep-alive connection; requests are sent whole and answered one by one.
class Connection {
 public:
  explicit Connection(int port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      close(socket_);
      socket_ = -1;
      return;
    }
    const int on = 1;
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  ~Connection() {
    if (socket_ >= 0) close(socket_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  bool open() const { return socket_ >= 0; }

  void send(const std::string& bytes) const {
    for (std::size_t at = 0; at < bytes.size();) {
      const ssize_t n = ::send(socket_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (n <= 0) fail("the daemon closed a connection");
      at += static_cast<std::size_t>(n);
    }
  }

  /// The status of the next response; `body` gets its body.
  int receive(std::string* body = nullptr) {
    std::size_t head = 0;
    while ((head = buffer_.find("\r\n\r\n")) == std::string::npos) fill();
    const int status = std::atoi(buffer_.c_str() + 9);
    std::size_t length = 0;
    const std::size_t at = buffer_.find("Content-Length: ");
    if (at != std::string::npos && at < head) {
      length = static_cast<std::size_t>(std::atoll(buffer_.c_str() + at + 16));
    }
    while (buffer_.size() < head + 4 + length) fill();
    if (body != nullptr) *body = buffer_.substr(head + 4, length);
    buffer_.erase(0, head + 4 + length);
    return status;
  }

  std::string get(const std::string& path) {
    send("GET " + path + " HTTP/1.1\r\nHost: bench\r\n\r\n");
    std::string body;
    receive(&body);
    return body;
  }

 private:
  void fill() {
    std::array<char, 65536> chunk;
    const ssize_t n = recv(socket_, chunk.data(), chunk.size(), 0);
    if (n <= 0) fail("the daemon closed a connection");
    buffer_.append(chunk.data(), static_cast<std::size_t>(n));
  }

  int socket_;
  std::string buffer_;
};

/// A daemon of our own, in a folder of its own, ended with the object.
class Daemon {
 public:
  Daemon(const std::string& program, const std::string& domain, bool two_cores) {
    std::string pattern = (fs::temp_directory_path() / "daemon_bench.XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) fail("no temporary folder");
    folder_ = pattern;
    port_ = 18000 + static_cast<int>(getpid() % 1000) + next_port_++;
    std::ofstream(folder_ / "anomalyd.toml")
        << "[http]\nlisten = \"127.0.0.1:" << port_ << "\"\nthreads = " << (two_cores ? 2 : 1)
        << "\n[stream]\nshards = " << (two_cores ? 2 : 1) << "\n[store]\ndirectory = \""
        << folder_.string() << "\"\nsync = \"" << sync_policy << "\"\n[log]\nlevel = \"warn\"\n"
        << domain;
    child_ = fork();
    if (child_ == 0) {
      if (two_cores) {
        pin({0, 1});
      } else {
        pin({0});
      }
      const std::string config = (folder_ / "anomalyd.toml").string();
      execl(program.c_str(), program.c_str(), "--config", config.c_str(), nullptr);
      _exit(127);
    }
    for (int i = 0; i < 1000; ++i) {
      Connection connection(port_);
      if (connection.open() && connection.get("/-/ready").find("is ready") != std::string::npos) {
        return;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    fail("the daemon did not get ready");
  }
  ~Daemon() {
    kill(child_, SIGTERM);
    waitpid(child_, nullptr, 0);
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  int port() const { return port_; }

  double cpu_seconds() const {
    std::ifstream file("/proc/" + std::to_string(child_) + "/stat");
    std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    std::istringstream fields(text.substr(text.rfind(')') + 2));
    std::string skipped;
    for (int i = 0; i < 11; ++i) fields >> skipped;
    double user = 0;
    double system = 0;
    fields >> user >> system;
    return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
  }
  double resident_bytes() const {
    std::ifstream file("/proc/" + std::to_string(child_) + "/statm");
    double size = 0;
    double resident = 0;
    file >> size >> resident;
    return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
  }

  /// A value of /metrics by the start of its line.
  double metric(const std::string& name) const {
    const std::string text = "\n" + Connection(port_).get("/metrics");
    const std::size_t at = text.find("\n" + name + " ");
    return at == std::string::npos ? 0 : std::atof(text.c_str() + at + name.size() + 2);
  }
  void wait_until_idle() const {
    while (metric("anomalyd_stream_queue_samples{shard=\"0\"}") +
               metric("anomalyd_stream_queue_samples{shard=\"1\"}") >
           0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

 private:
  static inline int next_port_ = 0;
  fs::path folder_;
  int port_ = 0;
  pid_t child_ = -1;
};

/// Requests of line protocol that go over all streams in random order, again and again, a second
/// of event time a round. Only the time stamps are written anew.
class Lines {
 public:
  explicit Lines(std::size_t streams) {
    std::vector<std::size_t> order(streams);
    for (std::size_t i = 0; i < streams; ++i) order[i] = i;
    std::shuffle(order.begin(), order.end(), std::mt19937_64(1));
    std::string body;
    std::vector<std::size_t> stamps;
    for (std::size_t i = 0; i < streams; ++i) {
      std::array<char, 160> line{};
      const std::size_t s = order[i];
      const int n = std::snprintf(
          line.data(), line.size(),
          "vibration,line=l%zu,plant=p%zu,sensor=s%06zu x=%.4f,y=%.4f,z=%.4f %019lld\n", s % 97,
          s % 7, s, 0.1 * static_cast<double>(s % 77), -0.3, 9.81, static_cast<long long>(kFirst));
      body.append(line.data(), static_cast<std::size_t>(n));
      stamps.push_back(body.size() - 1 - kDigits);
      if (stamps.size() == std::min(lines_a_request, streams) || i + 1 == streams) {
        const std::string head = "POST /write HTTP/1.1\r\nHost: bench\r\nContent-Length: " +
                                 std::to_string(body.size()) + "\r\n\r\n";
        for (std::size_t& at : stamps) at += head.size();
        requests_.push_back({head + body, stamps});
        body.clear();
        stamps.clear();
      }
    }
  }

  /// The next request, its time stamps moved to the round's second.
  const std::string& next() {
    Request& request = requests_[at_];
    std::array<char, 32> stamp{};
    std::snprintf(stamp.data(), stamp.size(), "%019lld",
                  static_cast<long long>(kFirst + round_ * 1'000'000'000));
    for (const std::size_t at : request.stamps) {
      std::memcpy(request.bytes.data() + at, stamp.data(), kDigits);
    }
    rows_ = request.stamps.size();
    if (++at_ == requests_.size()) {
      at_ = 0;
      ++round_;
    }
    return request.bytes;
  }
  std::size_t rows() const { return rows_; }  ///< of the last request
  std::size_t requests() const { return requests_.size(); }

 private:
  struct Request {
    std::string bytes;
    std::vector<std::size_t> stamps;
  };
  std::vector<Request> requests_;
  std::size_t at_ = 0;
  std::int64_t round_ = 0;
  std::size_t rows_ = 0;
};

struct Load {
  double rows = 0;
  double refused = 0;
  double seconds = 0;
  double cpu_seconds = 0;
};

/// Sends for `seconds` (and at least `least_requests`), at most `rate` rows a second where that is
/// above 0, with a few requests under way on each connection.
Load drive(const Daemon& daemon, Lines& lines, double seconds, std::size_t least_requests,
           double rate) {
  const std::size_t count = connections_at_once;
  std::vector<std::unique_ptr<Connection>> connections;
  for (std::size_t i = 0; i < count; ++i) {
    connections.push_back(std::make_unique<Connection>(daemon.port()));
  }
  Load load;
  const double cpu = daemon.cpu_seconds();
  const auto start = Clock::now();
  std::size_t sent = 0;
  std::vector<std::size_t> under_way(count, 0);
  for (; since(start) < seconds || sent < least_requests; ++sent) {
    const std::size_t c = sent % count;
    if (under_way[c] > 0) {
      const int status = connections[c]->receive();
      if (status != 204) load.refused += static_cast<double>(under_way[c]);
    }
    connections[c]->send(lines.next());
    under_way[c] = lines.rows();
    load.rows += static_cast<double>(lines.rows());
    while (rate > 0 && load.rows > rate * since(start)) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  }
  for (std::size_t c = 0; c < count; ++c) {
    if (under_way[c] > 0 && connections[c]->receive() != 204) {
      load.refused += static_cast<double>(under_way[c]);
    }
  }
  daemon.wait_until_idle();
  load.seconds = since(start);
  load.cpu_seconds = daemon.cpu_seconds() - cpu;
  return load;
}

std::string domain_of(double rate_hz, const std::string& detector, const std::string& channels) {
  std::ostringstream text;
  text << "[[domain]]\nname = \"bench\"\ndetector = \"" << detector << "\"\n";
  if (rate_hz > 0) text << "rate_hz = " << rate_hz << ".0\n" << channels;
  return text.str();
}

/// A Prometheus histogram: upper bounds and counts up to them.
std::vector<std::pair<double, double>> histogram(const Daemon& daemon, const std::string& name) {
  std::vector<std::pair<double, double>> buckets;
  std::istringstream lines(Connection(daemon.port()).get("/metrics"));
  const std::string prefix = name + "_bucket{le=\"";
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(prefix, 0) != 0) continue;
    const std::string bound = line.substr(prefix.size());
    const double upper =
        bound[0] == '+' ? std::numeric_limits<double>::infinity() : std::atof(bound.c_str());
    buckets.emplace_back(upper, std::atof(line.c_str() + line.rfind(' ')));
  }
  return buckets;
}

/// Quantile of what came between two readings, linear inside its bucket.
double quantile(const std::vector<std::pair<double, double>>& before,
                const std::vector<std::pair<double, double>>& after, double q) {
  const double total = after.back().second - before.back().second;
  double below = 0;
  double lower = 0;
  for (std::size_t i = 0; i < after.size(); ++i) {
    const double count = after[i].second - before[i].second;
    if (total > 0 && count >= q * total) {
      return lower + (after[i].first - lower) * (q * total - below) / (count - below);
    }
    below = count;
    lower = after[i].first;
  }
  return std::nan("");
}

void print_load(const char* what, const Load& load) {
  std::printf("%-44s %9.0f rows/s   %9.0f rows per CPU-second   refused %.0f\n", what,
              (load.rows - load.refused) / load.seconds,
              (load.rows - load.refused) / load.cpu_seconds, load.refused);
  std::fflush(stdout);
}

/// 64 streams of 3 channels, a hop of samples a block, so that every block makes a window.
void bench_windows(const std::string& program, const std::string& detector, bool two_cores,
                   double seconds) {
  const Daemon daemon(program, domain_of(0, detector, ""), two_cores);
  std::mt19937_64 bits(7);
  std::normal_distribution<double> noise;
  std::vector<std::string> blocks;
  for (int s = 0; s < 64; ++s) {
    std::string axes;
    for (const char* name : {"ax", "ay", "az"}) {
      axes += (axes.empty() ? "\"" : ",\"") + std::string(name) + "\":[";
      for (int i = 0; i < 1000; ++i) {
        std::array<char, 32> value{};
        std::snprintf(value.data(), value.size(), i > 0 ? ",%.4f" : "%.4f", noise(bits));
        axes += value.data();
      }
      axes += ']';
    }
    blocks.push_back("\",\"rate_hz\":1000,\"channels\":{" + axes + "}}");
  }
  std::vector<std::unique_ptr<Connection>> connections;
  for (int i = 0; i < 4; ++i) connections.push_back(std::make_unique<Connection>(daemon.port()));
  const auto send = [&](std::size_t i) {
    const std::string text =
        "{\"stream\":\"fast" + std::to_string(i % 64) + "\",\"start\":" +
        std::to_string(kFirst + static_cast<std::int64_t>(i / 64) * 1'000'000'000) +
        blocks[i % 64].substr(1);
    Connection& connection = *connections[i % 4];
    connection.send(
        "POST /api/v1/samples HTTP/1.1\r\nHost: bench\r\nContent-Type: "
        "application/json\r\nContent-Length: " +
        std::to_string(text.size()) + "\r\n\r\n" + text);
    const int status = connection.receive();
    if (status == 503) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  };
  std::size_t i = 0;
  // What a stream is learned from is not what is measured.
  const std::string scored = "anomalyd_stream_windows_scored_total{domain=\"bench\"}";
  while (i < 64 * 15) send(i++);
  daemon.wait_until_idle();
  const double before = daemon.metric(scored);
  const double cpu = daemon.cpu_seconds();
  const auto start = Clock::now();
  while (since(start) < seconds) send(i++);
  daemon.wait_until_idle();
  const double windows = daemon.metric(scored) - before;
  std::printf(
      "%-44s %9.0f windows/s %9.0f windows per CPU-second\n",
      (std::string(two_cores ? "two cores: " : "one core: ") + fs::path(detector).stem().string())
          .c_str(),
      windows / since(start), windows / (daemon.cpu_seconds() - cpu));
  std::fflush(stdout);
}

/// What the policies cost, and what larger requests and more connections get back.
void bench_journal(const std::string& program, const std::string& domain, std::size_t streams,
                   double seconds) {
  for (const std::size_t lines : {std::size_t{100}, std::size_t{5000}}) {
    for (const std::size_t connections : {std::size_t{1}, std::size_t{8}, std::size_t{64}}) {
      for (const char* policy : {"never", "always", "interval"}) {
        lines_a_request = lines;
        connections_at_once = connections;
        sync_policy = policy;
        const Daemon daemon(program, domain, false);
        Lines requests(streams);
        drive(daemon, requests, 0, requests.requests() * 2, 0);
        const double before = daemon.metric("anomalyd_journal_commits_total");
        const Load load = drive(daemon, requests, seconds, 0, 0);
        const double commits = daemon.metric("anomalyd_journal_commits_total") - before;
        std::array<char, 96> what{};
        std::snprintf(what.data(), what.size(), "%5zu lines, %2zu connections, %-8s (%.0f/s)",
                      lines, connections, policy, commits / load.seconds);
        print_load(what.data(), load);
      }
    }
  }
}

}  // namespace

int main(int argc, char* argv[]) {
  if (argc < 2)
    fail(
        "usage: daemon_bench PATH/TO/anomalyd [--seconds N] [--streams N] [--detector FILE] "
        "[--connections N] [--sync POLICY] [--only journal]");
  const std::string program = argv[1];
  double seconds = 5;
  std::size_t streams = 100'000;
  std::string detector;
  std::string only;
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--seconds") seconds = std::atof(argv[i + 1]);
    if (option == "--streams") streams = static_cast<std::size_t>(std::atoll(argv[i + 1]));
    if (option == "--detector") detector = fs::absolute(argv[i + 1]).string();
    if (option == "--sync") sync_policy = argv[i + 1];
    if (option == "--only") only = argv[i + 1];
    if (option == "--connections") {
      connections_at_once = static_cast<std::size_t>(std::atoll(argv[i + 1]));
    }
  }
  pin({1});
  const std::string slow = domain_of(1, "zscore", "channels = [\"x\", \"y\", \"z\"]\n");

  if (only == "journal") {
    bench_journal(program, slow, streams, seconds);
    return 0;
  }

  double alone = 0;
  std::printf("line protocol, %zu lines a request, %zu connections, sync = \"%s\"\n",
              lines_a_request, connections_at_once, sync_policy.c_str());
  for (const bool two_cores : {false, true}) {
    const Daemon daemon(program, slow, two_cores);
    Lines lines(streams);
    drive(daemon, lines, 0, lines.requests() * 2, 0);  // every stream is there, its ring touched
    const Load load = drive(daemon, lines, seconds, 0, 0);
    print_load(two_cores ? "  two cores, the load on one of them" : "  one core", load);
    if (!two_cores) alone = load.rows / load.cpu_seconds;
  }

  std::printf("time from accepting a batch to the judgement of its windows, one core\n");
  {
    const Daemon daemon(program, slow, false);
    Lines lines(streams);
    drive(daemon, lines, 0, lines.requests() * 2, 0);
    const std::string name = "anomalyd_stream_accepted_to_scored_seconds";
    const auto before = histogram(daemon, name);
    drive(daemon, lines, seconds, 0, alone / 2);
    const auto after = histogram(daemon, name);
    std::printf("  at half load: p50 %.2f ms, p99 %.2f ms\n", 1e3 * quantile(before, after, 0.5),
                1e3 * quantile(before, after, 0.99));
  }

  std::printf("resident memory (a ring of 128 samples of 3 channels is 1536 bytes)\n");
  double one = 0;
  for (const std::size_t count : {std::size_t{1}, std::size_t{1000}, streams}) {
    const Daemon daemon(program, slow, false);
    Lines lines(count);
    drive(daemon, lines, 0, lines.requests() * 200, 0);  // rings full, windows cut
    const double resident = daemon.resident_bytes();
    if (count == 1) one = resident;
    std::printf("  %7zu streams: %7.1f MiB", count, resident / (1 << 20));
    if (count > 1) {
      std::printf(", %.0f bytes a stream beside its ring",
                  (resident - one) / static_cast<double>(count) - 1536);
    }
    std::printf("\n");
    std::fflush(stdout);
  }

  std::printf("windows, blocks of 1000 samples of 3 channels as JSON columns\n");
  for (const bool two_cores : {false, true}) {
    bench_windows(program, "zscore", two_cores, seconds);
    if (!detector.empty()) bench_windows(program, detector, two_cores, seconds);
  }
  return 0;
}

#include "base/worker_pool.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/catch.h"

namespace anomalyd {
namespace {

TEST_CASE("A worker pool does every item once, whatever the number of threads", "[base][pool]") {
  for (const std::size_t threads : {0U, 1U, 2U, 3U, 7U}) {
    WorkerPool pool(threads);
    CHECK(pool.threads() == std::max<std::size_t>(1, threads));
    for (const std::size_t items : {0U, 1U, 2U, 3U, 64U, 1000U}) {
      std::vector<std::atomic<int>> calls(items);
      std::atomic<bool> thread_in_range{true};
      pool.run(items, [&](std::size_t item, std::size_t thread) {
        calls[item].fetch_add(1);
        if (thread >= pool.threads()) thread_in_range = false;
      });
      CHECK(thread_in_range);
      for (const std::atomic<int>& count : calls) REQUIRE(count == 1);
    }
  }
}

TEST_CASE("A worker pool's items see what the caller wrote, and the caller what they wrote",
          "[base][pool]") {
  WorkerPool pool(3);
  std::vector<long> values(257, 1);  // plain numbers: a race here is ThreadSanitizer's to find
  for (int round = 0; round < 2000; ++round) {
    const std::size_t items = 1 + static_cast<std::size_t>(round % 9);
    for (std::size_t i = 0; i < items; ++i) values[i] += 1;
    pool.run(items, [&](std::size_t item, std::size_t) { values[item] *= 2; });
    for (std::size_t i = 0; i < items; ++i) {
      REQUIRE(values[i] % 2 == 0);
      values[i] = static_cast<long>(i);
    }
  }
}

TEST_CASE("A worker pool's threads all take part in work that is long enough", "[base][pool]") {
  WorkerPool pool(3);
  std::mutex mutex;
  std::set<std::size_t> seen;
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  // Each item waits until three threads were seen, so one thread cannot do all.
  pool.run(3, [&](std::size_t, std::size_t thread) {
    {
      const std::lock_guard lock(mutex);
      seen.insert(thread);
    }
    while (std::chrono::steady_clock::now() < until) {
      const std::lock_guard lock(mutex);
      if (seen.size() == 3) return;
    }
  });
  CHECK(seen == std::set<std::size_t>{0, 1, 2});
}

TEST_CASE("A worker pool that has slept works again", "[base][pool]") {
  WorkerPool pool(4);
  std::atomic<int> done{0};
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    pool.run(16, [&](std::size_t, std::size_t) { done.fetch_add(1); });
    CHECK(done == 16 * (round + 1));
  }
}

TEST_CASE("Worker pools come and go while their threads spin, sleep or work", "[base][pool]") {
  for (int round = 0; round < 200; ++round) {
    WorkerPool pool(3);
    std::atomic<int> done{0};
    if (round % 2 == 0) pool.run(5, [&](std::size_t, std::size_t) { done.fetch_add(1); });
    CHECK(done == (round % 2 == 0 ? 5 : 0));
  }
}

/// How the process ends that runs `body`.
template <class Body>
int exit_of(const Body& body) {
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGABRT, SIG_DFL);  // not Catch's, which would report the child's end as its own
    std::fclose(stderr);
    body();
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return status;
}

TEST_CASE("An exception that leaves a task, and a run inside a task, abort", "[base][pool]") {
  const int thrown = exit_of([] {
    WorkerPool pool(1);
    pool.run(1, [](std::size_t, std::size_t) { throw std::runtime_error("lost"); });
  });
  CHECK(WIFSIGNALED(thrown));
  const int nested = exit_of([] {
    WorkerPool pool(1);
    pool.run(1, [&](std::size_t, std::size_t) { pool.run(1, [](std::size_t, std::size_t) {}); });
  });
  CHECK(WIFSIGNALED(nested));
  const int plain = exit_of([] {
    WorkerPool pool(2);
    pool.run(4, [](std::size_t, std::size_t) {});
  });
  CHECK((WIFEXITED(plain) && WEXITSTATUS(plain) == 0));
}

}  // namespace
}  // namespace anomalyd

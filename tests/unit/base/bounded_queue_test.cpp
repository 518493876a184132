#include "base/bounded_queue.h"

#include <thread>

#include "support/catch.h"

namespace anomalyd {
namespace {

using namespace std::chrono_literals;

TEST_CASE("BoundedQueue refuses what does not fit and leaves it with the caller", "[base][queue]") {
  BoundedQueue<std::string> queue(10);
  CHECK(queue.try_push("a", 6));
  std::string big = "b";
  CHECK_FALSE(queue.try_push(std::move(big), 5));
  CHECK(big == "b");
  CHECK(queue.size() == 6);
  CHECK(queue.push_urgent("c"));
  CHECK(queue.pop(0s).value() == "a");
  CHECK(queue.pop(0s).value() == "c");
  CHECK_FALSE(queue.pop(1ms).has_value());
}

TEST_CASE("BoundedQueue lets an item heavier than itself pass when empty", "[base][queue]") {
  BoundedQueue<int> queue(10);
  CHECK(queue.try_push(1, 100));
  CHECK_FALSE(queue.fits(1));
  CHECK(queue.pop(0s).has_value());
  CHECK(queue.fits(1));
}

TEST_CASE("A closed BoundedQueue gives what it holds and takes no more", "[base][queue]") {
  BoundedQueue<int> queue(2);
  CHECK(queue.try_push(1));
  queue.close();
  CHECK_FALSE(queue.try_push(2));
  CHECK_FALSE(queue.push(2));
  CHECK_FALSE(queue.drained());
  CHECK(queue.pop(1h) == 1);
  CHECK(queue.drained());
  CHECK_FALSE(queue.pop(1h).has_value());
}

TEST_CASE("BoundedQueue keeps order and loses nothing between threads", "[base][queue]") {
  BoundedQueue<int> queue(8);
  std::thread producer([&] {
    for (int i = 0; i < 20000; ++i) queue.push(int{i});
    queue.close();
  });
  int expected = 0;
  bool in_order = true;
  while (auto item = queue.pop(1h)) in_order = in_order && *item == expected++;
  producer.join();
  CHECK(in_order);
  CHECK(expected == 20000);
}

}  // namespace
}  // namespace anomalyd

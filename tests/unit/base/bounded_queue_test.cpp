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
  CHECK(queue.pop(0s).value() == "a");
  CHECK_FALSE(queue.pop(1ms).has_value());
}

TEST_CASE("BoundedQueue serves what is urgent first, in its order", "[base][queue]") {
  BoundedQueue<std::string> queue(1);
  CHECK(queue.try_push("a"));
  CHECK(queue.push_urgent("b"));
  CHECK(queue.push_urgent("c", 2));
  std::string third = "d";
  CHECK_FALSE(queue.push_urgent(std::move(third), 2));
  CHECK(third == "d");
  CHECK(queue.size() == 1);
  queue.close();
  CHECK_FALSE(queue.push_urgent("e"));
  CHECK(queue.pop(0s).value() == "b");
  CHECK(queue.pop(0s).value() == "c");
  CHECK_FALSE(queue.drained());
  CHECK(queue.pop(0s).value() == "a");
  CHECK(queue.drained());
}

TEST_CASE("A push that waits ends with room, its time-out or the queue's end", "[base][queue]") {
  using Pushed = BoundedQueue<std::string>::Pushed;
  BoundedQueue<std::string> queue(1);
  CHECK(queue.push("a", 1h) == Pushed::kYes);
  std::string next = "b";
  CHECK(queue.push(std::move(next), 1ms) == Pushed::kNoRoom);
  CHECK(next == "b");
  std::thread reader([&] { CHECK(queue.pop(1h) == "a"); });
  CHECK(queue.push(std::move(next), 1h) == Pushed::kYes);
  reader.join();
  std::thread closer([&] {
    std::this_thread::sleep_for(5ms);
    queue.close();
  });
  CHECK(queue.push("c", 1h) == Pushed::kClosed);
  closer.join();
}

TEST_CASE("BoundedQueue lets an item heavier than itself pass when empty", "[base][queue]") {
  BoundedQueue<int> queue(10);
  CHECK(queue.try_push(1, 100));
  CHECK_FALSE(queue.try_reserve(1));
  CHECK(queue.pop(0s).has_value());
  CHECK(queue.try_reserve(1));
}

TEST_CASE("Room reserved in a BoundedQueue is nobody else's until it is used or given back",
          "[base][queue]") {
  BoundedQueue<int> queue(10);
  CHECK(queue.try_reserve(6));
  CHECK_FALSE(queue.try_push(1, 5));
  CHECK_FALSE(queue.try_reserve(5));
  CHECK(queue.size() == 6);
  CHECK(queue.push_reserved(2, 6));
  CHECK(queue.pop(0s) == 2);
  CHECK(queue.size() == 0);
  CHECK(queue.try_reserve(10));
  queue.release(10);
  CHECK(queue.try_reserve(10));
  queue.close();
  CHECK_FALSE(queue.push_reserved(3, 10));
  CHECK(queue.size() == 0);
  CHECK_FALSE(queue.try_reserve(1));
}

TEST_CASE("A closed BoundedQueue gives what it holds and takes no more", "[base][queue]") {
  BoundedQueue<int> queue(2);
  CHECK(queue.try_push(1));
  queue.close();
  CHECK_FALSE(queue.try_push(2));
  CHECK(queue.push(2, 1h) == BoundedQueue<int>::Pushed::kClosed);
  CHECK_FALSE(queue.drained());
  CHECK(queue.pop(1h) == 1);
  CHECK(queue.drained());
  CHECK_FALSE(queue.pop(1h).has_value());
}

TEST_CASE("BoundedQueue keeps order and loses nothing between threads", "[base][queue]") {
  BoundedQueue<int> queue(8);
  std::thread producer([&] {
    for (int i = 0; i < 20000; ++i) queue.push(int{i}, 1h);
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

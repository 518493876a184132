#pragma once

#include <cstddef>
#include <deque>
#include <new>
#include <span>
#include <vector>

namespace anomalyd::nn {

/// Allocates on cache lines: a vector of the widest instruction set then never crosses one.
template <class T>
struct LineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kLine{64};
  LineAllocator() = default;
  template <class Other>
  LineAllocator(const LineAllocator<Other>&) {}  // NOLINT(google-explicit-constructor)
  T* allocate(std::size_t count) {
    return static_cast<T*>(::operator new(count * sizeof(T), kLine));
  }
  void deallocate(T* at, std::size_t /*count*/) { ::operator delete(at, kLine); }
  bool operator==(const LineAllocator&) const = default;
};

/// Numbers on cache lines.
template <class Scalar>
using Buffer = std::vector<Scalar, LineAllocator<Scalar>>;

/// Memory for one call: taken piece by piece, given back all at once, and kept, so that a second
/// call of the same size allocates nothing.
///
/// Threads   one at a time.
template <class Scalar>
class Scratch {
 public:
  /// `count` numbers on a cache line, with what they held before.
  std::span<Scalar> take(std::size_t count) {
    if (used_ == pieces_.size()) pieces_.emplace_back();
    Buffer<Scalar>& piece = pieces_[used_++];
    if (piece.size() < count) piece.resize(count);
    return {piece.data(), count};
  }
  void clear() { used_ = 0; }
  std::size_t bytes() const {
    std::size_t count = 0;
    for (const Buffer<Scalar>& piece : pieces_) count += piece.size();
    return count * sizeof(Scalar);
  }

 private:
  std::deque<Buffer<Scalar>> pieces_;
  std::size_t used_ = 0;
};

}  // namespace anomalyd::nn

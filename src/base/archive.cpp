#include "base/archive.h"

#include <algorithm>

namespace anomalyd {

void Archive::bytes(std::span<std::byte> values) {
  if (values.empty()) return;
  if (!reads_) {
    written_.insert(written_.end(), values.begin(), values.end());
    return;
  }
  if (values.size() > left_.size()) {
    fail(std::to_string(values.size()) + " bytes more were expected, " +
         std::to_string(left_.size()) + " are left");
  }
  if (!ok()) return;
  std::memcpy(values.data(), left_.data(), values.size());
  left_ = left_.subspan(values.size());
}

std::size_t Archive::count(std::size_t value, std::size_t least, std::size_t most,
                           std::size_t least_bytes, std::string_view what) {
  auto number = static_cast<std::uint32_t>(value);
  field(number);
  if (!reads_) return value;
  if (!ok()) return 0;
  if (number < least || number > most) {
    fail("the number of " + std::string(what) + " is " + std::to_string(number) + ", expected " +
         std::to_string(least) + " to " + std::to_string(most));
  } else if (number > left_.size() / std::max<std::size_t>(1, least_bytes)) {
    fail("the number of " + std::string(what) + " is " + std::to_string(number) +
         ", which do not fit into the " + std::to_string(left_.size()) + " bytes left");
  }
  return ok() ? number : 0;
}

void Archive::fail(std::string_view what) {
  if (!ok()) return;
  error_ = true;
  message_ = "at byte " + std::to_string(size_ - left_.size()) + " of " + std::to_string(size_) +
             ": " + std::string(what);
}

void Archive::require_finite(std::span<const float> values, std::string_view what) {
  if (!reads_ || !ok()) return;
  const bool all =
      std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
  if (!all) fail(std::string(what) + ": not all are finite");
}

Status Archive::finish() {
  if (reads_ && !left_.empty()) fail("bytes go on after the last field");
  if (!ok()) return Error{ErrorCode::kCorrupt, message_};
  return Done{};
}

}  // namespace anomalyd

#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace anomalyd {

/// What a caller can do about a failure. Closed on purpose: a new code needs a new reaction.
enum class ErrorCode {
  kInvalidArgument,  ///< the config or request is wrong: fix it, do not retry
  kNotFound,         ///< the named thing does not exist
  kCorrupt,          ///< a file or record does not parse or fails its checksum
  kUnavailable,      ///< the other side is away: retry with backoff
  kExhausted,        ///< a limit was hit: shed load
  kUnsupported,      ///< a version or kind that this build does not know
};

/// A failure with the context that a log line needs ("configs/bearing.toml:12:8: window.size:
/// ...").
struct [[nodiscard]] Error {
  ErrorCode code;
  std::string message;
};

/// A value or an Error. Never both, never neither.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return std::holds_alternative<T>(state_); }
  explicit operator bool() const { return ok(); }

  T& value() & {
    ANOMALYD_CHECK(ok(), "value() of an error");
    return std::get<T>(state_);
  }
  const T& value() const& {
    ANOMALYD_CHECK(ok(), "value() of an error");
    return std::get<T>(state_);
  }
  T&& value() && {
    ANOMALYD_CHECK(ok(), "value() of an error");
    return std::get<T>(std::move(state_));
  }
  const Error& error() const {
    ANOMALYD_CHECK(!ok(), "error() of a value");
    return std::get<Error>(state_);
  }

 private:
  std::variant<T, Error> state_;
};

/// The result of an action that has nothing to return.
struct Done {};
using Status = Result<Done>;

}  // namespace anomalyd

#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <toml++/toml.h>

namespace anomalyd::app {

/// What is wrong with a config file, each at its place.
class Problems {
 public:
  explicit Problems(std::string_view file) : file_(file) {}
  void add(const toml::source_region& where, std::string_view key, std::string_view what);
  bool empty() const { return list_.empty(); }
  /// "file:line:column: key: what", one a line, in the order of the file; the first kMaxShown.
  std::string text() const;

 private:
  static constexpr std::size_t kMaxShown = 50;
  struct Problem {
    toml::source_position at;
    std::string text;
  };
  std::string file_;
  std::vector<Problem> list_;
};

/// `text` as it may stand in a message: at most 64 bytes of it, control characters as '?'.
std::string shown(std::string_view text);

/// Reads the keys of one table. A reading function says true when the key was there and good, and
/// then has set `value`; what is not good goes to the problems. Its last act is finish(), which
/// refuses the keys that nobody asked for.
///
/// Threads   one at a time.
class Section {
 public:
  /// `path` is how the table is called in messages ("domain.train"); empty for the root.
  Section(Problems& problems, const toml::table& table, std::string path)
      : problems_(problems), table_(table), path_(std::move(path)) {}

  /// A whole number from `least` to `most`.
  bool integer(std::string_view key, std::int64_t& value, std::int64_t least, std::int64_t most);
  template <class Integer>
  bool integer(std::string_view key, Integer& value, std::int64_t least, std::int64_t most) {
    std::int64_t read = 0;
    if (!integer(key, read, least, most)) return false;
    value = static_cast<Integer>(read);
    return true;
  }
  bool boolean(std::string_view key, bool& value);
  /// A finite number from `least` to `most`; `above` leaves `least` itself out.
  bool number(std::string_view key, double& value, double least, double most, bool above = false);
  /// Text that `accept` takes: it returns what is wrong, empty when nothing is.
  using Accept = std::function<std::string(const std::string&)>;
  bool text(std::string_view key, std::string& value, const Accept& accept);
  bool texts(std::string_view key, std::vector<std::string>& values, std::size_t most,
             const Accept& accept);
  /// "2s"; a multiple of `step`.
  bool duration(std::string_view key, std::chrono::nanoseconds& value,
                std::chrono::nanoseconds least, std::chrono::nanoseconds most,
                std::chrono::nanoseconds step = std::chrono::nanoseconds(1));
  /// A table of texts: [domain.match.labels].
  const toml::table* table(std::string_view key);
  /// An array of tables: [[domain]]. Null when it is not there or not one.
  const toml::array* tables(std::string_view key);

  /// Refuses the value of `key`, which is there.
  void refuse(std::string_view key, std::string_view what);
  void finish();

  std::string path_of(std::string_view key) const;
  Problems& problems() { return problems_; }

 private:
  const toml::node* find(std::string_view key);
  void refuse_type(std::string_view key, const toml::node& node, std::string_view expected);

  Problems& problems_;
  const toml::table& table_;
  std::string path_;
  std::vector<std::string_view> known_;
};

/// "90d", "2s", "1500ms": what parse_duration() reads as the same.
std::string print_duration(std::chrono::nanoseconds duration);

}  // namespace anomalyd::app

#include "app/config_reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include "base/text.h"
#include "base/time.h"

namespace anomalyd::app {
namespace {

/// "a string", as a sentence wants it.
std::string_view kind_of(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "a whole number";
    case toml::node_type::floating_point:
      return "a number with a fraction";
    case toml::node_type::boolean:
      return "a boolean";
    default:
      return "a date or time";
  }
}

std::string print_number(double value) {
  char digits[32];
  return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
}

/// The least number of inserted, deleted and changed characters between two words.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({changed, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

/// The known word that was probably meant; empty when none is near.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& known) {
  if (word.size() > 64) return {};
  std::string_view best;
  std::size_t least = std::min<std::size_t>(4, word.size() / 2 + 1);  // this far is another word
  for (const std::string_view candidate : known) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace

std::string shown(std::string_view text) {
  std::string out(text.substr(0, 64));
  if (text.size() > out.size()) {
    while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xc0U) == 0x80) out.pop_back();
    if (!out.empty() && static_cast<unsigned char>(out.back()) >= 0xc0) out.pop_back();
    out += "...";
  }
  std::replace_if(out.begin(), out.end(), is_control, '?');
  return out;
}

void Problems::add(const toml::source_region& where, std::string_view key, std::string_view what) {
  list_.push_back({where.begin, std::string(key) + ": " + std::string(what)});
}

std::string Problems::text() const {
  std::vector<Problem> sorted = list_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Problem& a, const Problem& b) {
    return std::pair(a.at.line, a.at.column) < std::pair(b.at.line, b.at.column);
  });
  std::string out;
  for (std::size_t i = 0; i < std::min(sorted.size(), kMaxShown); ++i) {
    if (i > 0) out += '\n';
    out += file_ + ':' + std::to_string(sorted[i].at.line) + ':' +
           std::to_string(sorted[i].at.column) + ": " + sorted[i].text;
  }
  if (sorted.size() > kMaxShown) {
    out += "\n" + file_ + ": and " + std::to_string(sorted.size() - kMaxShown) + " more";
  }
  return out;
}

std::string Section::path_of(std::string_view key) const {
  return path_.empty() ? shown(key) : path_ + '.' + shown(key);
}

const toml::node* Section::find(std::string_view key) {
  known_.push_back(key);
  return table_.get(key);
}

void Section::refuse(std::string_view key, std::string_view what) {
  const toml::node* node = table_.get(key);
  problems_.add(node == nullptr ? table_.source() : node->source(), path_of(key), what);
}

void Section::refuse_type(std::string_view key, const toml::node& node, std::string_view expected) {
  problems_.add(node.source(), path_of(key),
                std::string(kind_of(node)) + ", expected " + std::string(expected));
}

bool Section::integer(std::string_view key, std::int64_t& value, std::int64_t least,
                      std::int64_t most) {
  const toml::node* node = find(key);
  if (node == nullptr) return false;
  const std::string expected =
      "a whole number from " + std::to_string(least) + " to " + std::to_string(most);
  const auto* read = node->as_integer();
  if (read == nullptr) {
    refuse_type(key, *node, expected);
    return false;
  }
  if (read->get() < least || read->get() > most) {
    refuse(key, std::to_string(read->get()) + ", expected " + expected);
    return false;
  }
  value = read->get();
  return true;
}

bool Section::boolean(std::string_view key, bool& value) {
  const toml::node* node = find(key);
  if (node == nullptr) return false;
  const auto* read = node->as_boolean();
  if (read == nullptr) {
    refuse_type(key, *node, "true or false");
    return false;
  }
  value = read->get();
  return true;
}

bool Section::number(std::string_view key, double& value, double least, double most, bool above) {
  const toml::node* node = find(key);
  if (node == nullptr) return false;
  const std::string expected = std::string("a number ") + (above ? "above " : "from ") +
                               print_number(least) + (above ? " up to " : " to ") +
                               print_number(most);
  double read = 0;
  if (const auto* fraction = node->as_floating_point()) {
    read = fraction->get();
  } else if (const auto* whole = node->as_integer()) {
    read = static_cast<double>(whole->get());
  } else {
    refuse_type(key, *node, expected);
    return false;
  }
  // Written so that NaN is refused.
  if (!(read >= least && read <= most) || (above && read == least)) {
    refuse(key, print_number(read) + ", expected " + expected);
    return false;
  }
  value = read;
  return true;
}

bool Section::text(std::string_view key, std::string& value, const Accept& accept) {
  const toml::node* node = find(key);
  if (node == nullptr) return false;
  const auto* read = node->as_string();
  if (read == nullptr) {
    refuse_type(key, *node, "a string");
    return false;
  }
  const std::string wrong = accept(read->get());
  if (!wrong.empty()) {
    refuse(key, wrong);
    return false;
  }
  value = read->get();
  return true;
}

bool Section::texts(std::string_view key, std::vector<std::string>& values, std::size_t most,
                    const Accept& accept) {
  const toml::node* node = find(key);
  if (node == nullptr) return false;
  const toml::array* list = node->as_array();
  if (list == nullptr) {
    refuse_type(key, *node, "an array of strings");
    return false;
  }
  if (list->size() > most) {
    refuse(key,
           std::to_string(list->size()) + " elements, expected at most " + std::to_string(most));
    return false;
  }
  std::vector<std::string> read;
  bool is_good = true;
  for (const toml::node& element : *list) {
    const auto* text = element.as_string();
    if (text == nullptr) {
      problems_.add(element.source(), path_of(key),
                    std::string(kind_of(element)) + ", expected a string");
      is_good = false;
    } else if (const std::string wrong = accept(text->get()); !wrong.empty()) {
      problems_.add(element.source(), path_of(key), wrong);
      is_good = false;
    } else {
      read.push_back(text->get());
    }
  }
  if (is_good) values = std::move(read);
  return is_good;
}

bool Section::duration(std::string_view key, std::chrono::nanoseconds& value,
                       std::chrono::nanoseconds least, std::chrono::nanoseconds most,
                       std::chrono::nanoseconds step) {
  const std::string expected =
      "a duration from " + print_duration(least) + " to " + print_duration(most) +
      (step.count() > 1 ? " in whole " + print_duration(step).substr(1) : "") + " (\"30s\")";
  const toml::node* node = find(key);
  if (node == nullptr) return false;
  const auto* text = node->as_string();
  if (text == nullptr) {
    refuse_type(key, *node, expected);
    return false;
  }
  const auto read = parse_duration(text->get());
  if (!read.ok() || read.value() < least || read.value() > most ||
      read.value() % step != std::chrono::nanoseconds(0)) {
    refuse(key, "\"" + shown(text->get()) + "\", expected " + expected);
    return false;
  }
  value = read.value();
  return true;
}

const toml::table* Section::table(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) return nullptr;
  const toml::table* table = node->as_table();
  if (table == nullptr) refuse_type(key, *node, "a table, [" + path_of(key) + "]");
  return table;
}

const toml::array* Section::tables(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) return nullptr;
  const toml::array* list = node->as_array();
  if (list == nullptr) {
    refuse_type(key, *node, "an array of tables, [[" + path_of(key) + "]]");
    return nullptr;
  }
  bool is_good = true;
  for (const toml::node& element : *list) {
    if (element.is_table()) continue;
    refuse_type(key, element, "a table, [[" + path_of(key) + "]]");
    is_good = false;
  }
  return is_good ? list : nullptr;
}

void Section::finish() {
  for (const auto& [key, value] : table_) {
    if (std::find(known_.begin(), known_.end(), key.str()) != known_.end()) continue;
    const std::string_view meant = nearest(key.str(), known_);
    std::string what = "unknown key";
    if (!meant.empty()) what += " (did you mean " + std::string(meant) + "?)";
    what += ", expected one of ";
    for (std::size_t i = 0; i < known_.size(); ++i) {
      if (i > 0) what += ", ";
      what += known_[i];
    }
    problems_.add(key.source(), path_of(key.str()), what);
  }
}

std::string print_duration(std::chrono::nanoseconds duration) {
  struct Unit {
    std::int64_t ns;
    const char* name;
  };
  constexpr Unit kUnits[] = {{86'400'000'000'000, "d"}, {3'600'000'000'000, "h"},
                             {60'000'000'000, "m"},     {1'000'000'000, "s"},
                             {1'000'000, "ms"},         {1'000, "us"}};
  if (duration.count() == 0) return "0s";
  for (const Unit& unit : kUnits) {
    if (duration.count() % unit.ns == 0) {
      return std::to_string(duration.count() / unit.ns) + unit.name;
    }
  }
  return std::to_string(duration.count()) + "ns";
}

}  // namespace anomalyd::app

#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "evaluate/series.h"

namespace anomalyd::evaluate {

/// Which protocol: what is read, and which figures count.
enum class ProtocolKind { kSkab, kNab, kUcr, kCsv, kRecordings, kCalibration };

struct ReadOptions {
  std::filesystem::path data;
  std::string normal = "*normal*";  ///< recordings: names of normal files; `*` and `?`
  std::string faulty = "*fault*";   ///< recordings: names of faulty files
  std::size_t limit = 0;            ///< most series, evenly picked by name; 0: all
};

/// One row a protocol.
struct Protocol {
  std::string_view name;
  ProtocolKind kind;
  std::string_view layout;  ///< what it expects below --data
  /// Errors   kNotFound for a folder without its files; kInvalidArgument "file:line: what" for a
  ///          file that is not as published.
  Result<Dataset> (*read)(const ReadOptions& options);
};
std::span<const Protocol> protocols();

/// Errors   kInvalidArgument for an unknown name, listing the known.
Result<const Protocol*> find_protocol(std::string_view name);

/// Reads the protocol's data, at most `options.limit` series of it.
/// Errors   the reader's.
Result<Dataset> read_dataset(const Protocol& protocol, const ReadOptions& options);

/// True when `name` matches `pattern`: `*` is any run of bytes, `?` any one.
bool matches(std::string_view name, std::string_view pattern);

}  // namespace anomalyd::evaluate

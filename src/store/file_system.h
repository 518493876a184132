#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace anomalyd::store {

/// A file that grows at its end.
/// Errors   as FileSystem's.
/// Threads  one at a time.
class AppendFile {
 public:
  virtual ~AppendFile() = default;
  /// How much of it was written, at least one byte; less than all is no error.
  virtual Result<std::size_t> write(std::string_view bytes) = 0;
  /// fdatasync(2). After an error what was written since the last good one may be lost, whatever
  /// a later call says: Linux marks the pages clean.
  virtual Status sync() = 0;
  virtual Status truncate(std::uint64_t size) = 0;
};

/// All that the journal asks of a disk: the one seam through which tests make it fail.
///
/// Errors   kExhausted when the disk (or a quota) is full, kNotFound, else kUnavailable; messages
///          are "path: what: why".
/// Threads  the real one is safe from any thread.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  /// Makes a folder and those above it; one that is there is no error.
  virtual Status make_folder(const std::filesystem::path& folder) = 0;
  /// Names, sorted, of the files in it.
  virtual Result<std::vector<std::string>> list(const std::filesystem::path& folder) = 0;
  /// At most its first `most` bytes.
  virtual Result<std::string> read(const std::filesystem::path& path,
                                   std::size_t most = std::string::npos) = 0;
  virtual Result<std::uint64_t> size(const std::filesystem::path& path) = 0;
  /// A new file, or one emptied.
  virtual Result<std::unique_ptr<AppendFile>> create(const std::filesystem::path& path) = 0;
  virtual Result<std::unique_ptr<AppendFile>> open(const std::filesystem::path& path) = 0;
  /// Takes the place of what `to` names.
  virtual Status rename(const std::filesystem::path& from, const std::filesystem::path& to) = 0;
  virtual Status remove(const std::filesystem::path& path) = 0;
  /// After it, what was created, renamed and removed in the folder outlasts a power cut.
  virtual Status sync_folder(const std::filesystem::path& folder) = 0;
  /// Bytes that this process may still write there.
  virtual Result<std::uint64_t> free_bytes(const std::filesystem::path& folder) = 0;
};

/// The operating system's.
FileSystem& real_file_system();

/// What an errno means to a caller, as "path: what: why".
Error file_error(const std::filesystem::path& path, std::string_view what, int number);

}  // namespace anomalyd::store

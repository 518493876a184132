#pragma once

#include <filesystem>

#include "base/result.h"

namespace anomalyd::store {

/// Keeps a folder for one process: two that wrote to one journal would each take away what the
/// other has acknowledged. Held until it is destroyed or the process ends, however it does.
///
/// Errors   kUnavailable, with the path, when another holds it or the folder does not take the
/// file. Source   flock(2) on a file `lock` in the folder, which stays.
class FolderLock {
 public:
  FolderLock() = default;  ///< holds nothing
  static Result<FolderLock> take(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&& other) noexcept;

 private:
  int file_ = -1;
};

}  // namespace anomalyd::store

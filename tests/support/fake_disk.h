#pragma once

#include <cerrno>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "store/file_system.h"

namespace anomalyd::testing {

/// A disk in memory that knows what would outlast a power cut, and fails when it is told to. It
/// fails as Linux does: after a failed sync what was not on the disk never gets there, though
/// later syncs of the file say that all is well.
/// Threads   safe from any thread.
class FakeDisk final : public store::FileSystem {
 public:
  enum class Fault {
    kEio,    ///< the call fails with EIO
    kFull,   ///< with ENOSPC; a write first takes half
    kShort,  ///< a write takes half of what it is given, and that is all; other calls are well
  };
  /// The visits `from` to `from + count - 1` of any site fail.
  void fail(std::size_t from, std::size_t count, Fault fault) {
    const std::lock_guard lock(mutex_);
    from_ = from;
    until_ = from + count;
    fault_ = fault;
    visits_ = 0;
  }
  void heal() { fail(0, 0, Fault::kEio); }
  /// Since fail().
  std::size_t visits() const {
    const std::lock_guard lock(mutex_);
    return visits_;
  }
  /// The names of all sites that were visited.
  std::set<std::string> sites() const {
    const std::lock_guard lock(mutex_);
    return sites_;
  }
  std::set<std::string> failed_sites() const {
    const std::lock_guard lock(mutex_);
    return failed_sites_;
  }

  /// What was not synced is gone, but for the first `kept` bytes of it in each file.
  void cut_power(std::size_t kept = 0) {
    const std::lock_guard lock(mutex_);
    names_ = durable_;
    for (auto& [name, node] : names_) {
      if (node->data.size() > node->synced + kept) node->data.resize(node->synced + kept);
      node->is_poisoned = false;
      node->synced = node->data.size();
    }
  }

  /// The content of a file, to be looked at or damaged.
  std::string& content(const std::string& name) { return names_.at(name)->data; }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& [name, node] : names_) found.push_back(name);
    return found;
  }

  Status make_folder(const std::filesystem::path& folder) override {
    return visit("make_folder", folder);
  }
  Result<std::vector<std::string>> list(const std::filesystem::path& folder) override {
    if (Status status = visit("list", folder); !status.ok()) return status.error();
    const std::lock_guard lock(mutex_);
    return names();
  }
  Result<std::string> read(const std::filesystem::path& path, std::size_t most) override {
    if (Status status = visit("read", path); !status.ok()) return status.error();
    const std::lock_guard lock(mutex_);
    const Node* node = find(path);
    if (node == nullptr) return store::file_error(path, "open", ENOENT);
    return node->data.substr(0, most);
  }
  Result<std::uint64_t> size(const std::filesystem::path& path) override {
    if (Status status = visit("size", path); !status.ok()) return status.error();
    const std::lock_guard lock(mutex_);
    const Node* node = find(path);
    if (node == nullptr) return store::file_error(path, "stat", ENOENT);
    return std::uint64_t{node->data.size()};
  }
  Result<std::unique_ptr<store::AppendFile>> create(const std::filesystem::path& path) override {
    if (Status status = visit("create", path); !status.ok()) return status.error();
    const std::lock_guard lock(mutex_);
    auto node = std::make_shared<Node>();
    names_[path.filename().string()] = node;
    return std::unique_ptr<store::AppendFile>(std::make_unique<File>(*this, path, node));
  }
  Result<std::unique_ptr<store::AppendFile>> open(const std::filesystem::path& path) override {
    if (Status status = visit("open", path); !status.ok()) return status.error();
    const std::lock_guard lock(mutex_);
    const auto found = names_.find(path.filename().string());
    if (found == names_.end()) return store::file_error(path, "open", ENOENT);
    return std::unique_ptr<store::AppendFile>(std::make_unique<File>(*this, path, found->second));
  }
  Status rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    if (Status status = visit("rename", from); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    const auto found = names_.find(from.filename().string());
    if (found == names_.end()) return store::file_error(from, "rename", ENOENT);
    names_[to.filename().string()] = found->second;
    names_.erase(from.filename().string());
    return Done{};
  }
  Status remove(const std::filesystem::path& path) override {
    if (Status status = visit("remove", path); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    if (names_.erase(path.filename().string()) == 0) {
      return store::file_error(path, "unlink", ENOENT);
    }
    return Done{};
  }
  Status sync_folder(const std::filesystem::path& folder) override {
    if (Status status = visit("sync_folder", folder); !status.ok()) return status;
    const std::lock_guard lock(mutex_);
    durable_ = names_;
    return Done{};
  }
  Result<std::uint64_t> free_bytes(const std::filesystem::path& folder) override {
    if (Status status = visit("free_bytes", folder); !status.ok()) return status.error();
    return std::uint64_t{1} << 40U;
  }

 private:
  struct Node {
    std::string data;
    std::size_t synced = 0;
    bool is_poisoned = false;
  };

  class File final : public store::AppendFile {
   public:
    File(FakeDisk& disk, std::filesystem::path path, std::shared_ptr<Node> node)
        : disk_(disk), path_(std::move(path)), node_(std::move(node)) {}
    Result<std::size_t> write(std::string_view bytes) override {
      bool is_short = false;
      const Status status = disk_.visit("write", path_, &is_short);
      const std::lock_guard lock(disk_.mutex_);
      const std::size_t count = is_short ? (bytes.size() + 1) / 2 : bytes.size();
      if (status.ok() || is_short) node_->data += bytes.substr(0, count);
      if (!status.ok()) return status.error();
      return count;
    }
    Status sync() override {
      const Status status = disk_.visit("sync", path_);
      const std::lock_guard lock(disk_.mutex_);
      if (!status.ok()) node_->is_poisoned = true;
      if (status.ok() && !node_->is_poisoned) node_->synced = node_->data.size();
      return status;
    }
    Status truncate(std::uint64_t size) override {
      if (Status status = disk_.visit("truncate", path_); !status.ok()) return status;
      const std::lock_guard lock(disk_.mutex_);
      node_->data.resize(size);
      node_->synced = std::min<std::size_t>(node_->synced, size);
      return Done{};
    }

   private:
    FakeDisk& disk_;
    const std::filesystem::path path_;
    const std::shared_ptr<Node> node_;
  };

  const Node* find(const std::filesystem::path& path) const {
    const auto found = names_.find(path.filename().string());
    return found == names_.end() ? nullptr : found->second.get();
  }
  Status visit(const char* site, const std::filesystem::path& path, bool* is_short = nullptr) {
    const std::lock_guard lock(mutex_);
    sites_.insert(site);
    const std::size_t at = visits_++;
    if (at < from_ || at >= until_) return Done{};
    failed_sites_.insert(site);
    if (is_short != nullptr) *is_short = fault_ != Fault::kEio;
    if (fault_ == Fault::kShort) return Done{};
    return store::file_error(path, site, fault_ == Fault::kFull ? ENOSPC : EIO);
  }

  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Node>> names_;
  std::map<std::string, std::shared_ptr<Node>> durable_;  ///< after a power cut
  std::size_t visits_ = 0;
  std::size_t from_ = 0;
  std::size_t until_ = 0;
  Fault fault_ = Fault::kEio;
  std::set<std::string> sites_;
  std::set<std::string> failed_sites_;
};

}  // namespace anomalyd::testing

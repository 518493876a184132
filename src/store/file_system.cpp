#include "store/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace anomalyd::store {
namespace {

/// A descriptor, closed with the object.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  int get() const { return number_; }

 private:
  int number_;
};

/// Calls again what a signal interrupted.
template <class Call>
auto again(const Call& call) {
  for (;;) {
    const auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

class RealAppendFile final : public AppendFile {
 public:
  RealAppendFile(std::filesystem::path path, Descriptor file)
      : path_(std::move(path)), file_(std::move(file)) {}

  Result<std::size_t> write(std::string_view bytes) override {
    const ssize_t count = again([&] { return ::write(file_.get(), bytes.data(), bytes.size()); });
    if (count < 0) return file_error(path_, "write", errno);
    if (count == 0) return file_error(path_, "write", ENOSPC);
    return static_cast<std::size_t>(count);
  }

  Status sync() override {
    // Never called again after a signal: an error is told once only.
    if (::fdatasync(file_.get()) != 0) return file_error(path_, "fdatasync", errno);
    return Done{};
  }

  Status truncate(std::uint64_t size) override {
    if (again([&] { return ::ftruncate(file_.get(), static_cast<off_t>(size)); }) != 0) {
      return file_error(path_, "ftruncate", errno);
    }
    return Done{};
  }

 private:
  const std::filesystem::path path_;
  const Descriptor file_;
};

class RealFileSystem final : public FileSystem {
 public:
  Status make_folder(const std::filesystem::path& folder) override {
    std::error_code failure;
    std::filesystem::create_directories(folder, failure);
    if (failure) return file_error(folder, "mkdir", failure.value());
    // Else a power cut could take the folder with all that is synced in it.
    const std::filesystem::path above = folder.parent_path();
    return above.empty() ? Status{Done{}} : sync_folder(above);
  }

  Result<std::vector<std::string>> list(const std::filesystem::path& folder) override {
    std::vector<std::string> names;
    std::error_code failure;
    std::filesystem::directory_iterator at(folder, failure);
    for (; !failure && at != std::filesystem::directory_iterator(); at.increment(failure)) {
      names.push_back(at->path().filename().string());
    }
    if (failure) return file_error(folder, "list", failure.value());
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<std::uint64_t> size(const std::filesystem::path& path) override {
    std::error_code failure;
    const auto bytes = std::filesystem::file_size(path, failure);
    if (failure) return file_error(path, "stat", failure.value());
    return std::uint64_t{bytes};
  }

  Result<std::string> read(const std::filesystem::path& path, std::size_t most) override {
    const Descriptor file(again([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); }));
    if (file.get() < 0) return file_error(path, "open", errno);
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) return file_error(path, "fstat", errno);
    std::string bytes(std::min(most, static_cast<std::size_t>(status.st_size)), '\0');
    std::size_t filled = 0;
    while (filled < bytes.size()) {
      const ssize_t count =
          again([&] { return ::read(file.get(), bytes.data() + filled, bytes.size() - filled); });
      if (count < 0) return file_error(path, "read", errno);
      if (count == 0) break;
      filled += static_cast<std::size_t>(count);
    }
    bytes.resize(filled);
    return bytes;
  }

  Result<std::unique_ptr<AppendFile>> create(const std::filesystem::path& path) override {
    return open_with(path, O_WRONLY | O_APPEND | O_CREAT | O_TRUNC | O_CLOEXEC);
  }
  Result<std::unique_ptr<AppendFile>> open(const std::filesystem::path& path) override {
    return open_with(path, O_WRONLY | O_APPEND | O_CLOEXEC);
  }

  Status rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return file_error(from, "rename", errno);
    return Done{};
  }

  Status remove(const std::filesystem::path& path) override {
    if (::unlink(path.c_str()) != 0) return file_error(path, "unlink", errno);
    return Done{};
  }

  Status sync_folder(const std::filesystem::path& folder) override {
    const Descriptor file(
        again([&] { return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (file.get() < 0) return file_error(folder, "open", errno);
    if (::fsync(file.get()) != 0) return file_error(folder, "fsync", errno);
    return Done{};
  }

  Result<std::uint64_t> free_bytes(const std::filesystem::path& folder) override {
    struct statvfs status {};
    if (again([&] { return ::statvfs(folder.c_str(), &status); }) != 0) {
      return file_error(folder, "statvfs", errno);
    }
    return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
  }

 private:
  static Result<std::unique_ptr<AppendFile>> open_with(const std::filesystem::path& path,
                                                       int flags) {
    Descriptor file(again([&] { return ::open(path.c_str(), flags, 0600); }));
    if (file.get() < 0) return file_error(path, "open", errno);
    return std::unique_ptr<AppendFile>(std::make_unique<RealAppendFile>(path, std::move(file)));
  }
};

}  // namespace

Error file_error(const std::filesystem::path& path, std::string_view what, int number) {
  ErrorCode code = ErrorCode::kUnavailable;
  if (number == ENOSPC || number == EDQUOT) code = ErrorCode::kExhausted;
  if (number == ENOENT) code = ErrorCode::kNotFound;
  return {code, path.string() + ": " + std::string(what) + ": " +
                    std::generic_category().message(number)};
}

FileSystem& real_file_system() {
  static RealFileSystem instance;
  return instance;
}

}  // namespace anomalyd::store

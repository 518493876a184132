#include "http/secret_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <string_view>
#include <system_error>

#include "base/log.h"

namespace anomalyd::http {
namespace {

constexpr std::string_view kCredential = "credential:";

Error refuse(const std::string& path, const std::string& what) {
  return Error{ErrorCode::kInvalidArgument, path + ": " + what};
}

Result<std::filesystem::path> resolve(const std::filesystem::path& given) {
  const std::string text = given.string();
  if (!text.starts_with(kCredential)) return given;
  const std::string name = text.substr(kCredential.size());
  if (name.empty() || name.find('/') != std::string::npos || name == "." || name == "..") {
    return refuse(text, "expected credential: and the name of a credential");
  }
  const char* folder = std::getenv("CREDENTIALS_DIRECTORY");  // NOLINT(concurrency-mt-unsafe)
  if (folder == nullptr || *folder == '\0') {
    return refuse(text,
                  "$CREDENTIALS_DIRECTORY is not set, expected a systemd service with "
                  "LoadCredential=" +
                      name + ":FILE");
  }
  return std::filesystem::path(folder) / name;
}

/// A descriptor that is closed with the object.
class File {
 public:
  explicit File(const std::filesystem::path& path)
      // Without O_NONBLOCK a pipe would wait here for somebody who writes.
      : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

std::string system_error() { return std::generic_category().message(errno); }

bool is_too_open(const struct stat& found, Secrecy secrecy) {
  if (secrecy == Secrecy::kPublic) return false;
  if ((found.st_mode & (S_IWGRP | S_IWOTH)) != 0) return true;
  if (secrecy == Secrecy::kTrusted) return false;
  // A file of another owner that this user reads by its group is as it should be.
  const bool is_own = found.st_uid == ::geteuid();
  return (found.st_mode & S_IROTH) != 0 || (is_own && (found.st_mode & S_IRGRP) != 0);
}

}  // namespace

Result<std::string> read_secret_file(const std::filesystem::path& path, std::size_t max_bytes,
                                     Secrecy secrecy) {
  const auto resolved = resolve(path);
  if (!resolved.ok()) return resolved.error();
  const std::filesystem::path& file_path = resolved.value();
  const std::string name = path.string();
  const File file(file_path);
  if (file.descriptor() < 0) {
    if (errno == ENOENT) return Error{ErrorCode::kNotFound, name + ": no such file"};
    if (errno == ENXIO) return refuse(name, "no regular file");  // a socket
    return refuse(name, "cannot be read by this user: " + system_error());
  }
  struct stat found {};
  if (::fstat(file.descriptor(), &found) != 0) return refuse(name, system_error());
  if (S_ISDIR(found.st_mode)) return refuse(name, "a folder, expected a file");
  if (!S_ISREG(found.st_mode)) return refuse(name, "no regular file");
  // systemd looks after its credentials, and lets the service in by an access list.
  if (file_path == path && is_too_open(found, secrecy)) {
    log::warn(secrecy == Secrecy::kSecret
                  ? "other users may read or write a file with secrets, expected mode 0600"
                  : "other users may write a file of who is let in, expected mode 0644 or less",
              {{"file", name}});
  }
  std::string text;
  std::array<char, 65536> block{};
  while (text.size() <= max_bytes) {
    const ssize_t count = ::read(file.descriptor(), block.data(), block.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return refuse(name, "cannot be read: " + system_error());
    if (count == 0) break;
    text.append(block.data(), static_cast<std::size_t>(count));
  }
  if (text.size() > max_bytes) {
    return refuse(name, "more than " + std::to_string(max_bytes) + " bytes");
  }
  return text;
}

}  // namespace anomalyd::http

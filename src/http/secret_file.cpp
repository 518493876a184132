#include "http/secret_file.h"

#include <array>
#include <cstdlib>
#include <fstream>
#include <string_view>
#include <system_error>

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

}  // namespace

Result<std::string> read_secret_file(const std::filesystem::path& path, std::size_t max_bytes) {
  const auto resolved = resolve(path);
  if (!resolved.ok()) return resolved.error();
  const std::filesystem::path& file_path = resolved.value();
  const std::string name = path.string();
  std::error_code failed;
  if (!std::filesystem::exists(file_path, failed)) {
    return Error{ErrorCode::kNotFound,
                 name + (failed ? ": " + failed.message() : ": no such file")};
  }
  if (std::filesystem::is_directory(file_path, failed)) {
    return refuse(name, "a folder, expected a file");
  }
  std::ifstream file(file_path, std::ios::binary);
  if (!file) return refuse(name, "cannot be read by this user");
  std::string text;
  std::array<char, 65536> block{};
  // Not by the file's size, which a pipe does not have.
  while (text.size() <= max_bytes) {
    file.read(block.data(), static_cast<std::streamsize>(block.size()));
    if (file.gcount() <= 0) break;
    text.append(block.data(), static_cast<std::size_t>(file.gcount()));
  }
  if (file.bad()) return refuse(name, "cannot be read");
  if (text.size() > max_bytes) {
    return refuse(name, "more than " + std::to_string(max_bytes) + " bytes");
  }
  return text;
}

}  // namespace anomalyd::http

#include "app/ctl_token.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <ostream>
#include <string_view>
#include <system_error>

#include "http/secret_file.h"
#include "http/tokens.h"

namespace anomalyd::app::ctl {
namespace {

constexpr std::size_t kMaxFileBytes = 32UL << 20U;

Error refuse(const std::string& message) { return Error{ErrorCode::kInvalidArgument, message}; }

/// Of the system call that has just failed.
std::string why() { return std::generic_category().message(errno); }

Status write_all(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return refuse(path + ": cannot be written: " + why());
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return Done{};
}

/// Writes to a file that `flags` open; one that it makes only its owner may read.
Status write_file(const std::string& path, int flags, std::string_view text) {
  const int fd = ::open(path.c_str(), flags | O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0) return refuse(path + ": cannot be opened: " + why());
  Status written = write_all(fd, text, path);
  if (::close(fd) != 0 && written.ok()) written = refuse(path + ": cannot be written");
  return written;
}

/// What to append so that the line stands on its own; refuses what would make the file a bad one.
Result<std::string> addition(const std::string& path, const std::string& line) {
  std::error_code failed;
  if (!std::filesystem::exists(path, failed)) return line + "\n";
  auto text = http::read_secret_file(path, kMaxFileBytes);
  if (!text.ok()) return text.error();
  const bool is_open = !text.value().empty() && text.value().back() != '\n';
  std::string added = (is_open ? "\n" : "") + line + "\n";
  const auto whole = http::TokenSet::parse(text.value() + added, path);
  if (!whole.ok()) return whole.error();
  return added;
}

void print(const TokenOptions& options, const http::NewToken& made, Console& console) {
  // What went into a file is not printed too.
  const bool has_secret = options.out.empty();
  const bool has_line = options.append.empty();
  if (options.json) {
    console.out << "{\"name\":" << json_string(options.name);
    if (has_secret) console.out << ",\"token\":" << json_string(made.secret);
    console.out << ",\"line\":" << json_string(made.line) << "}\n";
    return;
  }
  if (has_secret) console.out << "token  " << made.secret << "\n";
  if (has_line) console.out << "line   " << made.line << "\n";
}

}  // namespace

int token(const TokenOptions& options, Console& console) {
  std::vector<http::Scope> scopes;
  for (const std::string& text : options.scopes) {
    const auto scope = http::parse_scope(text);
    if (!scope.ok()) return fail(console, refuse("--scope: " + scope.error().message), kUsage);
    scopes.push_back(scope.value());
  }
  const auto made = http::make_token(options.name, scopes, options.streams, options.max_streams);
  if (!made.ok()) return fail(console, made.error(), kUsage);
  if (!options.append.empty()) {
    // The token itself first: a line whose token nobody has is no use, the other way round no harm.
    const auto added = addition(options.append, made.value().line);
    if (!added.ok()) return fail(console, added.error());
    if (!options.out.empty()) {
      const Status written = write_file(options.out, O_CREAT | O_EXCL, made.value().secret + "\n");
      if (!written.ok()) return fail(console, written.error());
    }
    const Status written = write_file(options.append, O_CREAT | O_APPEND, added.value());
    if (!written.ok()) return fail(console, written.error());
  } else if (!options.out.empty()) {
    const Status written = write_file(options.out, O_CREAT | O_EXCL, made.value().secret + "\n");
    if (!written.ok()) return fail(console, written.error());
  }
  print(options, made.value(), console);
  return kOk;
}

}  // namespace anomalyd::app::ctl
